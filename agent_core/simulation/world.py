"""The world: processes that host sessions, a placement that moves them when a process dies, and the faulty parts.

The rule here: there may be two owners of a session (a replaced process that was not dead at all goes on writing), and
the journal alone decides which of them counts.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any, TypeVar

from agent_core.compaction.settings import LLMCompaction, ThresholdCompaction
from agent_core.config import SessionConfig
from agent_core.entries import Opened
from agent_core.errors import PlacementError, RayconteurError
from agent_core.hosting import SessionHost
from agent_core.journals.memory import MemoryJournal
from agent_core.local_session import LocalSession
from agent_core.messages import Message, SessionId
from agent_core.opening import check_history
from agent_core.ports import Record
from agent_core.session_ports import Ports
from agent_core.simulation import rules
from agent_core.simulation.compactor import SimulatedCompactors
from agent_core.simulation.parts import (
    TOOLS,
    SimulatedJournal,
    SimulatedModel,
    SimulatedTools,
    Weather,
    window,
)
from agent_core.simulation.processes import Process
from agent_core.simulation.rules import Evidence, RuleBroken

Result = TypeVar("Result")
_Hosting = tuple[Process, SessionHost]
# How long a session may take to write, in seconds.
_PATIENCE = 100.0


_MECHANICAL = ThresholdCompaction(threshold=0.3, keep_recent_turns=1)
_COMPACTION = (
    None,
    _MECHANICAL,
    LLMCompaction(mechanical=_MECHANICAL, soft=0.3, trigger=0.4, hard=0.5, keep_recent_turns=1, max_wait=3.0),
    LLMCompaction(mechanical=None, soft=0.05, trigger=0.1, hard=0.9, keep_recent_turns=0, keep_tokens=50),
)


class LoopClock:
    """The loop's virtual time as the sessions' clock."""

    def now(self) -> float:
        return 1_000_000.0 + asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ProcessDied(Exception):
    """The process that was asked died before it answered."""


class World:
    """Everything of one schedule."""

    def __init__(self, random: Random, sessions: int, history: tuple[Message, ...] = ()) -> None:
        self.random, self._history = random, history
        self.weather, self.evidence = Weather(), Evidence()
        self.store = MemoryJournal(lambda: 0.0)
        self.model = SimulatedModel(random, self.weather, self.evidence)
        self.tools = SimulatedTools(random, self.evidence)
        self.compactors = SimulatedCompactors(random, self.weather, self.evidence)
        self.sessions = [SessionId(f"s{number}") for number in range(sessions)]
        self.config = SessionConfig(
            model="anthropic/simulated",
            max_tokens=500,
            max_steps=6,
            compaction=random.choice(_COMPACTION),
            on_recovery=random.choice(("resume", "resume", "fail")),
        )
        self._processes: list[_Hosting] = []
        self._place: dict[SessionId, _Hosting] = {}
        self.replace_all()

    def replace_all(self) -> None:
        """A new process takes over every session; the old one is not told."""
        self._place = dict.fromkeys(self.sessions, self._new_process())

    def hand_over(self) -> None:
        """A new process takes over every session, each when the old one has let go of it."""
        patience = self.random.choice((0.0, 1.0, 30.0))
        before, after = self._processes[-1], self._new_process()
        for session_id in self.sessions:
            before[0].start(partial(self._hand_over, session_id, (before, after), patience))

    async def _hand_over(self, session_id: SessionId, way: tuple[_Hosting, _Hosting], patience: float) -> None:
        before, after = way
        with suppress(RayconteurError):
            await before[1].hand_over(session_id, PlacementError("It is elsewhere by now.", "moved"), patience)
        if self._place[session_id] is before:
            self._place[session_id] = after

    def _new_process(self) -> _Hosting:
        process = Process(f"process {len(self._processes)}")
        journal = SimulatedJournal(self.store, process, self.random, self.weather)
        ports = Ports(
            self.model,
            self.tools.port(process),
            journal,
            LoopClock(),
            self.compactors.port(process),
            window,
            process.name,
            snapshot_after=self.random.choice((1, 10, 200)),
        )
        host = SessionHost(ports)
        self._processes.append((process, host))
        return self._processes[-1]

    def put_away(self) -> None:
        """The process lets go of what is idle, as one that is short of memory does."""
        process, host = self._processes[-1]
        process.start(host.put_away)

    def kill_process(self) -> None:
        """The process that hosts the sessions dies; another takes over."""
        self._processes[-1][0].kill()
        self.replace_all()

    async def session(self, session_id: SessionId) -> tuple[Process, LocalSession]:
        """The session where it is placed now. Raises what keeps it from being opened."""
        process, host = self._place[session_id]
        opened = Opened(config=self.config, tools=TOOLS, history=self._history)
        shell = await self.within(process, lambda: host.open(session_id, opened, reopen=True))
        check_history(opened, shell.conversation)
        return process, LocalSession(shell, host)

    async def within(self, process: Process, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Have a process do something and wait for it, as a client does. Raises ProcessDied when it dies meanwhile."""
        task = process.start(work)
        try:
            return await task
        except asyncio.CancelledError:
            if process.alive:
                raise
            raise ProcessDied(process.name) from None

    async def logs(self) -> dict[SessionId, Sequence[Record]]:
        """What the journal holds, seen from outside."""
        return {session_id: await self.store.read(session_id) for session_id in self.sessions}

    async def at_rest(self) -> bool:
        """Whether every session that exists is open here and has nothing left to do."""
        for session_id in self.sessions:
            if not await self.store.exists(session_id):
                continue
            try:
                _, session = await self.session(session_id)
            except (RayconteurError, ProcessDied):
                return False
            conversation = session.conversation
            if not conversation.closed and (conversation.open or conversation.queue):
                return False
        return True

    async def check(self) -> None:
        """What must hold at any moment."""
        if self.model.broken is not None:
            raise self.model.broken
        rules.check_tools(self.evidence)
        logs = await self.logs()
        for session_id, records in logs.items():
            rules.check_journal(session_id, records)
            rules.check_summaries(self.evidence, session_id, records)
        rules.check_accepted(self.evidence, logs)
        rules.check_interrupted(self.evidence, logs)
        for name, events in self.evidence.shown.items():
            rules.check_shown(name, events, logs[SessionId(name.partition(" ")[0])])

    async def _written(self) -> None:
        """Wait until what the live sessions have decided is in the journal; a late report may just have come."""
        for session_id in self.sessions:
            shell = self._place[session_id][1].find(session_id)
            if shell is not None and shell.lost is None:
                try:
                    async with asyncio.timeout(_PATIENCE):
                        await shell.settled()
                except TimeoutError:
                    raise RuleBroken(f"stuck: {session_id} never writes what it has decided") from None
                except RayconteurError:
                    # It was lost meanwhile.
                    continue

    async def check_end(self) -> None:
        """What must hold once the faults have ceased and everything has had its time."""
        await self.check()
        await self._written()
        for session_id in self.sessions:
            shell = self._place[session_id][1].find(session_id)
            if shell is None:
                continue
            if records := await self.store.read(session_id):
                rules.check_settled(session_id, shell.conversation)
                rules.check_view(session_id, shell.conversation, records)
                rules.check_replay(session_id, shell.conversation, records)
                # Reading takes time, in which a late report may come: so last.
                rules.check_reopens(session_id, await shell.whole())
