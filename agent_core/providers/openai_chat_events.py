"""OpenAI's Chat Completions: how an answer is read, streamed or whole, from whatever server.

The rule here: only what an answer cannot be without is asked for. Usage, ids, indices and the mark `[DONE]` may be
missing; the finish reason may be "stop" although tools are called; reasoning comes under two names and never goes
back.

Chunks are those of `openai.types.chat.ChatCompletionChunk` (openai 3.54).
"""

from collections.abc import Iterable, Sequence
from typing import Any, cast

from agent_core.messages import StopReason, Usage
from agent_core.ports import (
    ModelEvent,
    ResponseStarted,
    ResponseStopped,
    TextDelta,
    ThinkingDelta,
    ToolUseDelta,
    UsageUpdate,
)
from agent_core.providers.encoding import encode
from agent_core.providers.errors import cut_short, stream_error
from agent_core.providers.wire import Json, part, parts

_STOP_REASONS: dict[str, StopReason] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
# vLLM and llama.cpp say reasoning_content, newer vLLM, Ollama and routers say reasoning.
_REASONING = ("reasoning_content", "reasoning")


class ChatReader:
    """Reads one answer. See `Reader`."""

    __slots__ = (
        "_calls",
        "_current",
        "_finish",
        "_index",
        "_last_call",
        "_model",
        "_provider",
        "_refused",
        "_started",
        "_stopped_at",
        "_stops",
        "finished",
    )

    def __init__(self, provider: str, model: str, stop_sequences: Sequence[str] = ()) -> None:
        self._provider = provider
        self._model = model
        self._stops = stop_sequences
        self._started = False
        self._index = -1
        self._current = ""
        # The block and the id of each call, by the server's index of it.
        self._calls: dict[int, tuple[int, str]] = {}
        self._last_call = -1
        self._finish: str | None = None
        self._stopped_at: object = None
        self._refused = False
        self.finished = False

    def feed(self, event: Json) -> Iterable[ModelEvent]:
        """See `Reader.feed`."""
        if event.get("error"):
            raise stream_error(self._provider, event["error"])
        if not self._started:
            yield from self._start(event)
        for choice in parts(event, "choices"):
            yield from self._message(part(choice, "delta"))
            self._end_of(choice)
        yield from _usage(part(event, "usage"))

    def whole(self, body: Json) -> Iterable[ModelEvent]:
        """See `Reader.whole`."""
        yield from self._start(body)
        choice = body["choices"][0]
        yield from self._message(choice["message"])
        self._end_of(choice)
        self._finish = self._finish or "stop"
        yield from _usage(part(body, "usage"))

    def end(self) -> Iterable[ModelEvent]:
        """See `Reader.end`."""
        said_something = self._index >= 0 and self.finished
        if self._finish is None and not said_something:
            raise cut_short(self._provider)
        return (ResponseStopped(self._stop_reason()),)

    def _stop_reason(self) -> StopReason:
        reason = _STOP_REASONS.get(self._finish or "stop", "end_turn")
        if self._refused and reason == "end_turn":
            return "refusal"
        if self._calls and reason == "end_turn":
            return "tool_use"
        if reason == "end_turn" and isinstance(self._stopped_at, str) and self._stopped_at in self._stops:
            return "stop_sequence"
        return reason

    def _start(self, event: Json) -> Iterable[ModelEvent]:
        self._started = True
        yield ResponseStarted(str(event.get("id") or ""), str(event.get("model") or self._model))

    def _end_of(self, choice: Json) -> None:
        self._finish = choice.get("finish_reason") or self._finish
        # vLLM's own field: the stop sequence that ended the text.
        self._stopped_at = choice.get("stop_reason") or self._stopped_at

    def _message(self, message: Json) -> Iterable[ModelEvent]:
        for name in _REASONING:
            if thinking := message.get(name):
                yield ThinkingDelta(self._block("thinking"), str(thinking))
                break
        if text := _plain(message.get("content")):
            yield TextDelta(self._block("text"), text)
        if refusal := message.get("refusal"):
            self._refused = True
            yield TextDelta(self._block("text"), refusal)
        for place, call in enumerate(parts(message, "tool_calls")):
            yield self._call(call, place)

    def _block(self, kind: str) -> int:
        """The block that this kind goes on in: the current one if it is of the kind, else a new one."""
        if self._current != kind:
            self._current = kind
            self._index += 1
        return self._index

    def _call(self, call: Json, place: int) -> ModelEvent:
        function = part(call, "function")
        arguments: Any = function.get("arguments")
        text = arguments if isinstance(arguments, str) else encode(arguments).decode() if arguments else ""
        given, name = call.get("id") or "", function.get("name") or None
        number = call.get("index")
        if number is None:
            number = self._numbered(given, name, place)
        known = self._calls.get(number)
        if known is not None and (not given or given == known[1]):
            self._last_call = number
            return ToolUseDelta(known[0], text)
        # Some servers number every call 0: another id is another call.
        self._index += 1
        self._current = "call"
        self._calls[number] = (self._index, given)
        self._last_call = number
        return ToolUseDelta(self._index, text, given or None, name)

    def _numbered(self, given: str, name: str | None, place: int) -> int:
        """The number of a call that came without one: a known id goes on, an id or a name begins one."""
        for number, (_, known) in self._calls.items():
            if given and given == known:
                return number
        if given or (name and place == 0) or not self._calls:
            return len(self._calls)
        return self._last_call if place == 0 else len(self._calls)


def _plain(content: object) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, list):
        return "".join(str(piece.get("text") or "") for piece in cast("list[Json]", content))
    raise TypeError(f"content is {type(content).__name__}")


def _usage(usage: Json) -> Iterable[ModelEvent]:
    if not usage:
        return
    details = part(usage, "prompt_tokens_details")
    read, written = details.get("cached_tokens") or 0, details.get("cache_write_tokens") or 0
    counts = Usage(
        input_tokens=max(0, (usage.get("prompt_tokens") or 0) - read - written),
        output_tokens=usage.get("completion_tokens") or 0,
        cache_read_tokens=read,
        cache_write_tokens=written,
    )
    yield UsageUpdate(counts)
