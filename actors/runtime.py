"""`Runtime`: the public door. It joins or starts a cluster, spawns the actors, opens sessions, ends what it started.

The rule here: a runtime is a namespace. Two programs never meet unless they give the same name; what a program started
ends with it, however it ends, unless it is detached.
"""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Self, Unpack

import platformdirs
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors import journal as journal_actor
from actors.calls import Gone, ask, tell
from actors.cluster import ClusterInfo, connect, disconnect
from actors.finding import end_actor, find_actor, process_id
from actors.journal import JournalHandle
from actors.places import DedicatedPlace, Links, SharedPlace
from actors.router import spawn_router
from actors.router_handle import RouterHandle
from actors.session_handle import SessionHandle
from actors.settings import JOURNAL_NAME, Options, RuntimeSettings, checked, router_name
from agent_core.entries import Opened
from agent_core.errors import ConfigError, PlacementError, RayconteurError, SessionError
from agent_core.journals.blobs import JournalBlobs
from agent_core.journals.sqlite_file import FileOptions
from agent_core.messages import SessionId
from agent_core.opening import AnyTool, check_session_id, new_session_id, opening

JOURNAL_FILE = "journal.db"
_ACTOR_BYTES = 120_000_000
_STOP_DEADLINE = 10.0


class Runtime:
    """Opens sessions on a Ray cluster. Use it as an async context manager.

    `address` is `host:port`, `auto`, `local`, or None: the cluster that RAY_ADDRESS names, else one that runs here,
    else a new local one. A runtime with a `name` is met by other programs that give the same; a `detached` one lives on
    when the program ends, until `stop`. `data_dir` holds the journal, on the machine that this program runs on.

    Of the `options`, `sessions_per_actor` is 1: every session has an actor of its own, at most `max_actors` (by default
    as many as memory allows). More than 1: sessions share `session_actors` actors. `executors` run tools, each
    `executor_slots` calls at once; `compactors`, started when they are first needed, summarise, each `compactor_slots`
    conversations at once (by default one for every four CPUs; every router has at least one); `routers` are shards of
    the router. `max_concurrent_requests` bounds the requests of one actor to providers. `durability` is "process"
    (survives the death of any process) or "power" (also that of the machine). In seconds: a program that is not heard
    of for a `lease` (30) loses its place in its streams, and goes on from there; a tool waits for `scale_up_wait` (0)
    for a node that has what it asks for.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        name: str | None = None,
        detached: bool = False,
        data_dir: Path | str | None = None,
        dashboard: bool = True,
        **options: Unpack[Options],
    ) -> None:
        if detached and name is None:
            raise ConfigError("detached: give the runtime a name, by which it is found again.")
        self._address, self._name, self._detached = address, name or secrets.token_hex(4), detached
        self._data_dir = Path(data_dir) if data_dir else platformdirs.user_data_path("rayconteur")
        self._dashboard = dashboard
        self._options = checked(options)
        self._stack = AsyncExitStack()
        self._open: _Open | None = None

    async def __aenter__(self) -> Self:
        """Raises PlacementError if there is no cluster, JournalError if the journal cannot be kept in `data_dir`."""
        async with AsyncExitStack() as stack:
            cluster = await connect(self._address, self._namespace, dashboard=self._dashboard)
            stack.callback(disconnect, cluster)
            settings = await _start_routers(self._settings(cluster), stack)
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
        await end_actor(router_name(0), state.settings.namespace)

    def _opened(self) -> "_Open":
        if self._open is None:
            raise SessionError("The runtime is not open. Use it as: async with Runtime() as rt: ...", "not_open")
        return self._open

    def _settings(self, cluster: ClusterInfo) -> RuntimeSettings:
        resources = ray.cluster_resources()
        return RuntimeSettings(
            **{
                "max_actors": max(4, int(resources.get("memory", 0) // _ACTOR_BYTES)),
                "session_actors": max(1, int(resources.get("CPU", 1)) // 2),
                "compactors": max(1, int(resources.get("CPU", 1)) // 4),
                "namespace": self._namespace,
                "journal_path": str(self._data_dir.expanduser().absolute() / JOURNAL_FILE),
                "founder": secrets.token_hex(8),
                "tethered": not self._detached,
                "node_id": cluster.node_id,
                **self._options,
            }
        )


class _Open:
    """What an open runtime holds."""

    def __init__(self, cluster: ClusterInfo, settings: RuntimeSettings, links: Links) -> None:
        self.cluster, self.settings = cluster, settings
        self.journal = JournalHandle(JOURNAL_NAME, settings.namespace)
        self.router = RouterHandle(settings)
        self.shared = SharedPlace(links, self.router)
        self.dedicated = DedicatedPlace(links, self.router)


async def _start_routers(settings: RuntimeSettings, stack: AsyncExitStack) -> RuntimeSettings:
    """Start the router, or meet the one of this name: the settings that the runtime goes by.

    What was started here ends with `stack`, unless it is detached.
    """
    first = await spawn_router(0, settings)
    try:
        known: RuntimeSettings = await ask(first, "settings")
    except Gone as error:
        raise PlacementError(
            f"The router did not start ({error}). Look at the cluster (`ray status`) and the logs of Ray.", "no_start"
        ) from None
    if known.founder != settings.founder:
        return known
    # The first shard is no detached actor: it ends with this program, and all the others when it is gone.
    if settings.tethered:
        stack.push_async_callback(_end, first)
    for shard in range(1, settings.routers):
        await spawn_router(shard, settings)
    if not settings.shared:
        tell(first, "prepare")
    return settings


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


async def _end(first: Any) -> None:
    """End what this program started. The shard is held until then: Ray ends it with its last handle."""
    with suppress(Gone, RayconteurError, TimeoutError):
        await asyncio.wait_for(ask(first, "stop"), _STOP_DEADLINE)
    await asyncio.to_thread(ray.kill, first, no_restart=True)
