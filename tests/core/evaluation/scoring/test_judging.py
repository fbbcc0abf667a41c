"""All scorers of one answer: what one of them does to the others, which is nothing."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from agent_core.errors import ProviderError
from agent_core.evaluation.score import Answered, Score, Scorer
from agent_core.evaluation.scoring import Exact, Includes
from agent_core.evaluation.scoring import waiting as waits
from agent_core.evaluation.scoring.judging import judge_all
from agent_core.testing import ManualClock
from tests.core.evaluation.scoring.world import answered, until_slept


class Odd:
    """A scorer of a user's own class."""

    def __init__(self, behaviour: Any, name: str = "odd") -> None:
        self.behaviour = behaviour
        self.name = name
        self.began = asyncio.Event()
        self.ended = False

    async def score(self, answered: Answered) -> Any:
        self.began.set()
        try:
            if isinstance(self.behaviour, BaseException):
                raise self.behaviour
            if self.behaviour == "hang":
                await asyncio.Event().wait()
            while self.behaviour == "defy":
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    continue
            return self.behaviour
        finally:
            self.ended = True


async def scores_of(*scorers: Scorer) -> dict[str, Score]:
    return await judge_all(scorers, answered("yes", "yes"), timeout=60.0, clock=ManualClock())


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        (ValueError("bad"), "ValueError"),
        (SystemExit(1), "SystemExit"),
        (asyncio.CancelledError(), "cancelled"),
        (TimeoutError(), "TimeoutError"),
        (ExceptionGroup("two", [ValueError("a")]), "ExceptionGroup"),
        (ProviderError("It is overloaded.", "overloaded"), "overloaded"),
        (float("nan"), "nonsense"),
        ("yes", "nonsense"),
        (None, "nonsense"),
        ({}, "nonsense"),
    ],
    ids=repr,
)
async def test_whatever_one_does_it_is_an_error_under_its_name_and_the_others_have_their_scores(
    behaviour: Any, kind: str
) -> None:
    scores = await scores_of(Exact(), Odd(behaviour), Includes())
    assert [*scores] == ["exact", "odd", "includes"]
    assert (scores["exact"].value, scores["includes"].value) == (1, 1)
    error = scores["odd"].error
    assert error is not None
    assert error.kind == kind
    assert scores["odd"].value is None


async def test_an_error_names_the_authors_line_and_says_what_to_do() -> None:
    error = (await scores_of(Odd(ValueError("bad"))))["odd"].error
    assert error is not None
    assert "test_judging.py" in error.message
    assert "raise self.behaviour\n  ValueError: bad\nMend it, then score" in error.message


async def test_several_scores_of_one_are_called_after_it() -> None:
    scores = await scores_of(Odd({"tone": 1, "length": Score(value=0.5), "bad": None}))
    assert {name: score.value for name, score in scores.items()} == {
        "odd.tone": 1,
        "odd.length": 0.5,
        "odd.bad": None,
    }


async def test_two_scores_of_one_name_are_neither() -> None:
    scores = await scores_of(Odd(1), Odd(0))
    error = scores["odd"].error
    assert error is not None
    assert error.kind == "same_name"


async def test_one_that_is_not_asynchronous_or_has_no_name_is_told_so() -> None:
    class Plain:
        @property
        def name(self) -> str:
            raise RuntimeError

        def score(self, answered: Answered) -> Mapping[str, Score]:
            return {}

    plain: Any = Plain()
    error = (await scores_of(plain))["Plain"].error
    assert error is not None
    assert "async def score" in error.message


async def test_all_of_them_run_side_by_side_and_one_that_hangs_ends_with_its_time() -> None:
    clock = ManualClock()
    one, two = Odd("hang", "one"), Odd("hang", "two")
    judging = asyncio.create_task(judge_all([one, two, Exact()], answered("a", "a"), timeout=30.0, clock=clock))
    await until_slept(clock, 2)
    clock.advance(29.0)
    await asyncio.wait_for(asyncio.gather(one.began.wait(), two.began.wait()), 10)
    assert not judging.done()
    clock.advance(1.0)
    scores = await judging
    assert [score.error.kind for score in (scores["one"], scores["two"]) if score.error] == ["timeout", "timeout"]
    assert one.ended
    assert two.ended
    assert scores["exact"].value == 1


async def test_one_that_defies_its_end_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "GRACE", 0.01)
    clock = ManualClock()
    odd = Odd("defy")
    judging = asyncio.create_task(judge_all([odd], answered("a"), timeout=30.0, clock=clock))
    await until_slept(clock)
    await odd.began.wait()
    clock.advance(30.0)
    error = (await judging)["odd"].error
    assert error is not None
    assert error.kind == "timeout"
    assert not odd.ended
    odd.behaviour = 1.0
    # The end of the loop cancels it once more, and now it obeys.


async def test_cancelling_ends_every_scorer() -> None:
    odd = Odd("hang")
    judging = asyncio.create_task(judge_all([odd], answered("a"), timeout=30.0, clock=ManualClock()))
    await odd.began.wait()
    judging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await judging
    assert odd.ended


async def test_without_scorers_there_are_no_scores() -> None:
    assert await scores_of() == {}
