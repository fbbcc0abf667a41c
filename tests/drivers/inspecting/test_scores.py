"""Scores of Inspect as scores of a run, and put together again."""

import math
from typing import Any

import pytest
from inspect_ai.scorer import Score as InspectScore

from agent_core.evaluation.score import Score
from drivers.inspecting.scores import inspect_score, number_of, scores_of


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("C", 1.0), ("I", 0.0), ("P", 0.5), ("N", 0.0), (True, 1.0), (False, 0.0), (0.25, 0.25), (3, 3.0),
        ("yes", 1.0), ("No", 0.0), ("0.75", 0.75), ("excellent", None), (math.nan, None), (math.inf, None),
        (None, None),
    ],
)  # fmt: skip
def test_a_value_is_the_number_that_inspects_metrics_take_it_for(value: Any, number: float | None) -> None:
    assert number_of(value) == number


@pytest.mark.parametrize("value", ["C", "P", "excellent", 0.5, 2, True, {"a": "C", "b.c": 0.5}, [1, "I", 0.5]])
def test_a_score_is_whole_again_after_it_was_written(value: Any) -> None:
    given = InspectScore(value=value, answer="so", explanation="because", metadata={"kind": "hard"}, reason="refusal")
    made = scores_of(given)
    scores = {"s": made} if isinstance(made, Score) else {f"s.{key}": score for key, score in made.items()}
    written = {name: Score.model_validate_json(score.model_dump_json()) for name, score in scores.items()}
    assert inspect_score("s", written) == given
    assert inspect_score("other", written) is None


def test_a_score_without_a_number_says_why_and_counts_nowhere() -> None:
    unscored = scores_of(InspectScore.unscored(reason="no_response"))
    assert isinstance(unscored, Score)
    assert (unscored.value, unscored.error is not None and unscored.error.kind) == (None, "unscored")
    assert unscored.error is not None
    assert "no_response" in unscored.error.message
    again = inspect_score("s", {"s": unscored})
    assert again is not None
    assert math.isnan(again.as_float())
