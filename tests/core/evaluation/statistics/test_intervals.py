"""Intervals and resampling: published figures, SciPy's own, and what holds for all values."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from agent_core.evaluation.statistics.intervals import effective_trials, normal, wilson
from agent_core.evaluation.statistics.resampling import Resampling, bootstrap_mean, permutation_test

QUICK = Resampling(resamples=299)
values_of_samples = st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=40)
shares = st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=60)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_is_the_published_one(successes: int, trials: int, low: float, high: float) -> None:
    found = wilson(successes / trials, trials)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(0, 200), st.integers(1, 200))
def test_wilsons_interval_is_scipys_and_contains_the_share(successes: int, more: int) -> None:
    trials = successes + more
    theirs = stats.binomtest(successes, trials).proportion_ci(method="wilson")
    found = wilson(successes / trials, trials)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert found.low <= successes / trials <= found.high


def test_an_interval_without_trials_is_refused() -> None:
    with pytest.raises(ValueError, match="trial"):
        wilson(0.5, 0)


def test_epochs_that_all_agree_are_worth_one_trial_a_sample() -> None:
    # 40 samples of 5 epochs each, 20 always right and 20 never: the error is that of 40 trials, n - 1 in its place.
    error = math.sqrt(0.25 / 39)
    assert effective_trials(0.5, error, samples=40, values=200) == pytest.approx(39)
    assert effective_trials(0.5, math.sqrt(0.25 / 200), samples=40, values=200) == pytest.approx(200)
    assert effective_trials(1.0, 0.0, samples=40, values=200) == 40
    assert effective_trials(0.4, None, samples=1, values=5) == 1
    assert effective_trials(0.3, 0.1, samples=30, values=30) == 30


def test_a_normal_interval_reaches_1_96_errors() -> None:
    found = normal(2.0, 0.5)
    assert (found.low, found.high) == pytest.approx((2 - 0.979982, 2 + 0.979982), abs=1e-6)


@given(values_of_samples)
@settings(max_examples=60)
def test_the_bootstrap_interval_contains_the_mean_lies_among_the_values_and_knows_no_order(
    values: list[float],
) -> None:
    array = np.array(values, dtype=np.float64)
    found = bootstrap_mean(array, QUICK)
    if len(set(values)) == 1:
        assert found is None
        return
    assert found is not None
    slack = 1e-9 * max(1.0, float(np.abs(array).max()))
    assert array.min() - slack <= found.low <= array.mean() <= found.high <= array.max() + slack
    again = bootstrap_mean(array[::-1].copy(), QUICK)
    assert again is not None
    assert (again.low, again.high) == pytest.approx((found.low, found.high), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("many", [False, True], ids=["few-values", "many-values"])
def test_the_bootstrap_interval_is_scipys_bca(many: bool) -> None:
    random = np.random.default_rng(3)
    values = random.exponential(size=90) if many else random.choice([0.0, 0.5, 4.0], size=90, p=[0.6, 0.3, 0.1])
    theirs = stats.bootstrap((values,), np.mean, method="BCa", n_resamples=9999, rng=np.random.default_rng(1))
    found = bootstrap_mean(values)
    assert found is not None
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    # Two sets of 9,999 resamples place the ends of an interval within some hundredths of its width.
    assert found.low == pytest.approx(theirs.confidence_interval.low, abs=0.04 * width)
    assert found.high == pytest.approx(theirs.confidence_interval.high, abs=0.04 * width)


def test_the_seed_decides_every_figure() -> None:
    values = np.random.default_rng(5).normal(size=100)
    assert bootstrap_mean(values) == bootstrap_mean(values)
    assert permutation_test(values) == permutation_test(values)
    assert bootstrap_mean(values) != bootstrap_mean(values, Resampling(seed=1))


def test_the_permutation_test_of_darwins_maize_is_fishers() -> None:
    # Fisher 1935, The Design of Experiments, section 21: 15 pairs, 863 of 32,768 sums as large on either side.
    eighths_of_an_inch = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48], dtype=np.float64)
    assert permutation_test(eighths_of_an_inch) == pytest.approx(2 * 863 / 32768, abs=0.005)


def test_few_differences_are_gone_through_and_many_different_ones_are_sampled() -> None:
    # Of the 16 patterns of signs only all and none reach the sum.
    assert permutation_test(np.array([1.0, 2.0, 3.0, 4.5])) == pytest.approx(2 / 16)
    continuous = np.random.default_rng(2).normal(0.25, 1.0, size=100)
    normal_tail = stats.ttest_1samp(continuous, 0.0)[1]
    assert permutation_test(continuous) == pytest.approx(normal_tail, abs=0.02)
    assert permutation_test(np.zeros(4)) == 1.0


@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), min_size=1, max_size=40))
@settings(max_examples=60)
def test_the_permutation_test_does_not_care_which_run_came_first(differences: list[float]) -> None:
    array = np.array(differences)
    p = permutation_test(array, QUICK)
    assert p == permutation_test(-array, QUICK)
    assert 0 < p <= 1


@given(st.integers(0, 40), st.integers(0, 40))
def test_the_permutation_test_of_rights_and_wrongs_is_the_binomial_one(gained: int, lost: int) -> None:
    differences = np.array([1.0] * gained + [-1.0] * lost + [0.0] * 3)
    theirs = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert permutation_test(differences) == pytest.approx(theirs)
