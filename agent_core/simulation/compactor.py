"""The compactor of the simulated world: slow, forgetful, wordy, and not to be relied on.

The rule here: it belongs to the world, as a pool of compactors does. It goes on when the session's process is killed,
and what it reports to a dead process, or late, or twice, must change nothing.
"""

import asyncio
from collections.abc import Callable
from random import Random

from agent_core.errors import ErrorInfo
from agent_core.messages import Usage
from agent_core.ports import (
    CompactionFailure,
    CompactionJob,
    CompactionPriority,
    CompactionReport,
    CompactionStarted,
    Patch,
)
from agent_core.simulation.loop import OWNER
from agent_core.simulation.parts import Weather
from agent_core.simulation.processes import Process
from agent_core.simulation.rules import Evidence, check_job, forget_job

_HUGE = "huge " * 2_000
_ERROR = ErrorInfo(boundary="provider", kind="overloaded", message="The simulated summariser fails.")


class SimulatedCompactors:
    """The pool of the world."""

    def __init__(self, random: Random, weather: Weather, evidence: Evidence) -> None:
        self._random, self._weather, self._evidence = random, weather, evidence
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def port(self, process: Process) -> "CompactorPort":
        """The pool as one process sees it."""
        return CompactorPort(self, process)

    def start(self, job: CompactionJob, deliver: Callable[[CompactionReport], None]) -> None:
        """Take a job."""
        check_job(self._evidence, job)
        token = OWNER.set(None)
        try:
            self._tasks[job.key] = asyncio.get_running_loop().create_task(self._run(job, deliver))
        finally:
            OWNER.reset(token)

    def forget(self, key: str) -> None:
        """Nobody waits for the job."""
        forget_job(self._evidence, key)

    def kill(self) -> None:
        """The pool dies and forgets what it was doing."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()

    async def _run(self, job: CompactionJob, deliver: Callable[[CompactionReport], None]) -> None:
        random = self._random
        await asyncio.sleep(random.choice((0.0, 0.5, 5.0)))
        deliver(CompactionStarted(job.key))
        await asyncio.sleep(random.choice((0.01, 1.0, 20.0, 100.0)))
        forget_job(self._evidence, job.key)
        for _ in range(random.choice((1, 1, 1, 2))):
            deliver(self._outcome(job))
            await asyncio.sleep(random.choice((0.0, 30.0)))

    def _outcome(self, job: CompactionJob) -> CompactionReport:
        random = self._random
        usage = Usage(input_tokens=random.randrange(1_000), output_tokens=random.randrange(1, 100))
        if random.random() < self._weather.model_fails:
            return CompactionFailure(job.key, _ERROR, usage, shed=random.random() < 0.3)
        bad = random.random() < 2 * self._weather.model_fails
        text = random.choice(("", "  ", _HUGE)) if bad else f"Summary of {len(job.messages)} by {job.job_id}."
        digest = "another" if random.random() < 0.3 * self._weather.model_fails else job.digest
        return Patch(job.key, digest, text, usage)


class CompactorPort:
    """Implements `Compactor` for one process: a dead one hears nothing."""

    def __init__(self, pool: SimulatedCompactors, process: Process) -> None:
        self._pool, self._process = pool, process

    def submit(
        self, job: CompactionJob, priority: CompactionPriority, deliver: Callable[[CompactionReport], None]
    ) -> None:
        del priority
        if not self._process.alive:
            return

        def hear(report: CompactionReport) -> None:
            if self._process.alive:
                token = OWNER.set(self._process)
                try:
                    deliver(report)
                finally:
                    OWNER.reset(token)

        self._pool.start(job, hear)

    def promote(self, key: str, priority: CompactionPriority) -> None:
        """It is as slow as it is."""

    def cancel(self, key: str) -> None:
        """It goes on all the same."""
        self._pool.forget(key)
