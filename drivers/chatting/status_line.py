"""The status line: model, what is going on, tokens, share of the context window, session. One line, whatever the width.

The rule here: what matters least goes first when it gets narrow; nothing is ever cut in the middle but a name.
"""

from dataclasses import dataclass

from agent_core.messages import Usage
from agent_core.payloads import SessionState
from agent_core.status import SessionStatus
from drivers.chatting.figures import count, duration

_STATES: dict[SessionState, str] = {
    "idle": "idle",
    "running": "answering",
    "awaiting_tools": "running tools",
    "awaiting_permit": "waiting for its turn",
    "compacting": "making room",
    "closed": "closed",
}
NAME_WIDTH = 30
Fragments = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the line is made of. `status` is None before the session is there; `elapsed` is in seconds."""

    model: str
    status: SessionStatus | None
    state: SessionState
    request: Usage
    elapsed: float | None = None
    summarising: bool = False
    hint: str = ""
    connecting: str = ""


def status_line(facts: Facts, width: int) -> Fragments:
    """The line as (style, text) parts, at most `width` columns."""
    model = facts.status.model if facts.status else facts.model
    always: list[Fragments] = [[("class:toolbar.model", _short(model))], [_state(facts)]]
    extras = _extras(facts)
    lines = (_joined([*always, *extras[:kept]]) for kept in range(len(extras), -1, -1))
    return next((line for line in lines if _width(line) <= width), None) or _fitted(_joined(always), width)


def _short(model: str) -> str:
    """The model's name without its provider, which /status has."""
    name = model.partition("/")[2]
    return name if len(name) <= NAME_WIDTH else name[: NAME_WIDTH - 1] + "…"


def _state(facts: Facts) -> tuple[str, str]:
    if facts.hint:
        return "class:toolbar.hint", facts.hint
    if facts.connecting:
        return "class:toolbar.busy", facts.connecting
    text = _STATES[facts.state]
    if facts.elapsed is None:
        return "class:toolbar", text
    return "class:toolbar.busy", f"{text} {duration(float(int(facts.elapsed))).replace('.0', '')}"


def _extras(facts: Facts) -> list[Fragments]:
    """Summary, tokens, share of the context, session: in the order in which they stand, what matters least last."""
    status = facts.status
    if status is None:
        return []
    total = status.usage.total + facts.request
    tokens_in = total.input_tokens + total.cache_read_tokens + total.cache_write_tokens
    used = facts.request.context_tokens or status.context_used
    extras: list[Fragments] = [[("class:toolbar", "summarising")]] if facts.summarising else []
    extras.append([("class:toolbar", f"↑{count(tokens_in)} ↓{count(total.output_tokens)}")])
    if status.context_limit:
        share = f"{100 * used / status.context_limit:.0f}% of {count(status.context_limit)}"
        extras.append([("class:toolbar", share)])
    extras.append([("class:toolbar", status.session_id)])
    return extras


def _joined(parts: list[Fragments]) -> Fragments:
    line: Fragments = [("class:toolbar", "  ")]
    for number, part in enumerate(parts):
        line += [("class:toolbar", " · ")] if number else []
        line += part
    return line


def _width(line: Fragments) -> int:
    return sum(len(text) for _, text in line)


def _fitted(line: Fragments, width: int) -> Fragments:
    left, fitted = width, []
    for style, text in line:
        fitted.append((style, text[:left]))
        left -= len(fitted[-1][1])
    return fitted
