"""The runner over real sessions on fake ports: every sample taken ends in one result, whatever its session does."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from agent_core.clock import SystemClock
from agent_core.config import SessionConfig
from agent_core.entries import Opened
from agent_core.errors import ConfigError, PlacementError, ProviderError
from agent_core.evaluation.limits import SampleLimits
from agent_core.evaluation.program import Agent, Program, chat
from agent_core.evaluation.result import Result
from agent_core.evaluation.runner import Plan, Runner
from agent_core.evaluation.sample import Assignment, Sample
from agent_core.evaluation.score import Scorer
from agent_core.evaluation.source import Listed
from agent_core.hosting import SessionHost
from agent_core.journals.memory import MemoryJournal
from agent_core.local_session import LocalSession
from agent_core.messages import SessionId, Usage
from agent_core.ports import ModelRequest
from agent_core.session_ports import Ports
from agent_core.session_protocol import Session
from agent_core.testing import FakeCompactor, FakeModel, FakeTools, Says

pytestmark = pytest.mark.timeout(30)


class Quick:
    """A clock that tells the time and never waits; it notes what it was asked to wait."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> float:
        return SystemClock().now()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


class World:
    """Sessions of this process on a fake model, and the results that came out."""

    def __init__(self, says: Callable[[str, int], Says | None] | None = None) -> None:
        self.model = FakeModel()
        self.results: list[Result] = []
        self.opened: list[SessionId] = []
        self.clock = Quick()
        self.journal = MemoryJournal()
        self._asked: dict[str, int] = {}
        self._says = says
        self.compactor = FakeCompactor()
        ports = Ports(self, FakeTools(), self.journal, SystemClock(), self.compactor, limit_of=lambda _: 100_000)
        self.host = SessionHost(ports)

    def stream(self, request: ModelRequest) -> Any:
        question = str(getattr(request.messages[0].content[0], "text", ""))
        self._asked[question] = self._asked.get(question, 0) + 1
        said = self._says(question, self._asked[question]) if self._says else None
        self.model.script.clear()
        if said is not None:
            self.model.script.append(said)
        return self.model.stream(request)

    async def open(self, session_id: SessionId, labels: Mapping[str, str], sample: Sample) -> LocalSession:
        self.opened.append(session_id)
        opened = Opened(config=SessionConfig(model="local/fake"), labels=dict(labels))
        return LocalSession(await self.host.open(session_id, opened), self.host)

    def runner(self, agent: Agent = chat, scorers: tuple[Scorer, ...] = (), **plan: Any) -> Runner:
        settings = {"run_id": "r", "configuration": "c", "jitter": lambda: 0.0, **plan}
        return Runner(self.open, self.results.append, Plan(**settings), self.clock, Program(agent, scorers))

    def by_id(self) -> dict[str, Result]:
        assert len({result.id for result in self.results}) == len(self.results)
        return {result.id: result for result in self.results}


def assignments(count: int) -> Iterator[Assignment]:
    return (Assignment(Sample(id=f"q{n}", input=f"question {n}", target=n, line=n + 1)) for n in range(count))


def samples(count: int) -> Listed:
    return Listed(assignments(count))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


async def test_what_summaries_took_is_told_apart_and_paid_for() -> None:
    world = World()

    async def agent(session: Session, sample: Sample) -> str:
        await session.ask("word " * 400)
        answer = await session.ask(sample.input)
        compacting = asyncio.create_task(session.compact())
        await until(lambda: bool(world.compactor.jobs))
        world.compactor.finish(world.compactor.jobs[0], usage=Usage(input_tokens=700, output_tokens=30))
        await compacting
        return answer

    def price(usage: Usage, summariser: Usage) -> float:
        return usage.output_tokens + summariser.output_tokens / 100

    await world.runner(agent=agent, price=price).run(samples(1))
    (result,) = world.results
    assert result.usage == Usage(input_tokens=20, output_tokens=10)
    assert result.summariser == Usage(input_tokens=700, output_tokens=30)
    assert result.cost == pytest.approx(10.3)


