"""The worker of a run: runs a program beside the sessions of one host, and speaks with the coordinator in envelopes.

The rule here: one envelope is under way at a time, and carries all that came up meanwhile. A worker that lost its
coordinator, or whose place was taken by another, leaves its sessions as they are: whoever goes on finds them.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Self

from agent_core.config import SessionConfig
from agent_core.entries import Opened
from agent_core.evaluation.coordinator import Envelope, Reply, Settled
from agent_core.evaluation.grading import SessionGrader
from agent_core.evaluation.logs.sample import Asked, member
from agent_core.evaluation.pricing import pricing
from agent_core.evaluation.program import ProgramSource
from agent_core.evaluation.result import Result, ResultHead, encode
from agent_core.evaluation.runner import Plan, Runner
from agent_core.evaluation.sample import Assignment, Sample
from agent_core.hosting import SessionHost
from agent_core.local_session import LocalSession
from agent_core.messages import SessionId
from agent_core.ports import Clock
from agent_core.providers.preloading import preload
from agent_core.seeding import regular

Exchange = Callable[[Envelope], Awaitable[Reply]]

# What comes up within this time shares an envelope.
MOMENT = 0.005
# How long a worker that was given less than it wants waits before it asks again, and how often it is heard of at least.
LATER = 0.1
HEARTBEAT = 1.0
# How many sessions are opened at once. The first ones ask while others are opened: samples that begin together spread
# over the time that the model takes, and do not all wait for one another at each turn.
OPENING = 32
_HEAD = tuple(ResultHead.model_fields)


class WorkerLink:
    """A worker's side of the conversation with its coordinator: a source of assignments and a sink of results."""

    def __init__(self, exchange: Exchange, asked: Asked | None = None) -> None:
        self._exchange, self._asked = exchange, asked
        self._takers: deque[asyncio.Future[Assignment | None]] = deque()
        self._settled: list[Settled] = []
        self._primed: list[str] = []
        self._wake = asyncio.Event()
        self._numbers = itertools.count(1)
        self._done = self._closing = False
        self.left = False
        self.runner: Runner | None = None

    async def take(self) -> Assignment | None:
        if self._done:
            return None
        taker: asyncio.Future[Assignment | None] = asyncio.get_running_loop().create_future()
        self._takers.append(taker)
        self._wake.set()
        return await taker

    def settle(self, result: Result) -> None:
        """Have a result sent."""
        head = ResultHead.model_construct(**{name: getattr(result, name) for name in _HEAD})
        sample = None if self._asked is None else member(result, self._asked)
        self._settled.append(Settled(head, encode(result), sample))
        self._wake.set()

    def prime(self, assignment: Assignment) -> None:
        """The model has begun to answer: the other epochs of the sample may begin."""
        if assignment.epoch == 1:
            self._primed.append(assignment.sample.id)
            self._wake.set()

    async def speak(self) -> None:
        """Exchange envelopes until the worker is told to leave, or has closed the link and everything is sent.

        Raises what the exchange raises.
        """
        while not self.left and not (self._closing and not self._settled):
            short = await self._exchanged()
            self._wake.clear()
            if self._closing or self._settled or self._primed or (self._takers and not short):
                self._wake.set()
            try:
                async with asyncio.timeout(LATER if short else HEARTBEAT):
                    await self._wake.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(MOMENT)

    def close(self) -> None:
        """Nothing more will be settled or taken."""
        self._closing = True
        self._wake.set()

    async def _exchanged(self) -> bool:
        """One envelope. Returns whether less was given than is wanted."""
        self._takers = deque(taker for taker in self._takers if not taker.done())
        settled, self._settled = self._settled, []
        primed, self._primed = self._primed, []
        counters = self.runner.counters if self.runner else None
        reply = await self._exchange(
            Envelope(
                next(self._numbers),
                settled,
                len(self._takers),
                primed,
                counters.retried if counters else 0,
                counters.rate_limited if counters else 0,
            )
        )
        if reply.unknown:
            self.left = True
            return False
        if reply.stop and self.runner is not None:
            self.runner.stop()
        for assignment in reply.assignments:
            self._give(assignment)
        self._done = reply.done or reply.stop
        if self._done:
            while self._takers:
                self._give(None)
        return bool(self._takers)

    def _give(self, assignment: Assignment | None) -> None:
        while self._takers:
            taker = self._takers.popleft()
            if not taker.done():
                taker.set_result(assignment)
                return


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """What a worker is told when it begins.

    `opened` is how each session is opened; `plan` has no prices yet. With `asked` each result is made a sample of the
    run's log, which says so.
    """

    plan: Plan
    program: ProgramSource
    opened: Opened
    home: int | None = None
    asked: Asked | None = None

    def on(self, home: int | None, concurrency: int) -> Self:
        """The order of one of several workers."""
        return replace(self, home=home, plan=replace(self.plan, concurrency=concurrency))


async def work(host: SessionHost, exchange: Exchange, order: WorkOrder, clock: Clock) -> None:
    """Run samples on the host's sessions until there are no more.

    Raises ConfigError if the program cannot be loaded, and what `Runner.run` raises.
    """
    program = await asyncio.to_thread(order.program.load)
    await preload(order.opened.config)
    opened, opening = order.opened, asyncio.Semaphore(OPENING)

    async def opener(session_id: SessionId, labels: Mapping[str, str], sample: Sample) -> LocalSession:
        async with opening:
            first = opened.model_copy(
                update={"labels": {**opened.labels, **labels}, **_history(sample), **_cache(opened.config, labels)}
            )
            return LocalSession(await host.open(session_id, first, reopen=True), host)

    link = WorkerLink(exchange, order.asked)
    plan = replace(order.plan, price=pricing(opened.config))
    runner = link.runner = Runner(opener, link.settle, plan, clock, program)
    runner.on_first = link.prime if order.plan.primes else None
    runner.grader = SessionGrader(host, order.plan.run_id)
    speaking = asyncio.create_task(link.speak())
    running = asyncio.create_task(runner.run(link))
    try:
        await asyncio.wait((speaking, running), return_when=asyncio.FIRST_COMPLETED)
        if speaking.done():
            # It was told to leave, or its coordinator is lost: what is open stays as it is.
            await speaking
            return
        link.close()
        await speaking
        await running
    finally:
        for task in (speaking, running):
            task.cancel()
        await asyncio.gather(speaking, running, return_exceptions=True)


def _history(sample: Sample) -> dict[str, object]:
    return {"history": regular(sample.history)} if sample.history else {}


def _cache(config: SessionConfig, labels: Mapping[str, str]) -> dict[str, SessionConfig]:
    """The configuration of a session whose answers may be given again: to its own epoch, for epochs are to differ."""
    if config.cache is None:
        return {}
    own = config.cache.model_copy(update={"scope": f"{config.cache.scope}/epoch {labels['epoch']}"})
    return {"config": config.model_copy(update={"cache": own})}
