"""What the sessions of one process are made with."""

from collections.abc import Callable
from dataclasses import dataclass, field

from agent_core.config import SessionConfig
from agent_core.observing import Observer, Observers
from agent_core.ports import Clock, Compactor, Journal, Model, ToolExecutor


def _no_trace() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Ports:
    """What the sessions of one process perform their commands with.

    `limit_of` gives a model's context window in tokens, or raises ConfigError. `owner` names the process in the
    journal. Between two snapshots of a session there are `snapshot_after` records at least. `observer` is told what the
    sessions do. `new_trace` makes the `traceparent` of a turn whose sender has no span open, or None: see `tracing`.
    """

    model: Model
    tools: ToolExecutor
    journal: Journal
    clock: Clock
    compactor: Compactor
    limit_of: Callable[[SessionConfig], int]
    owner: str = "local"
    node: str = ""
    snapshot_after: int = 200
    observer: Observer = field(default_factory=Observers)
    new_trace: Callable[[], str | None] = _no_trace