async def test_each_sample_gets_one_result_from_a_session_of_its_own() -> None:
    world = World()
    await world.runner(concurrency=7, first_tokens=True, price=lambda usage, _: usage.output_tokens / 10).run(
        samples(40)
    )
    results = world.by_id()
    assert sorted(results) == sorted(f"q{n}" for n in range(40))
    assert len({result.session_id for result in world.results}) == 40
    one = results["q3"]
    assert (one.outcome, one.answer, one.attempts, one.target) == ("completed", "You said: question 3", 1, 3)
    assert one.usage == Usage(input_tokens=10, output_tokens=5)
    assert one.summariser is None
    assert one.cost == pytest.approx(0.5)
    assert [message.kind for message in one.transcript or ()] == ["user", "assistant"]
    assert one.timings.queued <= one.timings.started <= (one.timings.first_token or 0) <= one.timings.ended


async def test_no_more_than_the_concurrency_is_held_and_the_dataset_is_read_no_further() -> None:
    world = World()
    world.model.gate = asyncio.Event()
    taken = 0

    def counted() -> Iterator[Assignment]:
        nonlocal taken
        for assignment in assignments(100):
            taken += 1
            yield assignment

    runner = world.runner(concurrency=4)
    running = asyncio.create_task(runner.run(Listed(counted())))
    await until(lambda: len(world.model.requests) == 4)
    assert (taken, runner.open, runner.taken) == (4, 4, 4)
    world.model.gate.set()
    await running
    assert (taken, runner.open, len(world.results)) == (100, 0, 100)


async def test_sessions_are_shut_down_when_their_sample_is_done() -> None:
    world = World(lambda q, _: Says(error=ProviderError("no", "bad_request")) if q == "question 1" else None)
    await world.runner(concurrency=2).run(samples(3))
    assert all(shell.is_shutdown for name in world.opened if (shell := world.host.find(name)) is not None)


async def test_an_infrastructure_failure_is_tried_again_in_a_new_session_after_a_growing_delay() -> None:
    world = World(lambda _, n: Says(error=ProviderError("busy", "overloaded", 529)) if n < 4 else None)
    await world.runner(retries=3, first_delay=1.0).run(samples(1))
    (result,) = world.results
    assert (result.outcome, result.attempts) == ("completed", 4)
    assert world.clock.slept == [1.0, 2.0, 4.0]
    assert len(set(world.opened)) == 4


async def test_what_stays_failed_is_a_result_with_its_error_attempts_and_transcript() -> None:
    world = World(lambda q, _: Says(error=ProviderError("down", "connection")) if q == "question 1" else None)
    await world.runner(concurrency=3, retries=2).run(samples(3))
    failed = world.by_id()["q1"]
    assert (failed.outcome, failed.attempts, failed.answer) == ("infrastructure_failed", 3, None)
    assert failed.error is not None
    assert (failed.error.kind, failed.error.message) == ("connection", "down")
    assert failed.transcript is not None
    assert [message.kind for message in failed.transcript] == ["user"]


async def test_a_model_failure_is_not_tried_again() -> None:
    world = World(lambda _q, _n: Says(error=ProviderError("no such field", "bad_request", 400)))
    await world.runner(retries=5).run(samples(1))
    assert (world.results[0].outcome, world.results[0].attempts) == ("model_failed", 1)


async def test_an_answer_cut_at_max_tokens_is_a_limit_and_keeps_what_was_said() -> None:
    world = World(lambda _q, _n: Says("half an ans", stop="max_tokens"))
    await world.runner(retries=5).run(samples(1))
    (result,) = world.results
    assert (result.outcome, result.limit, result.answer) == ("limit_hit", "max_tokens", "half an ans")


async def test_a_sample_that_takes_too_long_is_a_limit_and_keeps_its_transcript() -> None:
    world = World()
    world.model.gate = asyncio.Event()
    await world.runner(limits=SampleLimits(time=0.05)).run(samples(1))
    (result,) = world.results
    assert (result.outcome, result.limit, result.attempts) == ("limit_hit", "time", 1)
    assert result.transcript
    assert (await world.journal.read(world.opened[0]))[-1].entry.kind == "closed"


