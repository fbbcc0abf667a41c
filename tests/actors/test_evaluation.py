"""A run on a cluster while its processes are killed: every sample has one result, and no answer is paid for twice."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from actors import Runtime
from actors.evaluation import EvaluationHandle
from actors.evaluations import runs_on
from actors.head import Head
from agent_core.errors import ConfigError, PlacementError
from agent_core.evaluation.configuration import RunRecord
from agent_core.evaluation.coordinator import CoordinatorPlan
from agent_core.evaluation.index import RunIndex
from agent_core.evaluation.mirror import Mirror
from agent_core.evaluation.program import Given, Program, ProgramSource, chat
from agent_core.evaluation.results_file import Places, ResultsFile
from agent_core.evaluation.run import Requeue, RunOrder
from agent_core.evaluation.runner import Plan
from agent_core.evaluation.sample import Sample
from agent_core.evaluation.scoring.specs import scorers_of
from agent_core.evaluation.worker import WorkOrder
from agent_core.scripted import Knobs
from agent_core.scripted.server import ScriptedServer
from tests.actors.world import config, kill

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]
SAMPLES = 30
TURNS = ("and then?", "and in the end?")


class Evaluation:
    """One run in a directory, and what it did."""

    def __init__(self, runtime: Runtime, server: ScriptedServer, here: Path, name: str) -> None:
        self.runtime, self.server, self.here, self.name = runtime, server, here, name
        self.before = len(server.requests)

    async def start(
        self, program: ProgramSource | None = None, *, concurrency: int = 8, mirror: Mirror | None = None
    ) -> EvaluationHandle:
        """Begin the run, or go on with it."""
        places = Places.of(f"{self.here}/")
        record = RunRecord(
            run_id=self.name, created_at=1.0, dataset="made", samples=SAMPLES, epochs=1, digest="c", configuration={}
        )
        with ResultsFile(places, "resume") as results:
            for _ in results.survey(()):
                pass
            results.begin(record) if not results.places.record.exists() else None
        with RunIndex(places.index) as index:
            for number in range(SAMPLES):
                question = f"{self.name} question <{number}>"
                index.add_sample(Sample(id=f"q{number}", input=question, turns=TURNS, target="end", line=number + 1))
        opened = await self.runtime.opening((), **config(self.server, request_class="batch"))
        order = RunOrder(
            index=places.index,
            results=places.results,
            record=places.record,
            planned=SAMPLES,
            concurrency=concurrency,
            plan=CoordinatorPlan(self.name, homes=self.runtime.homes),
            work=WorkOrder(
                Plan(run_id=self.name, configuration="c", retries=2),
                program or Given(Program(chat, scorers_of("includes"))),
                opened,
            ),
            mirror=mirror,
        )
        return await self.runtime.evaluate(order)

    def results(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.here / "results.jsonl").read_text().splitlines()]

    def asked(self) -> Counter[str]:
        """How often the model was asked each message of each sample."""
        asked = Counter[str]()
        for request in self.server.requests[self.before :]:
            said = [json.dumps(message["content"]) for message in request.body["messages"] if message["role"] == "user"]
            if said and f"{self.name} question" in said[0]:
                asked[f"{said[0]} {len(said)}"] += 1
        return asked

    def check(self, most: int) -> None:
        """Every sample has one result, and at most so many requests were made more than once."""
        results = self.results()
        assert sorted(row["id"] for row in results) == sorted(f"q{n}" for n in range(SAMPLES))
        assert {row["outcome"] for row in results} == {"scored"}
        assert all(row["scores"]["includes"]["value"] == 1.0 for row in results)
        assert {len(row["transcript"]) for row in results} == {2 * (1 + len(TURNS))}
        asked = self.asked()
        assert len(asked) == SAMPLES * (1 + len(TURNS))
        assert sum(asked.values()) - len(asked) <= most, "an open turn is asked again, an ended one never"


@pytest.fixture
def slow(server: ScriptedServer) -> ScriptedServer:
    """A model that takes its time, so that there is a moment to kill in."""
    server.knobs = Knobs(first_byte_s=0.1)
    return server


async def some(evaluation: Evaluation, handle: EvaluationHandle, count: int) -> None:
    """Wait until so many samples have a result."""
    while (status := await handle.status()) is None or status.summary.done < count:
        assert status is None or status.failure is None, status
        await asyncio.sleep(0.02)
    assert evaluation.results()


async def test_a_run_ends_with_every_sample_scored_beside_its_session(
    runtime: Runtime, server: ScriptedServer, tmp_path: Path
) -> None:
    evaluation = Evaluation(runtime, server, tmp_path, "plain")
    ended = await (await evaluation.start()).ended()
    assert ended.failure is None
    assert ended.status.summary.outcomes["scored"] == SAMPLES
    evaluation.check(most=0)
    # What was evaluated is a session like any other.
    found = await runtime.sessions(labels={"run": "plain", "sample": "q3"})
    assert [info.labels["epoch"] for info in found] == ["1"]


@pytest.mark.parametrize("victim", ["sessions/0", "evaluation/{}", "journal", "router/0"])
async def test_whatever_is_killed_every_sample_has_one_result_and_no_answer_is_paid_for_twice(
    runtime: Runtime, slow: ScriptedServer, tmp_path: Path, victim: str
) -> None:
    name = f"kill-{victim.partition('/')[0]}"
    evaluation = Evaluation(runtime, slow, tmp_path, name)
    handle = await evaluation.start()
    await some(evaluation, handle, 6)
    await kill(runtime, victim.format(name))
    ended = await handle.ended()
    assert ended.failure is None, ended.failure
    # Only the death of the process that asks the model loses what was being answered: one turn for each session.
    evaluation.check(most=8 if victim == "sessions/0" else 0)


async def test_a_run_is_paused_told_of_gone_on_with_and_cancelled_from_elsewhere(
    runtime: Runtime, slow: ScriptedServer, tmp_path: Path
) -> None:
    evaluation = Evaluation(runtime, slow, tmp_path, "steered")
    handle = await evaluation.start(concurrency=2)
    await some(evaluation, handle, 2)
    async with runs_on(None) as runs:
        (found,) = [run for run in runs if run.run_id == "steered"]
        status = await found.handle.command("pause")
        assert status is not None
        assert status.state == "paused"
        while (now := await found.handle.status()) is not None and now.open:
            await asyncio.sleep(0.02)
        assert now is not None
        done = now.summary.done
        assert 2 <= done < SAMPLES
        assert await found.handle.requeue(Requeue(ids=frozenset({"q0"}))) == 1
        with pytest.raises(ConfigError, match="pause, go_on or stop"):
            await found.handle.command("dance")
        await found.handle.command("go_on")
        await some(evaluation, handle, done + 2)
        await found.handle.command("stop")
    ended = await handle.ended()
    counts = ended.status.summary.outcomes
    assert counts["cancelled"] <= 2
    assert counts["missing"] + counts["cancelled"] + counts["scored"] == SAMPLES
    assert Counter(row["id"] for row in evaluation.results())["q0"] == 1


async def test_a_run_that_was_left_sends_its_results_itself_or_does_not_begin(
    runtime: Runtime, server: ScriptedServer, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    (tmp_path / "cut").mkdir()
    mirror = Mirror(there.as_uri(), here, period=0.01)
    ended = await (await Evaluation(runtime, server, here, "sent").start(mirror=mirror)).ended()
    assert ended.failure is None
    async with asyncio.timeout(60):
        while json.loads((there / "writer.json").read_text())["open"]:
            await asyncio.sleep(0.02)
    assert (there / "results.jsonl").read_bytes() == (here / "results.jsonl").read_bytes()
    there.joinpath("blocked").write_text("no directory")
    cut = Mirror((there / "blocked").as_uri(), tmp_path / "cut")
    lost = Evaluation(runtime, server, tmp_path / "cut", "cut")
    ended = await (await lost.start(mirror=cut)).ended()
    assert isinstance(ended.failure, ConfigError)
    assert "cannot be reached" in str(ended.failure)
    assert (ended.status.summary.done, lost.asked()) == (0, {})


class Gone:
    """A program that is not where it was."""

    def load(self) -> Program:
        raise ConfigError("task.py is gone. Put it back.")


async def test_a_program_that_cannot_be_loaded_ends_the_run_with_its_reason(
    runtime: Runtime, server: ScriptedServer, tmp_path: Path
) -> None:
    ended = await (await Evaluation(runtime, server, tmp_path, "gone").start(Gone())).ended()
    assert isinstance(ended.failure, ConfigError)
    assert "Put it back" in str(ended.failure)
    assert ended.status.summary.outcomes["missing"] == SAMPLES


async def test_a_run_that_is_not_there_is_said_to_be_so(runtime: Runtime) -> None:
    async with runs_on(None) as runs:
        assert "nowhere" not in [run.run_id for run in runs]
    handle = EvaluationHandle("nowhere", runtime.namespace, Head("", "nowhere"))
    with pytest.raises(PlacementError, match="evaluation/nowhere"):
        await handle.status()
