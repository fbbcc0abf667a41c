"""Results that are there already, scored again: no model is asked for an answer.

The rule here: an answer, its transcript and everything else of a result stay as they are. Only its scores change, and
its outcome where that says whether it was scored. What was not answered stays untouched.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from agent_core.evaluation.result import ANSWERED, Result, SampleOutcome
from agent_core.evaluation.score import Answered, Grader, Score, Scorer, no_grader
from agent_core.evaluation.scoring.judging import judge_all
from agent_core.ports import Clock


@dataclass(frozen=True, slots=True)
class Rescoring:
    """How results are scored again.

    `keep` says which earlier scores stay: none, or the others, those of scorers that are not among the new ones.
    `timeout` is in seconds for each scorer, `concurrency` is how many results are scored at once. `grader` asks a
    grading model.
    """

    keep: Literal["none", "others"] = "none"
    timeout: float = 60.0
    concurrency: int = 16
    grader: Grader = no_grader


PLAINLY = Rescoring()


async def rescored(
    results: Iterable[Result], scorers: Sequence[Scorer], how: Rescoring, clock: Clock
) -> AsyncGenerator[Result]:
    """The results in their order, with new scores. No more than `concurrency` of them are held.

    Raises what `results` raises. One that is not gone through to the end has to be closed (`contextlib.aclosing`).
    """
    under_way: deque[asyncio.Task[Result]] = deque()
    try:
        for result in results:
            under_way.append(asyncio.create_task(scored_again(result, scorers, how, clock)))
            if len(under_way) >= how.concurrency:
                yield await under_way.popleft()
        while under_way:
            yield await under_way.popleft()
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def scored_again(result: Result, scorers: Sequence[Scorer], how: Rescoring, clock: Clock) -> Result:
    """One result with new scores; as it is, if it has no answer or none that is scored."""
    if result.answer is None or (result.outcome not in ANSWERED and result.outcome != "limit_hit"):
        return result
    answered = Answered(
        sample=result.sample,
        answer=result.answer,
        transcript=result.transcript or (),
        epoch=result.epoch,
        seconds=result.timings.latency,
        grader=how.grader,
    )
    new = await judge_all(scorers, answered, timeout=how.timeout, clock=clock)
    kept = {} if how.keep == "none" else dict(_others(result.scores, scorers))
    scores = kept | new
    outcome: SampleOutcome = result.outcome
    if outcome in ANSWERED:
        outcome = outcome_of(scores)
    return result.model_copy(update={"scores": scores, "outcome": outcome})


def outcome_of(scores: Mapping[str, Score]) -> SampleOutcome:
    """The outcome of a sample that was answered and has these scores."""
    if not scores:
        return "completed"
    return "unscored" if any(score.value is None for score in scores.values()) else "scored"


def _others(scores: Mapping[str, Score], scorers: Sequence[Scorer]) -> Iterator[tuple[str, Score]]:
    """The scores that none of these scorers gave."""
    names = {scorer.name for scorer in scorers}
    for name, score in scores.items():
        if name not in names and not any(name.startswith(f"{own}.") for own in names):
            yield name, score
