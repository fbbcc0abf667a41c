"""Scores: what a scorer makes of an answer, and what it sees of it.

The rule here: a score that could not be had is no number. It says why, and nobody counts it as zero.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import Field, JsonValue

from agent_core.errors import ErrorInfo
from agent_core.evaluation.sample import Sample
from agent_core.frozen import Frozen
from agent_core.messages import Message, Usage


class Score(Frozen):
    """What one scorer made of one answer.

    `value` is a number, 1 for right and 0 for wrong where it is a matter of right and wrong; None if the scorer failed,
    and then `error` says why. `answer` is what it read out of the model's answer. `usage` and `cost` (US dollars) are
    those of a grading model.
    """

    # With a default, since a line of a results file leaves out what is None.
    value: float | None = None
    answer: str | None = None
    explanation: str | None = None
    metadata: dict[str, JsonValue] = Field(default_factory=dict)
    error: ErrorInfo | None = None
    usage: Usage | None = None
    cost: float | None = None


class GraderQuestion(Frozen):
    """A prompt for a grading model. `fields` are those of SessionConfig, `model` among them."""

    prompt: str
    fields: dict[str, JsonValue]
    system_prompt: str | None = None


class GraderAnswer(Frozen):
    """What a grading model said."""

    text: str
    usage: Usage = Usage()
    cost: float | None = None


Grader = Callable[[GraderQuestion], Awaitable[GraderAnswer]]
"""Asks a grading model. Raises the errors of `Session.ask`."""


async def no_grader(_: GraderQuestion) -> GraderAnswer:
    """The grader where there is none."""
    from agent_core.errors import ConfigError

    raise ConfigError("This scorer asks a model, and here none can be asked. Score with: python -m drivers.evaluate.")


@dataclass(frozen=True, slots=True)
class Answered:
    """What a scorer sees: the sample, the final answer, every message of the session, and a grading model to ask.

    `epoch` counts from 1. `seconds` is how long the answer took.
    """

    sample: Sample
    answer: str
    transcript: tuple[Message, ...] = ()
    epoch: int = 1
    seconds: float = 0.0
    grader: Grader = field(default=no_grader, repr=False)


class Scorer(Protocol):
    """Judges answers. Several judge one answer side by side, each under its `name`."""

    @property
    def name(self) -> str:
        """What its scores are called: unique within a task."""
        ...

    async def score(self, answered: Answered) -> Score | Mapping[str, Score]:
        """The score, or several that are then called `NAME.KEY`. What it raises becomes the error of a score."""
        ...
