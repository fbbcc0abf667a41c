"""Admission to providers within one process: so many requests at once and no more.

The rule here: a freed place goes to who waits longest in the most urgent class: interactive before batch before
summary.
"""

import asyncio
from collections import deque
from contextlib import AbstractAsyncContextManager
from types import TracebackType

from agent_core.config import RequestClass
from agent_core.errors import ConfigError

_ORDER: tuple[RequestClass, ...] = ("interactive", "batch", "summary")


class LocalPermit:
    """A `Permit` for the requests of one event loop. `max_concurrent` counts requests, whatever their size."""

    def __init__(self, max_concurrent: int) -> None:
        if max_concurrent < 1:
            raise ConfigError(f"max_concurrent_requests: {max_concurrent} lets nothing through. Set it to 1 or more.")
        self._left = max_concurrent
        self._waiting: dict[RequestClass, deque[asyncio.Future[None]]] = {name: deque() for name in _ORDER}

    @property
    def free(self) -> bool:
        """See `Permit.free`. Nobody waits while a place is free."""
        return self._left > 0

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return sum(not future.done() for queue in self._waiting.values() for future in queue)

    def hold(self, request_class: RequestClass, tokens: int) -> AbstractAsyncContextManager[None]:
        """See `Permit.hold`. `tokens` makes no difference here."""
        del tokens
        return _Place(self, request_class)

    async def take(self, request_class: RequestClass) -> None:
        """Wait for a place and take it."""
        if self._left > 0:
            self._left -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[request_class].append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # The place was given in the same moment: it goes on to the next.
                self.give_back()
            raise

    def give_back(self) -> None:
        """Hand the place to the next who waits, or free it."""
        for queue in self._waiting.values():
            while queue:
                turn = queue.popleft()
                if not turn.done():
                    turn.set_result(None)
                    return
        self._left += 1


class _Place(AbstractAsyncContextManager[None]):
    __slots__ = ("_class", "_permit")

    def __init__(self, permit: LocalPermit, request_class: RequestClass) -> None:
        self._permit = permit
        self._class: RequestClass = request_class

    async def __aenter__(self) -> None:
        await self._permit.take(self._class)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._permit.give_back()
