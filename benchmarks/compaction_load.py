"""Sessions that talk until they are compacted again and again, in this process: what every turn and compaction took.

The rule here: what a turn waited is what the session itself recorded, and the splice is timed where it is done. Times
of the model are scaled down and told as if they were not; what we compute ourselves is told as it was. The model runs
in a process beside, and the journal is on.
"""

import asyncio
import random
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from agent_core import inputs
from agent_core.clock import SystemClock
from agent_core.compaction.local import LocalCompactor
from agent_core.compaction.summarising import Summariser
from agent_core.compaction_jobs import CompactionJobs
from agent_core.config import SessionConfig
from agent_core.cursor import Event
from agent_core.entries import Compacted, CompactionFailed, Opened
from agent_core.errors import SessionClosed
from agent_core.garbage import settle_garbage
from agent_core.hosting import SessionHost
from agent_core.journals.blobs import JournalBlobs
from agent_core.journals.sqlite import SqliteJournal
from agent_core.messages import SessionId
from agent_core.models import context_limit
from agent_core.payloads import StatusChanged
from agent_core.providers.dispatch import build_model
from agent_core.scripted import Knobs, Reply, Rule, Script, SummaryKnobs
from agent_core.scripted.process import ScriptedServerProcess
from agent_core.session import Shell
from agent_core.session_ports import Ports
from agent_core.submission import payload_of
from agent_core.tools import LocalToolExecutor
from benchmarks.rig import config_of

FOR_EVER = 3_600.0
_WINDOW, _ANSWER = 4_096, 512
_USABLE = _WINDOW - _ANSWER
_CHARACTERS = 4
_AT_ONCE = 50
# Where sessions begin, in shares of the window: spread, so that they are not all compacted at the same time.
_FILLED = (0.15, 0.6)


