"""The calls that a model made to answer a sample, out of the messages of its session.

The rule here: what was called before the sample began, in its history, is no doing of the model's.
"""

from dataclasses import dataclass
from itertools import islice
from typing import Any

from agent_core.content import ToolResultBlock, ToolUseBlock
from agent_core.evaluation.score import Answered


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `failed`: its result is an error, or its arguments could not be read, or it has no result."""

    name: str
    arguments: dict[str, Any]
    failed: bool = False


def calls_of(answered: Answered) -> list[Call]:
    """The calls in their order, those of one message in the order in which it makes them."""
    before = sum(isinstance(block, ToolUseBlock) for message in answered.sample.history for block in message.content)
    made: dict[str, ToolUseBlock] = {}
    succeeded: set[str] = set()
    for message in answered.transcript:
        for block in message.content:
            if isinstance(block, ToolUseBlock):
                made[block.id] = block
            elif isinstance(block, ToolResultBlock) and not block.is_error:
                succeeded.add(block.tool_use_id)
    return [
        Call(block.name, block.input, block.input_error is not None or key not in succeeded)
        for key, block in islice(made.items(), before, None)
    ]
