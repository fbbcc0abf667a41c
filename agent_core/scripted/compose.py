"""From a script's reply to the message that is sent: texts filled in, budgets kept, ids given.

The rule here: what is composed is what any wire renders, so a stop reason and a token count never depend on streaming.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from agent_core.scripted.request import ParsedRequest
from agent_core.scripted.script import Reply, StopReason, ToolCall
from agent_core.scripted.signing import Mint
from agent_core.scripted.tokens import CHARACTERS_PER_TOKEN, text_tokens
from agent_core.scripted.wire import Json, as_object


@dataclass(slots=True)
class ComposedCall:
    """One tool call. `arguments` is the JSON text as sent, which may be broken; `given_id` is the script's own id."""

    name: str
    arguments: str
    suffix: str
    given_id: str | None = None

    @property
    def input(self) -> Any:
        """The parsed arguments; a text that is no JSON stays a text."""
        try:
            return json.loads(self.arguments)
        except json.JSONDecodeError:
            return self.arguments


@dataclass(slots=True)
class Composed:
    """A whole message. `thinking` is None where the request asks for none. `suffix` makes its ids unique."""

    suffix: str
    model: str
    text: str
    thinking: str | None
    redacted: str | None
    stop_reason: StopReason
    stop_sequence: str | None
    omit_thinking: bool = False
    calls: list[ComposedCall] = field(default_factory=list[ComposedCall])

    @property
    def reasoning_tokens(self) -> int:
        """Tokens of the thinking."""
        return text_tokens(self.thinking or "") + text_tokens(self.redacted or "")

    @property
    def output_tokens(self) -> int:
        """Tokens of everything, thinking included; at least 1, as the providers count."""
        calls = sum(text_tokens(call.name) + text_tokens(call.arguments) for call in self.calls)
        return max(1, self.reasoning_tokens + text_tokens(self.text) + calls)


@dataclass(slots=True)
class _Budget:
    """Tokens that are left to write."""

    left: int
    spent: bool = False

    def cut(self, text: str) -> str:
        tokens = text_tokens(text)
        if tokens <= self.left:
            self.left -= tokens
            return text
        kept = text[: self.left * CHARACTERS_PER_TOKEN]
        self.left, self.spent = 0, True
        return kept


def compose(reply: Reply, request: ParsedRequest, mint: Mint, *, room: int, broken: bool) -> Composed:
    """The message that answers `request`.

    `room` is how many tokens the context window still holds; `broken` makes the JSON of every tool call unparsable.
    """
    text, stop_sequence = _stopped(_filled(reply.text, request), request.stop_sequences)
    calls = () if stop_sequence is not None else reply.tool_calls
    asked = request.max_tokens if request.max_tokens is not None else room
    budget = _Budget(max(0, min(asked, room)))
    thinks = request.thinking
    composed = Composed(
        suffix=mint.suffix(),
        model=request.model,
        thinking=budget.cut(reply.thinking) if thinks and reply.thinking is not None else None,
        redacted=reply.redacted_thinking if thinks else None,
        text=budget.cut(text),
        stop_reason=reply.stop_reason or ("tool_use" if calls else "end_turn"),
        stop_sequence=reply.stop_sequence,
        omit_thinking=request.thinking_omitted,
    )
    for call in calls:
        if budget.spent:
            break
        arguments = budget.cut(_arguments(call, broken=broken))
        composed.calls.append(ComposedCall(call.name, arguments, mint.suffix(), call.id))
    if budget.spent:
        composed.stop_reason = "max_tokens" if asked <= room else "model_context_window_exceeded"
    elif stop_sequence is not None:
        composed.stop_reason, composed.stop_sequence = "stop_sequence", stop_sequence
    return composed


def _filled(text: str, request: ParsedRequest) -> str:
    if "{{" not in text:
        return text
    values = {
        "{{text}}": request.text,
        "{{results}}": "\n".join(result.text for result in request.results),
        "{{session}}": request.session or "",
        "{{number}}": str(request.number),
    }
    for name, value in values.items():
        text = text.replace(name, value)
    return text


def _stopped(text: str, stops: tuple[str, ...]) -> tuple[str, str | None]:
    places = [(place, stop) for stop in stops if (place := text.find(stop)) >= 0]
    if not places:
        return text, None
    place, stop = min(places)
    return text[:place], stop


def _arguments(call: ToolCall, *, broken: bool) -> str:
    text = call.raw_input if call.raw_input is not None else json.dumps(call.input, ensure_ascii=False)
    return f'{text[:-1]}, "broken": ' if broken else text


def input_object(call: ComposedCall, stop_reason: StopReason) -> Json | str:
    """A tool call's input outside of a stream: an object, empty where a limit cut it, or the broken text."""
    value = call.input
    if as_object(value) is not None:
        return value
    return {} if stop_reason in {"max_tokens", "model_context_window_exceeded"} else str(value)
