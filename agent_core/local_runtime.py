"""`LocalRuntime`: sessions in this process, without Ray. For notebooks, tests and small programs.

The rule here: the same sessions with the same promises as on a cluster, only that they end with the process. With a
data directory they are there again the next time.
"""

import asyncio
import os
import random
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from agent_core import archive, inputs
from agent_core.clock import SystemClock
from agent_core.compaction.local import LocalCompactor
from agent_core.compaction.summarising import Summariser
from agent_core.entries import Opened
from agent_core.errors import ConfigError, SessionClosed, SessionError
from agent_core.hosting import SessionHost
from agent_core.journals import JOURNAL_FILE
from agent_core.journals.address import PostgresAddress
from agent_core.journals.blobs import JournalBlobs
from agent_core.journals.catalog import FullJournal
from agent_core.journals.info import SessionInfo
from agent_core.journals.memory import MemoryJournal
from agent_core.journals.postgres import PostgresJournal
from agent_core.local_model import LocalModelServer
from agent_core.local_session import LocalSession
from agent_core.messages import Message, SessionId, TurnId
from agent_core.models import context_limit
from agent_core.opening import (
    AnyTool,
    check_history,
    check_session_id,
    deleted_error,
    new_session_id,
    opening,
    settings_between,
)
from agent_core.providers.addressed import AddressedModel
from agent_core.providers.dispatch import build_model
from agent_core.response_cache import CachingModel
from agent_core.session_ports import Ports
from agent_core.tools import LocalToolExecutor
from agent_core.tracing.installing import flush, trace_tools, traced_model, traced_ports
from agent_core.tracing.settings import trace_settings

if TYPE_CHECKING:
    from agent_core.evaluation.local_run import LocalRun
    from agent_core.evaluation.run import RunOrder
    from agent_core.evaluation.score import Grader


