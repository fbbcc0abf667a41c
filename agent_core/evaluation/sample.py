"""Samples: what is asked of a model, and one asking of it.

The rule here: a sample is known by its id, which stays the same from one reading of its dataset to the next.
"""

import hashlib
import json
from typing import Any, NamedTuple

from pydantic import Field, JsonValue

from agent_core.frozen import Frozen
from agent_core.messages import Message


class Sample(Frozen):
    """One question, or a conversation: after the answer to `input` each of `turns` is said in its turn.

    `history` is what was said before, and stands in the session before `input`. `choices` are those of a question with
    several answers to choose from. `target` is what a scorer compares the answer with (a list: any of them is right).
    `line` is where the dataset has it, from 1.
    """

    id: str
    input: str
    turns: tuple[str, ...] = ()
    history: tuple[Message, ...] = ()
    choices: tuple[str, ...] = ()
    target: JsonValue = None
    metadata: dict[str, JsonValue] = Field(default_factory=dict)
    line: int = 0

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that change when what is asked, or what it is scored against, changes."""
        more = (self.turns, [message.model_dump(mode="json") for message in self.history], self.choices)
        return digest_of(self.input, self.target, *(more if any(more) else ()))


class Assignment(NamedTuple):
    """One sample to be run once: its `epoch` counts from 1, `attempt` is 1 unless earlier attempts are on record.

    `home` is the number of the shared actor that its session is on; None where there is but one place.
    """

    sample: Sample
    epoch: int = 1
    attempt: int = 1
    home: int | None = None


def digest_of(question: str, target: JsonValue, *more: Any) -> str:
    """The digest of a sample with this input and target, and more if it has more."""
    text = json.dumps([question, target, *more], sort_keys=True, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
