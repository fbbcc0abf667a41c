"""Answers to score, and what they are scored with."""

import asyncio
from typing import Any

from agent_core.content import ToolResultBlock, ToolUseBlock
from agent_core.errors import ErrorInfo
from agent_core.evaluation.sample import Sample
from agent_core.evaluation.score import Answered, Grader, Score, Scorer, no_grader
from agent_core.evaluation.scoring.judging import judge_all
from agent_core.messages import AssistantMessage, Message, SessionId, TurnId, UserMessage
from agent_core.testing import ManualClock


def answered(answer: str, target: Any = None, *, grader: Grader = no_grader, **more: Any) -> Answered:
    return Answered(Sample(id="q", input="How many?", target=target, **more), answer, grader=grader)


async def judged(scorer: Scorer, answer: str, target: Any = None, **more: Any) -> Score:
    """The one score that a scorer gives."""
    scores = await judge_all([scorer], answered(answer, target, **more), timeout=60.0, clock=ManualClock())
    return scores[scorer.name]


async def value(scorer: Scorer, answer: str, target: Any = None, **more: Any) -> float:
    """The value of the one score that a scorer gives."""
    score = await judged(scorer, answer, target, **more)
    assert score.value is not None, score.error
    return score.value


async def refused(scorer: Scorer, answer: str, target: Any = None, **more: Any) -> ErrorInfo:
    """The error of the one score that a scorer gives."""
    score = await judged(scorer, answer, target, **more)
    assert score.value is None
    assert score.error is not None
    return score.error


async def until_slept(clock: ManualClock, sleepers: int = 1) -> None:
    """Wait until so many wait for the clock."""
    while len(clock._sleepers) < sleepers:
        await asyncio.sleep(0.001)


def said(*calls: tuple[str, dict[str, Any]], failed: bool = False) -> list[Message]:
    """An answer that makes calls, and the message with their results."""
    ids = [f"{id(calls)}_{number}" for number in range(len(calls))]
    where: dict[str, Any] = {"session_id": SessionId("s"), "turn_id": TurnId("t")}
    uses = tuple(ToolUseBlock(id=key, name=name, input=given) for key, (name, given) in zip(ids, calls, strict=True))
    results = tuple(ToolResultBlock(tool_use_id=key, content="done", is_error=failed) for key in ids)
    return [
        AssistantMessage(id="a" + ids[0], provider="fake", model="fake", content=uses, **where),
        UserMessage(id="u" + ids[0], content=results, **where),
    ]
