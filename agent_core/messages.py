"""Messages: the conversation as a provider sees it, with who said what, when, in which turn and at what cost.

The rule here: ids are unique within the session and made from the journal's own sequence numbers, so that a replay
gives the same ids. Times are seconds since the epoch.
"""

from typing import Annotated, Literal, NewType

from pydantic import Field

from agent_core.content import AssistantBlock, UserBlock
from agent_core.errors import ErrorInfo
from agent_core.frozen import Frozen

SessionId = NewType("SessionId", str)
TurnId = NewType("TurnId", str)

StopReason = Literal[
    "end_turn", "tool_use", "max_tokens", "stop_sequence", "pause_turn", "refusal", "context_exceeded", "interrupted"
]


class Usage(Frozen):
    """Tokens of one request. `input_tokens` excludes what was read from or written to the provider's prompt cache.

    `saved_tokens`, in and out, are those of an answer that was given again from the response cache: nobody pays them.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    saved_tokens: int = 0

    @property
    def context_tokens(self) -> int:
        """Tokens that the conversation took in the window up to and with this answer."""
        paid = self.input_tokens + self.cache_read_tokens + self.cache_write_tokens + self.output_tokens
        return paid + self.saved_tokens

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cache_read_tokens=self.cache_read_tokens + other.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            saved_tokens=self.saved_tokens + other.saved_tokens,
        )


class UserMessage(Frozen):
    """What the model is told: the user's words, or the results of every call of the answer before it.

    One that stands for what was compacted (a summary, and pinned texts) says so by its `marker`.
    """

    kind: Literal["user"] = "user"
    id: str
    session_id: SessionId
    turn_id: TurnId
    parent_id: str | None = None
    created_at: float = 0.0
    marker: Literal["summary"] | None = None
    content: tuple[UserBlock, ...]


class AssistantMessage(Frozen):
    """One answer of the model, its blocks in the provider's own order."""

    kind: Literal["assistant"] = "assistant"
    id: str
    session_id: SessionId
    turn_id: TurnId
    parent_id: str | None = None
    created_at: float = 0.0
    completed_at: float | None = None
    provider: str
    model: str
    provider_message_id: str | None = None
    usage: Usage = Usage()
    finish_reason: StopReason | None = None
    error: ErrorInfo | None = None
    content: tuple[AssistantBlock, ...]


Message = Annotated[UserMessage | AssistantMessage, Field(discriminator="kind")]
