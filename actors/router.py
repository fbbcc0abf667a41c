"""The router: places sessions on actors, leases tool executors, and ends what the runtime started.

The rule here: what it knows can be found again from the names of actors alone, so its death costs nothing but a wait.
It is never in the way of a token, nor of a tool call that has a lease.
"""

import asyncio
import hashlib
import itertools
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar, cast

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from actors.settings import RuntimeSettings, dedicated_name, executor_name, router_name, shared_name
from actors.spawning import find_actor, names_in, spawn_executor, spawn_session
from agent_core.errors import PlacementError, RayconteurError
from agent_core.placement import rendezvous, shard_of
from agent_core.tools.definition import ToolResources

log = logging.getLogger("rayconteur.router")
Reply = TypeVar("Reply")

_DEADLINE = 60.0
_PAUSE = 0.05
_EXECUTOR_DEADLINE = 300.0


class RouterActor:
    """One shard of the router."""

    def __init__(self, settings: RuntimeSettings, shard: int) -> None:
        self._settings, self._shard = settings, shard
        self._dedicated: dict[str, str] = {}
        self._idle: list[str] = []
        self._standby: asyncio.Task[str] | None = None
        self._numbers = itertools.count(shard, settings.routers)
        self._finding: asyncio.Task[None] | None = None
        self._ready: dict[str, asyncio.Task[None]] = {}

    def __repr__(self) -> str:
        return f"Router[{self._shard}]"

    async def settings(self) -> RuntimeSettings:
        """What the runtime was started with; a program that joins it goes by these."""
        return self._settings

    async def hold(self) -> None:
        """Return never. If this call fails and no router is found again, the runtime's program has ended."""
        await asyncio.Event().wait()

    # --- sessions ---------------------------------------------------------------------------------------------------

    async def place(self, session_id: str) -> str:
        """The name of the actor of a dedicated session, a new one if it has none. Raises PlacementError."""
        await self._find_again()
        name = self._dedicated.get(session_id)
        if name is None:
            name = self._dedicated[session_id] = await self._vacant()
            self._prepare_standby()
        return name

    async def share(self, index: int) -> str:
        """The name of shared actor `index`, once it answers."""
        name = shared_name(index)
        await self._once(name, lambda: spawn_session(name, self._settings, self._settings.sessions_per_actor))
        return name

    async def release(self, session_id: str) -> None:
        """The dedicated session was shut down: end its actor."""
        name = self._dedicated.pop(session_id, None)
        if name is not None:
            ray.kill(await find_actor(name, self._settings.namespace), no_restart=True)

    async def _find_again(self) -> None:
        """After a restart: learn from the dedicated actors which sessions they host."""
        if self._finding is None:
            self._finding = asyncio.get_running_loop().create_task(self._survey())
        await asyncio.shield(self._finding)

    async def _survey(self) -> None:
        prefix = dedicated_name(0).rpartition("/")[0] + "/"
        mine = [name for name in await names_in(self._settings.namespace) if name.startswith(prefix)]
        numbers = [int(name.removeprefix(prefix)) for name in mine]
        for name, number in zip(mine, numbers, strict=True):
            if number % self._settings.routers == self._shard:
                actor = await find_actor(name, self._settings.namespace)
                try:
                    hosted = cast("list[str]", list(await asyncio.wait_for(actor.hosted.remote(), 5.0)))
                except (RayError, TimeoutError):
                    hosted = []
                self._dedicated.update(dict.fromkeys(hosted, name))
                if not hosted:
                    self._idle.append(name)
        start = max(numbers, default=-1) + 1
        first = start + (self._shard - start) % self._settings.routers
        self._numbers = itertools.count(first, self._settings.routers)

    async def _vacant(self) -> str:
        if self._idle:
            return self._idle.pop()
        if len(self._dedicated) >= self._settings.max_actors:
            raise PlacementError(
                f"{len(self._dedicated)} sessions have an actor of their own, as many as this cluster's memory allows"
                " (max_actors). Shut some down, or open sessions with sessions_per_actor > 1 so that they share actors.",
                "full",
            )
        standby, self._standby = self._standby, None
        return await (standby or self._new_dedicated())

    def _prepare_standby(self) -> None:
        if self._standby is None and len(self._dedicated) < self._settings.max_actors:
            self._standby = asyncio.get_running_loop().create_task(self._new_dedicated())

    async def _new_dedicated(self) -> str:
        name = dedicated_name(next(self._numbers))
        await spawn_session(name, self._settings, 1)
        return name

    # --- tools ------------------------------------------------------------------------------------------------------

    async def lease(self, resources: ToolResources, client: str) -> str:
        """The name of the executor that `client` sends calls with these resources to, once it answers."""
        if resources.is_default:
            names = [executor_name("", index) for index in range(self._settings.executors)]
        else:
            digest = hashlib.blake2b(resources.model_dump_json().encode(), digest_size=4).hexdigest()
            names = [executor_name(digest, 0)]
        name = rendezvous(client, names)
        await self._once(name, lambda: spawn_executor(name, self._settings, resources))
        return name

    async def _once(self, name: str, spawn: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have the actor spawned once, however many ask; a failure is forgotten: the next who asks tries again."""
        task = self._ready.get(name)
        if task is None or (task.done() and task.exception() is not None):
            task = self._ready[name] = asyncio.get_running_loop().create_task(spawn())
        await asyncio.shield(task)

    # --- the end ----------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """End every actor of the runtime but the routers."""
        for name in await names_in(self._settings.namespace):
            if not name.startswith("router/"):
                try:
                    ray.kill(await find_actor(name, self._settings.namespace), no_restart=True)
                except (PlacementError, RayError):
                    log.info("actor %s had ended already", name)


# `hold` is waited for by every actor of the runtime.
ROUTER = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=0, max_concurrency=10_000)(RouterActor)


class RouterHandle:
    """The router, all shards of it. Calls are repeated while a shard restarts; placements are idempotent."""

    def __init__(self, settings: RuntimeSettings) -> None:
        self._settings = settings
        self._shards: dict[int, Any] = {}
        self._shared = [shared_name(index) for index in range(settings.session_actors)]

    def shared_name_of(self, session_id: str) -> str:
        """The name of the shared actor that the session belongs to."""
        return rendezvous(session_id, self._shared)

    async def place(self, session_id: str) -> str:
        """See `RouterActor.place`."""
        shard = shard_of(session_id, self._settings.routers)
        return await self._ask(shard, lambda router: router.place.remote(session_id))

    async def share(self, session_id: str) -> str:
        """Have the shared actor of the session spawned; its name, once it answers."""
        index = self._shared.index(self.shared_name_of(session_id))
        return await self._ask(index % self._settings.routers, lambda router: router.share.remote(index))

    async def release(self, session_id: str) -> None:
        """See `RouterActor.release`."""
        shard = shard_of(session_id, self._settings.routers)
        await self._ask(shard, lambda router: router.release.remote(session_id))

    async def lease(self, resources: ToolResources, client: str) -> str:
        """See `RouterActor.lease`."""
        shard = shard_of(client, self._settings.routers)
        return await self._ask(shard, lambda router: router.lease.remote(resources, client), _EXECUTOR_DEADLINE)

    async def stop(self) -> None:
        """See `RouterActor.stop`."""
        await self._ask(0, lambda router: router.stop.remote())

    async def _ask(self, shard: int, call: Callable[[Any], Awaitable[Reply]], deadline: float = _DEADLINE) -> Reply:
        until = asyncio.get_running_loop().time() + deadline
        while True:
            try:
                async with asyncio.timeout_at(until):
                    router = self._shards.get(shard) or await find_actor(router_name(shard), self._settings.namespace)
                    self._shards[shard] = router
                    return await call(router)
            except RayTaskError as error:
                cause: object = error.cause
                raise (cause if isinstance(cause, RayconteurError) else PlacementError(str(cause))) from None
            except (RayActorError, PlacementError) as error:
                self._shards.pop(shard, None)
                if asyncio.get_running_loop().time() + _PAUSE >= until:
                    raise PlacementError(
                        f"The router does not answer ({type(error).__name__}). Is the cluster up?"
                    ) from None
            except TimeoutError:
                raise PlacementError(
                    f"The router did not place this within {deadline:g} seconds. Look at the cluster's free resources"
                    " (`ray status`); a tool may ask for more than any node has."
                ) from None
            await asyncio.sleep(_PAUSE)
