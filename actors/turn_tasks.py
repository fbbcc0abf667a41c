"""A task of Ray for each turn, so that its dashboard lists turns by session, with their state, time and log.

The rule here: it is a picture. No turn waits for its task, and a task fails only to show that its turn did. Where
sessions share an actor and are many, some turns have none: a task costs about what a tenth of a turn does.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agent_core.conversation import Conversation
from agent_core.entries import TurnEnded, TurnRetried, TurnStarted
from agent_core.errors import ErrorInfo, ProviderError, RayconteurError
from agent_core.messages import TurnId
from agent_core.observing import CallObserver
from agent_core.ports import CompactionJob, CompactionPriority, CompactionReport, ModelEvent, ModelRequest, Record

OWN_RATE, SHARED_RATE = 100.0, 10.0
"""Tasks a second, at most, in an actor of one session and in one that sessions share."""
_MOST_OPEN = 100


class TurnFailed(Exception):
    """What the dashboard shows of a turn that failed. The text says how, and nothing of the conversation."""


@dataclass(slots=True)
class _Task:
    number: int
    reference: Any = None
    over: asyncio.Future[str] = field(default_factory=asyncio.Future[str])


class TurnTasks:
    """An observer that has a task last as long as a turn does, `rate` of them a second at most.

    `start` begins one of that name, which is to await `lasts` with that number, and returns Ray's reference to it.
    """

    def __init__(self, start: Callable[[str, int], Any], now: Callable[[], float], rate: float) -> None:
        self._start, self._now, self._rate = start, now, rate
        self._room, self._at = rate, now()
        self._begun = 0
        self._open: dict[tuple[str, TurnId], _Task] = {}
        self._tasks: dict[int, _Task] = {}

    async def lasts(self, number: int) -> None:
        """Return when the turn is over. Raises TurnFailed if it failed."""
        task = self._tasks[number]
        try:
            if failed := await task.over:
                raise TurnFailed(failed)
        finally:
            del self._tasks[number]

    # --- observing --------------------------------------------------------------------------------------------------

    def fact(self, conversation: Conversation, record: Record) -> None:
        entry = record.entry
        if isinstance(entry, TurnStarted | TurnRetried):
            self._begin(conversation.session_id, entry.turn_id)
        elif isinstance(entry, TurnEnded):
            self._end(conversation.session_id, entry.turn_id, _failed(entry.error) if entry.outcome == "failed" else "")

    def activated(self, conversation: Conversation) -> None:
        """A turn that was open when its actor was lost has another task in the next one."""
        if conversation.open is not None:
            self._begin(conversation.session_id, conversation.open.turn_id)

    def let_go(self, conversation: Conversation, why: RayconteurError) -> None:
        if conversation.open is not None:
            self._end(conversation.session_id, conversation.open.turn_id, f"goes on elsewhere: {why.kind}")

    def model_called(self, request: ModelRequest) -> CallObserver:
        del request
        return _NOBODY

    def summary_asked(self, job: CompactionJob, priority: CompactionPriority) -> None:
        """Of no interest here."""

    def summary_told(self, report: CompactionReport) -> None:
        """Of no interest here."""

    # --- tasks ------------------------------------------------------------------------------------------------------

    def _begin(self, session_id: str, turn_id: TurnId) -> None:
        key = (session_id, turn_id)
        if key in self._open or not self._may_begin():
            return
        self._begun += 1
        task = self._open[key] = self._tasks[self._begun] = _Task(self._begun)
        task.reference = self._start(f"{session_id} {turn_id}", task.number)

    def _may_begin(self) -> bool:
        now = self._now()
        self._room, self._at = min(self._rate, self._room + (now - self._at) * self._rate), now
        if self._room < 1 or len(self._open) >= _MOST_OPEN:
            return False
        self._room -= 1
        return True

    def _end(self, session_id: str, turn_id: TurnId, failed: str) -> None:
        task = self._open.pop((session_id, turn_id), None)
        if task is None:
            return
        task.over.set_result(failed)
        if failed:
            # Ray complains of failures that nobody has looked at.
            task.reference.future().add_done_callback(lambda done: done.exception())


class _Nobody:
    """Is told of model calls, and wants to know nothing."""

    def heard(self, event: ModelEvent) -> None: ...

    def failed(self, failure: ProviderError) -> None: ...

    def cancelled(self) -> None: ...


_NOBODY = _Nobody()


def _failed(error: ErrorInfo | None) -> str:
    """How a turn failed, without the error's text: that may quote the conversation."""
    return f"{error.boundary}: {error.kind}" if error else "failed"
