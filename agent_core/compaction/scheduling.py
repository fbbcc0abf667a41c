"""The life of compaction jobs around their queue: a task each, their deadlines, and what is reported of them.

The rule here: who runs a job is given, and may be lost. One deadline holds from the submission to the report, however
often a job is started. Nothing is reported from within a call: whoever submits is not called back meanwhile.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol

from agent_core.compaction.queue import CompactionQueue, Dropped, Reason, Ticket, Work
from agent_core.errors import ErrorInfo
from agent_core.ports import (
    Clock,
    CompactionFailure,
    CompactionJob,
    CompactionPriority,
    CompactionReport,
    CompactionStarted,
    Patch,
)
from agent_core.providers.deadline import Deadline

GRACE = 5.0
"""Seconds past the deadline that a runner has to say itself that the time was over, and what was spent till then."""

Deliver = Callable[[CompactionReport], None]
log = logging.getLogger("rayconteur.compaction")

_SAID: dict[Reason, str] = {
    "superseded": "A newer compaction of the same session took its place.",
    "shed": "Too many compactions wait. It is tried again as the conversation grows; more compactors, or"
    " compactor_slots, would have taken it.",
    "given_up": "Every process that made this summary was lost. The logs of the compactors say more.",
}


class Summarises(Protocol):
    """Turns a job into a patch, or says why not, within `job.config.timeout` seconds. Cancelled, it stops."""

    async def summarise(self, job: CompactionJob) -> Patch | CompactionFailure: ...


class WorkerLost(Exception):
    """What ran the job is gone; it may be run again."""


Run = Callable[[Ticket[Work], float], Awaitable[Patch | CompactionFailure]]
"""Runs a ticket's job within so many seconds. Raises WorkerLost. Cancelled, it sees to it that the job stops."""


@dataclass(slots=True)
class _Job(Generic[Work]):
    ticket: Ticket[Work]
    until: float
    tell: list[Deliver]
    turn: asyncio.Event = field(default_factory=asyncio.Event)
    started: bool = False
    task: asyncio.Task[None] | None = None


class CompactionSchedule(Generic[Work]):
    """Runs the jobs of one queue on one event loop."""

    def __init__(self, queue: CompactionQueue[Work], clock: Clock, run: Run[Work]) -> None:
        self._queue, self._clock, self._run = queue, clock, run
        self._jobs: dict[str, _Job[Work]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def queue(self) -> CompactionQueue[Work]:
        """The queue, for reading only."""
        return self._queue

    def submit(self, ticket: Ticket[Work], seconds: float, deliver: Deliver) -> None:
        """Queue a job that has so many seconds. One whose key is known is joined."""
        known = self._jobs.get(ticket.key)
        if known is not None:
            known.tell.append(deliver)
            self._queue.promote(ticket.key, ticket.priority)
            if known.started:
                _tell([deliver], CompactionStarted(ticket.key))
            return
        job = self._jobs[ticket.key] = _Job(ticket, self._clock.now() + seconds, [deliver])
        job.task = asyncio.get_running_loop().create_task(self._see_through(job))
        self._tasks.add(job.task)
        job.task.add_done_callback(self._tasks.discard)
        self._drop(self._queue.put(ticket))
        self._next()

    def promote(self, key: str, priority: CompactionPriority) -> None:
        """The job is at least so urgent."""
        self._queue.promote(key, priority)

    def cancel(self, key: str, error: ErrorInfo | None = None) -> bool:
        """Stop the job; nothing is reported of it but the error, if there is one. False if the job is not known."""
        known = key in self._jobs
        self._end(key, CompactionFailure(key, error) if error is not None else None)
        return known

    def set_running(self, limit: int) -> None:
        """So many jobs may run at once from now on."""
        self._queue.running = limit
        self._next()

    def fail_waiting(self, error: ErrorInfo) -> None:
        """Nothing can run these: every queued job is reported as never started, for this reason."""
        for ticket in self._queue.waiting:
            self._end(ticket.key, CompactionFailure(ticket.key, error, shed=not self._jobs[ticket.key].started))

    async def aclose(self) -> None:
        """Stop every job without a report."""
        for key in tuple(self._jobs):
            self.cancel(key)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- a job's life -----------------------------------------------------------------------------------------------

    async def _see_through(self, job: _Job[Work]) -> None:
        key = job.ticket.key
        try:
            report = await self._attempts(job)
        except TimeoutError:
            report = CompactionFailure(key, _overdue(job), shed=not job.started)
        except Exception as error:
            # The boundary to whoever runs jobs; a session must not wait for a report that never comes.
            log.exception("session %s: a compaction failed unexpectedly", job.ticket.session_id)
            report = CompactionFailure(key, unexpected(error))
        self._end(key, report)

    async def _attempts(self, job: _Job[Work]) -> Patch | CompactionFailure:
        """Raises TimeoutError when the job's time is over."""
        while True:
            await self._within(job, 0.0, job.turn.wait())
            job.started = True
            _tell(job.tell, CompactionStarted(job.ticket.key))
            try:
                left = max(0.0, job.until - self._clock.now())
                return await self._within(job, GRACE, self._run(job.ticket, left))
            except WorkerLost:
                log.warning("session %s: a compactor was lost during its compaction", job.ticket.session_id)
                job.turn.clear()
                self._drop(self._queue.requeue(job.ticket.key))
                self._next()

    async def _within(self, job: _Job[Work], grace: float, wait: Awaitable[Any]) -> Any:
        async with Deadline(self._clock, job.until + grace - self._clock.now()) as deadline:
            return await deadline.wait(wait)

    def _next(self) -> None:
        while (ticket := self._queue.take()) is not None:
            self._jobs[ticket.key].turn.set()

    def _drop(self, dropped: Sequence[Dropped[Work]]) -> None:
        for item in dropped:
            key = item.ticket.key
            error = ErrorInfo(boundary="placement", kind=item.reason, message=_SAID[item.reason])
            self._end(key, CompactionFailure(key, error, shed=item.reason == "shed" and not self._jobs[key].started))

    def _end(self, key: str, report: CompactionReport | None) -> None:
        job = self._jobs.pop(key, None)
        if job is None:
            return
        self._queue.remove(key)
        if report is not None:
            _tell(job.tell, report)
        if job.task is not None:
            # From within the task itself too: it ends at its next wait, or is at its end anyway.
            job.task.cancel()
        self._next()


def _tell(deliver: list[Deliver], report: CompactionReport) -> None:
    for each in deliver:
        asyncio.get_running_loop().call_soon(each, report)


def _overdue(job: _Job[Any]) -> ErrorInfo:
    text = (
        "The summary was not made within the compaction's deadline. Set the deadline higher, or a quicker model."
        if job.started
        else "The compaction's deadline passed before there was room for it. More compactors, or compactor_slots, help."
    )
    return ErrorInfo(boundary="placement", kind="timeout", message=text)


def unexpected(error: BaseException) -> ErrorInfo:
    """What is told of an error that nobody foresaw; the log has the rest."""
    text = f"The compaction failed ({type(error).__name__}). The log of the process that ran it says more."
    return ErrorInfo(boundary="session", kind="unexpected", message=text)
