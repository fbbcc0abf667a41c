"""`Runtime`: the public door. It joins or starts a cluster, spawns the actors, opens sessions, ends what it started.

The rule here: a runtime is a namespace. Two programs never meet unless they give the same name; what a program started
ends with it, however it ends, unless it is detached.
"""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

import platformdirs
import ray

from actors.cluster import ClusterInfo, connect
from actors.finding import end_actor, find_actor, process_id
from actors.head import Head
from actors.journals import RuntimeJournal
from actors.places import DedicatedPlace, Links, SharedPlace
from actors.router_handle import RouterHandle
from actors.session_handle import SessionHandle
from actors.settings import Options, RuntimeSettings, actors_for, checked, router_name
from actors.starting import cancel, leave, start_routers, started_journal, try_journal
from actors.threads import in_thread
from actors.tracing import traces_that_travel
from agent_core import archive
from agent_core.entries import Opened
from agent_core.errors import ConfigError, SessionError
from agent_core.journals import JOURNAL_FILE
from agent_core.journals.blobs import JournalBlobs
from agent_core.journals.info import SessionInfo
from agent_core.messages import Message, SessionId, TurnId
from agent_core.opening import AnyTool, check_session_id, new_session_id, opening

if TYPE_CHECKING:
    from actors.evaluation import EvaluationHandle
    from agent_core.evaluation.run import RunOrder

_ACTOR_BYTES = 120_000_000


