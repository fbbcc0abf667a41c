"""Results that are scored again: what changes, and that nothing else does."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from agent_core.errors import ErrorInfo
from agent_core.evaluation.result import Result, Timings, decode, encode
from agent_core.evaluation.score import Answered, Score
from agent_core.evaluation.scoring import Exact, Includes, Numeric, Rescoring, rescored, scorer
from agent_core.evaluation.scoring.rescoring import scored_again
from agent_core.testing import ManualClock

NUMBER = Score(value=None, error=ErrorInfo(boundary="scorer", kind="ValueError", message="bad"))
OLD = {"exact": Score(value=0.0), "tone": Score(value=0.5), "own.a": Score(value=1.0)}
CLOCK = ManualClock()


def result(outcome: Any = "scored", answer: str | None = "Paris", **more: Any) -> Result:
    fields: dict[str, Any] = {"target": "Paris", "scores": OLD, **more}
    timings = Timings(queued=1.0, started=2.0, ended=5.0)
    fields |= {"outcome": outcome, "answer": answer, "timings": timings}
    return Result(id="q", epoch=2, attempts=1, input="?", configuration="c", **fields)


async def again(given: Result, *scorers: Any, how: Rescoring | None = None) -> Result:
    made = await scored_again(given, scorers, how or Rescoring(), CLOCK)
    assert decode(encode(made)) == made
    return made


async def test_new_scores_take_the_place_of_all_old_ones_and_the_rest_stays() -> None:
    old = result(metadata={"a": 1}, cost=0.5)
    new = await again(old, Exact(), Includes())
    assert {name: score.value for name, score in new.scores.items()} == {"exact": 1, "includes": 1}
    assert new.model_copy(update={"scores": OLD}) == old


async def test_the_scores_of_other_scorers_stay_if_they_are_to() -> None:
    async def own(_: Answered) -> dict[str, float]:
        return {"b": 1.0}

    new = await again(result(), Exact(), scorer(own), how=Rescoring(keep="others"))
    assert {name: score.value for name, score in new.scores.items()} == {"exact": 1, "tone": 0.5, "own.b": 1}


@pytest.mark.parametrize(
    ("before", "scorers", "after"),
    [
        ("completed", [Exact()], "scored"),
        ("unscored", [Exact()], "scored"),
        ("scored", [Numeric()], "unscored"),
        ("scored", [], "completed"),
        ("limit_hit", [Exact()], "limit_hit"),
    ],
)
async def test_the_outcome_says_whether_it_is_scored_now(before: Any, scorers: list[Any], after: str) -> None:
    new = await again(result(before), *scorers)
    assert new.outcome == after
    assert [*new.scores] == [one.name for one in scorers]


async def test_a_scorer_that_failed_and_stays_leaves_the_sample_unscored() -> None:
    old = result("unscored", scores={"number": NUMBER})
    assert (await again(old, Exact(), how=Rescoring(keep="others"))).outcome == "unscored"


@pytest.mark.parametrize(
    ("outcome", "answer"),
    [
        ("model_failed", None),
        ("infrastructure_failed", "half"),
        ("cancelled", None),
        ("missing", None),
        ("limit_hit", None),
        ("completed", None),
    ],
)
async def test_what_was_not_answered_stays_untouched(outcome: Any, answer: str | None) -> None:
    old = result(outcome, answer, scores={})
    assert await again(old, Exact()) is old


async def test_a_scorer_sees_what_it_saw_at_first() -> None:
    seen: list[Answered] = []

    async def looks(answered: Answered) -> float:
        seen.append(answered)
        return 1.0

    await again(result(choices=("a", "b"), transcript=()), scorer(looks))
    sample = seen[0].sample
    assert (sample.id, sample.target, sample.choices) == ("q", "Paris", ("a", "b"))
    assert (seen[0].epoch, seen[0].seconds) == (2, 3.0)


async def test_results_come_in_their_order_and_few_are_held_at_once() -> None:
    read = scored = most = 0

    def lines() -> Any:
        nonlocal read
        for number in range(40):
            read += 1
            yield result(answer=str(number))

    async def slow_first(answered: Answered) -> float:
        nonlocal scored, most
        most = max(most, read - scored)
        for _ in range(5 if answered.answer.endswith("0") else 1):
            await asyncio.sleep(0)
        scored += 1
        return float(answered.answer)

    stream = rescored(lines(), [scorer(slow_first)], Rescoring(concurrency=4), CLOCK)
    values = [made.scores["slow_first"].value async for made in stream]
    assert values == [float(number) for number in range(40)]
    assert 1 < most <= 4


async def test_what_is_not_gone_through_ends_its_scorers() -> None:
    ended = asyncio.Event()

    async def waits(answered: Answered) -> float:
        if answered.answer == "0":
            return 0.0
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return 1.0

    lines = (result(answer=str(number)) for number in range(3))
    async with aclosing(rescored(lines, [scorer(waits)], Rescoring(concurrency=2), CLOCK)) as stream:
        assert (await anext(stream)).answer == "0"
    assert ended.is_set()
