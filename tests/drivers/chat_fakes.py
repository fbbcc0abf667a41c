"""What the tests of the chat stand on: sessions over fakes of the ports, a terminal of paper, and a way to wait.

The rule here: nothing sleeps to be in time. A test waits for what is written, or for what a session says.
"""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pyte
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import PipeInput, create_pipe_input

from agent_core.config import SessionConfig
from agent_core.cursor import Cursor, Event
from agent_core.entries import Opened
from agent_core.errors import ConfigError
from agent_core.hosting import SessionHost
from agent_core.journals.memory import MemoryJournal
from agent_core.local_session import LocalSession
from agent_core.messages import SessionId
from agent_core.session_ports import Ports
from agent_core.testing import FakeCompactor, FakeModel, FakeTools, ManualClock, Says
from agent_core.tools.definition import ToolDefinition, ToolReference
from drivers.chatting.connection import Connect, Connected
from drivers.chatting.conversation import Conversation
from drivers.chatting.devices import SteadyOutput

MODEL = "anthropic/claude-test"
PATIENCE_SECONDS = 20.0


def definition(name: str, **fields: Any) -> ToolDefinition:
    """A tool that has code somewhere."""
    reference = ToolReference(module="m", name=name)
    return ToolDefinition(name=name, description=f"The {name}.", reference=reference, **fields)


class Fakes:
    """A session over fakes of every port."""

    def __init__(self, script: Sequence[Says] = (), tools: FakeTools | None = None) -> None:
        self.model = FakeModel(script)
        self.tools = tools or FakeTools()
        self.compactor = FakeCompactor()
        self.host = SessionHost(
            Ports(self.model, self.tools, MemoryJournal(), ManualClock(), self.compactor, lambda _: 100_000)
        )

    async def session(self, session_id: str = "s-test", *, model: str = MODEL) -> LocalSession:
        """The session, made when it is first asked for."""
        names = tuple(definition(name) for name in self.tools.functions)
        opened = Opened(config=SessionConfig(model=model), tools=names)
        return LocalSession(await self.host.open(SessionId(session_id), opened), self.host)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connected]:
        """As the chat connects."""
        yield Connected(await self.session(), "on fakes")


async def events_of(session: LocalSession, message: str) -> list[Event]:
    """Send a message and return every event of the session from the beginning to the end of its turn."""
    turn = await session.submit(message)
    found: list[Event] = []
    async for event in session.events(after=Cursor()):
        found.append(event)
        if event.payload.kind == "turn_ended" and event.payload.turn_id == turn:
            break
    return found


class Paper(io.StringIO):
    """A terminal that shows what it is sent, tall enough for a whole conversation. `until` waits for more of it."""

    def __init__(self, columns: int = 80, rows: int = 200) -> None:
        super().__init__()
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.Stream(self._screen)
        self._more = asyncio.Event()
        self.writes: list[str] = []
        self.size = Size(rows=rows, columns=columns)

    def write(self, text: str) -> int:
        self.writes.append(text)
        self._stream.feed(text)
        self._more.set()
        return len(text)

    @property
    def text(self) -> str:
        """What is on the screen now."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    async def until(self, condition: Callable[[str], bool]) -> str:
        """Wait until what was written fulfils the condition."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition(self.text):
                self._more.clear()
                await self._more.wait()
        return self.text

    async def shows(self, wanted: str, times: int = 1) -> str:
        """Wait until `wanted` was written so many times."""
        return await self.until(lambda text: text.count(wanted) >= times)


class Talk:
    """A chat at a terminal of paper."""

    def __init__(self, chat: Conversation, paper: Paper, keys: PipeInput) -> None:
        self.chat, self.paper, self._keys = chat, paper, keys

    def type(self, text: str) -> None:
        """Press keys; a newline is Enter."""
        self._keys.send_text(text.replace("\n", "\r"))

    def paste(self, text: str) -> None:
        """Insert text as terminals do, marked as pasted."""
        self._keys.send_text(f"\x1b[200~{text}\x1b[201~")

    async def says(self, line: str, answer: str) -> str:
        """Enter a line and wait for what it brings."""
        before = self.paper.text.count(answer)
        self.type(f"{line}\n")
        return await self.paper.shows(answer, before + 1)


def terminal_of(paper: Paper) -> SteadyOutput:
    """An output that writes to paper."""
    return SteadyOutput(paper, lambda: paper.size, enable_cpr=False)


def allow_only_test_models(model: str) -> None:
    """Refuse a model whose name does not say that it is for tests."""
    if "test" not in model:
        raise ConfigError(f"{model} cannot be had.")


@asynccontextmanager
async def talking(connect: Connect, *, code: int | None = 0, leave: bool = True) -> AsyncIterator[Talk]:
    """A chat that is there. At the end Ctrl-D is pressed, unless the test left already, and the exit code checked."""
    paper = Paper()
    with create_pipe_input() as keys:
        chat = Conversation(connect, model=MODEL, check_model=allow_only_test_models)
        running = asyncio.create_task(chat.run(keys, terminal_of(paper)))
        talk = Talk(chat, paper, keys)
        await paper.shows("claude-test")
        try:
            yield talk
            if leave:
                talk.type("\x04")
            if code is not None:
                assert await asyncio.wait_for(running, PATIENCE_SECONDS) == code
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def connected(
    *script: Says, tools: FakeTools | None = None, code: int = 0, leave: bool = True
) -> AsyncIterator[tuple[Talk, Fakes]]:
    """A chat with a session over fakes."""
    fakes = Fakes(script, tools)
    async with talking(fakes.connect, code=code, leave=leave) as talk:
        await talk.paper.shows("new session s-test, on fakes")
        yield talk, fakes
