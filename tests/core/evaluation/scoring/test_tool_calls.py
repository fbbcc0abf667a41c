"""Answers judged by the tools that were called for them."""

from typing import Any

import pytest

from agent_core.errors import ScorerError
from agent_core.evaluation.sample import Sample
from agent_core.evaluation.score import Answered, Score
from agent_core.evaluation.scoring import ToolCalls
from agent_core.messages import Message
from tests.core.evaluation.scoring.world import refused, said

SEARCH = ("search", {"q": "Paris", "limit": 5})
OPEN = ("open", {"page": 1})
SUBMIT = ("submit", {"answer": "x"})
MADE = [*said(SEARCH, OPEN), *said(("search", {"q": "Rome"})), *said(SUBMIT)]


def scored(settings: dict[str, Any], transcript: list[Message], target: Any = None, **more: Any) -> Score:
    answered = Answered(Sample(id="q", input="?", target=target, **more), "x", tuple(transcript))
    return ToolCalls(**settings).judge(answered)


@pytest.mark.parametrize(
    ("settings", "right"),
    [
        ({"calls": "search"}, 1),
        ({"calls": ["open", "search"]}, 1),
        ({"calls": ["open", "search"], "order": "in_order"}, 1),
        ({"calls": ["open", "search", "search"], "order": "in_order"}, 0),
        ({"calls": ["search", "open", "search"], "order": "exact"}, 1),
        ({"calls": ["search", "open"], "order": "exact"}, 0),
        ({"calls": ["search", "open", "search", "submit"], "order": "exact"}, 1),
        ({"calls": {"name": "search", "arguments": {"q": "Paris"}}}, 1),
        ({"calls": {"name": "search", "arguments": {"q": "Paris"}, "exactly": True}}, 0),
        ({"calls": {"name": "search", "arguments": {"q": "Oslo"}}}, 0),
        ({"calls": {"name": "search", "arguments": {"limit": 5.0}}}, 1),
        ({"calls": {"name": "search", "at_least": 2, "at_most": 2}}, 1),
        ({"calls": {"name": "search", "at_least": 3}}, 0),
        ({"calls": {"name": "search", "at_most": 1}}, 0),
        # The first of the two fits both calls, the second only one.
        ({"calls": ["search", {"name": "search", "arguments": {"q": "Paris"}}]}, 1),
        ({"calls": ["s*", "o?en"]}, 1),
        ({"none_of": ["delete*"]}, 1),
        ({"none_of": "search"}, 0),
        ({"none_of": "*"}, 0),
        ({"at_most": 3}, 1),
        ({"at_most": 2}, 0),
        ({"calls": ["search", "nothing"], "credit": "share"}, 0.5),
    ],
)
def test_calls_are_right_by_name_arguments_number_and_order(settings: dict[str, Any], right: float) -> None:
    assert scored(settings, MADE).value == right


def test_it_says_what_is_missing_and_what_was_called() -> None:
    score = scored({"calls": ["search", "buy"], "none_of": "open"}, MADE)
    assert score.explanation == "buy is missing; open is called"
    assert score.answer == "search(q=Paris, limit=5), open(page=1), search(q=Rome)"
    assert scored({"calls": []}, said(SUBMIT)).answer == "no calls"


def test_what_is_expected_may_stand_in_each_sample() -> None:
    wanted = [{"name": "search", "arguments": {"q": "Paris"}}, "open"]
    assert scored({}, MADE, wanted).value == 1
    assert scored({}, MADE, "buy").value == 0
    assert scored({"metadata": "calls", "order": "in_order"}, MADE, metadata={"calls": wanted}).value == 1


def test_failed_calls_count_only_if_they_are_to() -> None:
    failed = said(SEARCH, failed=True)
    assert scored({"calls": "search"}, failed).value == 1
    assert scored({"calls": "search", "succeeded": True}, failed).value == 0


def test_what_was_called_before_the_sample_does_not_count() -> None:
    history = said(("delete", {}))
    score = scored({"none_of": "delete", "calls": "search"}, [*history, *MADE], history=tuple(history))
    assert score.value == 1


async def test_without_the_messages_nobody_says_that_nothing_was_called() -> None:
    assert (await refused(ToolCalls(none_of=("delete",)), "x")).kind == "no_transcript"


@pytest.mark.parametrize(("target", "kind"), [(None, "no_target"), (5, "bad_target"), ([{"nme": "x"}], "bad_target")])
def test_a_sample_that_expects_nothing_or_nonsense_is_an_error(target: Any, kind: str) -> None:
    with pytest.raises(ScorerError) as refused:
        scored({}, MADE, target)
    assert refused.value.kind == kind
