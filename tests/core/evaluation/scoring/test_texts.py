"""Scorers of texts and of regular expressions."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agent_core.evaluation.scoring import Exact, Includes, Match, Regex
from agent_core.evaluation.scoring import patterns as regexes
from agent_core.evaluation.scoring.judging import judge_all
from agent_core.testing import ManualClock
from tests.core.evaluation.scoring.world import answered, judged, refused, value


@pytest.mark.parametrize(
    ("scorer", "answer", "target", "right"),
    [
        (Exact(), " Paris\n", "Paris", 1),
        (Exact(), "paris", "Paris", 0),
        (Exact(ignore_case=True), "STRASSE", "straße", 1),
        (Exact(), "Paris.", "Paris", 0),
        (Exact(ignore_punctuation=True), "“Paris”, France.", "Paris France", 1),
        (Exact(ignore_punctuation=True), "-5", "5", 0),
        (Exact(), "Cafe\u0301", "Caf\u00e9", 1),
        (Exact(), "a  b", "a b", 1),
        (Exact(), "", "", 1),
        (Exact(), "42", 42, 1),
        (Exact(), "3", 3.0, 1),
        (Exact(), "true", True, 1),
        (Exact(), "blue", ["red", "blue"], 1),
        (Includes(), "It is PARIS, of course.", "paris", 1),
        (Includes(ignore_case=False), "It is PARIS.", "Paris", 0),
        (Includes(), "It costs 15.", 5, 1),
        (Includes(whole_words=True), "It costs 15.", 5, 0),
        (Includes(whole_words=True), "It costs 5.", 5, 1),
        (Includes(whole_words=True), "答案是巴黎市", "巴黎", 1),
        (Includes(), "It is green.", ["red", "blue"], 0),
        (Match(), "The capital is **Paris**.", "paris", 1),
        (Match(), "Paris is the capital.", "Paris", 0),
        (Match(at="begin"), "Paris is the capital.", "Paris", 1),
        (Match(at="begin"), "Parisian life.", "Paris", 0),
        (Match(at="any"), "I say Paris now", "Paris", 1),
        (Match(at="any"), "comparison", "Paris", 0),
        (Match(), "It is 3.14", "14", 0),
        (Match(at="begin"), "3.14 it is", 3, 0),
        (Match(), "It is -5", 5, 0),
        (Match(), "It is 5", "-5", 0),
        (Match(), "Really?", "?", 0),
    ],
)
async def test_a_text_is_right_if_it_is_or_has_the_target(
    scorer: Exact | Includes | Match, answer: str, target: Any, right: float
) -> None:
    assert await value(scorer, answer, target) == right


@pytest.mark.parametrize("scorer", [Exact(), Includes(), Match(), Regex(pattern=".")])
@pytest.mark.parametrize(
    ("target", "kind"), [(None, "no_target"), ([], "no_target"), ({"a": 1}, "bad_target"), (["a", None], "bad_target")]
)
async def test_no_target_or_a_bad_one_is_an_error_and_no_wrong_answer(scorer: Any, target: Any, kind: str) -> None:
    error = await refused(scorer, "yes", target)
    assert (error.boundary, error.kind) == ("scorer", kind)
    assert "Sample 'q'" in error.message or "sample 'q'" in error.message


async def test_an_empty_target_that_every_answer_includes_is_refused() -> None:
    assert (await refused(Includes(), "anything", "")).kind == "bad_target"


@given(st.text(), st.text(min_size=1), st.text())
def test_what_is_put_into_an_answer_is_included_in_it(before: str, target: str, after: str) -> None:
    if target.strip():
        # Marks that combine with a neighbour make another character, so words stand apart here.
        assert Includes().judge(answered(f"{before} {target} {after}", target)).value == 1


@given(st.text())
def test_every_answer_is_exactly_itself(text: str) -> None:
    for scorer in (Exact(), Exact(ignore_case=True, ignore_punctuation=True)):
        assert scorer.judge(answered(text, text)).value == 1


@pytest.mark.parametrize(
    ("scorer", "answer", "target", "right", "read"),
    [
        (Regex(pattern=r"is (\w+)"), "It is Paris, it is Rome", "paris", 1, "Paris"),
        (Regex(pattern=r"is (\w+)", which="last"), "It is Paris, it is Rome", "Paris", 0, "Rome"),
        (Regex(pattern=r"is (\w+)", which="any"), "It is Paris, it is Rome", "Rome", 1, "Rome"),
        (Regex(pattern=r"is (?P<city>\w+)", group="city"), "It is Paris", "Paris", 1, "Paris"),
        (Regex(pattern=r"(\w+)=(\d+)", group=2), "a=5", 5, 1, "5"),
        (Regex(pattern=r"\d+"), "about 42 or so", 42, 1, "42"),
        (Regex(pattern=r"\d{4}-\d\d", expect="match"), "in 2024-05", None, 1, "2024-05"),
        (Regex(pattern=r"PARIS", ignore_case=False, expect="match"), "paris", None, 0, None),
    ],
)
async def test_a_pattern_reads_what_is_compared(
    scorer: Regex, answer: str, target: Any, right: float, read: str | None
) -> None:
    score = await judged(scorer, answer, target)
    assert (score.value, score.answer) == (right, read)


@pytest.mark.parametrize("bad", [{"pattern": "("}, {"pattern": "a", "group": 1}, {"pattern": "(a)", "group": "b"}])
def test_a_pattern_that_cannot_work_is_refused_when_it_is_made(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"no regular expression|has no group"):
        Regex(**bad)


async def test_a_pattern_that_goes_on_for_ever_is_given_up_and_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regexes, "_PATIENCE", 0.2)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.005)

    other = asyncio.create_task(tick())
    scorers = [Regex(pattern=r"(?:(?:a|a)+)+$"), Includes()]
    scores = await judge_all(scorers, answered("a" * 5000 + "b", "b"), timeout=60.0, clock=ManualClock())
    other.cancel()
    assert scores["regex"].error is not None
    assert scores["regex"].error.kind == "timeout"
    assert scores["includes"].value == 1
    assert ticks > 3
