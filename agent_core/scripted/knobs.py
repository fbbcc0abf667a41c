"""How the server misbehaves: delays, refusals and broken streams, all seeded.

The rule here: a fault is drawn from the seed and from counters, never from the clock, so the same requests in the
same order meet the same faults.
"""

import random
from typing import Literal

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


class Knobs(Frozen):
    """What can be turned. Times are in seconds, sizes in characters; unset means off.

    `first_byte_s` is the fixed latency, or the median of a log-normal one when `first_byte_sigma` is above 0.
    `tokens_per_second` paces the deltas, a token being four characters. `deltas` is how many deltas a block has, in
    place of `chunk_chars`. `stall_s` unset stalls until `release` or until the client leaves. `stream_error_form` is
    for the Responses wire: an `error` event as the SDK's types have it, one with a nested `error` object, or
    `response.failed`.
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

    @model_validator(mode="after")
    def _sigma_needs_a_median(self) -> "Knobs":
        if self.first_byte_sigma and not self.first_byte_s:
            raise ValueError("first_byte_sigma spreads first_byte_s: set first_byte_s, the median, too")
        return self

    def over(self, base: "Knobs") -> "Knobs":
        """These knobs where they were set, `base` elsewhere."""
        return base.model_copy(update={name: getattr(self, name) for name in self.model_fields_set})


class FaultDraw:
    """Draws the fault of each request for one set of knobs; counts what `every` and `next` need."""

    def __init__(self, faults: dict[FaultKind, Fault], rng: random.Random) -> None:
        self._faults: list[tuple[FaultKind, Fault]] = [(kind, faults[kind]) for kind in FAULT_ORDER if kind in faults]
        self._rng = rng
        self._seen = 0
        self._left: dict[FaultKind, int] = {kind: fault.next for kind, fault in self._faults}

    def draw(self) -> FaultKind | None:
        """The fault of the next request, None for none."""
        self._seen += 1
        chosen: FaultKind | None = None
        for kind, fault in self._faults:
            if self._falls(kind, fault) and chosen is None:
                chosen = kind
                self._left[kind] = max(0, self._left[kind] - 1)
        return chosen

    def _falls(self, kind: FaultKind, fault: Fault) -> bool:
        # Every probability is drawn, also behind a fault that already fell: the sequence must not depend on the others.
        by_chance = fault.probability > 0 and self._rng.random() < fault.probability
        return by_chance or self._left[kind] > 0 or (fault.every > 0 and self._seen % fault.every == 0)


def first_byte_delay(knobs: Knobs, fault: FaultKind | None, rng: random.Random) -> float:
    """Seconds before the first byte."""
    delay = knobs.first_byte_s
    if knobs.first_byte_sigma:
        delay *= rng.lognormvariate(0.0, knobs.first_byte_sigma)
    return delay + (knobs.slow_first_byte_s if fault == "slow_first_byte" else 0.0)
