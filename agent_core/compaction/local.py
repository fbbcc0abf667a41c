"""`LocalCompactor`: compaction beside the sessions, in their own process.

The rule here: summaries wait for each other, never a turn for a summary: requests of turns are admitted first (the
request class of a job's configuration says so), and a job takes nothing else that a turn needs.
"""

from dataclasses import replace

from agent_core.compaction.queue import CompactionQueue, Ticket
from agent_core.compaction.scheduling import CompactionSchedule, Deliver, Summarises
from agent_core.ports import Clock, CompactionFailure, CompactionJob, CompactionPriority, Patch


class LocalCompactor:
    """Implements `Compactor` over a summariser: `slots` jobs at once, at most `bound` waiting. One event loop's."""

    def __init__(self, summariser: Summarises, clock: Clock, slots: int = 4, bound: int = 256) -> None:
        self._summariser = summariser
        self._schedule = CompactionSchedule(CompactionQueue[CompactionJob](slots, bound), clock, self._run)

    def submit(self, job: CompactionJob, priority: CompactionPriority, deliver: Deliver) -> None:
        """See `Compactor.submit`."""
        self._schedule.submit(Ticket(job.key, job.session_id, priority, job), job.config.timeout, deliver)

    def promote(self, key: str, priority: CompactionPriority) -> None:
        """See `Compactor.promote`."""
        self._schedule.promote(key, priority)

    def cancel(self, key: str) -> None:
        """See `Compactor.cancel`."""
        self._schedule.cancel(key)

    async def aclose(self) -> None:
        """Stop every job without a report."""
        await self._schedule.aclose()

    async def _run(self, ticket: Ticket[CompactionJob], seconds: float) -> Patch | CompactionFailure:
        return await self._summariser.summarise(within(ticket.work, seconds))


def within(job: CompactionJob, seconds: float) -> CompactionJob:
    """The job with what is left of its time."""
    # A configuration's timeout is above 0.
    return replace(job, config=job.config.model_copy(update={"timeout": max(seconds, 0.001)}))
