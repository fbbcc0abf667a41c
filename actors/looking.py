"""A cluster seen from outside: what its nodes, its runtimes' actors and their sessions say, and what one may tell them.

The rule here: it joins a cluster that is there, starts nothing on it and leaves nothing behind. Looking wakes no
session and keeps none awake; only `interrupt` and `compact` change anything. An actor that does not answer is shown so.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import ray
from ray.exceptions import RayError

from actors.calls import Gone, ask
from actors.cluster import ClusterInfo, connect
from actors.finding import ListedActor, find_actor, listed_actors
from actors.head import Head
from actors.link import LinkLost
from actors.places import Links
from actors.settings import RuntimeSettings, router_name
from actors.starting import cancel, leave
from actors.threads import in_thread
from agent_core.clock import SystemClock
from agent_core.cluster_snapshot import PREFIX, ActorLine, ClusterSnapshot, NodeLine, kind_of
from agent_core.cursor import Event
from agent_core.errors import ConfigError, PlacementError, RayconteurError
from agent_core.glance import GlanceRequest, HostGlance, SessionLine, first_of
from agent_core.payloads import InterruptMode, SessionState
from agent_core.process_figures import ProcessFigures, process_figures
from agent_core.session import PUT_AWAY
from agent_core.status import CompactResult

PATIENCE = 3.0
_HOSTS = ("sessions", "session")
_TAIL = 30


class ClusterView:
    """A cluster that this process has joined to look at it."""

    def __init__(self, cluster: ClusterInfo, head: Head, *, patience: float = PATIENCE) -> None:
        self._cluster, self._head, self._patience = cluster, head, patience
        self._handles: dict[str, Any] = {}
        self._links: dict[str, Links] = {}

    @property
    def address(self) -> str:
        """The address of the cluster."""
        return self._cluster.address

    async def snapshot(self, asked: GlanceRequest, runtime: str | None = None) -> ClusterSnapshot:
        """What there is to see now, of one runtime or of all of them. Raises PlacementError if the head is lost."""
        async with self._head.awaited():
            listed, nodes = await asyncio.gather(in_thread(listed_actors), in_thread(ray.nodes))
            ours = [actor for actor in listed if actor.namespace.startswith(PREFIX)]
            self._handles = {actor.id: self._handles[actor.id] for actor in ours if actor.id in self._handles}
            names = sorted({_runtime_of(actor) for actor in ours})
            shown = [actor for actor in ours if runtime in {None, _runtime_of(actor)}]
            told = await asyncio.gather(*(self._asked(actor, asked) for actor in shown))
        lines = [_actor_line(actor, glance) for actor, glance in zip(shown, told, strict=True)]
        states = Counter[SessionState]()
        for glance in filter(None, told):
            states.update(glance.states)
        placed = [(actor, glance) for actor, glance in zip(shown, told, strict=True) if glance is not None]
        sessions = [_placed(line, actor) for actor, glance in placed for line in glance.lines]
        also = [_placed(glance.also, actor) for actor, glance in placed if glance.also is not None]
        return ClusterSnapshot(
            at=SystemClock().now(),
            address=self.address,
            runtimes=tuple(names),
            nodes=tuple(_node_line(node, lines) for node in nodes),
            actors=tuple(sorted(lines, key=lambda line: (line.runtime, line.name))),
            states=dict(states),
            matching=sum(glance.matching for glance in told if glance),
            sessions=first_of(sessions, asked),
            also=tuple(also),
        )

    async def _asked(self, actor: ListedActor, asked: GlanceRequest) -> HostGlance | None:
        """What the actor tells, None if it does not in time, or cannot: it may be of an older version."""
        if actor.state != "ALIVE":
            return None
        # An actor of another version may have no such method.
        with suppress(Gone, RayconteurError, TimeoutError, AttributeError):
            async with asyncio.timeout(self._patience):
                handle = await self._handle(actor)
                if kind_of(actor.name) in _HOSTS:
                    return await ask(handle, "glance", asked)
                # Those that host nothing need no method of their own to be measured.
                call = handle.__ray_call__.options(enable_task_events=False)
                return HostGlance(process=await _answered(call.remote(process_figures)))
        return None

    async def _handle(self, actor: ListedActor) -> Any:
        if actor.id not in self._handles:
            self._handles[actor.id] = await find_actor(actor.name, actor.namespace)
        return self._handles[actor.id]

    # --- one session ------------------------------------------------------------------------------------------------

    async def watch(self, runtime: str, actor: str, session_id: str) -> AsyncIterator[Event]:
        """The last events of a session, and those that come, until it is at rest or shut down.

        Raises SessionError of kind PUT_AWAY if it is at rest already, PlacementError if its actor is gone.
        """
        links = await self._links_of(runtime)
        try:
            link = await links.to(actor)
            reader, answer = link.read(session_id, "watch", _TAIL)
            try:
                await answer
                while (event := await reader.next()) is not None:
                    yield event
            finally:
                link.leave(session_id, reader)
        except LinkLost:
            raise PlacementError(
                f"The actor '{actor}' is gone, or lost this reader. What the session accepted is in the journal.",
                "gone",
            ) from None
        except RayconteurError as error:
            if error.kind != PUT_AWAY:
                raise

    async def interrupt(self, runtime: str, actor: str, session_id: str, mode: InterruptMode) -> bool:
        """Interrupt the open turn of a session: whether there was one. Raises PlacementError if its actor is gone."""
        async with self._head.awaited():
            handle = await find_actor(actor, PREFIX + runtime)
            with suppress(Gone):
                return bool(await ask(handle, "interrupt", session_id, mode, secrets.token_hex(8)))
        raise PlacementError(f"The actor '{actor}' does not answer: it is gone, or starts again.", "gone")

    async def compact(self, runtime: str, actor: str, session_id: str) -> CompactResult:
        """Compact a session now. Raises SessionError if it is closed, PlacementError if its actor is gone."""
        links = await self._links_of(runtime)
        try:
            link = await links.to(actor)
            return CompactResult.model_validate_json(await link.call(session_id, "compact", ""))
        except LinkLost:
            raise PlacementError(f"The actor '{actor}' is gone; nothing was compacted.", "gone") from None

    async def _links_of(self, runtime: str) -> Links:
        if runtime not in self._links:
            async with self._head.awaited():
                router = await find_actor(router_name(0), PREFIX + runtime)
                try:
                    settings: RuntimeSettings = await ask(router, "settings")
                except Gone:
                    raise PlacementError(f"The runtime '{runtime}' does not answer: it is gone.", "gone") from None
            self._links[runtime] = Links(settings, self._head)
        return self._links[runtime]

    async def close(self) -> None:
        """Let go of every actor."""
        await asyncio.gather(*(links.close() for links in self._links.values()))


@asynccontextmanager
async def looking_at(address: str | None, *, patience: float = PATIENCE) -> AsyncGenerator[ClusterView]:
    """The cluster at `address` (`host:port`, `auto` or None for one that runs here), while entered.

    An actor that does not answer within `patience` seconds is shown as silent. Raises PlacementError if there is no
    cluster to join, ConfigError for an address of no known form.
    """
    if address == "local":
        raise ConfigError("address: a local cluster that is started anew has nothing to see. Name one that has.")
    cluster = await connect(address or "auto", "rayconteur", dashboard=False, ships=False)
    head = Head(cluster.address, "of the runtime")
    watching = asyncio.get_running_loop().create_task(head.watch())
    view = ClusterView(cluster, head, patience=patience)
    try:
        yield view
    finally:
        with suppress(RayconteurError):
            await view.close()
        await cancel(watching)
        await leave(cluster, head)


async def observe(
    address: str | None = None, name: str | None = None, asked: GlanceRequest | None = None
) -> ClusterSnapshot:
    """One snapshot of the cluster at `address`, of the runtime of that name or of all. Raises as `looking_at` does."""
    async with looking_at(address) as view:
        return await view.snapshot(asked or GlanceRequest(), name)


async def _answered(call: Any) -> Any:
    try:
        return await call
    except RayError as error:
        raise Gone(type(error).__name__) from error


def _runtime_of(actor: ListedActor) -> str:
    return actor.namespace.removeprefix(PREFIX)


def _placed(line: SessionLine, actor: ListedActor) -> SessionLine:
    return line.model_copy(update={"runtime": _runtime_of(actor), "actor": actor.name})


def _actor_line(actor: ListedActor, glance: HostGlance | None) -> ActorLine:
    kind = kind_of(actor.name)
    hosts = kind in _HOSTS
    return ActorLine(
        name=actor.name,
        runtime=_runtime_of(actor),
        kind=kind,
        state=actor.state.lower(),
        node_id=actor.node_id,
        pid=glance.process.pid if glance else actor.pid,
        restarts=actor.restarts,
        answering=glance is not None,
        process=glance.process if glance else ProcessFigures(),
        sessions=(sum(glance.states.values()) if glance else 0) if hosts else None,
        totals=glance.totals if glance and hosts else None,
    )


def _node_line(node: Mapping[str, Any], actors: list[ActorLine]) -> NodeLine:
    here = [actor for actor in actors if actor.node_id == node["NodeID"]]
    newest = next((actor.process for actor in here if actor.answering), ProcessFigures())
    resources: Mapping[str, float] = node["Resources"]
    return NodeLine(
        node_id=node["NodeID"],
        address=node["NodeManagerAddress"],
        name=node.get("NodeName") or node.get("NodeManagerHostname") or "",
        alive=node["Alive"],
        cpus=resources.get("CPU", 0.0),
        gpus=resources.get("GPU", 0.0),
        labels={name: value for name, value in node.get("Labels", {}).items() if not name.startswith("ray.io/")},
        memory_used=newest.node_memory_used,
        memory=newest.node_memory,
        load=newest.node_load,
        actors=len(here),
    )
