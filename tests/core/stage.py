"""A `Stage` is everything that sessions of one test need: fake model and tools, a journal that can be held, and hosts.

The rule here: nothing waits for time. A test holds a part back by its gate and lets it go again.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from agent_core.config import SessionConfig
from agent_core.entries import Entry, Opened
from agent_core.hosting import SessionHost
from agent_core.journals.memory import MemoryJournal
from agent_core.local_session import LocalSession
from agent_core.messages import SessionId
from agent_core.observing import Observer, Observers
from agent_core.ports import Append, Claim, JournalOutcome, Model, ModelRequest, Record
from agent_core.session import Shell
from agent_core.session_ports import Ports
from agent_core.testing import FakeCompactor, FakeModel, FakeTools, ManualClock, Says
from agent_core.tools.definition import ToolDefinition
from tests.core.playbook import LIMIT, SESSION

Answer = Says | Callable[[ModelRequest], Says]


class HeldJournal(MemoryJournal):
    """A journal whose claims and appends wait for `gate`, and fail with `failure` if there is one."""

    def __init__(self) -> None:
        super().__init__(lambda: 0.0)
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: Exception | None = None
        self.appends: list[Sequence[Append]] = []

    async def claim(self, session_id: SessionId, owner: str, first: Record | None = None) -> Claim:
        await self._held()
        return await super().claim(session_id, owner, first)

    async def append(self, appends: Sequence[Append]) -> Sequence[JournalOutcome]:
        self.appends.append(appends)
        await self._held()
        return await super().append(appends)

    async def _held(self) -> None:
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure


class Stage:
    """Sessions on the fake model `local/fake`, which gives `answers`; `functions` are the tools' code."""

    def __init__(
        self, *answers: Answer, functions: dict[str, Callable[[dict[str, Any]], str]] | None = None, held: bool = False
    ) -> None:
        self.model = FakeModel(answers)
        self.tools = FakeTools(functions, held=held)
        self.journal = HeldJournal()
        self.clock = ManualClock()
        self.compactor = FakeCompactor()
        self.host = self.another_host()

    def another_host(
        self,
        owner: str = "local",
        capacity: int = 100,
        observer: Observer | None = None,
        model: Model | None = None,
    ) -> SessionHost:
        """Another process: it has the same journal, model and tools."""
        ports = Ports(
            model or self.model,
            self.tools,
            self.journal,
            self.clock,
            self.compactor,
            lambda config: config.context_limit or LIMIT,
            owner,
            observer=observer or Observers(),
        )
        return SessionHost(ports, capacity)

    async def session(
        self, id: str = SESSION, *tools: ToolDefinition, host: SessionHost | None = None, **config: Any
    ) -> LocalSession:
        """Open a session here, or on another host."""
        host = host or self.host
        fields = {"model": "local/fake", "compaction": None, **config}
        opened = Opened(config=SessionConfig(**fields), tools=tools)
        return LocalSession(await host.open(SessionId(id), opened, reopen=True), host)

    def shell(self, id: str = SESSION) -> Shell:
        """The live shell of a session."""
        shell = self.host.find(SessionId(id))
        assert shell is not None
        return shell

    async def entries(self, id: str = SESSION) -> list[Entry]:
        """What is durable."""
        return [record.entry for record in await self.journal.read(SessionId(id))]

    async def kinds(self, id: str = SESSION) -> list[str]:
        """The kinds of what is durable."""
        return [entry.kind for entry in await self.entries(id)]


async def until(claim: Callable[[], object]) -> None:
    """Let everybody else run until the claim holds."""
    for _ in range(1_000):
        if claim():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to that")


async def quiet(turns: int = 50) -> None:
    """Let everybody else run as far as they can."""
    for _ in range(turns):
        await asyncio.sleep(0)
