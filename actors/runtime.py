"""`Runtime`: the public door. It joins or starts a cluster, spawns the actors, opens sessions, ends what it started.

The rule here: a runtime is a namespace. Two programs never meet unless they give the same name; what a program started
ends with it, however it ends, unless it is detached.
"""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Literal, Self

import platformdirs
import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors import journal as journal_actor
from actors.cluster import ClusterInfo, connect, disconnect
from actors.journal import JournalHandle
from actors.places import DedicatedPlace, Links, SharedPlace
from actors.router import ROUTER, RouterHandle
from actors.session_handle import SessionHandle
from actors.settings import JOURNAL_NAME, RuntimeSettings, router_name
from actors.spawning import find_actor, process_id
from agent_core.entries import Opened
from agent_core.errors import ConfigError, PlacementError, SessionError
from agent_core.journals.blobs import JournalBlobs
from agent_core.journals.sqlite_file import FileOptions
from agent_core.messages import SessionId
from agent_core.opening import AnyTool, check_session_id, new_session_id, opening

JOURNAL_FILE = "journal.db"
_ACTOR_BYTES = 120_000_000


class Runtime:
    """Opens sessions on a Ray cluster. Use it as an async context manager.

    `address` is `host:port`, `auto`, `local`, or None: the cluster that RAY_ADDRESS names, else one that runs here,
    else a new local one. A runtime with a `name` is met by other programs that give the same; a `detached` one lives on
    when the program ends, until `stop`. `data_dir` holds the journal, on the machine that this program runs on.

    `sessions_per_actor` is 1: every session has an actor of its own, at most `max_actors` (by default as many as memory
    allows). More than 1: sessions share `session_actors` actors. `executors` run tools; `routers` are shards of the
    router. `max_concurrent_requests` bounds the requests of one actor to providers. `durability` is "process" (survives
    the death of any process) or "power" (also that of the machine).
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        name: str | None = None,
        detached: bool = False,
        data_dir: Path | str | None = None,
        dashboard: bool = True,
        durability: Literal["process", "power"] = "process",
        **sizes: int | None,
    ) -> None:
        unknown = sorted(set(sizes) - set(_SIZES))
        if unknown:
            raise ConfigError(f"Runtime has no option '{unknown[0]}'. It has: {', '.join(_SIZES)}.")
        for size, value in sizes.items():
            if value is not None and value < 1:
                raise ConfigError(f"{size}: must be 1 or more, not {value}.")
        if detached and name is None:
            raise ConfigError("detached: give the runtime a name, by which it is found again.")
        self._address, self._name, self._detached = address, name or secrets.token_hex(4), detached
        self._data_dir = Path(data_dir) if data_dir else platformdirs.user_data_path("rayconteur")
        self._dashboard, self._durability = dashboard, durability
        self._sizes = {size: value for size, value in sizes.items() if value is not None}
        self._stack = AsyncExitStack()
        self._open: _Open | None = None

    async def __aenter__(self) -> Self:
        """Raises PlacementError if there is no cluster, JournalError if the journal cannot be kept in `data_dir`."""
        async with AsyncExitStack() as stack:
            cluster = await connect(self._address, self._namespace, dashboard=self._dashboard)
            stack.callback(disconnect, cluster)
            wanted = self._settings(cluster)
            routers = _spawn_routers(wanted)
            settings = await _settings_of(routers)
            if settings.founder == wanted.founder:
                stack.push_async_callback(_end, settings, routers)
            await _start_journal(settings)
            links = Links(settings)
            stack.push_async_callback(links.close)
            self._open = _Open(cluster, settings, links)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._open = None
        await self._stack.aclose()

    # --- what it is -------------------------------------------------------------------------------------------------

    @property
    def description(self) -> str:
        """One line that says where sessions run."""
        return self._opened().cluster.description

    @property
    def dashboard_url(self) -> str | None:
        """The address of the Ray dashboard."""
        return self._opened().cluster.dashboard_url

    @property
    def dashboard_hint(self) -> str:
        """Where to look, and how to get in."""
        return self._opened().cluster.dashboard_hint

    @property
    def settings(self) -> RuntimeSettings:
        """What the actors of this runtime were told."""
        return self._opened().settings

    @property
    def _namespace(self) -> str:
        return f"rayconteur/{self._name}"

    # --- sessions ---------------------------------------------------------------------------------------------------

    async def session(
        self,
        id: str | None = None,
        *,
        tools: Sequence[AnyTool] = (),
        labels: Mapping[str, str] | None = None,
        sessions_per_actor: int | None = None,
        **fields: Any,
    ) -> SessionHandle:
        """Open a session: a new one with the `fields` of SessionConfig, or the one that `id` names.

        An existing session keeps its settings but for those that are given. Raises ConfigError for wrong settings,
        ToolError for a wrong tool, SessionError if it does not exist and no model is given, PlacementError,
        JournalError.
        """
        state = self._opened()
        session_id = new_session_id() if id is None else check_session_id(id)
        opened: Opened | None = None
        if "model" in fields:
            opened = await opening(tools, labels or {}, JournalBlobs(state.journal), fields)
        elif fields or tools:
            raise ConfigError("model: give it along with the other settings, as provider/name.")
        shared = state.settings.shared if sessions_per_actor is None else sessions_per_actor > 1
        handle = SessionHandle(session_id, state.shared if shared else state.dedicated)
        await handle.call("open", opened.model_dump_json().encode() if opened else None, list(fields))
        return handle

    async def exists(self, id: str) -> bool:
        """Whether there is such a session."""
        return await self._opened().journal.exists(SessionId(id))

    async def process_of(self, actor: str) -> int:
        """The process id of the actor of that name (as in `SessionStatus.actor`), on its own node.

        Raises PlacementError if there is none.
        """
        found = await find_actor(actor, self._opened().settings.namespace)
        return await asyncio.to_thread(process_id, found)

    async def stop(self) -> None:
        """End every actor of the runtime, a detached one too. Sessions stay in the journal."""
        state = self._opened()
        await state.router.stop()
        for shard in range(state.settings.routers):
            ray.kill(ray.get_actor(router_name(shard), state.settings.namespace), no_restart=True)

    def _opened(self) -> "_Open":
        if self._open is None:
            raise SessionError("The runtime is not open. Use it as: async with Runtime() as rt: ...", "not_open")
        return self._open

    def _settings(self, cluster: ClusterInfo) -> RuntimeSettings:
        resources = ray.cluster_resources()
        sizes = dict(self._sizes)
        shared = sizes.get("sessions_per_actor", 1) > 1
        if not shared:
            sizes.pop("sessions_per_actor", None)
        sizes.setdefault("max_actors", max(4, int(resources.get("memory", 0) // _ACTOR_BYTES)))
        sizes.setdefault("session_actors", max(1, int(resources.get("CPU", 1)) // 2))
        return RuntimeSettings(
            namespace=self._namespace,
            journal_path=str(self._data_dir.expanduser().absolute() / JOURNAL_FILE),
            founder=secrets.token_hex(8),
            tethered=not self._detached,
            shared=shared,
            durability=self._durability,
            node_id=cluster.node_id,
            **sizes,
        )


_SIZES = (
    "sessions_per_actor",
    "session_actors",
    "max_actors",
    "executors",
    "executor_slots",
    "routers",
    "max_concurrent_requests",
)


class _Open:
    """What an open runtime holds."""

    def __init__(self, cluster: ClusterInfo, settings: RuntimeSettings, links: Links) -> None:
        self.cluster, self.settings = cluster, settings
        self.journal = JournalHandle(JOURNAL_NAME, settings.namespace)
        self.router = RouterHandle(settings)
        self.shared = SharedPlace(links, self.router)
        self.dedicated = DedicatedPlace(links, self.router)


def _spawn_routers(settings: RuntimeSettings) -> list[Any]:
    """The shards: new ones, or those that are there. New ones are not detached, so that they end with this program."""
    lifetime = "non_detached" if settings.tethered else "detached"
    return [
        ROUTER.options(
            name=router_name(shard), namespace=settings.namespace, get_if_exists=True, lifetime=lifetime
        ).remote(settings, shard)
        for shard in range(settings.routers)
    ]


async def _settings_of(routers: Sequence[Any]) -> RuntimeSettings:
    """What the runtime was started with, by this program or by the one that it meets. Raises PlacementError."""
    try:
        return (await asyncio.gather(*(router.settings.remote() for router in routers)))[0]
    except RayError as error:
        raise PlacementError(f"The router could not be started: {str(error).splitlines()[0]}") from None


async def _start_journal(settings: RuntimeSettings) -> None:
    handle = journal_actor.spawn(
        JOURNAL_NAME,
        settings.namespace,
        settings.journal_path,
        FileOptions(durability=settings.durability),
        tether=settings if settings.tethered else None,
        lifetime="detached",
        scheduling_strategy=NodeAffinitySchedulingStrategy(settings.node_id or "", soft=False),
    )
    await handle.open()


async def _end(settings: RuntimeSettings, routers: Sequence[Any]) -> None:
    """End what this program started. Of a detached runtime, nothing."""
    if not settings.tethered:
        return
    with suppress(RayError, TimeoutError):
        await asyncio.wait_for(routers[0].stop.remote(), 10.0)
    for router in routers:
        ray.kill(router, no_restart=True)
