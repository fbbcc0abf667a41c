"""Means of a run under way: one score at a time, room bounded whatever the number of samples.

The rule here: nothing but the standard library, and no list of samples. Epochs of a sample are one cluster, and
clusters are told apart by a hash of the sample's id into a fixed number of buckets.
"""

import math
import zlib

from agent_core.evaluation.result import ResultHead
from agent_core.evaluation.statistics.intervals import Interval, effective_trials, normal, wilson

BUCKETS = 1024
MOST_SCORERS = 100


class RunningMean:
    """The mean of the values so far, with its interval.

    Each value counts alike, so a sample of which more epochs have ended counts more until the others have caught up.
    With epochs the standard error is that of a mean over clusters (Cameron and Miller 2015, Journal of Human Resources
    50:317, with its factor G/(G-1)), the clusters being buckets of samples. Samples that share a bucket are independent
    of each other, so coarser clusters leave the error right on average; past some thousand samples it varies by
    1 / √(2 * 1024), about 2 %, around what the samples themselves would give. Without epochs there are no clusters, and
    the error is exact.
    """

    __slots__ = ("_counts", "_epochs", "_first", "_mean", "_shares", "_squares", "_sums", "count")

    def __init__(self) -> None:
        self.count = 0
        self._mean = 0.0
        # The sum of squared distances to the mean, kept up as by Welford (1962, Technometrics 4:419).
        self._squares = 0.0
        self._first = 0
        self._epochs = False
        self._shares = True
        self._counts = [0] * BUCKETS
        self._sums = [0.0] * BUCKETS

    def add(self, value: float, sample_id: str, epoch: int = 1) -> None:
        """Take in one score; one that is no finite number is left out. `epoch` counts from 1."""
        if not math.isfinite(value):
            return
        bucket = zlib.crc32(sample_id.encode("utf-8", "replace")) % BUCKETS
        self.count += 1
        distance = value - self._mean
        self._mean += distance / self.count
        self._squares += distance * (value - self._mean)
        self._first += epoch == 1
        self._epochs = self._epochs or epoch > 1
        self._shares = self._shares and value in (0.0, 1.0)
        self._counts[bucket] += 1
        self._sums[bucket] += value

    @property
    def mean(self) -> float | None:
        """The mean so far; None without a value."""
        return self._mean if self.count else None

    @property
    def standard_error(self) -> float | None:
        """The standard error of the mean; None as long as there are fewer than two samples (or buckets) to tell."""
        used = BUCKETS - self._counts.count(0)
        if self.count < 2 or (self._epochs and used < 2):
            return None
        if not self._epochs:
            return math.sqrt(self._squares / (self.count - 1) / self.count)
        pairs = zip(self._sums, self._counts, strict=True)
        squares = sum((total - self._mean * count) ** 2 for total, count in pairs)
        return math.sqrt(squares * used / (used - 1)) / self.count

    @property
    def interval(self) -> Interval | None:
        """Wilson's as long as all values were 0 or 1, with the effective number of trials if there are epochs.

        The normal one otherwise. None as long as nothing can be said.
        """
        mean, error = self.mean, self.standard_error
        if mean is None:
            return None
        if self._shares:
            # Rounding may leave the running mean of shares beside them by its last digit.
            mean = min(1.0, max(0.0, mean))
            samples = max(1, self._first) if self._epochs else self.count
            return wilson(mean, effective_trials(mean, error, samples=samples, values=self.count))
        return None if error is None else normal(mean, error)


class RunningScores:
    """A running mean for each scorer, by name in the order of their first score.

    `unscored` counts the answers that a scorer failed at. After a hundred names no further one is taken in.
    """

    def __init__(self) -> None:
        self.means: dict[str, RunningMean] = {}
        self.unscored: dict[str, int] = {}

    def add(self, head: ResultHead) -> None:
        """Take in all scores of one result. A result is taken in once."""
        for name, score in head.scores.items():
            if name not in self.means:
                if len(self.means) >= MOST_SCORERS:
                    continue
                self.means[name] = RunningMean()
            if score.value is None or not math.isfinite(score.value):
                self.unscored[name] = self.unscored.get(name, 0) + 1
            else:
                self.means[name].add(score.value, head.id, head.epoch)