async def test_a_time_out_inside_the_agent_is_not_taken_for_the_limit() -> None:
    async def agent(_session: Session, _sample: Sample) -> str:
        raise TimeoutError("a lookup took too long")

    world = World()
    await world.runner(agent=agent, limits=SampleLimits(time=100.0)).run(samples(1))
    assert world.results[0].outcome == "infrastructure_failed"


async def test_a_mistake_in_an_agent_is_a_result_and_is_not_made_twice() -> None:
    async def agent(_session: Session, _sample: Sample) -> str:
        raise ZeroDivisionError("oops")

    world = World()
    await world.runner(agent=agent, retries=2).run(samples(2))
    assert [(result.outcome, result.attempts) for result in world.results] == [("infrastructure_failed", 1)] * 2


async def test_stopping_ends_what_is_open_as_cancelled_with_its_transcript_and_takes_no_more() -> None:
    world = World(lambda _q, _n: None)
    runner = world.runner(concurrency=3)
    await_three = asyncio.Event()

    def sink(result: Result) -> None:
        world.results.append(result)
        if len(world.results) == 3:
            world.model.gate = asyncio.Event()
            await_three.set()

    runner = Runner(world.open, sink, Plan(run_id="r", configuration="c", concurrency=3), world.clock)
    running = asyncio.create_task(runner.run(samples(50)))
    await await_three.wait()
    await until(lambda: runner.open == 3)
    runner.stop()
    await running
    results = world.by_id()
    outcomes = [result.outcome for result in results.values()]
    assert outcomes.count("completed") >= 3
    assert "cancelled" in outcomes
    assert len(results) == runner.taken < 50
    assert all(result.transcript for result in world.results if result.session_id)


async def test_stopping_wakes_a_sample_that_waits_for_its_next_attempt() -> None:
    world = World(lambda _q, _n: Says(error=ProviderError("busy", "overloaded")))
    waiting = asyncio.Event()

    class Endless(Quick):
        async def sleep(self, seconds: float) -> None:
            waiting.set()
            await asyncio.Event().wait()

    runner = Runner(world.open, world.results.append, Plan(run_id="r", configuration="c", retries=9), Endless())
    running = asyncio.create_task(runner.run(samples(5)))
    await waiting.wait()
    runner.stop()
    await running
    assert [(result.outcome, result.attempts) for result in world.results] == [("infrastructure_failed", 1)]


async def test_a_sink_that_cannot_write_ends_the_run_with_its_error_and_puts_the_rest_away() -> None:
    world = World()
    written: list[Result] = []

    def sink(result: Result) -> None:
        if len(written) == 5:
            raise OSError(28, "No space left on device", "results.jsonl")
        written.append(result)

    runner = Runner(world.open, sink, Plan(run_id="r", configuration="c", concurrency=4), world.clock)
    with pytest.raises(OSError, match="No space left"):
        await runner.run(samples(50))
    assert (len(written), runner.open) == (5, 0)
    assert runner.taken < 50
    assert all(shell.is_shutdown for name in world.opened if (shell := world.host.find(name)) is not None)


async def test_a_configuration_that_is_refused_ends_the_run_at_once() -> None:
    async def refuse(_id: SessionId, _labels: Mapping[str, str], _sample: Sample) -> LocalSession:
        raise ConfigError("model: no known window")

    world = World()
    runner = Runner(refuse, world.results.append, Plan(run_id="r", configuration="c", retries=5), world.clock)
    with pytest.raises(ConfigError, match="no known window"):
        await runner.run(samples(1000))
    assert world.results == []
    assert runner.taken == 1


async def test_a_key_that_is_refused_ends_the_run_before_it_fails_every_sample() -> None:
    world = World(lambda _q, _n: Says(error=ProviderError("invalid key", "authentication", 401)))
    with pytest.raises(ProviderError, match="invalid key"):
        await world.runner(retries=5).run(samples(1000))
    assert [result.outcome for result in world.results] == ["infrastructure_failed"]


