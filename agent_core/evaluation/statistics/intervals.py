"""Intervals around a mean that need no resampling: Wilson's for shares, the normal one for the rest.

The rule here: the standard library suffices, so that a live view may ask for an interval several times a second.
"""

import math
from statistics import NormalDist
from typing import Literal

from agent_core.frozen import Frozen

CONFIDENCE = 0.95
_NORMAL = NormalDist()

IntervalMethod = Literal["wilson", "normal", "bootstrap"]


class Interval(Frozen):
    """From `low` to `high`, both included: where the true mean is with the given confidence (0 to 1)."""

    low: float
    high: float
    method: IntervalMethod
    confidence: float = CONFIDENCE

    def negated(self) -> "Interval":
        """The interval of the same quantity with the other sign."""
        return self.model_copy(update={"low": -self.high, "high": -self.low})


def two_sided_quantile(confidence: float) -> float:
    """How many standard errors a normal interval reaches to each side: 1.96 for 0.95."""
    return _NORMAL.inv_cdf(0.5 + confidence / 2)


def wilson(share: float, trials: float, confidence: float = CONFIDENCE) -> Interval:
    """The score interval of Wilson (1927, JASA 22:209) for a share (0 to 1) of `trials`, without continuity correction.

    `trials` need not be whole: see `effective_trials`. Raises ValueError without trials.
    """
    if trials <= 0:
        raise ValueError("an interval of a share needs at least one trial")
    z = two_sided_quantile(confidence)
    shrink = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / shrink
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / shrink
    # Rounding may leave the share itself outside by its last digit.
    return Interval(
        low=max(0.0, min(centre - half, share)),
        high=min(1.0, max(centre + half, share)),
        method="wilson",
        confidence=confidence,
    )


def effective_trials(share: float, standard_error: float | None, *, samples: int, values: int) -> float:
    """How many independent trials say as much of a share as `values` of them in `samples` clusters do.

    It is share * (1 - share) / error², as survey statistics put into Wilson's interval where answers are clustered
    (Franco et al. 2019, Journal of Survey Statistics and Methodology 7:334). Never more than the values; and where no
    error is to be seen, with one sample or all samples alike, no more than the samples.
    """
    if values <= samples:
        return float(values)
    if not standard_error:
        return float(samples)
    return min(float(values), max(1.0, share * (1 - share) / standard_error**2))


def normal(mean: float, standard_error: float, confidence: float = CONFIDENCE) -> Interval:
    """Mean and error as an interval; for means of many values (some hundred), whatever they are."""
    half = two_sided_quantile(confidence) * standard_error
    return Interval(low=mean - half, high=mean + half, method="normal", confidence=confidence)
