"""Questions with choices: the letter that an answer names, and what is right."""

from string import ascii_uppercase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core.evaluation.question import HOW_TO_CHOOSE_SEVERAL, question_of
from agent_core.evaluation.sample import Sample
from agent_core.evaluation.scoring import MultipleChoice
from agent_core.evaluation.scoring.letters import Choices
from tests.core.evaluation.scoring.world import judged, refused, value

TEXTS = ("a red house", "a blue house", "Paris", "I am not sure")
CHOICES = Choices("ABCD", TEXTS)


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("ANSWER: B", "B"),
        ("Let me see. A looks good, but...\n**ANSWER:** (C)", "C"),
        ("answer: b", "B"),
        ("The answer is B.", "B"),
        ("The correct option is **D**, since A is wrong.", "D"),
        ("ANSWER: A\nNo, wait.\nANSWER: B", "B"),
        ("ANSWER: B because C is not", "B"),
        ("Answer - C) Paris", "C"),
        ("so \\boxed{\\text{C}}", "C"),
        ("$\\boxed{B}$", "B"),
        ("B", "B"),
        ("(b)", "B"),
        ("C) Paris", "C"),
        ("C. It is the capital.", "C"),
        ("Paris", "C"),
        ("ANSWER: Paris.", "C"),
        ("A blue house!", "B"),
        ("I weighed them all.\n\nB", "B"),
        ("B: of course.\nBecause it is so.", "B"),
        ("It must be (D) then.", "D"),
        ("I think that (A) and (B) are both fine", None),
        ("A good question, which I cannot answer", None),
        ("I do not know", None),
        ("The answer is a mystery", None),
        ("The answer is A difficult one", None),
        ("ANSWER: E", None),
        ("", None),
    ],
)
def test_a_letter_is_read_where_it_stands_for_a_choice(answer: str, letter: str | None) -> None:
    assert CHOICES.one(answer) == letter


FORMS = (
    "ANSWER: {}",
    "**ANSWER: {}**",
    "answer is ({})",
    "Well.\n\n{}",
    "({})",
    "{})",
    "{}.",
    "\\boxed{{{}}}",
    "**{}**",
)


@given(st.integers(2, 26), st.data(), st.sampled_from(FORMS))
def test_every_letter_is_read_in_every_form(count: int, data: st.DataObject, form: str) -> None:
    letter = ascii_uppercase[data.draw(st.integers(0, count - 1))]
    choices = Choices(ascii_uppercase[:count], [f"choice number {number}" for number in range(count)])
    assert choices.one("I thought about it.\n" + form.format(letter)) == letter


@given(st.text(alphabet="ABab ANSWER:*()\\{}boxed\n.,"))
def test_no_text_makes_reading_letters_fail(text: str) -> None:
    assert CHOICES.one(text) in {None, *"ABCD"}
    assert (CHOICES.several(text) or frozenset()) <= set("ABCD")


@pytest.mark.parametrize(
    ("settings", "answer", "target", "right"),
    [
        ({}, "ANSWER: C", "C", 1),
        ({}, "ANSWER: C", "Paris", 1),
        ({}, "ANSWER: C", "c", 1),
        ({}, "ANSWER: C", ["A", "C"], 1),
        ({}, "ANSWER: B", ["A", "C"], 0),
        ({}, "no idea", "C", 0),
        ({"first": 0}, "ANSWER: C", 2, 1),
        ({"first": 1}, "ANSWER: C", 3, 1),
        ({"several": True}, "ANSWER: A, C", ["C", "A"], 1),
        ({"several": True}, "ANSWER: A and C", "A, C", 1),
        ({"several": True}, "ANSWER: CA", ["A", "Paris"], 1),
        ({"several": True}, "A\nC", ["A", "C"], 0),
        ({"several": True}, "**A, C**", ["A", "C"], 1),
        ({"several": True}, "ANSWER: A", ["A", "C"], 0),
        ({"several": True}, "ANSWER: A, B, C", ["A", "C"], 0),
    ],
)
async def test_what_is_right_is_named_by_letter_text_or_number(
    settings: dict[str, Any], answer: str, target: Any, right: float
) -> None:
    assert await value(MultipleChoice(**settings), answer, target, choices=TEXTS) == right


async def test_a_sample_that_asks_for_several_is_asked_and_judged_so() -> None:
    more: dict[str, Any] = {"choices": TEXTS, "metadata": {"choose": "several"}}
    assert question_of(Sample(id="q", input="Which?", **more)).endswith(f"D) I am not sure\n\n{HOW_TO_CHOOSE_SEVERAL}")
    assert await value(MultipleChoice(), "ANSWER: A", ["A", "C"], **more) == 0
    assert await value(MultipleChoice(), "ANSWER: A, C", ["A", "C"], **more) == 1


async def test_more_choices_than_letters_are_numbered() -> None:
    choices = tuple(f"choice {number}" for number in range(30))
    score = await judged(MultipleChoice(), "ANSWER: 28", "28", choices=choices)
    assert (score.value, score.answer) == (1, "28")


@pytest.mark.parametrize(
    ("target", "more", "kind"),
    [
        ("C", {}, "no_choices"),
        (None, {"choices": TEXTS}, "no_target"),
        ("E", {"choices": TEXTS}, "bad_target"),
        (2, {"choices": TEXTS}, "bad_target"),
        (True, {"choices": TEXTS}, "bad_target"),
        ("A, C", {"choices": TEXTS}, "bad_target"),
    ],
)
async def test_what_names_no_choice_is_an_error(target: Any, more: dict[str, Any], kind: str) -> None:
    assert (await refused(MultipleChoice(), "ANSWER: A", target, **more)).kind == kind
