"""Inspect tasks in a run: every sample ends in one result, with what Inspect says of it."""

from collections.abc import Mapping
from typing import Any

import pytest

from agent_core.evaluation.result import Result, decode, encode
from agent_core.evaluation.runner import Plan, Runner
from agent_core.evaluation.sample import Assignment, Sample
from agent_core.evaluation.source import Listed
from agent_core.local_session import LocalSession
from agent_core.messages import SessionId
from agent_core.scripted import ParsedRequest, Reply, UsageOverride
from drivers.inspecting.source import InspectTask, Route
from tests.drivers.inspecting.world import Here, answering, here, knows

BOTH: tuple[Route, ...] = ("direct", "slices")


async def ran(runner: Here, task: InspectTask) -> list[Result]:
    """The results of a run, as they are read back from its file."""
    lines: list[bytes] = []
    fields = {**task.fields, **runner.fields}

    async def opener(session_id: SessionId, labels: Mapping[str, str], sample: Sample) -> LocalSession:
        return await runner.runtime.session(session_id, labels=labels, history=sample.history, **fields)

    def sink(result: Result) -> None:
        lines.append(encode(result))

    plan = Plan(run_id="r", configuration="c", concurrency=4)
    run = Runner(opener, sink, plan, runner.clock, task.source.load())
    run.grader = runner.grade
    assignments = (Assignment(sample, epoch + 1) for sample in task.samples() for epoch in range(task.epochs))
    await run.run(Listed(assignments))
    return sorted((decode(line) for line in lines), key=lambda result: (result.id, result.epoch))


@pytest.mark.parametrize("route", BOTH)
async def test_every_sample_and_epoch_ends_in_one_scored_result(route: Route) -> None:
    async with answering() as server, here(server) as runner:
        task = runner.task("capitals.py@capitals", route)
        results = await ran(runner, task)
        assert [(result.id, result.epoch) for result in results] == [
            (f"capital-{country}", epoch) for country in ("France", "Kenya", "Norway", "Peru") for epoch in (1, 2)
        ]
        assert {result.outcome for result in results} == {"scored"}
        assert [metric for metric in task.metrics(results) if metric[:2] == ("includes", "accuracy")] == [
            ("includes", "accuracy", 0.75, "mean"), ("includes", "accuracy", 0.75, "at_least_1"),
        ]  # fmt: skip
        assert len(server.requests) == 8


@pytest.mark.parametrize("route", BOTH)
async def test_what_was_asked_beside_the_conversation_is_in_the_result(route: Route) -> None:
    def brain(request: ParsedRequest) -> Reply:
        return knows(request).model_copy(update={"usage": UsageOverride(output_tokens=5)})

    async with answering(brain) as server, here(server) as runner:
        results = await ran(runner, runner.task("essays.py@criticised", route))
        assert [result.scores["pattern"].value for result in results] == [1.0, 0.0]
        used = [result.usage.output_tokens for result in results if result.usage is not None]
        assert sum(used) == 5 * len(server.requests)
        branches = {message.session_id for result in results for message in result.transcript or ()}
        assert len(branches) == 4


@pytest.mark.parametrize("route", BOTH)
async def test_a_limit_ends_a_sample_as_such_and_it_is_scored_all_the_same(route: Route) -> None:
    async with answering() as server, here(server) as runner:
        task = runner.task("essays.py@cut_short", route)
        results = await ran(runner, task)
        assert {(result.outcome, result.limit) for result in results} == {("limit_hit", "messages")}
        assert all(result.scores["exact"].value == 0.0 for result in results)
        assert len(task.metrics(results)) == 2


async def test_a_score_that_the_scorer_left_out_counts_nowhere() -> None:
    async with answering(lambda _: Reply(text="hello")) as server, here(server) as runner:
        task = runner.task("odd.py@left_out")
        (result,) = await ran(runner, task)
        kinds: dict[str, Any] = {name: score.error and score.error.kind for name, score in result.scores.items()}
        assert kinds == {"no_score": "no_score", "unscored": "unscored", "includes": None}
        assert result.outcome == "unscored"
        metrics = {metric.scorer: metric.value for metric in task.metrics([result]) if metric.metric == "accuracy"}
        assert metrics["includes"] == 1.0


async def test_an_authors_mistake_is_data_and_takes_nothing_from_the_run() -> None:
    async with answering() as server, here(server) as runner:
        (result,) = await ran(runner, runner.task("odd.py@mistaken"))
        assert result.outcome in {"model_failed", "infrastructure_failed"}
        assert result.error is not None
        assert "The author's mistake." in result.error.message
