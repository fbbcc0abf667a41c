"""Estimates: the mean of a score with its error and intervals, and how much of what was planned it rests on.

The rule here: every sample weighs the same, however many of its epochs have a score, and is one observation. With
whole epochs that is exactly the mean of all scores with its standard error clustered by sample (Miller 2024,
arXiv:2411.00640). What has no score is in no mean; the coverage says how far it could move one.
"""

import math

from pydantic import computed_field

from agent_core.evaluation.statistics.arrays import Floats, only_shares, scored
from agent_core.evaluation.statistics.intervals import Interval, effective_trials, wilson
from agent_core.evaluation.statistics.reducing import MEAN, Reducer, reduce
from agent_core.evaluation.statistics.resampling import USUAL, Resampling, bootstrap_mean
from agent_core.frozen import Frozen


class Estimate(Frozen):
    """A mean over `samples` samples, None where no sample has a value.

    `standard_error` is None with fewer than two samples. `wilson` is there for scores of 0 and 1 (with several epochs
    for as many trials as they are worth, see `effective_trials`), `bootstrap` where the samples differ.
    """

    mean: float | None
    standard_error: float | None
    samples: int
    wilson: Interval | None = None
    bootstrap: Interval | None = None

    @property
    def interval(self) -> Interval | None:
        """The interval to show: Wilson's where it is there, which holds for few samples and for shares near 0 and 1."""
        return self.wilson or self.bootstrap


class Coverage(Frozen):
    """How many of the planned samples and epochs have a score.

    `if_wrong` and `if_right` are the mean, were each that has none a 0 or a 1; None where scores are not between those.
    """

    planned: int
    scored: int
    if_wrong: float | None = None
    if_right: float | None = None

    @computed_field
    @property
    def share(self) -> float:
        """From 0 to 1; 1 where nothing was planned."""
        return self.scored / self.planned if self.planned else 1.0


def estimate(values: Floats, reducer: Reducer = MEAN, how: Resampling = USUAL) -> Estimate:
    """The mean of what the reducer makes of each sample (row) of its epochs (columns)."""
    if reducer.kind in ("pass@", "pass^") and reducer.k == 1:
        # Of one epoch either is the mean, and has its interval.
        reducer = MEAN
    reduced = scored(reduce(values, reducer))
    samples = int(reduced.size)
    if not samples:
        return Estimate(mean=None, standard_error=None, samples=0)
    mean = float(reduced.mean())
    error = float(reduced.std(ddof=1)) / math.sqrt(samples) if samples > 1 else None
    interval = None
    if only_shares(reduced):
        interval = wilson(mean, samples, how.confidence)
    elif reducer == MEAN and only_shares(values):
        trials = effective_trials(mean, error, samples=samples, values=int(scored(values).size))
        interval = wilson(mean, trials, how.confidence)
    return Estimate(
        mean=mean,
        standard_error=error,
        samples=samples,
        wilson=interval,
        bootstrap=bootstrap_mean(reduced, how),
    )


def coverage(values: Floats, *, planned: int) -> Coverage:
    """What of `planned` samples and epochs these scores cover."""
    there = scored(values)
    open_ones = planned - int(there.size)
    if not there.size or there.min() < 0.0 or there.max() > 1.0:
        return Coverage(planned=planned, scored=int(there.size))
    total = float(there.sum())
    return Coverage(
        planned=planned,
        scored=int(there.size),
        if_wrong=total / planned,
        if_right=(total + open_ones) / planned,
    )
