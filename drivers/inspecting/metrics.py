"""The metrics of a task, made by Inspect of the results of a run.

The rule here: Inspect's own code computes them, from the values that its scorers gave. A result without a score counts
nowhere, as in Inspect.
"""

from collections.abc import Iterable
from typing import NamedTuple

from inspect_ai import Task
from inspect_ai.scorer import SampleScore

from agent_core.evaluation.result import ResultHead
from agent_core.evaluation.score import Score
from drivers.inspecting import inside
from drivers.inspecting.samples import inspect_id, inspect_sample
from drivers.inspecting.scores import inspect_score


class MetricValue(NamedTuple):
    """One metric: of which scorer (or which part of its values), over which reducer of epochs, and its value."""

    scorer: str
    metric: str
    value: float
    reducer: str | None = None


def metrics_of(task: Task, results: Iterable[ResultHead]) -> list[MetricValue]:
    """What the task's metrics make of these results, in the order in which Inspect has them.

    Held in memory: the scores, without the answers. Raises what a metric of the user's raises.
    """
    scorers = list(task.scorer or ())
    names = inside.scorer_names(scorers)
    taken: list[dict[str, SampleScore]] = []
    count = 0
    for result in results:
        count += 1
        of_sample: dict[str, SampleScore] = {}
        for name, scorer in zip(names, scorers, strict=True):
            of_one = _sample_score(name, inside.registry_unqualified_name(scorer), result)
            if of_one is not None:
                of_sample[name] = of_one
        if of_sample:
            taken.append(of_sample)
    made, _ = inside.eval_results(
        samples=count,
        scores=taken,
        reducers=task.epochs_reducer,
        scorers=scorers,
        metrics=task.metrics,
        scorer_names=names,
    )
    return [
        MetricValue(score.name, metric.name, float(metric.value), score.reducer)
        for score in made.scores
        for metric in score.metrics.values()
    ]


def _sample_score(name: str, scorer: str, result: ResultHead) -> SampleScore | None:
    own: dict[str, Score] = result.scores
    score = inspect_score(name, own)
    if score is None:
        return None
    return SampleScore(
        score=score,
        sample_id=inspect_id(result.id),
        sample_metadata=inspect_sample(result.sample).metadata,
        scorer=scorer,
    )
