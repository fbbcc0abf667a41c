"""What a running tool may know of the call that it answers.

The rule here: a parameter annotated with `ToolContext` is filled in by the executor and never shown to the model.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ToolContext:
    """One call. `attempt` counts from 1 in each executor that the call came to.

    `dedupe_key` is unique for ever, and the same in every attempt and wherever the call is run again after a crash. A
    service that takes idempotency keys, given this one, does what the call asks for once. `traceparent` is the call's
    span where sessions are traced (W3C Trace Context); it is the current one while the tool runs.
    """

    session_id: str
    turn_id: str
    tool_use_id: str
    dedupe_key: str
    attempt: int = 1
    traceparent: str | None = None
