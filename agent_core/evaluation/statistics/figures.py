"""Figures of one run: for each scorer, and each group of samples, everything that can be said of its scores.

The rule here: pure of what was collected. A sample that has no result at all is in no group, for its metadata is not
known; in the coverage of the whole run it counts.
"""

from collections.abc import Sequence

from pydantic import Field

from agent_core.evaluation.result import SampleOutcome
from agent_core.evaluation.statistics.arrays import Floats, only_shares
from agent_core.evaluation.statistics.collected import Collected
from agent_core.evaluation.statistics.estimates import Coverage, Estimate, coverage, estimate
from agent_core.evaluation.statistics.reducing import MEAN, Reducer, reducers_for
from agent_core.evaluation.statistics.resampling import USUAL, Resampling
from agent_core.frozen import Frozen


class PassFigures(Frozen):
    """pass@k (at least one of k epochs is right) and pass^k (all of them are) of the samples with k scores or more."""

    k: int
    pass_at_k: Estimate
    pass_hat_k: Estimate


class GroupFigures(Frozen):
    """The figures of some of the samples."""

    estimate: Estimate
    coverage: Coverage


class ScorerFigures(Frozen):
    """What one scorer says.

    `estimate` is of the epochs reduced by `reducer`, `reduced` has what the other reducers make of them. `passes` is
    for scores of 0 and 1; both are empty without epochs.
    """

    scorer: str
    reducer: str
    estimate: Estimate
    coverage: Coverage
    reduced: dict[str, Estimate] = Field(default_factory=dict)
    passes: tuple[PassFigures, ...] = ()
    groups: dict[str, GroupFigures] = Field(default_factory=dict)


class RunFigures(Frozen):
    """What the scorers of a run say. `samples` have a result; `planned` counts samples times epochs."""

    name: str
    samples: int
    epochs: int
    planned: int
    outcomes: dict[SampleOutcome, int]
    scorers: dict[str, ScorerFigures]


def run_figures(
    run: Collected, *, scorers: Sequence[str] = (), reducer: Reducer = MEAN, how: Resampling = USUAL
) -> RunFigures:
    """The figures of a run, of all its scorers or of those that are named. Raises ConfigError, see `Collected`."""
    return RunFigures(
        name=run.name,
        samples=len(run.ids),
        epochs=run.epochs,
        planned=run.planned,
        outcomes=run.outcomes,
        scorers={name: scorer_figures(run, name, reducer, how) for name in scorers or run.scorers},
    )


def scorer_figures(run: Collected, scorer: str, reducer: Reducer = MEAN, how: Resampling = USUAL) -> ScorerFigures:
    """The figures of one scorer. Raises ConfigError for one that the run does not have, or groups that it has not."""
    values = run.scores(scorer)
    several = run.epochs > 1
    return ScorerFigures(
        scorer=scorer,
        reducer=str(reducer),
        estimate=estimate(values, reducer, how),
        coverage=coverage(values, planned=run.planned),
        reduced={str(one): estimate(values, one, how) for one in reducers_for(values)} if several else {},
        passes=_passes(values, how) if several and only_shares(values) else (),
        groups={
            label: GroupFigures(
                estimate=estimate(values[rows], reducer, how),
                coverage=coverage(values[rows], planned=rows.size * run.epochs),
            )
            for label, rows in run.groups().items()
        },
    )


def _passes(values: Floats, how: Resampling) -> tuple[PassFigures, ...]:
    return tuple(
        PassFigures(
            k=k,
            pass_at_k=estimate(values, Reducer("pass@", k), how),
            pass_hat_k=estimate(values, Reducer("pass^", k), how),
        )
        for k in range(1, values.shape[1] + 1)
    )
