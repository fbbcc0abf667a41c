"""A time limit on what an async generator waits for.

The rule here: only the generator's own waits are ended by it. `asyncio.timeout` around a `yield` would cancel whoever
reads the generator; this one cancels inside `wait` and nowhere else, and time comes from the `Clock`.
"""

import asyncio
from collections.abc import Awaitable, Coroutine
from types import TracebackType
from typing import Self, TypeVar

from agent_core.ports import Clock

_T = TypeVar("_T")


class Deadline:
    """`async with` it, then put every wait through `wait`. Raises TimeoutError from there once `seconds` are over."""

    __slots__ = ("_at", "_cancelling", "_clock", "_over", "_waiter", "_watch")

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._at = clock.now() + seconds
        self._over = False
        self._waiter: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._watch: asyncio.Task[None] | None = None

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self._at - self._clock.now()

    def extend(self, seconds: float) -> None:
        """Do not count this time."""
        self._at += seconds

    async def wait(self, awaitable: Awaitable[_T]) -> _T:
        """The awaitable's result, unless the time is over first."""
        task = asyncio.current_task()
        self._waiter = task
        try:
            if self._over:
                if isinstance(awaitable, Coroutine):
                    awaitable.close()
                raise TimeoutError
            return await awaitable
        except asyncio.CancelledError:
            # As asyncio.timeout does it: a cancellation that came from elsewhere at the same time goes on.
            if self._over and task is not None and task.uncancel() <= self._cancelling:
                raise TimeoutError from None
            raise
        finally:
            self._waiter = None

    async def __aenter__(self) -> Self:
        self._watch = asyncio.create_task(self._end())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watch is not None:
            self._watch.cancel()

    async def _end(self) -> None:
        while (left := self.left) > 0:
            await self._clock.sleep(left)
        self._over = True
        if self._waiter is not None:
            self._cancelling = self._waiter.cancelling()
            self._waiter.cancel()
