"""Where the screen has its figures from: a cluster that may go away and come back.

The rule here: whoever asks is answered or gets an error that says what is wrong; the next question tries again.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Protocol

from agent_core.cluster_snapshot import ClusterSnapshot
from agent_core.cursor import Event
from agent_core.errors import CLUSTER_LOST, PlacementError
from agent_core.glance import GlanceRequest, SessionLine
from agent_core.payloads import InterruptMode
from agent_core.status import CompactResult

if TYPE_CHECKING:
    from actors.looking import ClusterView


class Source(Protocol):
    """What the screen asks. All of it raises RayconteurError when the cluster or the session cannot be reached."""

    async def snapshot(self, asked: GlanceRequest, runtime: str | None) -> ClusterSnapshot: ...

    def watch(self, line: SessionLine) -> AsyncIterator[Event]: ...

    async def interrupt(self, line: SessionLine, mode: InterruptMode) -> bool: ...

    async def compact(self, line: SessionLine) -> CompactResult: ...


class ClusterSource:
    """A cluster, joined when it is first asked for, and again after it was lost. Close it in the end."""

    def __init__(self, address: str | None) -> None:
        self._address = address
        self._stack = AsyncExitStack()
        self._view: ClusterView | None = None
        self._joining = asyncio.Lock()

    async def join(self) -> "ClusterView":
        """The cluster. Raises PlacementError if there is none, ConfigError for a wrong address."""
        from actors.looking import looking_at

        async with self._joining:
            if self._view is None:
                self._view = await self._stack.enter_async_context(looking_at(self._address))
            return self._view

    async def snapshot(self, asked: GlanceRequest, runtime: str | None) -> ClusterSnapshot:
        view = await self.join()
        try:
            return await view.snapshot(asked, runtime)
        except PlacementError as error:
            if error.kind == CLUSTER_LOST:
                await self.close()
            raise

    async def watch(self, line: SessionLine) -> AsyncIterator[Event]:
        view = await self.join()
        async for event in view.watch(line.runtime, line.actor, line.session_id):
            yield event

    async def interrupt(self, line: SessionLine, mode: InterruptMode) -> bool:
        return await (await self.join()).interrupt(line.runtime, line.actor, line.session_id, mode)

    async def compact(self, line: SessionLine) -> CompactResult:
        return await (await self.join()).compact(line.runtime, line.actor, line.session_id)

    async def close(self) -> None:
        """Leave the cluster. The next question joins it again."""
        async with self._joining:
            self._view = None
            await self._stack.aclose()
