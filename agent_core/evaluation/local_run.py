"""A run in this process: the coordinator and its one worker, side by side.

The rule here: to whoever watches it is the same as a run on a cluster.
"""

import asyncio

from agent_core.clock import SystemClock
from agent_core.errors import RayconteurError
from agent_core.evaluation.coordinator import Coordinator, Envelope, Reply
from agent_core.evaluation.run import Requeue, Run, RunEnded, RunOrder
from agent_core.evaluation.standing import RunStatus
from agent_core.evaluation.worker import work
from agent_core.hosting import SessionHost

_WORKER = "this process"
_PAUSE = 0.02


class LocalRun:
    """A run on the sessions of `host`. It begins at once."""

    def __init__(self, host: SessionHost, order: RunOrder) -> None:
        self._host, self._order = host, order
        self._coordinator: Coordinator | None = None
        self._run_open: Run | None = None
        self._running = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> RunEnded:
        clock = SystemClock()
        with Run(self._order, clock) as run:
            self._run_open = run
            coordinator = self._coordinator = run.coordinator
            order = self._order.work.on(None, self._order.concurrency)

            async def exchange(envelope: Envelope) -> Reply:
                return coordinator.exchange(_WORKER, None, envelope)

            while not coordinator.is_over:
                coordinator.enter(_WORKER)
                try:
                    await work(self._host, exchange, order, clock)
                except RayconteurError as error:
                    coordinator.fail(error)
                finally:
                    coordinator.lost(_WORKER)
                await asyncio.sleep(_PAUSE if not coordinator.is_over else 0)
            try:
                run.finish()
            except OSError as error:
                coordinator.fail(error)
            return RunEnded(coordinator.status(), coordinator.failure)

    async def status(self) -> RunStatus | None:
        """Where it stands; None while its files are being opened."""
        return self._coordinator.status() if self._coordinator else None

    async def command(self, word: str) -> RunStatus | None:
        """`pause`, `go_on` or `stop` it."""
        if self._coordinator is not None:
            self._coordinator.command(word)
        return await self.status()

    async def requeue(self, chosen: Requeue) -> int:
        """See `Run.requeue`."""
        return self._run_open.requeue(chosen) if self._run_open else 0

    async def ended(self) -> RunEnded:
        """Wait for the end. Raises ConfigError if its files cannot be had."""
        return await asyncio.shield(self._running)

    async def aclose(self) -> None:
        """Leave everything as it is: the run can be resumed."""
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
