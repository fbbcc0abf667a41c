"""The ready pool of child processes.

The rule here: a process that is lent runs one call; it comes back alive or is replaced in the background. The pool
keeps `size` of them and grows to `maximum` only while calls wait long, since a process costs more than a short wait.
"""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass

from agent_core.errors import ToolUnavailable
from agent_core.tools.processes import Child, start_child

_log = logging.getLogger("rayconteur.tools")


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """`size` processes are kept, at most `maximum` are used. Times in seconds.

    A call that has waited for `grow_after` brings one more process; one beyond `size` that was idle for `idle_after`
    ends.
    """

    size: int
    maximum: int
    grow_after: float = 0.25
    idle_after: float = 30.0


class ChildPool:
    """Lends child processes. Every method belongs to one event loop."""

    def __init__(self, options: PoolOptions) -> None:
        self._options = options
        self._idle: list[Child] = []
        self._lent: set[Child] = set()
        self._starting: set[asyncio.Task[None]] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._waiting: deque[tuple[float, asyncio.Future[Child]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def counts(self) -> tuple[int, int, int]:
        """Processes that are idle, lent and starting."""
        return len(self._idle), len(self._lent), len(self._starting)

    @property
    def pids(self) -> list[int]:
        """The process ids of those that are up."""
        return [child.pid for child in (*self._idle, *self._lent)]

    def prepare(self) -> None:
        """Bring the pool to its size, in the background."""
        while not self._closed and self._total < self._options.size:
            self._start_one()

    async def borrow(self) -> Child:
        """A process, waited for if none is free. Raises ToolUnavailable when none can be started."""
        while self._idle:
            child = self._idle.pop()
            if child.alive:
                self._lent.add(child)
                return child
            self._discard(child)
        loop = asyncio.get_running_loop()
        wanted: asyncio.Future[Child] = loop.create_future()
        self._waiting.append((loop.time(), wanted))
        if len(self._starting) < len(self._waiting) and self._total < self._options.size:
            self._start_one()
        self._arm()
        try:
            return await wanted
        except asyncio.CancelledError:
            if wanted.done() and not wanted.cancelled() and wanted.exception() is None:
                self.give_back(wanted.result())
            raise

    def give_back(self, child: Child) -> None:
        """End a loan. A process that died or was killed is replaced."""
        self._lent.discard(child)
        if child.alive and not self._closed:
            self._offer(child)
            return
        self._discard(child)
        if not self._closed:
            self.prepare()

    async def aclose(self) -> None:
        """Kill every process and wait until they are gone."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for task in self._starting:
            task.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)
        for child in (*self._idle, *self._lent):
            self._discard(child)
        self._idle.clear()
        self._lent.clear()
        await asyncio.gather(*self._ending, return_exceptions=True)
        for _, wanted in self._waiting:
            wanted.cancel()

    @property
    def _total(self) -> int:
        return len(self._idle) + len(self._lent) + len(self._starting)

    def _offer(self, child: Child) -> None:
        while self._waiting:
            _, wanted = self._waiting.popleft()
            if not wanted.done():
                self._lent.add(child)
                wanted.set_result(child)
                return
        child.idle_since = asyncio.get_running_loop().time()
        self._idle.append(child)
        if len(self._idle) + len(self._lent) > self._options.size:
            self._arm()

    def _start_one(self) -> None:
        task = asyncio.create_task(self._started())
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _started(self) -> None:
        try:
            child = await start_child()
        except ToolUnavailable as error:
            _log.warning("a tool process did not start: %s", error)
            self._no_longer_starting()
            self._refuse(error)
            return
        self._no_longer_starting()
        self._offer(child)

    def _no_longer_starting(self) -> None:
        """Count the process that this task has started as one that is there."""
        task = asyncio.current_task()
        if task is not None:
            self._starting.discard(task)

    def _refuse(self, error: ToolUnavailable) -> None:
        """Tell a waiting call that there is no process, unless another one will come free for it."""
        while self._waiting and not self._lent:
            _, wanted = self._waiting.popleft()
            if not wanted.done():
                wanted.set_exception(error)
                return

    def _discard(self, child: Child) -> None:
        child.kill()
        task = asyncio.create_task(child.ended())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def _arm(self) -> None:
        if self._timer is None and not self._closed:
            wait = self._options.grow_after if self._waiting else self._options.idle_after
            self._timer = asyncio.get_running_loop().call_later(wait, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._waiting and self._waiting[0][1].done():
            self._waiting.popleft()
        options = self._options
        stuck = bool(self._waiting) and now - self._waiting[0][0] >= options.grow_after
        if stuck and self._total < options.maximum and len(self._starting) < options.size:
            self._start_one()
        # The list is a stack: the longest idle is at its beginning.
        while self._total > options.size and self._idle and now - self._idle[0].idle_since >= options.idle_after:
            self._discard(self._idle.pop(0))
        if self._waiting or (self._idle and self._total > options.size):
            self._arm()
