"""What a running tool may know of the call that it answers.

The rule here: a parameter annotated with `ToolContext` is filled in by the executor and never shown to the model.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ToolContext:
    """One call. `dedupe_key` is unique for ever and the same in every attempt; `attempt` counts from 1."""

    session_id: str
    turn_id: str
    tool_use_id: str
    dedupe_key: str
    attempt: int = 1
