"""The router: places sessions, leases tool executors, has compactors summarise, and ends what the runtime started.

The rule here: what it knows can be found again from the names of actors and the journal alone, so its death costs
nothing but a wait. It is never in the way of a token, nor of a tool call that has a lease.
"""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from typing import Any

import ray

from actors.compactor_pool import CompactorPool, SummaryRequest
from actors.dedicated import DedicatedActors
from actors.draining import Draining
from actors.feasibility import nodes, shortage
from actors.finding import end_actor, names_in
from actors.logs import log_lines
from actors.moving import Moves
from actors.nodes import Rooms
from actors.router_handle import EXECUTOR_DEADLINE
from actors.settings import SHARED, RuntimeSettings, executor_name, router_name, shared_name
from actors.spawning import SessionSpawn, options, spawn_executor, spawn_session, started
from actors.tethers import hold_on, hold_on_again
from actors.threads import in_thread
from agent_core.errors import PlacementError
from agent_core.placement import rendezvous
from agent_core.ports import CompactionPriority, CompactionReport
from agent_core.tools.definition import ToolResources


class RouterActor:
    """One shard of the router."""

    def __init__(self, settings: RuntimeSettings, shard: int) -> None:
        self._settings, self._shard = settings, shard
        self._dedicated = DedicatedActors(settings, shard)
        self._compactors = CompactorPool(settings, shard)
        self._rooms = Rooms()
        self._moves = Moves(settings, self._dedicated)
        self._draining = Draining(settings)
        self._watching: asyncio.Task[None] | None = None
        self._starting: dict[str, asyncio.Task[None]] = {}
        self._held: asyncio.Task[None] | None = None
        log_lines(settings)
        hold_on_again(settings, "settings")

    def __repr__(self) -> str:
        return f"Router[{self._shard}]"

    async def settings(self) -> RuntimeSettings:
        """What the runtime was started with; a program that joins it goes by these."""
        if self._shard and self._settings.tethered and self._held is None:
            self._held = asyncio.get_running_loop().create_task(hold_on(self._settings))
        if not self._shard and self._watching is None:
            self._watching = asyncio.get_running_loop().create_task(self._draining.watch())
        return self._settings

    @ray.method(enable_task_events=False)
    async def hold(self) -> None:
        """Return never. If this call fails and no router is found again, the runtime's program has ended."""
        await asyncio.Event().wait()

    # --- sessions ---------------------------------------------------------------------------------------------------

    async def place(self, session_id: str) -> str:
        """The name of the actor of a dedicated session, a new one if it has none. Raises PlacementError."""
        return await self._dedicated.place(session_id)

    async def release(self, session_id: str) -> None:
        """The dedicated session was shut down: end its actor."""
        await self._dedicated.release(session_id)

    async def prepare(self) -> None:
        """Have an actor stand by for the first dedicated session."""
        await self._dedicated.prepare()

    async def share(self, index: int) -> str:
        """The name of shared actor `index`, once it answers."""
        name = shared_name(index)
        await self._once(name, lambda: self._spawn_shared(name))
        return name

    async def _spawn_shared(self, name: str, *, again: bool = False) -> None:
        try:
            node = await self._rooms.choose(name, SHARED)
            await spawn_session(self._settings, SessionSpawn(name, self._settings.shared_capacity, node, again))
        finally:
            self._rooms.settle(name)

    # --- moving -----------------------------------------------------------------------------------------------------

    async def move(self, session_id: str, to: str, patience: float) -> str:
        """See `Moves.move`."""
        return await self._moves.move(session_id, to, patience)

    async def renew(self, index: int, shelters: list[str], patience: float) -> str:
        """Have every session leave shared actor `index`, and another of its name take its place on the best node."""
        name = shared_name(index)
        await self._moves.empty(name, shelters, patience)
        await self._once(name, lambda: self._spawn_shared(name, again=True))
        return name

    async def leave(self, names: list[str], patience: float) -> None:
        """See `DedicatedActors.leave`."""
        await self._dedicated.leave(names, patience)

    async def drain(self, wanted: str, patience: float) -> list[str]:
        """See `Draining.drain`. For the first shard."""
        return await self._draining.drain(wanted, patience)

    # --- tools ------------------------------------------------------------------------------------------------------

    async def lease(self, resources: ToolResources, client: str) -> str:
        """The name of the executor that `client` sends calls with these resources to, once it answers.

        Raises PlacementError if no node has what they ask for, or others hold it for too long.
        """
        if resources.is_default:
            names = [executor_name("", index) for index in range(self._settings.executors)]
        else:
            digest = hashlib.blake2b(resources.model_dump_json().encode(), digest_size=4).hexdigest()
            names = [executor_name(digest, 0)]
        name = rendezvous(client, names)
        await self._once(name, lambda: self._start_executor(name, resources))
        return name

    async def _start_executor(self, name: str, resources: ToolResources) -> None:
        short = None if resources.is_default else shortage(resources, await nodes())
        patience = self._settings.scale_up_wait if short else EXECUTOR_DEADLINE
        if not patience:
            raise _refusal(short)
        try:
            async with asyncio.timeout(patience):
                await spawn_executor(name, self._settings, resources)
        except TimeoutError:
            await end_actor(name, self._settings.namespace)
            raise _refusal(short) from None

    async def _once(self, name: str, start: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have an actor started, or seen to be there, once for all who ask meanwhile."""
        task = self._starting.get(name)
        if task is None:
            task = self._starting[name] = asyncio.get_running_loop().create_task(start())
            task.add_done_callback(lambda _: self._starting.pop(name, None))
        await asyncio.shield(task)

    # --- compaction -------------------------------------------------------------------------------------------------

    @ray.method(enable_task_events=False)
    async def summarise(self, request: SummaryRequest) -> CompactionReport:
        """See `CompactorPool.summarise`."""
        return await self._compactors.summarise(request)

    @ray.method(enable_task_events=False)
    async def promote_summary(self, key: str, priority: CompactionPriority) -> None:
        """See `CompactorPool.promote`."""
        self._compactors.promote(key, priority)

    @ray.method(enable_task_events=False)
    async def cancel_summary(self, key: str) -> None:
        """See `CompactorPool.cancel`."""
        self._compactors.cancel(key)

    # --- the end ----------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """End every actor of the runtime but the first shard, which this is a method of."""
        names = await names_in(self._settings.namespace)
        ending = [end_actor(name, self._settings.namespace) for name in names if name != router_name(0)]
        await asyncio.gather(*ending)


def _refusal(short: str | None) -> PlacementError:
    if short is not None:
        return PlacementError(
            f"It asks for {short}. Lower what @tool(...) asks for, or add a node that has it; on a cluster that grows"
            " by itself, open the runtime with scale_up_wait (seconds).",
            "infeasible",
        )
    return PlacementError(
        f"What it asks of Ray was held by others for {EXECUTOR_DEADLINE:g} seconds. Look at the cluster's free"
        " resources (`ray status`), lower what @tool(...) asks for, or try again later.",
        "no_resources",
    )


# `hold` is waited for by every actor of the runtime.
ROUTER = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=0)(RouterActor)


async def spawn_router(shard: int, settings: RuntimeSettings) -> Any:
    """Make a shard of the router, or find it. The first of a tethered runtime ends with the program that makes it."""
    chosen = options(router_name(shard), settings, max_concurrency=10_000)
    if shard == 0 and settings.tethered:
        chosen["lifetime"] = "non_detached"
    router = await in_thread(ROUTER.options(**chosen).remote, settings, shard)
    if shard:
        await started(router_name(shard), router, "settings")
    return router
