"""Scorers that only look: what the built-in ones that ask nobody have in common.

The rule here: `judge` waits for nothing and is done in a moment, so it needs neither a task nor a time-out.
"""

from pydantic import Field

from agent_core.evaluation.score import Answered, Score
from agent_core.frozen import Frozen

LONGEST_NAME = 100


class Instant(Frozen):
    """A scorer as data. `name` is what its scores are called."""

    name: str = Field(min_length=1, max_length=LONGEST_NAME)

    @property
    def is_instant(self) -> bool:
        """Whether `judge` is done in a moment with these settings. Where it is not, there is `score_within`."""
        return True

    async def score(self, answered: Answered) -> Score:
        """As `judge`."""
        return self.judge(answered)

    def judge(self, answered: Answered) -> Score:
        """The score. Raises ScorerError, with what to do."""
        raise NotImplementedError


def right(answer: str | None) -> Score:
    """A score of 1. `answer` is what was read, and is cut if it is long."""
    return Score(value=1.0, answer=clipped(answer))


def wrong(answer: str | None, explanation: str | None = None) -> Score:
    """A score of 0, and why."""
    return Score(value=0.0, answer=clipped(answer), explanation=clipped(explanation, 1000))


def clipped(text: str | None, limit: int = 300) -> str | None:
    """A text of at most `limit` characters: its end is cut off, and a sign left of that."""
    return text if text is None or len(text) <= limit else text[: limit - 1] + "…"
