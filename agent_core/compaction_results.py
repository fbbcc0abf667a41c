"""What compaction jobs came to, for those who asked for one and wait.

The rule here: all who ask for the same job are told the same, and one who asks just after it ended is told too.
"""

import asyncio

from agent_core.errors import RayconteurError
from agent_core.status import CompactResult


class CompactionResults:
    """The results of one session's jobs, by id."""

    __slots__ = ("_futures",)

    def __init__(self) -> None:
        self._futures: dict[str, asyncio.Future[CompactResult]] = {}

    async def result(self, job_id: str) -> CompactResult:
        """Wait for what the job comes to. Raises what ended the session before. Leaving ends nothing."""
        return await asyncio.shield(self._future(job_id))

    def settle(self, job_id: str, result: CompactResult) -> None:
        """The job has ended."""
        # The last one that ended is kept: a job may end while it is asked for.
        self._futures = {key: future for key, future in self._futures.items() if not future.done()}
        future = self._future(job_id)
        if not future.done():
            future.set_result(result)

    def fail(self, error: RayconteurError) -> None:
        """No job ends here any more."""
        for future in self._futures.values():
            if not future.done():
                future.set_exception(error)
                # Whoever waited may have left.
                future.exception()

    def _future(self, job_id: str) -> asyncio.Future[CompactResult]:
        future = self._futures.get(job_id)
        if future is None:
            future = self._futures[job_id] = asyncio.get_running_loop().create_future()
        return future
