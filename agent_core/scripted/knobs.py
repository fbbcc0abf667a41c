"""How the server misbehaves: delays, refusals and broken streams, all seeded.

The rule here: a fault is drawn from the seed and from counters, never from the clock, so the same requests in the
same order meet the same faults.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Generic, Literal, TypeVar, get_args

from pydantic import Field, model_validator

from agent_core.frozen import Frozen

FaultKind = Literal[
    "rate_limited",
    "overloaded",
    "unavailable",
    "server_error",
    "dropped",
    "slow_first_byte",
    "cut",
    "stall",
    "stream_error",
    "malformed_tool_json",
]
SpoilKind = Literal["empty", "blank", "truncated", "huge", "tool_call", "refused", "forgetful"]
# Where two faults fall on one request, the first of these wins.
FAULT_ORDER: tuple[FaultKind, ...] = (
    "dropped",
    "rate_limited",
    "overloaded",
    "unavailable",
    "server_error",
    "slow_first_byte",
    "cut",
    "stall",
    "stream_error",
    "malformed_tool_json",
)


class Fault(Frozen):
    """When a fault falls: with a probability, on every nth valid request, or on the next n ones."""

    probability: float = Field(default=0.0, ge=0.0, le=1.0)
    every: int = Field(default=0, ge=0)
    next: int = Field(default=0, ge=0)


class SummaryKnobs(Frozen):
    """What can be turned for requests for a summary alone, in place of what holds for turns.

    `spoils` are summaries gone wrong: empty or blank, cut off at the limit (`truncated`), as long as the limit allows
    (`huge`), with a tool call, refused, or with nothing but its goal and next step (`forgetful`). Where two fall on one
    summary, the first in that order wins. `seed` is the script's unless it is set; draws here move no others.
    """

    first_byte_s: float = Field(default=0.0, ge=0.0)
    first_byte_sigma: float = Field(default=0.0, ge=0.0)
    tokens_per_second: float | None = Field(default=None, gt=0.0)
    faults: dict[FaultKind, Fault] = Field(default_factory=dict[FaultKind, Fault])
    spoils: dict[SpoilKind, Fault] = Field(default_factory=dict[SpoilKind, Fault])
    seed: int | None = None

    @model_validator(mode="after")
    def _sigma_needs_a_median(self) -> "SummaryKnobs":
        if self.first_byte_sigma and not self.first_byte_s:
            raise ValueError("first_byte_sigma spreads first_byte_s: set first_byte_s, the median, too")
        return self


class Knobs(Frozen):
    """What can be turned. Times are in seconds, sizes in characters; unset means off.

    `first_byte_s` is the fixed latency, or the median of a log-normal one when `first_byte_sigma` is above 0.
    `tokens_per_second` paces the deltas, a token being four characters. `deltas` is how many deltas a block has, in
    place of `chunk_chars`. `stall_s` unset stalls until `release` or until the client leaves. `stream_error_form` is
    for the Responses wire: an `error` event as the SDK's types have it, one with a nested `error` object, or
    `response.failed`. `summaries` is how requests for a summary fare; unset, they fare like all others.
    """

    first_byte_s: float = Field(default=0.0, ge=0.0)
    first_byte_sigma: float = Field(default=0.0, ge=0.0)
    tokens_per_second: float | None = Field(default=None, gt=0.0)
    chunk_chars: int = Field(default=16, ge=1)
    deltas: int | None = Field(default=None, ge=1)
    ping_every_deltas: int | None = Field(default=None, ge=1)
    context_window: int | None = Field(default=None, ge=1)
    faults: dict[FaultKind, Fault] = Field(default_factory=dict[FaultKind, Fault])
    retry_after_s: float | None = Field(default=1.0, ge=0.0)
    slow_first_byte_s: float = Field(default=5.0, ge=0.0)
    cut_after_deltas: int = Field(default=1, ge=0)
    stall_after_deltas: int = Field(default=1, ge=0)
    stall_s: float | None = Field(default=None, ge=0.0)
    error_after_deltas: int = Field(default=1, ge=0)
    stream_error_type: str = "overloaded_error"
    stream_error_code: str = "server_error"
    stream_error_message: str = "Overloaded"
    stream_error_form: Literal["event", "nested", "failed"] = "event"
    summaries: SummaryKnobs | None = None

    @model_validator(mode="after")
    def _sigma_needs_a_median(self) -> "Knobs":
        if self.first_byte_sigma and not self.first_byte_s:
            raise ValueError("first_byte_sigma spreads first_byte_s: set first_byte_s, the median, too")
        return self

    def over(self, base: "Knobs") -> "Knobs":
        """These knobs where they were set, `base` elsewhere."""
        return base.model_copy(update={name: getattr(self, name) for name in self.model_fields_set})

    def for_summaries(self) -> "Knobs":
        """The knobs with which a request for a summary is answered."""
        own = self.summaries
        if own is None:
            return self
        names = ("first_byte_s", "first_byte_sigma", "tokens_per_second", "faults")
        return self.model_copy(update={name: getattr(own, name) for name in names})


Kind = TypeVar("Kind", bound=str)


class _Draw(Generic[Kind]):
    """Draws what befalls each request; counts what `every` and `next` need. The first in `order` wins."""

    def __init__(self, faults: Mapping[Kind, Fault], rng: random.Random, order: Sequence[Kind]) -> None:
        self._faults = [(kind, faults[kind]) for kind in order if kind in faults]
        self._rng = rng
        self._seen = 0
        self._left = {kind: fault.next for kind, fault in self._faults}

    def draw(self) -> Kind | None:
        """What befalls the next request, None for nothing."""
        self._seen += 1
        chosen: Kind | None = None
        for kind, fault in self._faults:
            if self._falls(kind, fault) and chosen is None:
                chosen = kind
                self._left[kind] = max(0, self._left[kind] - 1)
        return chosen

    def _falls(self, kind: Kind, fault: Fault) -> bool:
        # Every probability is drawn, also behind a fault that already fell: the sequence must not depend on the others.
        by_chance = fault.probability > 0 and self._rng.random() < fault.probability
        return by_chance or self._left[kind] > 0 or (fault.every > 0 and self._seen % fault.every == 0)


class FaultDraw(_Draw[FaultKind]):
    """Draws the fault of each request for one set of knobs."""

    def __init__(self, faults: Mapping[FaultKind, Fault], rng: random.Random) -> None:
        super().__init__(faults, rng, FAULT_ORDER)


class SpoilDraw(_Draw[SpoilKind]):
    """Draws what goes wrong with each summary for one set of knobs."""

    def __init__(self, spoils: Mapping[SpoilKind, Fault], rng: random.Random) -> None:
        super().__init__(spoils, rng, get_args(SpoilKind))


def first_byte_delay(knobs: Knobs, fault: FaultKind | None, rng: random.Random) -> float:
    """Seconds before the first byte."""
    delay = knobs.first_byte_s
    if knobs.first_byte_sigma:
        delay *= rng.lognormvariate(0.0, knobs.first_byte_sigma)
    return delay + (knobs.slow_first_byte_s if fault == "slow_first_byte" else 0.0)
