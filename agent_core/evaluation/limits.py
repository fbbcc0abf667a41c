"""Limits: what a sample and what a run may take at most.

The rule here: a limit that is hit ends what it is about as `limit_hit` or pauses the run, and is named in the result.
"""

from typing import Literal

from pydantic import Field

from agent_core.frozen import Frozen

Limit = Literal["time", "working_time", "turns", "messages", "tokens", "cost", "max_tokens", "max_steps", "context"]


class SampleLimits(Frozen):
    """Bounds of one attempt at a sample; None leaves it unbounded.

    `turns` counts the user's messages, `messages` all of them, `tokens` those of all requests together (cached ones
    too), `time` and `working_time` are in seconds, the latter without waiting for permits, rate limits and retries;
    `cost` in US dollars.
    """

    turns: int | None = Field(default=None, ge=1)
    messages: int | None = Field(default=None, ge=1)
    tokens: int | None = Field(default=None, ge=1)
    time: float | None = Field(default=None, gt=0.0)
    working_time: float | None = Field(default=None, gt=0.0)
    cost: float | None = Field(default=None, gt=0.0)


NO_LIMITS = SampleLimits()


class RunLimits(Frozen):
    """Bounds of a whole run; None leaves it unbounded. A run that hits one takes no more samples and can be resumed.

    `infrastructure_failures` counts samples that ended so after all their attempts.
    """

    tokens: int | None = Field(default=None, ge=1)
    cost: float | None = Field(default=None, gt=0.0)
    time: float | None = Field(default=None, gt=0.0)
    infrastructure_failures: int | None = Field(default=None, ge=1)