async def test_a_model_that_is_not_there_ends_the_run_before_it_fails_every_sample() -> None:
    world = World(lambda _q, _n: Says(error=ProviderError("no such model", "bad_request", 404)))
    with pytest.raises(ProviderError, match="no such model"):
        await world.runner(retries=5).run(samples(1000))
    assert [result.outcome for result in world.results] == ["infrastructure_failed"]


async def test_a_server_that_no_sample_reaches_ends_the_run_after_every_attempt_of_one() -> None:
    world = World(lambda _q, _n: Says(error=ProviderError("nothing listens", "connection")))
    with pytest.raises(ProviderError, match="nothing listens"):
        await world.runner(retries=2).run(samples(1000))
    assert [(result.outcome, result.attempts) for result in world.results] == [("infrastructure_failed", 3)]


async def test_a_server_that_was_reached_and_is_lost_fails_samples_and_not_the_run() -> None:
    lost = Says(error=ProviderError("nothing listens", "connection"))
    world = World(lambda question, _n: Says("fine") if question == "question 0" else lost)
    await world.runner(retries=1, concurrency=1).run(samples(3))
    assert [result.outcome for result in world.results] == ["completed", *["infrastructure_failed"] * 2]


async def test_a_dataset_that_breaks_off_ends_the_run_after_what_was_taken() -> None:
    def broken() -> Iterator[Assignment]:
        yield from assignments(3)
        raise ConfigError("questions.jsonl line 4 has changed", kind="dataset")

    world = World()
    with pytest.raises(ConfigError, match="line 4"):
        await world.runner(concurrency=1).run(Listed(broken()))
    assert [result.outcome for result in world.results] == ["completed"] * 3


async def test_a_place_that_cannot_be_had_is_tried_again_and_then_a_result_without_a_session() -> None:
    tries: list[SessionId] = []

    async def nowhere(session_id: SessionId, _labels: Mapping[str, str], _sample: Sample) -> LocalSession:
        tries.append(session_id)
        raise PlacementError("no actor is free")

    world = World()
    plan = Plan(run_id="r", configuration="c", retries=1)
    await Runner(nowhere, world.results.append, plan, world.clock).run(samples(1))
    (result,) = world.results
    assert (result.outcome, result.session_id, result.transcript) == ("infrastructure_failed", None, None)
    assert len(tries) == 2


async def test_a_session_that_dies_after_its_answer_leaves_the_answer_and_says_that_the_rest_is_unknown() -> None:
    class Dying(LocalSession):
        async def history(self, *, full: bool = False) -> Sequence[Any]:
            raise PlacementError("the actor died")

    world = World()

    async def opener(session_id: SessionId, labels: Mapping[str, str], sample: Sample) -> LocalSession:
        await world.open(session_id, labels, sample)
        shell = world.host.find(session_id)
        assert shell is not None
        return Dying(shell, world.host)

    await Runner(opener, world.results.append, Plan(run_id="r", configuration="c"), world.clock).run(samples(1))
    (result,) = world.results
    assert (result.outcome, result.answer, result.usage, result.transcript) == (
        "completed", "You said: question 0", None, None,
    )  # fmt: skip


async def test_an_attempt_whose_answer_was_never_written_is_not_asked_twice() -> None:
    world = World()
    await world.runner().run(samples(1))
    asked = len(world.model.requests)
    # The driver was killed before the line was written; the run that resumes it makes the same attempt again.
    await world.runner().run(samples(1))
    first, second = world.results
    assert (first.session_id, first.answer) == (second.session_id, second.answer)
    assert len(world.model.requests) == asked == 1


async def test_cancelling_the_run_from_outside_leaves_no_task_behind() -> None:
    world = World()
    world.model.gate = asyncio.Event()
    running = asyncio.create_task(world.runner(concurrency=3).run(samples(10)))
    await until(lambda: len(world.model.requests) == 3)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    world.host.drop_all(PlacementError("the test is over"))
