"""Marks: what a report keeps of each result while it reads the file, and which results want a look first.

The rule here: a mark is small and holds no text but ids, scores and group names. Texts are read again, where they lie,
for the results that the report shows.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from agent_core.evaluation.result import ANSWERED, ResultHead, SampleOutcome

Standing = Literal["failed", "unscored", "wrong", "passing"]
STANDINGS: tuple[Standing, ...] = ("failed", "unscored", "wrong", "passing")


class Mark(NamedTuple):
    """One result. `offset` is where its line begins, in bytes; `seconds` and `first_token` are of the last attempt.

    `scores` are finite numbers, or None where the scorer failed. `groups` are the metadata fields that may be grouped
    by. `cost` is in US dollars.
    """

    offset: int
    id: str
    epoch: int
    outcome: SampleOutcome
    kind: str
    seconds: float
    tokens_in: int | None
    tokens_out: int | None
    cost: float | None
    scores: Mapping[str, float | None]
    groups: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, offset: int, head: ResultHead, groups: Mapping[str, tuple[str, ...]]) -> "Mark":
        """The mark of the result whose line begins at `offset`."""
        usage = head.usage
        return cls(
            offset=offset,
            id=head.id,
            epoch=head.epoch,
            outcome=head.outcome,
            kind=kind_of(head),
            seconds=head.timings.latency,
            tokens_in=None if usage is None else usage.context_tokens - usage.output_tokens,
            tokens_out=None if usage is None else usage.output_tokens,
            cost=head.cost,
            scores={name: finite(score.value) for name, score in head.scores.items()},
            groups=groups,
        )

    @property
    def answered(self) -> bool:
        """Whether the sample was answered, and its latency is that of an answer."""
        return self.outcome in ANSWERED

    @property
    def tokens(self) -> int | None:
        """Tokens of all requests together, cached ones too."""
        return None if self.tokens_in is None or self.tokens_out is None else self.tokens_in + self.tokens_out


def kind_of(head: ResultHead) -> str:
    """What kind of failure it is: the limit that was hit, the error's kind; empty for an answer."""
    if head.limit:
        return head.limit
    if head.error:
        return head.error.kind
    return "" if head.outcome in ANSWERED else head.outcome


def finite(value: float | None) -> float | None:
    """The value, unless it is no number to count with."""
    return value if value is not None and math.isfinite(value) else None


def unit_scorers(marks: Iterable[Mark]) -> set[str]:
    """The scorers all of whose values lie between 0 and 1, so that 1 is right and 0 wrong."""
    seen: set[str] = set()
    beyond: set[str] = set()
    for mark in marks:
        for name, value in mark.scores.items():
            if value is not None:
                seen.add(name)
                if not 0.0 <= value <= 1.0:
                    beyond.add(name)
    return seen - beyond


def standing(mark: Mark, units: set[str]) -> Standing:
    """How much the result wants a look: it failed, a scorer failed, a scorer of `units` gave less than 1, or none."""
    if not mark.answered:
        return "failed"
    if mark.outcome == "unscored" or any(value is None for value in mark.scores.values()):
        return "unscored"
    if any(value is not None and value < 1.0 for name, value in mark.scores.items() if name in units):
        return "wrong"
    return "passing"
