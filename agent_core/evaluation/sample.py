"""Samples: what is asked of a model, and one asking of it.

The rule here: a sample is known by its id, which stays the same from one reading of its dataset to the next.
"""

import hashlib
import json
from typing import NamedTuple

from pydantic import Field, JsonValue

from agent_core.frozen import Frozen


class Sample(Frozen):
    """One question. `target` is what a scorer compares the answer with; `line` is where the dataset has it, from 1."""

    id: str
    input: str
    target: JsonValue = None
    metadata: dict[str, JsonValue] = Field(default_factory=dict)
    line: int = 0

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that change when what is asked, or what it is scored against, changes."""
        return digest_of(self.input, self.target)


class Assignment(NamedTuple):
    """One sample to be run once: its `epoch` counts from 1, `attempt` is 1 unless earlier attempts are on record."""

    sample: Sample
    epoch: int = 1
    attempt: int = 1


def digest_of(question: str, target: JsonValue) -> str:
    """The digest of a sample with this input and target."""
    text = json.dumps([question, target], sort_keys=True, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