class Runtime:
    """Opens sessions on a Ray cluster. Use it as an async context manager.

    `address` is `host:port`, `auto`, `local`, or None: the cluster that RAY_ADDRESS names, else one that runs here,
    else a new local one. A runtime with a `name` is met by other programs that give the same; a `detached` one lives on
    when the program ends, until `stop`. `data_dir` holds the journal, on the machine that this program runs on.

    Of the `options`, `journal` has it in a PostgreSQL database instead, which every actor connects to: a DSN
    without a password, or `env:NAME` or `file:PATH` of a DSN, to be there on every node. `sessions_per_actor` is 1:
    every session has an actor of its own, at most `max_actors` (by default as many as memory allows). More than 1:
    sessions share `session_actors` actors; without them, as many as keep the cluster busy with `sessions_at_once`.
    `executors` run tools, each `executor_slots` calls at once; `compactors`, started when they are first needed,
    summarise, each `compactor_slots` conversations at once (by default one for every four CPUs; every router has at
    least one); `routers` are shards of the router. `max_concurrent_requests` bounds the requests of one actor to
    providers. `durability` is "process" (survives the death of any process) or "power" (also that of the machine).
    In seconds: a program that is not heard of for a `lease` (30) loses its place in its streams, and goes on from
    there; a tool waits for `scale_up_wait` (0) for a node that has what it asks for; a session that nobody has
    wanted anything of for `put_away_after` (600) is put away until somebody does, and sooner in an actor that takes
    more than `actor_memory` bytes. Turns are traced if the environment of the program that starts the runtime names an
    OTLP endpoint.
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
        # One that is met by its name may have its journal elsewhere.
        self._alone = name is None
        self._data_dir = Path(data_dir) if data_dir else platformdirs.user_data_path("rayconteur")
        self._dashboard = dashboard
        self._options = checked(options)
        self._address_of_journal: str | None = self._options.get("journal")
        if data_dir is not None and self._address_of_journal is not None:
            raise ConfigError("data_dir and journal exclude each other: the journal is a file there or a database.")
        self._stack = AsyncExitStack()
        self._open: _Open | None = None

    async def __aenter__(self) -> Self:
        """Raises PlacementError if there is no cluster, JournalError if the journal cannot be kept where it is to be.

        ConfigError: the runtime of this name has another journal than the one that was given.
        """
        async with AsyncExitStack() as stack:
            if self._alone or self._address_of_journal is not None:
                # Ray takes seconds to start, and what is wrong with the journal is known at once.
                await try_journal(self._journal_path, self._address_of_journal)
            cluster = await connect(self._address, self._namespace, dashboard=self._dashboard)
            head = Head(cluster.address, self._address_of_journal or str(self._journal_path))
            stack.push_async_callback(leave, cluster, head)
            stack.push_async_callback(cancel, asyncio.get_running_loop().create_task(head.watch()))
            async with head.awaited():
                settings = await start_routers(self._settings(cluster), head, stack)
                self._check_journal(settings)
                journal = await stack.enter_async_context(started_journal(settings))
            head.journal = settings.journal_place
            links = Links(settings, head)
            stack.push_async_callback(links.close)
            self._open = _Open(cluster, settings, links, journal)
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
    def address(self) -> str:
        """The address of the cluster, by which other programs join it."""
        return self._opened().cluster.address

    @property
    def namespace(self) -> str:
        """The Ray namespace of the actors."""
        return self._namespace

    @property
    def homes(self) -> int:
        """How many places there are that a session can ask for by its id, see `agent_core.placement.home_of`."""
        return self._opened().settings.session_actors

    @property
    def settings(self) -> RuntimeSettings:
        """What the actors of this runtime were told."""
        return self._opened().settings

    def _check_journal(self, settings: RuntimeSettings) -> None:
        if self._address_of_journal not in {None, settings.journal}:
            raise ConfigError(
                f"journal: the runtime '{self._name}' keeps its sessions in {settings.journal_place}. Leave the journal"
                " out to meet it there, or give your runtime another name."
            )

    @property
    def _journal_path(self) -> Path:
        return self._data_dir.expanduser().absolute() / JOURNAL_FILE

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
        history: Sequence[Message] = (),
        sessions_per_actor: int | None = None,
        **fields: Any,
    ) -> SessionHandle:
        """Open a session: a new one with the `fields` of SessionConfig, or the one that `id` names.

        A new session begins with the `history`, which was said before, to whatever model; its messages are numbered
        anew. An existing session keeps its settings but for those that are given, and refuses another history than it
        began with. Raises ConfigError for wrong settings,
        ToolError for a wrong tool, SessionError if it does not exist and no model is given, PlacementError,
        JournalError.
        """
        state = self._opened()
        session_id = new_session_id() if id is None else check_session_id(id)
        opened: Opened | None = None
        if "model" in fields:
            async with state.head.awaited():
                opened = await opening(tools, labels or {}, JournalBlobs(state.journal), fields, history)
        elif fields or tools or history:
            raise ConfigError("model: give it along with the other settings, as provider/name.")
        shared = state.settings.shared if sessions_per_actor is None else sessions_per_actor > 1
        handle = SessionHandle(session_id, state.shared if shared else state.dedicated)
        await handle.call("open", opened.model_dump_json().encode() if opened else None, list(fields))
        return handle

    async def opening(self, tools: Sequence[AnyTool] = (), **fields: Any) -> Opened:
        """What sessions with these settings are opened with. Raises ConfigError or ToolError for what is wrong."""
        state = self._opened()
        async with state.head.awaited():
            return await opening(tools, {}, JournalBlobs(state.journal), fields)

    async def evaluate(self, order: "RunOrder", *, last: bool = False) -> "EvaluationHandle":
        """Begin a run of an evaluation, on the node of this program; with `last` the runtime ends with it.

        Raises PlacementError if there is no place for it.
        """
        from actors.evaluation import spawn_evaluation

        state = self._opened()
        async with state.head.awaited():
            return await spawn_evaluation(state.settings, order, state.head, last=last)

    async def exists(self, id: str) -> bool:
        """Whether there is such a session."""
        state = self._opened()
        async with state.head.awaited():
            return await state.journal.exists(SessionId(id))

    async def sessions(
        self, *, labels: Mapping[str, str] | None = None, limit: int = 100, after: str | None = None
    ) -> Sequence[SessionInfo]:
        """See `SessionKeeper.sessions`."""
        state = self._opened()
        async with state.head.awaited():
            return await state.journal.list_sessions(limit, SessionId(after) if after is not None else None, labels)

    async def fork(self, id: str, *, turn: str | None = None, id_of_fork: str | None = None) -> SessionHandle:
        """See `SessionKeeper.fork`."""
        state = self._opened()
        target = new_session_id() if id_of_fork is None else check_session_id(id_of_fork)
        async with state.head.awaited():
            await archive.fork(state.journal, SessionId(id), target, TurnId(turn) if turn is not None else None)
        return await self.session(target)

    async def delete(self, id: str) -> bool:
        """See `SessionKeeper.delete`."""
        state, session_id = self._opened(), SessionId(id)
        async with state.head.awaited():
            deleted = await state.journal.delete(session_id)
        # From here on nothing of it can be written again; what is still in an actor's memory goes too.
        await asyncio.gather(state.shared.evict(session_id), state.dedicated.release(session_id))
        return deleted

    async def export(self, id: str) -> Sequence[str]:
        """See `SessionKeeper.export`."""
        state = self._opened()
        async with state.head.awaited():
            return await archive.export(state.journal, SessionId(id))

    async def move(self, id: str, to: str, *, patience: float = 30.0) -> str:
        """Move a session to `packed` (where its id belongs), `dedicated` or a shared actor by name; the actor's name.

        What it has under way is waited for up to `patience` seconds; after that an answer is made again, and calls
        follow what their tools declare. No caller notices, readers only by `Restarted`. Raises SessionError if there is
        no such session, ConfigError for no place, PlacementError if there is no such actor or no room.
        """
        state = self._opened()
        async with state.head.awaited():
            return await state.router.move(id, to, patience)

    async def drain(self, node: str, *, patience: float = 30.0) -> Sequence[str]:
        """Have every session actor of a node go elsewhere with its sessions, as in `move`: which ones those were.

        `node` is the beginning of its id, its address or host, or the name of one actor, which is made anew. No session
        actor is placed on the node again. Raises PlacementError if there is no such node, or no other.
        """
        state = self._opened()
        async with state.head.awaited():
            return await state.router.drain(node, patience)

    async def process_of(self, actor: str) -> int:
        """The process id of the actor of that name (as in `SessionStatus.actor`), on its own node.

        Raises PlacementError if there is none.
        """
        state = self._opened()
        async with state.head.awaited():
            found = await find_actor(actor, state.settings.namespace)
            return await in_thread(process_id, found)

    async def stop(self) -> None:
        """End every actor of the runtime, a detached one too. Sessions stay in the journal."""
        state = self._opened()
        async with state.head.awaited():
            await state.router.stop()
            await end_actor(router_name(0), state.settings.namespace)

    def _opened(self) -> "_Open":
        if self._open is None:
            raise SessionError("The runtime is not open. Use it as: async with Runtime() as rt: ...", "not_open")
        return self._open

    def _settings(self, cluster: ClusterInfo) -> RuntimeSettings:
        resources, options = ray.cluster_resources(), dict(self._options)
        cpus, at_once = resources.get("CPU", 1), options.pop("sessions_at_once", None)
        capacity = options.get("sessions_per_actor", at_once)
        return RuntimeSettings(
            **{
                "max_actors": max(4, int(resources.get("memory", 0) // _ACTOR_BYTES)),
                "session_actors": actors_for(at_once, capacity, cpus) if at_once else max(1, int(cpus) // 2),
                "compactors": max(1, int(cpus) // 4),
                "namespace": self._namespace,
                "journal_path": str(self._journal_path),
                "founder": secrets.token_hex(8),
                "tethered": not self._detached,
                "node_id": cluster.node_id,
                "traces": traces_that_travel(),
                **options,
            }
        )


class _Open:
    """What an open runtime holds."""

    def __init__(self, cluster: ClusterInfo, settings: RuntimeSettings, links: Links, journal: RuntimeJournal) -> None:
        self.cluster, self.settings, self.head = cluster, settings, links.head
        self.journal = journal
        self.router = RouterHandle(settings)
        self.shared = SharedPlace(links, self.router)
        self.dedicated = DedicatedPlace(links, self.router)
