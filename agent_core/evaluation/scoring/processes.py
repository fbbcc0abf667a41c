"""Child processes in which synchronous scorers run: those of synchronous tools, in a pool for each event loop.

The rule here: the first scorer that needs one starts the pool, and it ends when none was needed for a while, or with
its loop. A scorer that was given up is killed with all that it started.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator
from weakref import WeakKeyDictionary

from agent_core.tools.pool import ChildPool, PoolOptions
from agent_core.tools.processes import Child

# Seconds.
KEPT = 30.0


class ScorerProcesses:
    """The processes of one event loop."""

    def __init__(self) -> None:
        self._pool: ChildPool | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._loans = 0
        self._free_since = 0.0

    @property
    def pids(self) -> list[int]:
        """The process ids of those that are up."""
        return self._pool.pids if self._pool is not None else []

    @contextlib.asynccontextmanager
    async def borrow(self) -> AsyncGenerator[Child]:
        """A process, waited for if none is free. Raises ToolUnavailable when none can be started."""
        pool = self._pool
        if pool is None:
            pool = self._pool = ChildPool(PoolOptions(size=1, maximum=os.cpu_count() or 1))
            self._keeper = asyncio.create_task(self._keep(pool))
        self._loans += 1
        try:
            child = await pool.borrow()
            try:
                yield child
            finally:
                pool.give_back(child)
        finally:
            self._loans -= 1
            self._free_since = asyncio.get_running_loop().time()

    async def aclose(self) -> None:
        """End all processes. Whoever needs one later has a new pool."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait((self._keeper,))

    async def _keep(self, pool: ChildPool) -> None:
        """Close the pool when its time is over. The end of the loop cancels this, as it does every task."""
        loop = asyncio.get_running_loop()
        try:
            wait = KEPT
            while wait > 0.0:
                await asyncio.sleep(wait)
                wait = KEPT if self._loans else self._free_since + KEPT - loop.time()
        finally:
            self._pool = None
            await pool.aclose()


_processes: WeakKeyDictionary[asyncio.AbstractEventLoop, ScorerProcesses] = WeakKeyDictionary()


def processes_here() -> ScorerProcesses:
    """The processes of the running event loop."""
    return _processes.setdefault(asyncio.get_running_loop(), ScorerProcesses())
