"""The compactors of one router shard: made when they are needed, given jobs while they have room, replaced when lost.

The rule here: a conversation passes through unread. A job's range is a reference inside a list, which Ray hands on as
it is; only the compactor looks at what it stands for.
"""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from actors.calls import Gone, ask, tell
from actors.settings import RuntimeSettings
from actors.spawning import spawn_compactor
from agent_core.clock import SystemClock
from agent_core.compaction.queue import CompactionQueue, Ticket
from agent_core.compaction.scheduling import CompactionSchedule, WorkerLost, unexpected
from agent_core.errors import ErrorInfo, PlacementError
from agent_core.messages import SessionId
from agent_core.ports import CompactionFailure, CompactionPriority, CompactionReport, CompactionStarted, Patch

QUEUED_PER_SLOT = 64
"""How many jobs may wait for each that may run."""

_START_DEADLINE = 60.0
_PAUSE = 0.1
_REMEMBERED = 1_000
_CANCELLED = ErrorInfo(boundary="session", kind="cancelled", message="The compaction was cancelled.")
log = logging.getLogger("rayconteur.compaction")


@dataclass(frozen=True, slots=True)
class SummaryRequest:
    """A job on its way, with so many `seconds` left. `job` holds one reference to it.

    `reply` is the handle of an actor whose `compaction_started(key)` hears that the job has left the queue.
    """

    key: str
    session_id: SessionId
    priority: CompactionPriority
    seconds: float
    job: list[Any]
    reply: Any


@dataclass(slots=True)
class _Worker:
    """A compactor's place. Without `actor` it is not there now; `found` are jobs that it was at when it was found."""

    name: str
    actor: Any = None
    running: set[str] = field(default_factory=set[str])
    found: set[str] = field(default_factory=set[str])
    starting: asyncio.Task[None] | None = None


class CompactorPool:
    """Has jobs done by the compactors that a router shard owns. Belongs to one event loop."""

    def __init__(self, settings: RuntimeSettings, shard: int) -> None:
        self._settings, self._slots = settings, settings.compactor_slots
        self._workers = [_Worker(name) for name in settings.compactors_of(shard)]
        queue = CompactionQueue[SummaryRequest](0, QUEUED_PER_SLOT * self._slots * len(self._workers))
        self._schedule = CompactionSchedule(queue, SystemClock(), self._run)
        self._cancelled: dict[str, None] = {}

    async def summarise(self, request: SummaryRequest) -> CompactionReport:
        """Have the job done: its patch or its failure. Who asks again for a job that is known joins it."""
        if request.key in self._cancelled:
            return CompactionFailure(request.key, _CANCELLED)
        answer: asyncio.Future[CompactionReport] = asyncio.get_running_loop().create_future()

        def deliver(report: CompactionReport) -> None:
            if isinstance(report, CompactionStarted):
                with suppress(Gone):
                    tell(request.reply, "compaction_started", report.key)
            elif not answer.done():
                answer.set_result(report)

        ticket = Ticket(request.key, request.session_id, request.priority, request)
        self._schedule.submit(ticket, request.seconds, deliver)
        self._grow()
        return await answer

    def promote(self, key: str, priority: CompactionPriority) -> None:
        """The job is at least so urgent."""
        self._schedule.promote(key, priority)

    def cancel(self, key: str) -> None:
        """Stop the job, wherever it is; whoever waits for it hears that it was cancelled."""
        if not self._schedule.cancel(key, _CANCELLED):
            # Ray may run calls in another order than they were made.
            self._cancelled[key] = None
            while len(self._cancelled) > _REMEMBERED:
                del self._cancelled[next(iter(self._cancelled))]

    # --- compactors -------------------------------------------------------------------------------------------------

    async def _run(self, ticket: Ticket[SummaryRequest], seconds: float) -> Patch | CompactionFailure:
        """See `scheduling.Run`."""
        key, worker = ticket.key, self._choose(ticket.key)
        actor = worker.actor
        worker.running.add(key)
        try:
            named = f"compact {ticket.session_id}"
            return await ask(actor, "summarise", key, ticket.work.job, seconds, task=named)
        except Gone:
            self._lose(worker, actor)
            raise WorkerLost from None
        except asyncio.CancelledError:
            with suppress(Gone):
                tell(actor, "cancel", key)
            raise
        finally:
            worker.running.discard(key)
            worker.found.discard(key)

    def _choose(self, key: str) -> _Worker:
        """The compactor that is at this job already, else the one with the fewest. Raises WorkerLost without any."""
        there = [worker for worker in self._workers if worker.actor is not None]
        if not there:
            raise WorkerLost
        return min(there, key=lambda worker: (key not in worker.found, len(worker.running)))

    def _grow(self) -> None:
        """Have one more compactor made if jobs wait for room."""
        if not self._schedule.queue.waiting or any(worker.starting for worker in self._workers):
            return
        for worker in self._workers:
            if worker.actor is None:
                self._start(worker)
                return

    def _start(self, worker: _Worker) -> None:
        worker.starting = asyncio.get_running_loop().create_task(self._bring_up(worker))

    async def _bring_up(self, worker: _Worker) -> None:
        try:
            worker.actor, worker.found = await self._spawned(worker.name)
        except PlacementError as error:
            log.warning("a compactor did not start: %s", error)
            self._give_up(error.info())
        except Exception as error:
            # Whatever went wrong here, those who wait must hear of it.
            log.exception("a compactor could not be made")
            self._give_up(unexpected(error))
        finally:
            worker.starting = None
        self._count()
        self._grow()

    def _give_up(self, error: ErrorInfo) -> None:
        if not any(worker.actor for worker in self._workers):
            self._schedule.fail_waiting(error)

    async def _spawned(self, name: str) -> tuple[Any, set[str]]:
        """A compactor that answers. Raises PlacementError if it does not start in time."""
        until = asyncio.get_running_loop().time() + _START_DEADLINE
        while True:
            try:
                return await spawn_compactor(name, self._settings)
            except PlacementError:
                # It ended a moment ago and starts again.
                if asyncio.get_running_loop().time() > until:
                    raise
                await asyncio.sleep(_PAUSE)

    def _lose(self, worker: _Worker, actor: Any) -> None:
        if worker.actor is actor:
            worker.actor, worker.found = None, set()
            self._count()
            self._start(worker)

    def _count(self) -> None:
        self._schedule.set_running(self._slots * sum(worker.actor is not None for worker in self._workers))
