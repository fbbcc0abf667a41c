"""Summaries: the counts, sums and spreads of a run, kept up to date one result at a time.

The rule here: a tally takes the same room for ten results as for ten million, and what it does not know it does not
say.
"""

import math
from collections import Counter

from pydantic import Field

from agent_core.evaluation.pricing import cache_saving
from agent_core.evaluation.result import ANSWERED, OUTCOMES, ResultHead, SampleOutcome
from agent_core.evaluation.statistics.running import RunningMean, RunningScores
from agent_core.frozen import Frozen
from agent_core.messages import Usage

# Latencies fall into buckets whose bounds are 2 % apart, so a quantile is right within 1 %.
_LOG_STEP = math.log(1.02)
_SHORTEST = 1e-4
KEPT_FAILURES = 5
KEPT_KINDS = 100


class Failure(Frozen):
    """One sample that did not complete, as an example of its kind."""

    id: str
    epoch: int
    outcome: SampleOutcome
    kind: str
    message: str


class Spread:
    """Quantiles of positive values in buckets that grow with the value: relative error at most 1 %, memory bounded."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self.count = 0

    def add(self, value: float) -> None:
        """Count one value; what is shorter than a tenth of a millisecond counts as that."""
        self._buckets[math.floor(math.log(max(value, _SHORTEST)) / _LOG_STEP)] += 1
        self.count += 1

    def quantile(self, share: float) -> float | None:
        """The value that `share` (0 to 1) of all values do not exceed; None without values."""
        rank, seen = max(1, math.ceil(share * self.count)), 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= rank:
                return math.exp((bucket + 0.5) * _LOG_STEP)
        return None


class RunningScore(Frozen):
    """The mean of a scorer's values so far, with the bounds of its 95 % interval where that is known."""

    mean: float | None
    low: float | None = None
    high: float | None = None
    count: int = 0
    unscored: int = 0


class Summary(Frozen):
    """A run in figures. Latencies are in seconds, of samples that were answered; `cost` in US dollars.

    `usage` leaves out what the `summariser` took, `cost` does not. `cost` leaves out the `unpriced` results whose model
    has no known price or whose usage is unknown. `cache_saving` is what the provider's prompt cache has saved of it.
    `seconds` spans from the first sample taken to the last one ended, `earlier` results (kept when the run was resumed)
    left out. `other_lines` are results in the file that belong to no sample asked for.
    """

    planned: int
    outcomes: dict[SampleOutcome, int]
    earlier: int = 0
    retried: int = 0
    usage: Usage = Usage()
    summariser: Usage = Usage()
    cost: float | None = None
    unpriced: int = 0
    cache_saving: float | None = None
    latency_p50: float | None = None
    latency_p95: float | None = None
    first_token_p50: float | None = None
    seconds: float = 0.0
    samples_per_second: float | None = None
    failures: tuple[Failure, ...] = ()
    failure_kinds: dict[str, int] = Field(default_factory=dict)
    configurations: tuple[str, ...] = ()
    other_lines: int = 0
    scores: dict[str, RunningScore] = Field(default_factory=dict)

    @property
    def done(self) -> int:
        """How many results there are."""
        return sum(number for outcome, number in self.outcomes.items() if outcome != "missing")

    @property
    def whole(self) -> bool:
        """Whether every sample was answered, and judged where there is somebody to judge."""
        return self.outcomes.get("completed", 0) + self.outcomes.get("scored", 0) == self.planned


class Tally:
    """Results as they come. `planned` is how many there will be when the run is whole, `model` what they ask."""

    def __init__(self, planned: int, model: str = "") -> None:
        self.planned = planned
        self._model = model
        self.earlier = 0
        self.other_lines = 0
        self.outcomes: Counter[SampleOutcome] = Counter()
        self.usage = Usage()
        self.summariser = Usage()
        self.cost = 0.0
        self._unpriced = 0
        self._retried = 0
        self._latency = Spread()
        self._first_token = Spread()
        self._failures: list[Failure] = []
        self._kinds: Counter[str] = Counter()
        self._configurations: dict[str, None] = {}
        self._scores = RunningScores()
        self._began = math.inf
        self._ended = 0.0

    @property
    def done(self) -> int:
        """How many results there are."""
        return self.outcomes.total()

    def add(self, head: ResultHead, *, earlier: bool = False) -> None:
        """Count one result; an `earlier` one is from a run that this one goes on with, and does not count as time."""
        self.outcomes[head.outcome] += 1
        self._retried += head.attempts > 1
        if head.usage is not None:
            self.usage += head.usage
        if head.summariser is not None:
            self.summariser += head.summariser
        if head.cost is None:
            self._unpriced += 1
        else:
            self.cost += head.cost
        if len(self._configurations) < KEPT_KINDS:
            self._configurations.setdefault(head.configuration)
        self._scores.add(head)
        if earlier:
            self.earlier += 1
        else:
            self._began = min(self._began, head.timings.queued)
            self._ended = max(self._ended, head.timings.ended)
        if head.outcome in ANSWERED:
            self._latency.add(head.timings.latency)
            if head.timings.first_token is not None:
                self._first_token.add(head.timings.first_token - head.timings.started)
        elif head.outcome != "cancelled":
            self._add_failure(head)

    def _add_failure(self, head: ResultHead) -> None:
        kind = head.limit or (head.error.kind if head.error else head.outcome)
        if kind in self._kinds or len(self._kinds) < KEPT_KINDS:
            self._kinds[kind] += 1
        # The first of each kind tells more than the first few of one kind.
        if len(self._failures) < KEPT_FAILURES and self._kinds[kind] <= 2:
            message = head.error.message if head.error else ""
            self._failures.append(
                Failure(id=head.id, epoch=head.epoch, outcome=head.outcome, kind=kind, message=message)
            )

    def summary(self) -> Summary:
        """The figures so far; what has no result yet is missing."""
        fresh = self.done - self.earlier
        seconds = max(0.0, self._ended - self._began) if fresh else 0.0
        counts: dict[SampleOutcome, int] = {outcome: self.outcomes[outcome] for outcome in OUTCOMES}
        counts["missing"] = self.planned - self.done
        return Summary(
            planned=self.planned,
            outcomes=counts,
            earlier=self.earlier,
            retried=self._retried,
            usage=self.usage,
            summariser=self.summariser,
            cost=self.cost if self._unpriced < self.done else None,
            unpriced=self._unpriced,
            cache_saving=cache_saving(self._model, self.usage) if self.usage.cache_read_tokens else None,
            latency_p50=self._latency.quantile(0.5),
            latency_p95=self._latency.quantile(0.95),
            first_token_p50=self._first_token.quantile(0.5),
            seconds=seconds,
            samples_per_second=fresh / seconds if seconds else None,
            failures=tuple(self._failures),
            failure_kinds=dict(self._kinds.most_common()),
            configurations=tuple(self._configurations),
            other_lines=self.other_lines,
            scores={name: self._score(name, mean) for name, mean in self._scores.means.items()},
        )

    def _score(self, name: str, running: RunningMean) -> RunningScore:
        interval = running.interval
        return RunningScore(
            mean=running.mean,
            low=interval.low if interval else None,
            high=interval.high if interval else None,
            count=running.count,
            unscored=self._scores.unscored.get(name, 0),
        )
