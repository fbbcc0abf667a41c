"""Gates: conditions that a run is held to, and what each was held against.

The rule here: every condition gives one check with the figures it rests on, and a figure that is not known fails it.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from pydantic import computed_field

from agent_core.errors import ConfigError
from agent_core.evaluation.result import ANSWERED
from agent_core.evaluation.statistics.collected import Collected
from agent_core.evaluation.statistics.comparing import EVERYTHING, Asked, Comparison, compare
from agent_core.evaluation.statistics.estimates import coverage, estimate
from agent_core.evaluation.statistics.intervals import Interval
from agent_core.evaluation.statistics.reducing import reducer_of
from agent_core.frozen import Frozen

Judging = Literal["point", "significant", "proven"]
"""What decides: the value itself; or its interval, which fails a condition only if it lies wholly outside
(`significant`), or passes it only if it lies wholly inside (`proven`)."""

Side = Literal[">=", "<="]
ROUNDING = 1e-9


class Threshold(NamedTuple):
    """A bound for the score of one scorer, or, without a name, of all of them."""

    bound: float
    scorer: str | None = None


class Allowed(NamedTuple):
    """How many there may be: a count, or a share (0 to 1) of what was planned."""

    number: float
    is_share: bool = False


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a run has to meet. `drops` are held against a baseline; `coverage` is a share from 0 to 1."""

    minimum: tuple[Threshold, ...] = ()
    maximum: tuple[Threshold, ...] = ()
    drops: tuple[Threshold, ...] = ()
    infrastructure_failures: Allowed | None = None
    coverage: float | None = None
    judging: Judging = "point"

    @property
    def any(self) -> bool:
        """Whether there is anything to hold a run to."""
        bounds = (self.minimum, self.maximum, self.drops)
        return any(bounds) or self.infrastructure_failures is not None or self.coverage is not None


class Check(Frozen):
    """One condition, what was held against it (`value`, in its `interval` if it has one), and whether it passed.

    `counts`: the value is a number of samples.
    """

    condition: str
    value: float | None
    bound: float
    passed: bool
    interval: Interval | None = None
    note: str = ""
    counts: bool = False


class Gate(Frozen):
    """All checks of a run; it passes if each of them does."""

    run: str
    baseline: str | None
    judging: Judging
    checks: tuple[Check, ...]
    comparison: Comparison | None = None

    @computed_field
    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)


def hold(
    run: Collected, conditions: Conditions, asked: Asked = EVERYTHING, *, baseline: Collected | None = None
) -> Gate:
    """Hold a run to the conditions, as `asked` says how scores are reduced and resampled.

    Raises ConfigError for conditions that cannot be held against anything: a scorer that is not there, a drop without a
    baseline, or with one that has no sample in common with the run.
    """
    checks = [_bounded(run, threshold, ">=", conditions, asked) for threshold in conditions.minimum]
    checks += [_bounded(run, threshold, "<=", conditions, asked) for threshold in conditions.maximum]
    comparison = None
    if conditions.drops:
        if baseline is None:
            raise ConfigError("A drop is held against another run. Name it with --against.")
        named = tuple(dict.fromkeys(one.scorer for one in conditions.drops if one.scorer is not None))
        whole = any(one.scorer is None for one in conditions.drops)
        comparison = compare(baseline, run, asked._replace(scorers=() if whole else named))
        checks += [check for one in conditions.drops for check in _drops(comparison, one, conditions.judging)]
    if conditions.coverage is not None:
        checks += _coverages(run, conditions.coverage)
    if conditions.infrastructure_failures is not None:
        checks.append(_failures(run, conditions.infrastructure_failures))
    return Gate(
        run=run.name,
        baseline=baseline.name if baseline else None,
        judging=conditions.judging,
        checks=tuple(checks),
        comparison=comparison,
    )


def verdict(value: float, interval: Interval | None, side: Side, bound: float, judging: Judging) -> bool:
    """Whether a value with its interval keeps to its side of the bound. Without an interval the value decides."""
    if side == "<=":
        value, bound = -value, -bound
        interval = interval.negated() if interval else None
    if judging == "point" or interval is None:
        kept = value
    else:
        kept = interval.high if judging == "significant" else interval.low
    # A run that keeps to the bound exactly must not fail by its last binary digit: 0.8 - 0.78 is more than 0.02.
    return kept >= bound - ROUNDING


def _bounded(run: Collected, threshold: Threshold, side: Side, conditions: Conditions, asked: Asked) -> Check:
    scorer = threshold.scorer or ""
    values = run.scores(scorer)
    found = estimate(values, reducer_of(asked.reduce, epochs=run.epochs), asked.how)
    covered = coverage(values, planned=run.planned)
    notes = [f"{found.samples:,} samples"]
    if covered.scored < covered.planned:
        notes.append(f"{covered.planned - covered.scored:,} of {covered.planned:,} without a score")
        if covered.if_wrong is not None and covered.if_right is not None and asked.reduce == "mean":
            notes.append(f"with them {covered.if_wrong:.3f} to {covered.if_right:.3f}")
    return Check(
        condition=f"{scorer} {side} {threshold.bound:g}",
        value=found.mean,
        bound=threshold.bound,
        interval=found.interval,
        passed=found.mean is not None
        and verdict(found.mean, found.interval, side, threshold.bound, conditions.judging),
        note="; ".join(notes),
    )


def _drops(comparison: Comparison, threshold: Threshold, judging: Judging) -> list[Check]:
    names = [threshold.scorer] if threshold.scorer is not None else list(comparison.scorers)
    checks: list[Check] = []
    for name in names:
        found = comparison.scorers[name].overall
        drop = None if found.difference is None else -found.difference
        interval = found.interval.negated() if found.interval else None
        said = "" if found.a is None or found.b is None else f"{found.a:.3f} -> {found.b:.3f}, "
        checks.append(
            Check(
                condition=f"{name} drop <= {threshold.bound:g}",
                value=drop,
                bound=threshold.bound,
                interval=interval,
                passed=drop is not None and verdict(drop, interval, "<=", threshold.bound, judging),
                note=f"{said}{found.pairs:,} pairs",
            )
        )
    missing = [*comparison.scorers_only_in_a] if threshold.scorer is None else []
    checks += [
        Check(
            condition=f"{name} drop <= {threshold.bound:g}",
            value=None,
            bound=threshold.bound,
            passed=False,
            note="scored in the baseline only",
        )
        for name in missing
    ]
    return checks


def _coverages(run: Collected, least: float) -> list[Check]:
    shares = {name: coverage(run.scores(name), planned=run.planned).share for name in run.scorers}
    if not shares:
        answered = sum(number for outcome, number in run.outcomes.items() if outcome in ANSWERED)
        shares = {"answers": answered / run.planned if run.planned else 0.0}
    note = f"of {run.planned:,} planned" if run.planned_known else f"of {run.planned:,} found; the plan is not there"
    return [
        Check(
            condition=f"coverage of {name} >= {least:g}",
            value=share,
            bound=least,
            passed=share >= least - ROUNDING,
            note=note,
        )
        for name, share in shares.items()
    ]


def _failures(run: Collected, allowed: Allowed) -> Check:
    failed = run.outcomes["infrastructure_failed"]
    value = failed / run.planned if allowed.is_share and run.planned else float(failed)
    bound = f"{allowed.number:.3g}" if allowed.is_share else f"{allowed.number:g}"
    return Check(
        condition=f"infrastructure failures <= {bound}",
        value=value,
        bound=allowed.number,
        passed=value <= allowed.number + ROUNDING,
        note=f"{failed:,} of {run.planned:,}",
        counts=not allowed.is_share,
    )
