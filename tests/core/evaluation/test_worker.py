"""Workers beside real sessions on fake ports: limits hold, answers are judged, a lost worker costs nothing twice."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent_core.clock import SystemClock
from agent_core.compaction.settings import ThresholdCompaction
from agent_core.config import SessionConfig
from agent_core.entries import Opened
from agent_core.errors import PlacementError, RayconteurError
from agent_core.evaluation.coordinator import Coordinator, CoordinatorPlan, Envelope, Reply, Settled
from agent_core.evaluation.index import RunIndex
from agent_core.evaluation.limits import Limit, SampleLimits
from agent_core.evaluation.program import Agent, Given, Program, chat
from agent_core.evaluation.result import Result, decode
from agent_core.evaluation.runner import Plan
from agent_core.evaluation.sample import Sample
from agent_core.evaluation.score import Answered, Score, Scorer
from agent_core.evaluation.summary import Tally
from agent_core.evaluation.worker import WorkOrder, work
from agent_core.hosting import SessionHost
from agent_core.journals.memory import MemoryJournal
from agent_core.session_ports import Ports
from agent_core.session_protocol import Session
from agent_core.testing import FakeCompactor, FakeModel, FakeTools

pytestmark = pytest.mark.timeout(30)
OPENED = Opened(config=SessionConfig(model="openai/fake", compaction=ThresholdCompaction()))


class Right:
    """Right where the answer holds the target."""

    name = "right"

    async def score(self, answered: Answered) -> Score:
        if answered.answer == "You said: nonsense":
            raise ValueError("cannot read this")
        return Score(value=float(str(answered.sample.target) in answered.answer))


class World:
    """A host with a fake model, a coordinator, and workers that come and go."""

    def __init__(self, samples: int, agent: Agent = chat, scorers: tuple[Scorer, ...] = (), **plan: Any) -> None:
        self.model = FakeModel()
        self.journal = MemoryJournal()
        ports = Ports(self.model, FakeTools(), self.journal, SystemClock(), FakeCompactor(), limit_of=lambda _: 100_000)
        self.host = SessionHost(ports)
        self.index = RunIndex()
        for number in range(samples):
            self.index.add_sample(Sample(id=f"q{number}", input=f"question {number}", target=str(number), line=number))
        self.results: list[Result] = []
        epochs = plan.pop("epochs", 1)
        self.coordinator = Coordinator(
            self.index, self.keep, Tally(samples * epochs), CoordinatorPlan("r", epochs), SystemClock()
        )
        settings = {"run_id": "r", "configuration": "c", "concurrency": 4, "primes": epochs > 1, **plan}
        self.order = WorkOrder(Plan(**settings), Given(Program(agent, scorers)), OPENED)

    def keep(self, settled: Settled) -> None:
        self.results.append(decode(settled.line))

    async def work(self, worker: str = "w") -> None:
        self.coordinator.enter(worker)

        async def exchange(envelope: Envelope) -> Reply:
            return self.coordinator.exchange(worker, None, envelope)

        await work(self.host, exchange, self.order, SystemClock())

    async def all(self) -> dict[str, Result]:
        await self.work()
        assert self.coordinator.is_over
        return {f"{result.id}.{result.epoch}": result for result in self.results}


@pytest.fixture(autouse=True)
async def no_tasks_are_left() -> AsyncIterator[None]:
    yield
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


async def test_every_sample_is_answered_and_judged_beside_its_session() -> None:
    world = World(9, scorers=(Right(),))
    results = await world.all()
    assert len(results) == 9
    assert {result.outcome for result in results.values()} == {"scored"}
    assert all(result.scores["right"].value == 1.0 for result in results.values())


async def test_an_answer_that_a_scorer_fails_at_is_unscored_and_says_why() -> None:
    async def odd(session: Session, sample: Sample) -> str:
        return await session.ask("nonsense" if sample.id == "q1" else sample.input)

    results = await World(3, odd, (Right(),)).all()
    assert [results[f"q{n}.1"].outcome for n in range(3)] == ["scored", "unscored", "scored"]
    error = results["q1.1"].scores["right"].error
    assert error is not None
    assert "cannot read this" in error.message


async def test_the_other_epochs_begin_when_the_first_one_has_begun_to_be_answered() -> None:
    world = World(1, epochs=3)
    world.model.gate = asyncio.Event()
    working = asyncio.create_task(world.work())
    while not world.model.requests:
        await asyncio.sleep(0)
    for _ in range(50):
        await asyncio.sleep(0.002)
    assert len(world.model.requests) == 1, "the cache is cold"
    world.model.gate.set()
    await working
    assert sorted(result.epoch for result in world.results) == [1, 2, 3]


async def talkative(session: Session, _: Sample) -> str:
    answer = ""
    for number in range(20):
        answer = await session.ask(f"word {number}")
    return answer


@pytest.mark.parametrize(
    ("limits", "limit", "turns"),
    [
        (SampleLimits(turns=3), "turns", 3),
        (SampleLimits(messages=6), "messages", 3),
        (SampleLimits(tokens=40), "tokens", 3),
        (SampleLimits(cost=0.025), "cost", 3),
    ],
)
async def test_a_limit_ends_a_sample_by_its_name_and_keeps_what_was_said(
    limits: SampleLimits, limit: Limit, turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent_core.evaluation.worker.pricing", lambda _: lambda usage, _s: usage.input_tokens / 1000)
    result = (await World(1, talkative, limits=limits).all())["q0.1"]
    assert (result.outcome, result.limit) == ("limit_hit", limit)
    assert result.answer == f"You said: word {turns - 1}"
    assert result.transcript is not None
    assert len(result.transcript) in {2 * turns, 2 * turns + 1}


async def test_working_time_leaves_out_what_was_waited_for() -> None:
    async def slow(session: Session, _: Sample) -> str:
        await asyncio.sleep(60)
        return await session.ask("never")

    result = (await World(1, slow, limits=SampleLimits(working_time=0.05)).all())["q0.1"]
    assert (result.outcome, result.limit) == ("limit_hit", "working_time")


async def test_a_lost_worker_costs_no_model_call_twice_however_far_its_agents_were() -> None:
    begun = asyncio.Event()

    async def three(session: Session, sample: Sample) -> str:
        first = await session.ask(sample.input)
        second = await session.ask(f"and {first}")
        begun.set()
        if hold.is_set():
            await asyncio.Event().wait()
        return await session.ask(f"so {second}")

    hold = asyncio.Event()
    hold.set()
    world = World(2, three)
    lost = asyncio.create_task(world.work("w#1"))
    await begun.wait()
    for _ in range(20):
        await asyncio.sleep(0)
    lost.cancel()
    await asyncio.gather(lost, return_exceptions=True)
    assert world.coordinator.lost("w#1") == 2
    # Its process is gone, and with it what was in memory.
    world.host.drop_all(PlacementError("the actor died"))
    hold.clear()
    await world.work("w#2")
    assert {result.outcome for result in world.results} == {"completed"}
    assert world.results[0].answer == f"You said: so You said: and You said: question {world.results[0].id[1:]}"
    assert len(world.model.requests) == 6, "three for each sample, whoever asked"


async def test_a_worker_whose_place_was_taken_leaves_its_sessions_as_they_are() -> None:
    world = World(2)
    world.model.gate = asyncio.Event()
    first = asyncio.create_task(world.work("w#1"))
    while len(world.model.requests) < 2:
        await asyncio.sleep(0)
    world.coordinator.lost("w#1")
    second = asyncio.create_task(world.work("w#2"))
    await first
    assert all(shell.status().state == "running" for name in world.host.active if (shell := world.host.find(name)))
    world.model.gate.set()
    await second
    assert [result.outcome for result in world.results] == ["completed"] * 2
    assert len(world.model.requests) == 2


async def test_a_coordinator_that_is_gone_ends_the_worker_with_the_reason() -> None:
    world = World(1)

    async def gone(_: Envelope) -> Reply:
        raise PlacementError("the coordinator did not come back")

    with pytest.raises(PlacementError, match="did not come back"):
        await work(world.host, gone, world.order, SystemClock())


class Missing:
    """A program that is not where it was."""

    def load(self) -> Program:
        raise RayconteurError("task.py is gone. Put it back.")


async def test_a_program_that_cannot_be_loaded_ends_the_worker_before_anything_is_taken(tmp_path: Path) -> None:
    world = World(1)
    world.order = WorkOrder(world.order.plan, Missing(), OPENED)
    with pytest.raises(RayconteurError, match="Put it back"):
        await world.work()
    assert world.coordinator.status().open == 0
