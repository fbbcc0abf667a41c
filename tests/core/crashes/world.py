"""The world of the crash matrix: a journal that lives on, one process after the other, a client and a reader.

The rule here: a client does what the handle of a cluster does. What a process died over is asked again, with the same
key; a reader comes back with its cursor. Both activate the session wherever it is placed by then, and nobody else does.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from typing import TypeVar

from agent_core.compaction.settings import LLMCompaction, ThresholdCompaction
from agent_core.config import SessionConfig
from agent_core.cursor import Cursor, Event
from agent_core.entries import Opened, ToolBatch, ToolSettled
from agent_core.errors import SessionError
from agent_core.hosting import SessionHost
from agent_core.journals.memory import MemoryJournal
from agent_core.messages import SessionId, TurnId
from agent_core.ports import Record
from agent_core.seeding import regular
from agent_core.session import Shell
from agent_core.session_ports import Ports
from agent_core.simulation.processes import Process
from agent_core.simulation.world import LoopClock, ProcessDied
from agent_core.stream import Subscription
from tests.core.crashes.points import (
    CrashingCompactor,
    CrashingJournal,
    CrashingModel,
    CrashingTools,
    Ledger,
    Points,
    Provider,
)
from tests.core.crashes.script import TOOLS
from tests.core.said_before import BEFORE

Result = TypeVar("Result")
SESSION = SessionId("s")
WINDOW = 4_000
_PAUSE = 0.05
OPENED = Opened(
    config=SessionConfig(
        model="anthropic/scripted",
        max_tokens=500,
        compaction=LLMCompaction(
            mechanical=ThresholdCompaction(threshold=0.4, keep_recent_turns=1),
            soft=0.3,
            trigger=0.45,
            hard=0.6,
            keep_recent_turns=1,
            keep_tokens=100,
            max_wait=3.0,
        ),
    ),
    tools=TOOLS,
    labels={"kept": "yes"},
    history=regular(BEFORE),
)


class World:
    """Everything of one run. The process dies at the moments `crash_at`; each time another one takes its place."""

    def __init__(self, crash_at: Collection[int], snapshot_after: int, provider: Provider) -> None:
        self.store = MemoryJournal(lambda: 0.0)
        self.points = Points(crash_at)
        self.points.on_crash = self._crash
        self.ledger = Ledger(self.store)
        self.provider = provider
        self.shown: list[Event] = []
        self.unknown: set[str] = set()
        self.cut: set[TurnId] = set()
        self.interrupting: TurnId | None = None
        self._snapshot_after = snapshot_after
        self._told = asyncio.Event()
        self._processes = 0
        self._begin()

    def _begin(self) -> None:
        process, points = Process(str(self._processes)), self.points
        self._processes += 1
        ports = Ports(
            CrashingModel(self.provider, process, points),
            CrashingTools(self.ledger, process, points),
            CrashingJournal(self.store, process, points),
            LoopClock(),
            CrashingCompactor(process, points),
            lambda config: config.context_limit or WINDOW,
            process.name,
            snapshot_after=self._snapshot_after,
        )
        self._process, self.host = process, SessionHost(ports)

    def _crash(self) -> None:
        """What the journal holds now says what the next owner can know."""
        self._process.kill()
        self.unknown |= self.open_calls()
        if self.interrupting is not None:
            self.cut.add(self.interrupting)
        self._begin()

    @property
    def crashes(self) -> int:
        """How often the process died."""
        return self._processes - 1

    def open_calls(self) -> set[str]:
        """Calls that may have run, and must not run again."""
        entries = [record.entry for record in records_of(self.store)]
        settled = {entry.result.tool_use_id for entry in entries if isinstance(entry, ToolSettled)}
        started = [call for entry in entries if isinstance(entry, ToolBatch) for call in entry.calls]
        return {call.id for call in started if not (call.idempotent or call.external or call.id in settled)}

    async def _within(self, work: Callable[[SessionHost], Awaitable[Result]]) -> Result:
        """Have the process do something. Raises ProcessDied when it dies meanwhile."""
        process, host = self._process, self.host

        async def run() -> Result:
            return await work(host)

        task = process.start(run)
        await asyncio.wait([task])
        if task.cancelled() or (not process.alive and task.exception()):
            raise ProcessDied(process.name)
        return task.result()

    async def ask(self, work: Callable[[Shell], Awaitable[Result]], *, reopen: bool = False) -> Result:
        """Ask something of the session; until it is answered, ask it again."""
        while True:
            try:
                return await self._within(
                    lambda host: _asked(host.open(SESSION, OPENED if reopen else None, reopen=reopen), work)
                )
            except ProcessDied:
                await asyncio.sleep(_PAUSE)

    async def read_on(self) -> None:
        """Read the session's events from the first on, for ever, coming back with the cursor."""
        place = Cursor()

        async def follow(host: SessionHost) -> None:
            nonlocal place
            shell = await host.open(SESSION)
            async for event in Subscription(shell.stream, lambda seq: host.ports.journal.read(SESSION, seq), place):
                place = event.cursor
                self.shown.append(event)
                self._told.set()

        while True:
            with suppress(ProcessDied, SessionError):
                await self._within(follow)
            await asyncio.sleep(_PAUSE)

    async def seen(self, claim: Callable[[], object]) -> None:
        """Wait until the reader has been shown what makes the claim true."""
        while not claim():
            self._told.clear()
            await self._told.wait()


def records_of(store: MemoryJournal) -> Sequence[Record]:
    """What is durable. A journal in memory never waits."""
    try:
        store.read(SESSION).send(None)
    except StopIteration as answer:
        return answer.value
    raise AssertionError("the journal waited")


async def _asked(opening: Awaitable[Shell], work: Callable[[Shell], Awaitable[Result]]) -> Result:
    return await work(await opening)
