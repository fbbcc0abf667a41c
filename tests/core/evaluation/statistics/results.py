"""Results made for the tests of statistics: only what a scorer said counts."""

from collections.abc import Mapping, Sequence

from agent_core.evaluation.result import ResultHead, SampleOutcome, Timings
from agent_core.evaluation.score import Score
from agent_core.evaluation.statistics.collected import Collected, Planned

TIMINGS = Timings(queued=0, started=1, ended=2)


def head(sample: str, epoch: int = 1, **fields: object) -> ResultHead:
    values = {"outcome": "scored", "attempts": 1, "input": "q", "timings": TIMINGS, "configuration": "c"}
    return ResultHead.model_validate({"id": sample, "epoch": epoch, **values, **fields})


def scored(sample: str, value: float | None, epoch: int = 1, **fields: object) -> ResultHead:
    """A result whose one scorer is called accuracy; None is a scorer that failed."""
    outcome: SampleOutcome = "scored" if value is not None else "unscored"
    return head(sample, epoch, **{"outcome": outcome, "scores": {"accuracy": Score(value=value)}, **fields})


def run(
    scores: Mapping[str, Sequence[float | None]],
    *,
    planned: Planned | None = None,
    by: str | None = None,
    groups: Mapping[str, object] | None = None,
    name: str = "run",
) -> Collected:
    """A run whose samples scored so in their epochs; `groups` are the values of the field `by`."""
    collected = Collected(name, planned=planned, by=by)
    for sample, values in scores.items():
        metadata = {by: groups[sample]} if by and groups and sample in groups else {}
        for epoch, value in enumerate(values, start=1):
            collected.add(scored(sample, value, epoch, metadata=metadata))
    return collected
