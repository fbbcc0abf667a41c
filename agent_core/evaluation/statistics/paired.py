"""Paired values: how much they differ, how surely, and what difference could have been seen.

The rule here: only pairs count, and a difference is what came after less what was before.
"""

import math

import numpy as np
from pydantic import computed_field

from agent_core.evaluation.statistics.arrays import Floats, only_shares
from agent_core.evaluation.statistics.exact import binomial_test, t_quantile
from agent_core.evaluation.statistics.intervals import Interval
from agent_core.evaluation.statistics.resampling import USUAL, Resampling, bootstrap_mean, permutation_test
from agent_core.frozen import Frozen

SIGNIFICANCE = 0.05
POWER = 0.8


class McNemar(Frozen):
    """The exact test of McNemar for scores of 0 and 1: `gained` went from wrong to right, `lost` the other way."""

    gained: int
    lost: int
    p: float


class Difference(Frozen):
    """How the means of `pairs` samples differ, the same samples in both; None where there are too few to tell.

    `detectable` is the smallest true difference that so many pairs, spread as these are, show at 5 % (two-sided) with
    80 % power.
    """

    pairs: int
    a: float | None
    b: float | None
    difference: float | None
    standard_error: float | None = None
    interval: Interval | None = None
    permutation_p: float | None = None
    mcnemar: McNemar | None = None
    detectable: float | None = None

    @computed_field
    @property
    def p(self) -> float | None:
        """The p-value to go by: McNemar's where scores are 0 and 1, otherwise that of the permutation test."""
        return self.mcnemar.p if self.mcnemar else self.permutation_p


def difference(before: Floats, after: Floats, how: Resampling = USUAL) -> Difference:
    """How paired values differ; pairs that lack one (NaN) are left out."""
    both = ~(np.isnan(before) | np.isnan(after))
    before, after = before[both], after[both]
    pairs = int(before.size)
    if not pairs:
        return Difference(pairs=0, a=None, b=None, difference=None)
    differences = after - before
    error = float(differences.std(ddof=1)) / math.sqrt(pairs) if pairs > 1 else None
    mean_a, mean_b = float(before.mean()), float(after.mean())
    return Difference(
        pairs=pairs,
        a=mean_a,
        b=mean_b,
        difference=float(differences.mean()),
        standard_error=error,
        interval=bootstrap_mean(differences, how),
        permutation_p=permutation_test(differences, how),
        mcnemar=mcnemar(before, after) if only_shares(before) and only_shares(after) else None,
        detectable=detectable_difference(error, pairs) if error else None,
    )


def mcnemar(before: Floats, after: Floats) -> McNemar:
    """The exact test: of pairs that changed a fair coin says gained or lost (McNemar 1947, Psychometrika 12:153)."""
    gained, lost = int((after > before).sum()), int((after < before).sum())
    return McNemar(gained=gained, lost=lost, p=binomial_test(gained, gained + lost))


def detectable_difference(standard_error: float, pairs: int) -> float:
    """The smallest true difference that a two-sided test at 5 % finds in 80 % of such runs.

    The sum of the two quantiles of Student's t, times the standard error of the difference (Bloom 1995, Evaluation
    Review 19:547): 2.80 errors for many pairs.
    """
    degrees = pairs - 1
    return (t_quantile(1 - SIGNIFICANCE / 2, degrees) + t_quantile(POWER, degrees)) * standard_error


def holm(values: list[float | None]) -> list[float | None]:
    """The p-values, corrected for how many there are; None stays None and does not count.

    The step-down method of Holm (1979, Scandinavian Journal of Statistics 6:65).
    """
    known = sorted((p, place) for place, p in enumerate(values) if p is not None)
    corrected: list[float | None] = [None] * len(values)
    highest = 0.0
    for step, (p, place) in enumerate(known):
        highest = max(highest, min(1.0, p * (len(known) - step)))
        corrected[place] = highest
    return corrected
