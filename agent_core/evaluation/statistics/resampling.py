"""Resampling: bootstrap intervals of a mean, and the permutation test of paired differences.

The rule here: the same values and seed give the same figures, in any order of the samples. The statistic is always a
mean, so what SciPy does for any statistic is done here in closed form: a resample of few different values is one draw
of how often each comes, and the acceleration of BCa is a third moment. Tests hold both against scipy.stats.
"""

import math
from collections.abc import Iterator
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from agent_core.evaluation.statistics.arrays import Floats
from agent_core.evaluation.statistics.exact import MOST_PATTERNS, binomial_test, sign_flips
from agent_core.evaluation.statistics.intervals import CONFIDENCE, Interval

# Draws that are made for one figure; where values are many and all different, fewer resamples have to do.
BUDGET = 20_000_000
FEWEST_RESAMPLES = 1000
CELLS_AT_ONCE = 2_000_000
# Up to so many different values, drawing their counts is quicker than drawing every value.
FEW_VALUES = 64
_NORMAL = NormalDist()


class Resampling(NamedTuple):
    """How resampling is done. `resamples` are at most made: with more than some thousand different values it is fewer.

    `confidence` is that of all intervals, from 0 to 1.
    """

    seed: int = 0
    resamples: int = 9999
    confidence: float = CONFIDENCE


USUAL = Resampling()


def bootstrap_mean(values: Floats, how: Resampling = USUAL) -> Interval | None:
    """The bias-corrected and accelerated bootstrap interval (BCa; Efron 1987, JASA 82:171) of the mean.

    `values` has one for each sample, none of them NaN. None for fewer than two, and where all are alike: resampling
    then sees no spread at all, which is not to say that there is none.
    """
    if values.size < 2 or values.min() == values.max():
        return None
    mean = float(values.mean())
    means = np.sort(_resampled_means(values, how))
    # Means that differ by rounding alone are the same, and what is the same counts half on each side.
    slack = 1e-12 * float(np.abs(values).max())
    below = float(np.searchsorted(means, mean - slack) + np.searchsorted(means, mean + slack, side="right")) / 2
    edge = 1 / (means.size + 1)
    bias = _NORMAL.inv_cdf(min(1 - edge, max(edge, below / means.size)))
    away = values - mean
    acceleration = float((away**3).sum() / (6 * (away**2).sum() ** 1.5))
    tail = (1 - how.confidence) / 2
    low, high = (
        float(np.quantile(means, _adjusted(_NORMAL.inv_cdf(share), bias, acceleration))) for share in (tail, 1 - tail)
    )
    return Interval(low=min(low, mean), high=max(high, mean), method="bootstrap", confidence=how.confidence)


def _adjusted(quantile: float, bias: float, acceleration: float) -> float:
    moved = bias + quantile
    return _NORMAL.cdf(bias + moved / (1 - acceleration * moved))


def _resampled_means(values: Floats, how: Resampling) -> Floats:
    random = np.random.default_rng(how.seed)
    distinct, counts = np.unique(values, return_counts=True)
    if distinct.size <= FEW_VALUES:
        drawn = random.multinomial(values.size, counts / values.size, size=how.resamples)
        return drawn @ distinct / values.size
    # In their own order, so that the order of the samples changes nothing.
    ordered = np.sort(values)
    return np.concatenate(
        [
            ordered[random.integers(0, values.size, size=(rows, values.size))].mean(axis=1)
            for rows in _chunks(values.size, how)
        ]
    )


def permutation_test(differences: Floats, how: Resampling = USUAL) -> float:
    """The two-sided p-value of the mean when each difference could as well have its other sign.

    It is the paired permutation test (Fisher 1935, The Design of Experiments, section 21). `differences` has one for
    each pair, none of them NaN; those of zero change nothing. Exact for up to 13 others, and where all others are
    equally large (with 0/1 scores it is McNemar's exact test). Otherwise estimated from resamples, as (1 + those as
    extreme) / (1 + all), so it is never zero (Phipson and Smyth 2010, Statistical Applications in Genetics and
    Molecular Biology 9:39).
    """
    sizes = np.sort(np.abs(differences[differences != 0.0]))
    if not sizes.size:
        return 1.0
    if sizes[0] == sizes[-1]:
        return binomial_test(int((differences > 0).sum()), int(sizes.size))
    if 2**sizes.size <= MOST_PATTERNS:
        return sign_flips(differences[differences != 0.0])
    sums = _flipped_sums(sizes, how)
    extreme = int((np.abs(sums) >= abs(float(differences.sum())) - 1e-12 * float(sizes.sum())).sum())
    return (1 + extreme) / (1 + sums.size)


def _flipped_sums(sizes: Floats, how: Resampling) -> Floats:
    random = np.random.default_rng(how.seed)
    distinct, counts = np.unique(sizes, return_counts=True)
    if distinct.size <= FEW_VALUES:
        kept = random.binomial(counts, 0.5, size=(how.resamples, distinct.size))
        return (2.0 * kept - counts) @ distinct
    chunks = [
        2.0 * (random.integers(0, 2, size=(rows, sizes.size), dtype=np.int8) @ sizes) - sizes.sum()
        for rows in _chunks(sizes.size, how)
    ]
    return np.concatenate(chunks)


def _chunks(width: int, how: Resampling) -> Iterator[int]:
    """How many resamples of `width` draws are made at once, chunk by chunk."""
    left = min(how.resamples, max(FEWEST_RESAMPLES, math.ceil(BUDGET / width)))
    at_once = max(1, CELLS_AT_ONCE // width)
    while left > 0:
        yield min(left, at_once)
        left -= at_once
