"""A glance: what a process that hosts sessions tells of itself and of them, to whoever watches a cluster.

The rule here: it is cheap and harms nobody. Whatever it reads is replaced whole, so another thread may look while the
process is busy; the sessions are counted, and no more of them are told than were asked for. No content is told.
"""

import heapq
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from pydantic import Field

from agent_core.frozen import Frozen
from agent_core.messages import SessionId
from agent_core.payloads import SessionState
from agent_core.process_figures import ProcessFigures, process_figures
from agent_core.session import Shell
from agent_core.tally import Totals

MOST_LINES = 1000
SessionOrder = Literal["recent", "id", "context", "tokens", "queued"]


class GlanceRequest(Frozen):
    """Which sessions are to be told.

    `search` is how their id begins, or one of their labels (`name=value` or the value). Without `states` any state will
    do. At most `limit` come back, the first of that `order`: those that were used last, by id, or those with the
    fullest context, the most tokens taken or the most messages waiting. The session `also` is told whatever else is
    asked for.
    """

    search: str = ""
    states: tuple[SessionState, ...] = ()
    order: SessionOrder = "recent"
    limit: int = Field(default=100, ge=0, le=MOST_LINES)
    also: SessionId | None = None


class SessionLine(Frozen):
    """A session that is active. Context and tokens are counted in tokens, `used_at` in seconds since the epoch."""

    session_id: SessionId
    state: SessionState
    model: str
    labels: dict[str, str] = Field(default_factory=dict)
    turns: int = 0
    messages: int = 0
    queued: int = 0
    context_used: int = 0
    context_limit: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    compactions: int = 0
    used_at: float = 0.0
    runtime: str = ""
    actor: str = ""


class HostGlance(Frozen):
    """What one process tells. `states` counts all its active sessions; `matching` are those that were asked for."""

    process: ProcessFigures = ProcessFigures()
    totals: Totals = Totals()
    states: dict[SessionState, int] = Field(default_factory=dict[SessionState, int])
    matching: int = 0
    lines: tuple[SessionLine, ...] = ()
    also: SessionLine | None = None


def glance(shells: Sequence[Shell], asked: GlanceRequest, totals: Totals) -> HostGlance:
    """What there is to see of these sessions."""
    told: list[tuple[SessionState, Shell]] = [(shell.state, shell) for shell in shells]
    states: dict[SessionState, int] = {}
    for state, _ in told:
        states[state] = states.get(state, 0) + 1
    chosen = [shell for state, shell in told if (not asked.states or state in asked.states) and _found(shell, asked)]
    also = next((shell for shell in shells if shell.id == asked.also), None) if asked.also else None
    return HostGlance(
        process=process_figures(),
        totals=totals,
        states=states,
        matching=len(chosen),
        lines=tuple(_line(shell) for shell in heapq.nsmallest(asked.limit, chosen, key=_PLACE[asked.order])),
        also=_line(also) if also else None,
    )


def first_of(lines: Iterable[SessionLine], asked: GlanceRequest) -> tuple[SessionLine, ...]:
    """The first of what several processes told, as one of them would have told it."""
    return tuple(heapq.nsmallest(asked.limit, lines, key=_LINE_PLACE[asked.order]))


def _found(shell: Shell, asked: GlanceRequest) -> bool:
    if not asked.search or shell.id.startswith(asked.search):
        return True
    labels = shell.conversation.labels
    return any(
        value.startswith(asked.search) or f"{name}={value}".startswith(asked.search) for name, value in labels.items()
    )


def _line(shell: Shell) -> SessionLine:
    status, conversation = shell.status(), shell.conversation
    usage = status.usage.total
    return SessionLine(
        session_id=shell.id,
        state=status.state,
        model=status.model,
        labels=conversation.labels,
        turns=len(conversation.turns),
        messages=status.messages,
        queued=status.queued,
        context_used=status.context_used,
        context_limit=status.context_limit,
        input_tokens=usage.context_tokens - usage.output_tokens,
        output_tokens=usage.output_tokens,
        compactions=status.compactions,
        used_at=shell.used_at,
    )


_PLACE: dict[SessionOrder, Callable[[Shell], tuple[float, str]]] = {
    "recent": lambda shell: (-shell.used_at, shell.id),
    "id": lambda shell: (0, shell.id),
    "context": lambda shell: (-shell.conversation.context_used, shell.id),
    "tokens": lambda shell: (-shell.conversation.usage.total.context_tokens, shell.id),
    "queued": lambda shell: (-len(shell.conversation.queue), shell.id),
}
_LINE_PLACE: dict[SessionOrder, Callable[[SessionLine], tuple[float, str]]] = {
    "recent": lambda line: (-line.used_at, line.session_id),
    "id": lambda line: (0, line.session_id),
    "context": lambda line: (-line.context_used, line.session_id),
    "tokens": lambda line: (-line.input_tokens - line.output_tokens, line.session_id),
    "queued": lambda line: (-line.queued, line.session_id),
}
