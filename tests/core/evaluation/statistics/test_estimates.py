"""Estimates of one run: means, errors, reducers, coverage, groups."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_core.errors import ConfigError
from agent_core.evaluation.statistics.collected import MOST_GROUPS, NO_GROUP, Collected, Planned
from agent_core.evaluation.statistics.estimates import coverage, estimate
from agent_core.evaluation.statistics.figures import run_figures, scorer_figures
from agent_core.evaluation.statistics.reducing import Reducer, reduce, reducer_of
from agent_core.evaluation.statistics.resampling import Resampling
from tests.core.evaluation.statistics.results import head, run, scored

QUICK = Resampling(resamples=199)
NAN = math.nan


def rights(epochs: int) -> st.SearchStrategy[list[list[float]]]:
    """Samples of 0/1 scores, each with all of its epochs."""
    row = st.lists(st.sampled_from([0.0, 1.0]), min_size=epochs, max_size=epochs)
    return st.lists(row, min_size=1, max_size=20)


def test_mean_and_error_are_the_published_ones() -> None:
    # Efron and Tibshirani 1993, An Introduction to the Bootstrap, table 2.1: survival of seven treated mice, in days.
    days = np.array([[94], [197], [16], [38], [99], [141], [23]], dtype=np.float64)
    found = estimate(days)
    assert found.mean == pytest.approx(86.86, abs=0.005)
    assert found.standard_error == pytest.approx(25.24, abs=0.005)
    assert found.wilson is None
    assert found.interval == found.bootstrap is not None


@given(rights(4))
@settings(max_examples=50)
def test_with_whole_epochs_the_error_is_that_of_all_scores_clustered_by_sample(rows: list[list[float]]) -> None:
    found = estimate(np.array(rows), how=QUICK)
    scores = [value for row in rows for value in row]
    mean = sum(scores) / len(scores)
    assert found.mean == pytest.approx(mean)
    assert found.wilson is not None
    assert found.mean is not None
    assert found.wilson.low <= found.mean <= found.wilson.high
    if len(rows) == 1:
        assert found.standard_error is None
        return
    # Miller 2024, arXiv:2411.00640, section 2.2, with the factor G/(G-1) of a small number of clusters.
    clusters = sum(sum(value - mean for value in row) ** 2 for row in rows)
    error = math.sqrt(clusters * len(rows) / (len(rows) - 1)) / len(scores)
    assert found.standard_error == pytest.approx(error, abs=1e-12)


def test_epochs_that_agree_do_not_narrow_the_interval() -> None:
    once = estimate(np.array([[1.0], [0.0]] * 20))
    five = estimate(np.array([[1.0] * 5, [0.0] * 5] * 20))
    assert once.wilson is not None
    assert five.wilson is not None
    assert five.standard_error == pytest.approx(once.standard_error)
    assert five.wilson.high - five.wilson.low == pytest.approx(once.wilson.high - once.wilson.low, rel=0.02)


def test_nothing_and_one_sample_say_no_more_than_they_know() -> None:
    nothing = estimate(np.full((3, 2), NAN))
    assert (nothing.mean, nothing.standard_error, nothing.interval, nothing.samples) == (None, None, None, 0)
    one = estimate(np.array([[0.7]]))
    assert (one.mean, one.standard_error, one.interval, one.samples) == (0.7, None, None, 1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mean", [0.6, 0.5, 1.0, NAN]),
        ("median", [1.0, 0.5, 1.0, NAN]),
        ("mode", [1.0, 0.0, 1.0, NAN]),
        ("max", [1.0, NAN, NAN, NAN]),
        ("at-least-3", [1.0, NAN, NAN, NAN]),
        ("at-least-4", [0.0, NAN, NAN, NAN]),
        ("pass@1", [0.6, 0.5, 1.0, NAN]),
        # By hand: 1 - C(2,2)/C(5,2), 1 - C(2,2)/C(4,2).
        ("pass@2", [0.9, 5 / 6, NAN, NAN]),
        # C(3,2)/C(5,2), C(2,2)/C(4,2).
        ("pass^2", [0.3, 1 / 6, NAN, NAN]),
    ],
)
def test_each_reducer_makes_of_the_epochs_what_it_says(name: str, expected: list[float]) -> None:
    epochs = np.array([[1, 1, 1, 0, 0], [1, 0, NAN, 0, 1], [1, NAN, NAN, NAN, NAN], [NAN] * 5])
    found = reduce(epochs, reducer_of(name, epochs=5))
    assert found == pytest.approx(expected, nan_ok=True)
    assert str(reducer_of(name, epochs=5)) == name


@given(rights(5), st.integers(1, 5))
@settings(max_examples=50)
def test_pass_rates_are_the_shares_of_all_subsets_of_k_epochs(rows: list[list[float]], k: int) -> None:
    values = np.array(rows)
    subsets = [list(combinations(row, k)) for row in rows]
    some = [sum(any(subset) for subset in those) / len(those) for those in subsets]
    every = [sum(all(subset) for subset in those) / len(those) for those in subsets]
    assert reduce(values, Reducer("pass@", k)) == pytest.approx(some)
    assert reduce(values, Reducer("pass^", k)) == pytest.approx(every)


@given(rights(3))
@settings(max_examples=30)
def test_pass_at_1_is_the_mean_and_of_all_epochs_it_is_the_best_of_them(rows: list[list[float]]) -> None:
    values = np.array(rows)
    assert reduce(values, Reducer("pass@", 1)) == pytest.approx(reduce(values))
    assert reduce(values, Reducer("pass@", 3)) == pytest.approx(reduce(values, Reducer("max")))
    assert reduce(values, Reducer("pass^", 3)) == pytest.approx(reduce(values, Reducer("at-least", 3)))


@pytest.mark.parametrize("name", ["average", "pass@", "pass@0", "pass^4", "at-least-x"])
def test_a_reducer_that_cannot_be_had_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="Name"):
        reducer_of(name, epochs=3)


def test_what_has_no_score_is_no_zero_and_the_bounds_say_how_far_it_could_move_the_mean() -> None:
    found = scorer_figures(run({"a": [1.0], "b": [None], "c": [0.0], "d": [1.0]}, planned=Planned(6, 1)), "accuracy")
    assert found.estimate.mean == pytest.approx(2 / 3)
    assert (found.coverage.planned, found.coverage.scored, found.coverage.share) == (6, 3, 0.5)
    assert (found.coverage.if_wrong, found.coverage.if_right) == (2 / 6, 5 / 6)


def test_scores_that_are_no_shares_have_no_bounds() -> None:
    found = coverage(np.array([[3.0], [NAN]]), planned=2)
    assert (found.scored, found.if_wrong, found.if_right) == (1, None, None)


@given(st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0, None]), min_size=3, max_size=3), min_size=1, max_size=12))
@settings(max_examples=50)
def test_the_mean_lies_within_its_bounds(rows: list[list[float | None]]) -> None:
    values = np.array([[NAN if value is None else value for value in row] for row in rows])
    found, covered = estimate(values, how=QUICK), coverage(values, planned=values.size)
    if found.mean is not None and covered.if_wrong is not None and covered.if_right is not None:
        assert covered.if_wrong - 1e-12 <= found.mean <= covered.if_right + 1e-12


def test_a_run_is_told_with_outcomes_epochs_and_pass_rates() -> None:
    scores: dict[str, list[float | None]] = {"a": [1.0, 0.0, 1.0], "b": [1.0, 1.0, None], "c": [0.0, 0.0, 0.0]}
    figures = run_figures(run(scores, planned=Planned(4, 3)), how=QUICK)
    assert (figures.samples, figures.epochs, figures.planned) == (3, 3, 12)
    assert (figures.outcomes["scored"], figures.outcomes["unscored"], figures.outcomes["missing"]) == (8, 1, 3)
    one = figures.scorers["accuracy"]
    assert one.estimate.mean == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert [passes.k for passes in one.passes] == [1, 2, 3]
    assert one.passes[0].pass_at_k == one.passes[0].pass_hat_k == one.estimate
    # Two samples have all three epochs: one with two right, one with none.
    assert (one.passes[2].pass_at_k.mean, one.passes[2].pass_at_k.samples) == (0.5, 2)
    assert set(one.reduced) == {"mean", "median", "mode", "max", "at-least-2", "at-least-3"}
    assert one.reduced["median"].mean == pytest.approx(2 / 3)


def test_groups_are_the_values_of_a_metadata_field_and_a_list_is_several() -> None:
    groups = {"a": "law", "b": ["law", "math"], "c": 3, "d": None}
    scores: dict[str, list[float | None]] = {"a": [1.0], "b": [0.0], "c": [1.0], "d": [1.0], "e": [0.0]}
    found = scorer_figures(run(scores, by="topic", groups=groups), "accuracy").groups
    assert {label: group.estimate.samples for label, group in found.items()} == {
        "law": 2, "math": 1, "3": 1, NO_GROUP: 2,
    }  # fmt: skip
    assert found["law"].estimate.mean == 0.5


def test_a_field_inside_an_object_makes_groups() -> None:
    collected = Collected("run", by="source.year")
    collected.add(scored("a", 1.0, metadata={"source": {"year": 1999}}))
    collected.add(scored("b", 0.0, metadata={"source.year": 2000}))
    assert list(collected.groups()) == ["1999", "2000"]


def test_a_field_that_is_not_there_or_has_too_many_values_is_refused() -> None:
    collected = Collected("run", by="tpoic")
    collected.add(scored("a", 1.0, metadata={"topic": "law"}))
    with pytest.raises(ConfigError, match="Group by one of: topic"):
        collected.groups()
    many = [str(number) for number in range(MOST_GROUPS + 1)]
    scattered = run({name: [1.0] for name in many}, by="id", groups={name: name for name in many})
    with pytest.raises(ConfigError, match="different values"):
        scattered.groups()


def test_a_result_that_comes_again_replaces_only_what_does_not_stand() -> None:
    collected = Collected("run", planned=Planned(2, 1))
    collected.add(head("a", outcome="infrastructure_failed"))
    collected.add(scored("a", 1.0))
    collected.add(scored("a", 0.0))
    collected.add(scored("b", 1.0, epoch=2))
    assert collected.scores("accuracy").tolist() == [[1.0]]
    assert (collected.outcomes["scored"], collected.outcomes["missing"]) == (1, 1)
    assert (collected.repeated, collected.other_lines) == (2, 1)


def test_a_score_that_is_no_number_is_none_and_an_unknown_scorer_is_named_with_those_there() -> None:
    collected = run({"a": [math.inf], "b": [1.0]})
    assert scorer_figures(collected, "accuracy").estimate.samples == 1
    with pytest.raises(ConfigError, match="It has accuracy"):
        collected.scores("f1")
    with pytest.raises(ConfigError, match="scored by nothing"):
        Collected("run").scores("f1")
