"""Results: what came of one sample in one epoch, as one line of JSON.

The rule here: a figure that is not known is left out, never zero. An answer is `scored`, or `unscored` if a scorer
failed, or `completed` where there is nothing to score it by; every other outcome says why there is none.
"""

import json
from collections.abc import Sized
from typing import Literal

from pydantic import ConfigDict, Field, JsonValue, TypeAdapter
from pydantic_core import PydanticSerializationError

from agent_core.errors import ErrorInfo
from agent_core.evaluation.limits import Limit
from agent_core.evaluation.sample import Sample
from agent_core.evaluation.score import Score
from agent_core.frozen import Frozen
from agent_core.messages import Message, Usage

SampleOutcome = Literal[
    "scored", "completed", "unscored", "model_failed", "infrastructure_failed", "limit_hit", "cancelled", "missing"
]
OUTCOMES: tuple[SampleOutcome, ...] = (
    "scored",
    "completed",
    "unscored",
    "model_failed",
    "infrastructure_failed",
    "limit_hit",
    "cancelled",
    "missing",
)
# What another run of the same sample would only repeat. The rest is run again when a run is resumed.
FINAL: frozenset[SampleOutcome] = frozenset({"scored", "completed", "unscored", "model_failed", "limit_hit"})
ANSWERED: frozenset[SampleOutcome] = frozenset({"scored", "completed", "unscored"})
"""The outcomes of a sample that was answered: by every scorer, where there is none, where at least one failed."""


def _is_empty(value: Sized) -> bool:
    return not value


class Timings(Frozen):
    """Moments of a sample, in seconds since the epoch.

    `queued`: taken from the dataset. `started` and `ended`: of the last attempt, from opening its session to its
    answer. `first_token`: when the model began its first answer, where the session knows it.
    """

    queued: float
    started: float
    first_token: float | None = None
    ended: float

    @property
    def latency(self) -> float:
        """Seconds that the last attempt took."""
        return max(0.0, self.ended - self.started)


class ResultHead(Frozen):
    """A result without its transcript: all that counting and resuming need. `cost` is in US dollars.

    `attempts` counts every attempt on record, earlier runs of the same job included. `configuration` is the digest of
    what was asked with. `usage` and `cost` are those of the session of the last attempt. Summaries of its conversation
    took the tokens of `summariser`, which are not in `usage` and are paid for in `cost`. `scores` are by the name of
    their scorer; what grading took is in them and nowhere else.
    """

    model_config = ConfigDict(extra="ignore")

    id: str
    epoch: int = Field(ge=1)
    outcome: SampleOutcome
    attempts: int = Field(ge=0)
    answer: str | None = None
    error: ErrorInfo | None = None
    limit: Limit | None = None
    input: str
    turns: tuple[str, ...] = Field(default=(), exclude_if=_is_empty)
    history: tuple[Message, ...] = Field(default=(), exclude_if=_is_empty)
    choices: tuple[str, ...] = Field(default=(), exclude_if=_is_empty)
    target: JsonValue = None
    metadata: dict[str, JsonValue] = Field(default_factory=dict)
    scores: dict[str, Score] = Field(default_factory=dict, exclude_if=_is_empty)
    usage: Usage | None = None
    summariser: Usage | None = None
    cost: float | None = None
    timings: Timings
    session_id: str | None = None
    configuration: str

    @property
    def sample_digest(self) -> str:
        """The digest of the sample that this answers, as `Sample.digest`."""
        return self.sample.digest

    @property
    def sample(self) -> Sample:
        """The sample that this answers, but for its place in the dataset."""
        return Sample.model_construct(
            id=self.id,
            input=self.input,
            turns=self.turns,
            history=self.history,
            choices=self.choices,
            target=self.target,
            metadata=self.metadata,
        )


class Result(ResultHead):
    """A whole result.

    `transcript` is every message of the session, compacted or not, and behind them those of its branches; None when it
    could not be had.
    """

    model_config = ConfigDict(extra="forbid")

    transcript: tuple[Message, ...] | None = None


_HEAD: TypeAdapter[ResultHead] = TypeAdapter(ResultHead)
_RESULT: TypeAdapter[Result] = TypeAdapter(Result)


def encode(result: Result) -> bytes:
    """The result as one line, its newline included. Fields that are None are left out.

    Half of a surrogate pair, which a model's cut-off answer may hold, is no text and is written as a question mark.
    """
    try:
        return _RESULT.dump_json(result, exclude_none=True) + b"\n"
    except PydanticSerializationError:
        fields = _RESULT.dump_python(result, exclude_none=True)
        return json.dumps(fields, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def decode(line: bytes) -> Result:
    """The result that `encode` wrote. Raises pydantic's ValidationError."""
    return _RESULT.validate_json(line)


def decode_head(line: bytes) -> ResultHead:
    """The result that `encode` wrote, its transcript left unread. Raises pydantic's ValidationError."""
    return _HEAD.validate_json(line)
