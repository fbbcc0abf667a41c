"""The head of a runtime's cluster, watched from this process.

The rule here: whoever waits for something on the cluster hears within seconds that the head is gone. Ray itself goes on
without it for a minute, and then ends the whole process without a word to the program.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from actors.reaching import channel_to, is_alive
from agent_core.clock import SystemClock
from agent_core.errors import CLUSTER_LOST, PlacementError
from agent_core.ports import Clock

MISSES = 3
"""So many checks one after the other have to fail: a head that is away for a moment harms nobody."""

_PERIOD = 1.5
_PATIENCE = 3.0


class Head:
    """What is known of the head at `address` (host:port). `journal` is where the sessions are kept, for the error."""

    def __init__(self, address: str, journal: str) -> None:
        self._address, self.journal = address, journal
        self._awaiting: set[asyncio.Timeout] = set()
        self.on_lost: list[Callable[[], None]] = []
        """Called once when the head is lost, before anybody else hears of it."""
        self.lost = False

    def error(self) -> PlacementError:
        """What is said when the head is lost; each time another, for many may raise it."""
        return PlacementError(
            f"The head of the Ray cluster at {self._address} does not answer any more. What the sessions accepted is in"
            f" the journal {self.journal}: start the cluster again, and open the sessions by their ids to go on.",
            CLUSTER_LOST,
        )

    def check(self) -> None:
        """Raise PlacementError once the head is lost."""
        if self.lost:
            raise self.error()

    async def watch(self) -> None:
        """Ask the head again and again whether it is there; return when it is lost."""
        async with channel_to(self._address) as channel:
            await self.watch_by(lambda: is_alive(channel, _PATIENCE), SystemClock())

    async def watch_by(self, answers: Callable[[], Awaitable[bool]], clock: Clock) -> None:
        """The same, by whatever tells whether it answers."""
        misses = 0
        while True:
            began = clock.now()
            misses = 0 if await answers() else misses + 1
            if misses == MISSES:
                return self._lose()
            await clock.sleep(max(0.0, began + _PERIOD - clock.now()))

    def _lose(self) -> None:
        self.lost = True
        for tell in self.on_lost:
            tell()
        now = asyncio.get_running_loop().time()
        for limit in tuple(self._awaiting):
            limit.reschedule(now)

    @asynccontextmanager
    async def awaited(self) -> AsyncIterator[None]:
        """Give up what is awaited inside when the head is lost. Raises PlacementError then."""
        self.check()
        limit = asyncio.timeout(None)
        try:
            async with limit:
                self._awaiting.add(limit)
                try:
                    yield
                finally:
                    self._awaiting.discard(limit)
        except TimeoutError:
            if limit.expired():
                raise self.error() from None
            raise
