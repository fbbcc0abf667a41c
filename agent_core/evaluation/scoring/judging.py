"""All scorers of an answer, side by side.

The rule here: a scorer that raises, hangs or returns nonsense is a score with its error, under its own name. It takes
nothing from the others, and nothing from the sample.
"""

import asyncio
import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from agent_core.errors import ErrorInfo, ScorerError
from agent_core.evaluation.score import Answered, Score, Scorer
from agent_core.evaluation.scoring.instant import Instant
from agent_core.evaluation.scoring.readings import failed, scores_from, told
from agent_core.evaluation.scoring.waiting import within
from agent_core.ports import Clock


@runtime_checkable
class SelfTimed(Protocol):
    """A scorer that waits for what it shares with others, and knows when its own time begins."""

    async def score_within(self, answered: Answered, seconds: float, clock: Clock) -> Score | Mapping[str, Score]:
        """As `Scorer.score`. Raises ScorerError of kind `timeout` after `seconds`, however it counts them."""
        ...


async def judge_all(
    scorers: Sequence[Scorer],
    answered: Answered,
    *,
    timeout: float,  # noqa: ASYNC109 - one for each scorer, by the injected clock
    clock: Clock,
) -> dict[str, Score]:
    """What the scorers make of an answer: by their names, and `NAME.KEY` for each of several scores of one.

    `timeout` is in seconds, for each of them. Raises nothing but CancelledError, and then no scorer is left running.
    """
    async with asyncio.TaskGroup() as group:
        found: list[Sequence[tuple[str, Score]] | asyncio.Task[Sequence[tuple[str, Score]]]] = [
            _at_once(scorer, answered)
            if isinstance(scorer, Instant) and scorer.is_instant
            else group.create_task(_judged(scorer, answered, timeout, clock))
            for scorer in scorers
        ]
    return _by_name(
        pair for scores in found for pair in (scores.result() if isinstance(scores, asyncio.Task) else scores)
    )


def _at_once(scorer: Instant, answered: Answered) -> Sequence[tuple[str, Score]]:
    try:
        return [(scorer.name, scorer.judge(answered))]
    except Exception as error:  # noqa: BLE001 - the boundary to scorers
        return [(scorer.name, failed(told(error)))]


async def _judged(scorer: Scorer, answered: Answered, seconds: float, clock: Clock) -> Sequence[tuple[str, Score]]:
    name = _name(scorer)
    try:
        if isinstance(scorer, SelfTimed):
            given = await scorer.score_within(answered, seconds, clock)
        else:
            given = await within(seconds, clock, _guarded(scorer, answered))
        found = scores_from(given)
    except Exception as error:  # noqa: BLE001 - the boundary to scorers
        return [(name, failed(told(error)))]
    if isinstance(found, Score):
        return [(name, found)]
    return [(f"{name}.{key}", score) for key, score in found.items()]


async def _guarded(scorer: Scorer, answered: Answered) -> object:
    """What a scorer of any kind returns."""
    given: Any = scorer.score(answered)
    if not inspect.isawaitable(given):
        raise ScorerError("Its method score is not asynchronous. Write: async def score(self, answered).", "nonsense")
    return await given


def _name(scorer: Scorer) -> str:
    try:
        name: object = scorer.name
    except Exception:  # noqa: BLE001 - the author's own property
        name = None
    return name if isinstance(name, str) and name else type(scorer).__name__


def _by_name(pairs: Iterable[tuple[str, Score]]) -> dict[str, Score]:
    """The scores by their names. Two under one name are neither of them."""
    scores: dict[str, Score] = {}
    for name, score in pairs:
        if name in scores:
            text = f"Two scorers call a score {name}, so neither is kept. Give one of them another name."
            score = failed(ErrorInfo(boundary="scorer", kind="same_name", message=text))  # noqa: PLW2901
        scores[name] = score
    return scores
