"""A time limit on what an async generator waits for.

The rule here: only the generator's own waits are ended by it. `asyncio.timeout` around a `yield` would cancel whoever
reads the generator; this one cancels inside `wait` and nowhere else, and time comes from the `Clock`.
"""

import asyncio
from collections.abc import Awaitable, Coroutine, Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Self, TypeVar

from agent_core.ports import Clock

_T = TypeVar("_T")


class Deadline:
    """`async with` it, then put every wait through `wait`. Raises TimeoutError from there once `seconds` are over."""

    __slots__ = ("_at", "_clock", "_over", "_paused", "_waiter", "_watch")

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._at = clock.now() + seconds
        self._over = False
        self._paused: float | None = None
        self._waiter: asyncio.Task[object] | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self._at - (self._clock.now() if self._paused is None else self._paused)

    @contextmanager
    def paused(self) -> Generator[None, None, None]:
        """Within this, no time counts."""
        self._paused = since = self._clock.now()
        try:
            yield
        finally:
            self._at += self._clock.now() - since
            self._paused = None

    async def wait(self, awaitable: Awaitable[_T]) -> _T:
        """The awaitable's result, unless the time is over first."""
        task = asyncio.current_task()
        cancelling = task.cancelling() if task is not None else 0
        self._waiter = task
        try:
            if self._over:
                if isinstance(awaitable, Coroutine):
                    awaitable.close()
                raise TimeoutError
            return await awaitable
        except asyncio.CancelledError:
            # As asyncio.timeout does it: a cancellation that came from elsewhere at the same time goes on.
            if self._over and task is not None and task.uncancel() <= cancelling:
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
            self._waiter.cancel()
