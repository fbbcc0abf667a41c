"""The `Compactor` port of a session actor: jobs go to the router as references, their reports come back to the session.

The rule here: one report of a job's end, whatever dies. A job belongs to this process: it is put into the object store
once, asked for again when the router that had it is gone, and moot when this process is.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray

from actors.calls import Gone
from actors.compactor_pool import SummaryRequest
from actors.router_handle import RouterHandle
from actors.settings import RuntimeSettings
from actors.threads import in_thread
from agent_core.compaction.scheduling import GRACE, unexpected
from agent_core.errors import ErrorInfo, RayconteurError
from agent_core.messages import SessionId
from agent_core.ports import (
    Clock,
    CompactionFailure,
    CompactionJob,
    CompactionPriority,
    CompactionReport,
    CompactionStarted,
)
from agent_core.providers.deadline import Deadline

Deliver = Callable[[CompactionReport], None]
log = logging.getLogger("rayconteur.compaction")

_PAUSE = 0.1


@dataclass(slots=True)
class _Pending:
    """A job without its last report. `sent` says that a router may know of it."""

    session_id: SessionId
    priority: CompactionPriority
    deliver: Deliver
    until: float
    sent: bool = False
    started: bool = False
    task: asyncio.Task[None] | None = None


class CompactionDispatcher:
    """Implements `Compactor` over the runtime's compactors. Belongs to one event loop, in an actor."""

    def __init__(self, settings: RuntimeSettings, clock: Clock) -> None:
        self._clock = clock
        self._router = RouterHandle(settings)
        self._pending: dict[str, _Pending] = {}
        self._actor: Any = None

    def submit(self, job: CompactionJob, priority: CompactionPriority, deliver: Deliver) -> None:
        """See `Compactor.submit`."""
        until = self._clock.now() + job.config.timeout
        pending = self._pending[job.key] = _Pending(job.session_id, priority, deliver, until)
        pending.task = asyncio.get_running_loop().create_task(self._see_through(job, pending))

    def promote(self, key: str, priority: CompactionPriority) -> None:
        """See `Compactor.promote`."""
        pending = self._pending.get(key)
        if pending is not None:
            pending.priority = priority
            if pending.sent:
                self._router.promote_summary(pending.session_id, key, priority)

    def cancel(self, key: str) -> None:
        """See `Compactor.cancel`."""
        pending = self._pending.pop(key, None)
        if pending is not None:
            self._stop(key, pending)
            if pending.task is not None:
                pending.task.cancel()

    def started(self, key: str) -> None:
        """The router says that the job has left its queue."""
        pending = self._pending.get(key)
        if pending is not None and not pending.started:
            pending.started = True
            pending.deliver(CompactionStarted(key))

    async def _see_through(self, job: CompactionJob, pending: _Pending) -> None:
        key, seconds = job.key, pending.until - self._clock.now() + 2 * GRACE
        report: CompactionReport
        try:
            async with Deadline(self._clock, seconds) as deadline:
                report = await deadline.wait(self._report(job, pending))
        except TimeoutError:
            self._stop(key, pending)
            text = "The router did not answer within the compaction's deadline. Look at the cluster (`ray status`)."
            report = CompactionFailure(key, ErrorInfo(boundary="placement", kind="timeout", message=text))
        except RayconteurError as error:
            report = CompactionFailure(key, error.info())
        except Exception as error:
            # Whatever went wrong here, the session must not wait for ever.
            log.exception("session %s: a compaction could not be sent", job.session_id)
            report = CompactionFailure(key, unexpected(error))
        if self._pending.pop(key, None) is not None:
            pending.deliver(report)

    async def _report(self, job: CompactionJob, pending: _Pending) -> CompactionReport:
        # Encoding a long conversation takes a while, in which others' turns go on.
        reference = await in_thread(ray.put, job)
        if self._actor is None:
            self._actor = ray.get_runtime_context().current_actor
        while True:
            left = max(0.0, pending.until - self._clock.now())
            request = SummaryRequest(job.key, job.session_id, pending.priority, left, [reference], self._actor)
            pending.sent = True
            try:
                return await self._router.summarise(request)
            except Gone:
                # Whether it was queued or under way: the next router finds that out.
                log.info("session %s: its compaction is sent to the router again", job.session_id)
                await self._clock.sleep(_PAUSE)

    def _stop(self, key: str, pending: _Pending) -> None:
        if pending.sent:
            self._router.cancel_summary(pending.session_id, key)
