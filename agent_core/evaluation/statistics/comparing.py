"""Two runs on the same samples: how they differ, how surely, and what difference they could have shown.

The rule here: samples are paired by their id, and only pairs are compared; what is in one run alone, was asked
otherwise, or lacks a score on one side is counted and said. Differences are B less A.
"""

from typing import NamedTuple

import numpy as np
from pydantic import Field

from agent_core.errors import ConfigError
from agent_core.evaluation.statistics.arrays import Indices
from agent_core.evaluation.statistics.collected import Collected
from agent_core.evaluation.statistics.paired import Difference, difference, holm
from agent_core.evaluation.statistics.reducing import reduce, reducer_of
from agent_core.evaluation.statistics.resampling import USUAL, Resampling
from agent_core.frozen import Frozen


class Asked(NamedTuple):
    """What is to be compared: all scorers that both runs have, or those that are named.

    `reduce` names how epochs become one value, see `reducer_of`. `changed`: samples whose question or target is not the
    same in both runs are compared too.
    """

    scorers: tuple[str, ...] = ()
    reduce: str = "mean"
    changed: bool = False
    how: Resampling = USUAL


EVERYTHING = Asked()


class Matched(Frozen):
    """Which samples of two runs belong together: `both` are paired; the others by their ids."""

    both: int
    only_in_a: tuple[str, ...] = ()
    only_in_b: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


class Flip(Frozen):
    """A sample that was scored otherwise in B (`after`) than in A (`before`)."""

    id: str
    before: float
    after: float


class ScorerComparison(Frozen):
    """What one scorer says of two runs.

    `holm_p` is p corrected for the number of scorers. Of the samples in both, `scored_in_a` and `scored_in_b` have a
    score on that side alone and `unscored` on neither, so they are no pairs. `flips` go from the largest loss to the
    largest gain.
    """

    scorer: str
    overall: Difference
    holm_p: float | None = None
    scored_in_a: int = 0
    scored_in_b: int = 0
    unscored: int = 0
    groups: dict[str, Difference] = Field(default_factory=dict)
    flips: tuple[Flip, ...] = ()


class Comparison(Frozen):
    """Two runs side by side. The last two are scorers that only one of them has, which are not compared."""

    a: str
    b: str
    reducer: str
    matched: Matched
    scorers: dict[str, ScorerComparison]
    scorers_only_in_a: tuple[str, ...] = ()
    scorers_only_in_b: tuple[str, ...] = ()


class _Pairs(NamedTuple):
    """The rows of paired samples on either side, and the groups as places among the pairs."""

    rows_a: Indices
    rows_b: Indices
    ids: list[str]
    groups: dict[str, Indices]


def compare(a: Collected, b: Collected, asked: Asked = EVERYTHING) -> Comparison:
    """Compare run B with run A.

    Raises ConfigError where nothing is there to compare: no sample, or no scorer, that both have; and as `Collected`
    and `reducer_of` do.
    """
    matched, pairs = _match(a, b, asked)
    names = asked.scorers or tuple(name for name in a.scorers if name in b.scorers)
    if not names:
        had = [f"{run.name} has {', '.join(run.scorers) or 'none'}" for run in (a, b)]
        raise ConfigError(f"The runs have no scorer in common: {'; '.join(had)}. Score both with the same one.")
    compared = [_compare_scorer(a, b, name, pairs, asked) for name in names]
    corrected = holm([one.overall.p for one in compared])
    return Comparison(
        a=a.name,
        b=b.name,
        reducer=asked.reduce,
        matched=matched,
        scorers={one.scorer: one.model_copy(update={"holm_p": p}) for one, p in zip(compared, corrected, strict=True)},
        scorers_only_in_a=tuple(name for name in a.scorers if name not in b.scorers),
        scorers_only_in_b=tuple(name for name in b.scorers if name not in a.scorers),
    )


def _match(a: Collected, b: Collected, asked: Asked) -> tuple[Matched, _Pairs]:
    places_a, places_b = a.places(), b.places()
    common = [name for name in places_a if name in places_b]
    changed = [name for name in common if a.digest(places_a[name]) != b.digest(places_b[name])]
    if changed and not asked.changed:
        left_out = set(changed)
        common = [name for name in common if name not in left_out]
    if not common:
        why = (
            f"all {len(changed):,} samples with the same id have another question or target (--changed compares them)"
            if changed
            else "they have no sample id in common"
        )
        raise ConfigError(f"{a.name} and {b.name} cannot be paired: {why}. Compare runs of the same dataset.")
    matched = Matched(
        both=len(common),
        only_in_a=tuple(name for name in places_a if name not in places_b),
        only_in_b=tuple(name for name in places_b if name not in places_a),
        changed=tuple(changed),
    )
    rows_a = np.array([places_a[name] for name in common], dtype=np.intp)
    rows_b = np.array([places_b[name] for name in common], dtype=np.intp)
    pair_of = np.full(len(places_a), -1, dtype=np.intp)
    pair_of[rows_a] = np.arange(rows_a.size)
    members = {label: pair_of[rows] for label, rows in a.groups().items()}
    groups = {label: pairs[pairs >= 0] for label, pairs in members.items() if (pairs >= 0).any()}
    return matched, _Pairs(rows_a, rows_b, common, groups)


def _compare_scorer(a: Collected, b: Collected, scorer: str, pairs: _Pairs, asked: Asked) -> ScorerComparison:
    reducer = reducer_of(asked.reduce, epochs=min(a.epochs, b.epochs))
    before = reduce(a.scores(scorer)[pairs.rows_a], reducer)
    after = reduce(b.scores(scorer)[pairs.rows_b], reducer)
    in_a, in_b = ~np.isnan(before), ~np.isnan(after)
    changed = np.flatnonzero(in_a & in_b & (before != after))
    ordered: Indices = changed[np.argsort(after[changed] - before[changed], kind="stable")]
    return ScorerComparison(
        scorer=scorer,
        overall=difference(before, after, asked.how),
        scored_in_a=int((in_a & ~in_b).sum()),
        scored_in_b=int((in_b & ~in_a).sum()),
        unscored=int((~in_a & ~in_b).sum()),
        groups={label: difference(before[rows], after[rows], asked.how) for label, rows in pairs.groups.items()},
        flips=tuple(
            Flip(id=pairs.ids[int(row)], before=float(before[row]), after=float(after[row])) for row in ordered.tolist()
        ),
    )
