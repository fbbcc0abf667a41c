"""Group commit: everything that arrives while one group is under way goes into the next one.

The rule here: a caller's items stay together and in order, groups run one at a time in the order of arrival, and each
caller is answered once its own group is done.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


# What a caller brought, who waits for it, and when it came by the loop's time.
_Waiting = tuple[Sequence[Item], "asyncio.Future[Sequence[Result]]", float]


@dataclass(frozen=True, slots=True)
class Limits:
    """A group takes at most `items` and about `weight` bytes; a caller who brings more at once still gets one group.

    Where a group has a cost of its own, `distance`, in seconds, keeps the beginnings of two groups apart while callers
    come at the same time, so that more of them share one. A caller who is alone never waits.
    """

    items: int = 2000
    weight: int = 16_000_000
    distance: float = 0.0


# How much the newest caller counts in the average of how many find another one there.
_NEWEST = 0.1


class Batcher(Generic[Item, Result]):
    """Gathers items of many callers and gives them to `perform`, which answers each item in order."""

    def __init__(
        self,
        perform: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        weigh: Callable[[Item], int],
        limits: Limits | None = None,
    ) -> None:
        self._perform = perform
        self._weigh = weigh
        self._limits = limits or Limits()
        self.watch: Callable[[Sequence[Result], float], None] | None = None
        """Is told of each group that was answered: its results, and seconds since the oldest of it came."""
        self._waiting: deque[_Waiting[Item, Result]] = deque()
        self._runner: asyncio.Task[None] | None = None
        self._begun = 0.0
        self._company = 0.0

    async def submit(self, items: Sequence[Item]) -> Sequence[Result]:
        """Have the items performed in some group and return their results. Cancelling the caller does not undo them."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Sequence[Result]] = loop.create_future()
        self._waiting.append((items, future, loop.time()))
        self._company += _NEWEST * ((self._runner is not None) - self._company)
        if self._runner is None:
            self._runner = loop.create_task(self._run())
        return await future

    async def drain(self) -> None:
        """Wait until nothing is under way."""
        while self._runner is not None:
            await asyncio.wait([self._runner])

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._keep_distance()
                await self._run_group(self._take())
        finally:
            self._runner = None

    async def _keep_distance(self) -> None:
        """Wait for company as far as there was some lately, and for those who are ready in this pass of the loop."""
        loop = asyncio.get_running_loop()
        wait = self._begun + self._limits.distance * self._company - loop.time()
        await asyncio.sleep(max(0.0, wait))
        self._begun = loop.time()

    def _take(self) -> "list[_Waiting[Item, Result]]":
        group = [self._waiting.popleft()]
        items = len(group[0][0])
        weight = sum(map(self._weigh, group[0][0]))
        while self._waiting and items < self._limits.items and weight < self._limits.weight:
            group.append(self._waiting.popleft())
            items += len(group[-1][0])
            weight += sum(map(self._weigh, group[-1][0]))
        return group

    async def _run_group(self, group: "list[_Waiting[Item, Result]]") -> None:
        try:
            results = await self._perform([item for items, _, _ in group for item in items])
        except BaseException as error:
            for _, future, _ in group:
                if not future.done():
                    future.set_exception(error) if isinstance(error, Exception) else future.cancel()
            if not isinstance(error, Exception):
                raise
            return
        if self.watch is not None:
            self.watch(results, asyncio.get_running_loop().time() - group[0][2])
        start = 0
        for items, future, _ in group:
            if not future.done():
                future.set_result(results[start : start + len(items)])
            start += len(items)