class LocalRuntime:
    """Opens sessions in this process. Use it as an async context manager.

    `data_dir` holds the journal, or `journal` says in which PostgreSQL database it is: a DSN without a password, or
    `env:NAME` or `file:PATH` of a DSN. Without either nothing outlives the process. `max_concurrent_requests` bounds
    the requests that are under way to providers. Turns are traced if the environment names an OTLP endpoint
    (`tracing/settings.py`).
    """

    address: str | None = None
    namespace = ""
    homes = 0
    dashboard_url: str | None = None
    dashboard_hint = ""

    def __init__(
        self, *, data_dir: Path | None = None, journal: str | None = None, max_concurrent_requests: int = 64
    ) -> None:
        if data_dir is not None and journal is not None:
            raise ConfigError("data_dir and journal exclude each other: the journal is a file there or a database.")
        self._data_dir = data_dir
        self._address = None if journal is None else PostgresAddress.of(journal)
        self._max_concurrent_requests = max_concurrent_requests
        self._stack = AsyncExitStack()
        self._journal: FullJournal = MemoryJournal()
        self._host: SessionHost | None = None
        self._local_model: LocalModelServer | None = None
        self._starting = asyncio.Lock()

    @property
    def description(self) -> str:
        """One line that says where sessions run."""
        place = f"under {self._data_dir}" if self._data_dir else f"in {self._address}" if self._address else None
        kept = f"kept {place}" if place else "kept in memory only"
        return f"in this process, {kept}"

    async def __aenter__(self) -> Self:
        """Raises JournalError if the data directory or the database cannot be used."""
        clock = SystemClock()
        if self._data_dir is not None:
            # SQLAlchemy is half a second of import that a runtime in memory does not need.
            from agent_core.journals.sqlite import SqliteJournal

            self._journal = await self._stack.enter_async_context(SqliteJournal(self._data_dir / JOURNAL_FILE))
        elif self._address is not None:
            self._journal = await self._stack.enter_async_context(PostgresJournal(self._address))
        traces = trace_settings(os.environ)
        # Called after the tools have ended, which make the last spans.
        self._stack.push_async_callback(flush, traces)
        trace_tools(traces, {})
        model = build_model(self._max_concurrent_requests, clock, random.Random())
        self._stack.push_async_callback(model.aclose)
        tools = LocalToolExecutor(blobs=JournalBlobs(self._journal))
        self._stack.push_async_callback(tools.aclose)
        asked = CachingModel(AddressedModel(model, self._local_url), clock)
        compactor = LocalCompactor(Summariser(traced_model(asked, clock, traces, {}), clock, context_limit), clock)
        self._stack.push_async_callback(compactor.aclose)
        ports = Ports(asked, tools, self._journal, clock, compactor, context_limit)
        self._host = SessionHost(traced_ports(ports, traces, {}))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._host is not None:
            self._host.drop_all(SessionClosed("The runtime was closed. Open another to go on.", "closed"))
        await self._stack.aclose()

    async def session(
        self,
        id: str | None = None,
        *,
        tools: Sequence[AnyTool] = (),
        labels: Mapping[str, str] | None = None,
        history: Sequence[Message] = (),
        **fields: Any,
    ) -> LocalSession:
        """Open a session: a new one with the `fields` of SessionConfig, or the one that `id` names.

        A new session begins with the `history`, which was said before, to whatever model; its messages are numbered
        anew. An existing session keeps its settings but for those that are given, and refuses another history than it
        began with. Raises ConfigError for wrong settings,
        ToolError for a wrong tool, SessionError if it does not exist and no model is given, JournalError.
        """
        host = self._open_host()
        session_id = new_session_id() if id is None else check_session_id(id)
        opened: Opened | None = None
        if "model" in fields:
            opened = await opening(tools, labels or {}, JournalBlobs(self._journal), fields, history)
        elif fields or tools or history:
            raise ConfigError("model: give it along with the other settings, as provider/name.")
        shell = await host.open(session_id, opened, reopen=True)
        conversation = shell.conversation
        if opened is not None:
            check_history(opened, conversation)
            changes = settings_between(opened, fields, conversation.config, tuple(conversation.tools.values()))
            if changes is not None:
                await shell.perform(inputs.Configure(changes))
        return LocalSession(shell, host)

    async def opening(self, tools: Sequence[AnyTool] = (), **fields: Any) -> Opened:
        """What sessions with these settings are opened with. Raises ConfigError or ToolError for what is wrong."""
        return await opening(tools, {}, JournalBlobs(self._journal), fields)

    async def evaluate(self, order: "RunOrder", *, last: bool = False) -> "LocalRun":
        """Begin a run of an evaluation. It ends with this runtime, whatever `last` says."""
        del last
        from agent_core.evaluation.local_run import LocalRun

        run = LocalRun(self._open_host(), order)
        self._stack.push_async_callback(run.aclose)
        return run

    def grader(self, run_id: str) -> "Grader":
        """Asks grading models for the run of that id, in sessions of this process."""
        from agent_core.evaluation.grading import SessionGrader

        return SessionGrader(self._open_host(), run_id)

    async def exists(self, id: str) -> bool:
        """Whether there is such a session."""
        return await self._journal.exists(SessionId(id))

    async def sessions(
        self, *, labels: Mapping[str, str] | None = None, limit: int = 100, after: str | None = None
    ) -> Sequence[SessionInfo]:
        """See `SessionKeeper.sessions`."""
        return await self._journal.list_sessions(limit, SessionId(after) if after is not None else None, labels)

    async def fork(self, id: str, *, turn: str | None = None, id_of_fork: str | None = None) -> LocalSession:
        """See `SessionKeeper.fork`."""
        self._open_host()
        target = new_session_id() if id_of_fork is None else check_session_id(id_of_fork)
        await archive.fork(self._journal, SessionId(id), target, TurnId(turn) if turn is not None else None)
        return await self.session(target)

    async def delete(self, id: str) -> bool:
        """See `SessionKeeper.delete`."""
        session_id, host = SessionId(id), self._open_host()
        deleted = await self._journal.delete(session_id)
        host.evict(session_id, deleted_error(session_id))
        return deleted

    async def export(self, id: str) -> Sequence[str]:
        """See `SessionKeeper.export`."""
        return await archive.export(self._journal, SessionId(id))

    def _open_host(self) -> SessionHost:
        if self._host is None:
            raise SessionError("The runtime is not open. Use it as: async with LocalRuntime() as rt: ...", "not_open")
        return self._host

    async def _local_url(self) -> str:
        async with self._starting:
            if self._local_model is None:
                self._local_model = await self._stack.enter_async_context(LocalModelServer())
        return await self._local_model.ready()