@dataclass(frozen=True, slots=True)
class Load:
    """What the sessions do. Times are in seconds before `scale` shrinks them, `step` is what a turn adds to the window.

    A turn is one request, answered after a log-normal time with median `answer`; between turns the user, or a tool,
    takes `pause` on average. A summary takes a log-normal time with median `summary`. `slots` are the summaries that
    are made at once. Past the mark `inline_at`, if there is one, a message first has the session compacted and waits.
    """

    sessions: int
    scale: float
    seconds: float
    answer: float = 3.0
    pause: float = 3.0
    summary: float = 20.0
    spread: float = 0.5
    step: float = 0.02
    slots: int = 256
    seed: int = 1
    inline_at: float | None = None

    def script(self) -> Script:
        """What the server answers, and when."""
        text = "a word " * int(self.step * _USABLE * _CHARACTERS / 2 / 7)
        return Script(
            seed=self.seed,
            rules=(Rule(replies=(Reply(text=text),)),),
            knobs=Knobs(
                deltas=2,
                first_byte_s=self.answer * self.scale,
                first_byte_sigma=self.spread,
                summaries=SummaryKnobs(first_byte_s=self.summary * self.scale, first_byte_sigma=self.spread),
            ),
        )


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn: when it began (from the run's start), how long it took and how much of that it waited; scaled back."""

    began: float
    took: float
    waited: float
    splice: float


@dataclass(frozen=True, slots=True)
class Compaction:
    """One compaction. `waited` is what a turn waited for it, scaled back; `splice` is computing, as it was."""

    at: float
    strategy: str
    before: int
    after: int
    waited: float
    splice: float
    usable: int = _USABLE


@dataclass(slots=True)
class Seen:
    """What one run has seen. `calls` are the summariser's requests, `failed` jobs that came to nothing."""

    scale: float
    turns: list[Turn] = field(default_factory=list[Turn])
    compactions: list[Compaction] = field(default_factory=list[Compaction])
    failed: int = 0
    calls: int = 0
    wall: float = 0.0


Splices = dict[tuple[str, str], float]


@contextmanager
def timed_splices() -> Iterator[Splices]:
    """Time every splice in this process: seconds by session and job, for as long as this lasts."""
    seconds: Splices = {}
    plain = CompactionJobs.splice

    def splice(jobs: CompactionJobs, waited: float) -> None:
        job = jobs.current
        start = time.perf_counter()
        plain(jobs, waited)
        if job is not None:
            seconds[job.job.session_id, job.id] = time.perf_counter() - start

    jobs_class: Any = CompactionJobs
    jobs_class.splice = splice
    try:
        yield seconds
    finally:
        jobs_class.splice = plain


@asynccontextmanager
async def host_of(directory: Path, load: Load) -> AsyncIterator[SessionHost]:
    """A host of sessions with a compactor beside them, as a runtime of one process has it, but for the slots."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        journal = await stack.enter_async_context(SqliteJournal(directory / "journal.db"))
        model = build_model(4 * load.sessions + load.slots, clock, random.Random(1))
        stack.push_async_callback(model.aclose)
        tools = LocalToolExecutor(blobs=JournalBlobs(journal))
        stack.push_async_callback(tools.aclose)
        compactor = LocalCompactor(Summariser(model, clock, context_limit), clock, load.slots, load.sessions)
        stack.push_async_callback(compactor.aclose)
        yield SessionHost(Ports(model, tools, journal, clock, compactor, context_limit))


class _Talk:
    """One session that is talked to."""

    def __init__(self, shell: Shell, load: Load, seen: Seen, splices: Splices) -> None:
        self._shell, self._load, self._seen, self._splices = shell, load, seen, splices
        self._random = random.Random(f"{shell.id} {load.seed}")
        self._start = 0.0
        self._waits_since: float | None = None
        self._waited = self._spliced = 0.0
        shell.stream.listen(self._hear)

    async def until_over(self, start: float) -> None:
        """Talk until the load's seconds are over. Raises RuntimeError if a turn does not complete."""
        load, self._start = self._load, start
        await asyncio.sleep(self._random.uniform(0.0, load.answer + load.pause) * load.scale)
        await self._turn(self._random.uniform(*_FILLED))
        while time.perf_counter() - start < load.seconds:
            await asyncio.sleep(self._random.uniform(0.5, 1.5) * load.pause * load.scale)
            await self._turn(load.step / 2)

    async def _turn(self, share: float) -> None:
        text = ("some text " * int(share * _USABLE * _CHARACTERS / 10 + 1)).strip()
        began = time.perf_counter()
        self._waited = self._spliced = 0.0
        await self._compact_inline()
        turn_id = await self._shell.submit(inputs.Submit(payload_of(text)))
        ended = await self._shell.result(turn_id)
        took = (time.perf_counter() - began) / self._load.scale
        if ended.outcome != "completed":
            raise RuntimeError(f"A turn ended as '{ended.outcome}': {ended.error}. Look at its session's log.")
        self._seen.turns.append(Turn(self._told(began), took, self._waited, self._spliced))

    async def _compact_inline(self) -> None:
        """Have the conversation compacted before a message that is sent past the mark of inline compaction."""
        mark = self._load.inline_at
        if mark is None or self._shell.conversation.context_used <= mark * _USABLE:
            return
        self._wait(waits=True)
        await self._shell.compact()
        self._wait(waits=False)

    def _told(self, moment: float) -> float:
        return (moment - self._start) / self._load.scale

    def _hear(self, event: Event | None) -> None:
        match event.payload if event is not None else None:
            case StatusChanged(state=state):
                self._wait(waits=state == "compacting")
            case Compacted() as compacted:
                self._compacted(compacted)
            case CompactionFailed():
                self._seen.failed += 1
            case _:
                pass

    def _wait(self, *, waits: bool) -> None:
        now = time.perf_counter()
        if self._waits_since is not None:
            self._waited += (now - self._waits_since) / self._load.scale
        self._waits_since = now if waits else None

    def _compacted(self, compacted: Compacted) -> None:
        waited = compacted.waited / self._load.scale
        if self._waits_since is not None and self._load.inline_at is not None:
            waited = (time.perf_counter() - self._waits_since) / self._load.scale
        splice = self._splices.get((self._shell.id, compacted.job_id or ""), 0.0)
        if compacted.turn_id is not None:
            self._spliced += splice
        self._seen.compactions.append(
            Compaction(
                at=self._told(time.perf_counter()),
                strategy=compacted.strategy,
                before=compacted.tokens_before,
                after=compacted.tokens_after,
                waited=waited,
                splice=splice,
            )
        )


async def run(load: Load, compaction: dict[str, Any]) -> Seen:
    """Have sessions with this setting of compaction talk, and tell what was seen. Its times are scaled too."""
    scaled = compaction | {
        name: compaction[name] * load.scale for name in ("max_wait", "deadline") if name in compaction
    }
    seen = Seen(load.scale)
    with tempfile.TemporaryDirectory(prefix="rayconteur-benchmark-") as directory, timed_splices() as splices:
        async with ScriptedServerProcess(load.script()) as server, host_of(Path(directory), load) as host:
            config = config_of(server, Path(directory))
            # Its window takes what it is given in one request.
            summariser = {name: config[name] for name in ("model", "base_url", "api_key")} | {
                "context_limit": 4 * _WINDOW
            }
            config |= {"context_limit": _WINDOW, "max_tokens": _ANSWER, "compaction": summariser | scaled}
            # The first request loads the SDK.
            (first,) = await _opened(host, 1, config, "warm-up")
            await first.result(await first.submit(inputs.Submit(payload_of("Hello."))))
            shells = await _opened(host, load.sessions, config)
            settle_garbage()
            talks = [_Talk(shell, load, seen, splices) for shell in shells]
            start = time.perf_counter()
            await asyncio.gather(*(talk.until_over(start) for talk in talks))
            seen.wall = time.perf_counter() - start
            seen.calls = await _summaries(server.url)
            host.drop_all(SessionClosed("The benchmark is over.", "closed"))
    return seen


async def _opened(host: SessionHost, count: int, config: dict[str, Any], name: str = "talk") -> list[Shell]:
    opened = Opened(config=SessionConfig.of(**config))
    shells: list[Shell] = []
    while len(shells) < count:
        wanted = range(len(shells), min(len(shells) + _AT_ONCE, count))
        shells += await asyncio.gather(*(host.open(SessionId(f"{name}-{n}"), opened) for n in wanted))
    return shells


async def _summaries(url: str) -> int:
    """How many requests for a summary the server has had."""
    async with aiohttp.ClientSession() as client, client.get(f"{url}/scripted/stats") as answer:
        return (await answer.json())["summaries"]
