"""`RouterHandle`: the router as everybody else sees it, all shards of it.

The rule here: a shard is computed, never asked for. Calls are repeated while a shard starts again: what they ask of it
can be asked twice.
"""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from actors.calls import Gone, ask, tell
from actors.finding import NOT_FOUND, find_actor
from actors.settings import RETURN_DEADLINE, RuntimeSettings, dedicated_number, router_name, shared_name
from agent_core.errors import PlacementError
from agent_core.placement import home_of, rendezvous, shard_of
from agent_core.ports import CompactionPriority, CompactionReport
from agent_core.tools.definition import ToolResources

if TYPE_CHECKING:
    from actors.compactor_pool import SummaryRequest

NO_ROUTER = "no_router"
"""The kind of a PlacementError for what the router has not done in time: it may yet do it."""
EXECUTOR_DEADLINE = 300.0
"""Seconds that a tool waits, beyond `scale_up_wait`, for resources that others hold."""

_DEADLINE = RETURN_DEADLINE
_FIND_DEADLINE = 60.0
# What a move takes beyond the patience with the session: an actor is started for it.
_LONG = 120.0
_PAUSE = 0.05


class RouterHandle:
    """The router of a runtime."""

    def __init__(self, settings: RuntimeSettings) -> None:
        self._settings = settings
        self._shards: dict[int, Any] = {}
        self._shared = [shared_name(index) for index in range(settings.session_actors)]

    def shared_name_of(self, session_id: str) -> str:
        """The name of the shared actor that the session belongs to: the one that its id names, or one by its hash."""
        home = home_of(session_id)
        if home is not None and home < len(self._shared):
            return self._shared[home]
        return rendezvous(session_id, self._shared)

    async def place(self, session_id: str) -> str:
        """See `RouterActor.place`."""
        return await self._ask(shard_of(session_id, self._settings.routers), "place", session_id)

    async def share(self, session_id: str) -> str:
        """Have the shared actor of the session spawned; its name, once it answers."""
        return await self.share_numbered(self._shared.index(self.shared_name_of(session_id)))

    async def share_numbered(self, index: int) -> str:
        """Have shared actor `index` spawned; its name, once it answers."""
        return await self._ask(index % self._settings.routers, "share", index)

    async def move(self, session_id: str, to: str, patience: float) -> str:
        """See `Moves.move`."""
        shard = shard_of(session_id, self._settings.routers)
        return await self._ask(shard, "move", session_id, to, patience, deadline=patience + _LONG)

    async def renew(self, index: int, shelters: list[str], patience: float) -> str:
        """See `RouterActor.renew`."""
        shard = index % self._settings.routers
        return await self._ask(shard, "renew", index, shelters, patience, deadline=patience + _LONG)

    async def leave(self, names: list[str], patience: float) -> None:
        """End these dedicated actors; the session of each goes on in another one. See `DedicatedActors.leave`."""
        by_shard: dict[int, list[str]] = {}
        for name in names:
            by_shard.setdefault(dedicated_number(name) % self._settings.routers, []).append(name)
        asked = (
            self._ask(shard, "leave", some, patience, deadline=patience + _LONG) for shard, some in by_shard.items()
        )
        await asyncio.gather(*asked)

    async def drain(self, wanted: str, patience: float) -> list[str]:
        """See `Draining.drain`."""
        return await self._ask(0, "drain", wanted, patience, deadline=2 * (patience + _LONG))

    async def release(self, session_id: str) -> None:
        """See `RouterActor.release`."""
        await self._ask(shard_of(session_id, self._settings.routers), "release", session_id)

    async def lease(self, resources: ToolResources, client: str) -> str:
        """See `RouterActor.lease`."""
        deadline = EXECUTOR_DEADLINE + self._settings.scale_up_wait + _DEADLINE
        return await self._ask(shard_of(client, self._settings.routers), "lease", resources, client, deadline=deadline)

    async def prepare(self) -> None:
        """See `RouterActor.prepare`."""
        await asyncio.gather(*(self._ask(shard, "prepare") for shard in range(self._settings.routers)))

    async def stop(self) -> None:
        """See `RouterActor.stop`."""
        await self._ask(0, "stop")

    # --- compaction -------------------------------------------------------------------------------------------------

    async def summarise(self, request: "SummaryRequest") -> CompactionReport:
        """See `CompactorPool.summarise`. Raises Gone if the router that was asked is; asking again joins the job."""
        shard = self._shard_of(request.session_id)
        try:
            return await ask(await self._find(shard), "summarise", request)
        except Gone:
            self._shards.pop(shard, None)
            raise
        except PlacementError as error:
            if error.kind != NOT_FOUND:
                raise
            raise Gone(error.message) from None

    def promote_summary(self, session_id: str, key: str, priority: CompactionPriority) -> None:
        """The job is more urgent: for the router that was asked for it, if it is still there."""
        self._tell(session_id, "promote_summary", key, priority)

    def cancel_summary(self, session_id: str, key: str) -> None:
        """Stop the job: for the router that was asked for it, if it is still there."""
        self._tell(session_id, "cancel_summary", key)

    def _tell(self, session_id: str, method: str, *arguments: Any) -> None:
        router = self._shards.get(self._shard_of(session_id))
        if router is not None:
            with suppress(Gone):
                tell(router, method, *arguments)

    # --- asking -----------------------------------------------------------------------------------------------------

    def _shard_of(self, session_id: str) -> int:
        return shard_of(session_id, self._settings.routers)

    async def _find(self, shard: int) -> Any:
        router = self._shards.get(shard) or await find_actor(router_name(shard), self._settings.namespace)
        self._shards[shard] = router
        return router

    async def _ask(self, shard: int, method: str, *arguments: Any, deadline: float = _DEADLINE) -> Any:
        began = asyncio.get_running_loop().time()
        while True:
            until = began + deadline
            try:
                async with asyncio.timeout_at(until):
                    return await ask(await self._find(shard), method, *arguments)
            except Gone:
                reason = "it starts again"
            except PlacementError as error:
                if error.kind != NOT_FOUND:
                    raise
                reason, until = "it is not there", began + min(deadline, _FIND_DEADLINE)
            except TimeoutError:
                reason = "it is silent"
            self._shards.pop(shard, None)
            if asyncio.get_running_loop().time() + _PAUSE >= until:
                raise PlacementError(
                    f"The router did not place this within {until - began:g} seconds: {reason}. See whether the"
                    " runtime's program still runs, and look at the cluster's free resources (`ray status`).",
                    NO_ROUTER,
                )
            await asyncio.sleep(_PAUSE)
