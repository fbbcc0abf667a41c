"""What goes in (`ToLLMPayload`) and what only passes by (`Delta`). What comes out is `FromLLMPayload`, in `entries.py`.

The rule here: deltas are never journalled and may be lost with the process that sent them; everything else that leaves
a session is a fact of its journal.
"""

from typing import Annotated, Literal

from pydantic import Field

from agent_core.content import InputBlock, TextBlock, ToolResultBlock
from agent_core.errors import ErrorInfo
from agent_core.frozen import Frozen
from agent_core.messages import TurnId, Usage

When = Literal["after", "next_step", "interrupt", "reject"]
InterruptMode = Literal["keep", "discard"]


class UserInput(Frozen):
    """A user's message: text, or text and images. An empty one is refused."""

    kind: Literal["user_message"] = "user_message"
    content: tuple[InputBlock, ...]
    turn_id: TurnId | None = None

    @classmethod
    def of(cls, text: str, turn_id: TurnId | None = None) -> "UserInput":
        return cls(content=(TextBlock(text=text),), turn_id=turn_id)


class ToolResults(Frozen):
    """Results of external tool calls, with compact summaries by tool use id.

    With `ends_turn` the turn is over when they are in: the model is not asked again, and what else it called is
    given up.
    """

    kind: Literal["tool_results"] = "tool_results"
    results: tuple[ToolResultBlock, ...]
    compact_summaries: dict[str, str] = Field(default_factory=dict)
    turn_id: TurnId | None = None
    ends_turn: bool = False


ToLLMPayload = Annotated[UserInput | ToolResults, Field(discriminator="kind")]


class StreamStart(Frozen):
    """The provider has begun to answer."""

    kind: Literal["stream_start"] = "stream_start"
    turn_id: TurnId
    message_id: str
    model: str


class TextChunk(Frozen):
    """Some text of content block `index`."""

    kind: Literal["text_chunk"] = "text_chunk"
    turn_id: TurnId
    index: int
    text: str


class ThinkingChunk(Frozen):
    """Some thinking of content block `index`."""

    kind: Literal["thinking_chunk"] = "thinking_chunk"
    turn_id: TurnId
    index: int
    text: str


class ToolInputDelta(Frozen):
    """Some JSON text of a tool call's input; the first one of a block carries the call's id and name."""

    kind: Literal["tool_input_delta"] = "tool_input_delta"
    turn_id: TurnId
    index: int
    text: str
    tool_use_id: str | None = None
    name: str | None = None


class TokenUpdate(Frozen):
    """The tokens of this request as known so far."""

    kind: Literal["token_update"] = "token_update"
    turn_id: TurnId
    usage: Usage


class Retrying(Frozen):
    """The provider failed before anything was shown; the request is made again after `delay` seconds."""

    kind: Literal["retrying"] = "retrying"
    turn_id: TurnId
    attempt: int
    delay: float
    error: ErrorInfo


class StatusChanged(Frozen):
    """What the session waits for has changed within the turn."""

    kind: Literal["status_changed"] = "status_changed"
    turn_id: TurnId
    state: "SessionState"


class Restarted(Frozen):
    """The session was re-activated: drop text received after the journal's entry `from_seq`, it is made again."""

    kind: Literal["restarted"] = "restarted"
    from_seq: int


CompactionState = Literal["scheduled", "started", "ready", "waiting", "stale", "skipped"]


class CompactionUpdate(Frozen):
    """Where a compaction job stands. Once its end counts, `Compacted` or `CompactionFailed` tells of it.

    `scheduled`: it waits in the queue; `started`: the summariser has it; `ready`: the summary is held until it is time;
    `waiting`: the turn waits for it at the hard mark; `stale`: it was given up; `skipped`: none was started, or it was
    turned away, for `reason`. Token counts are of the view, estimated.
    """

    kind: Literal["compaction_update"] = "compaction_update"
    state: CompactionState
    job_id: str
    turn_id: TurnId | None = None
    tokens_before: int = 0
    tokens_after: int = 0
    reason: str = ""


SessionState = Literal["idle", "running", "awaiting_tools", "awaiting_permit", "compacting", "closed"]

Delta = (
    StreamStart
    | TextChunk
    | ThinkingChunk
    | ToolInputDelta
    | TokenUpdate
    | Retrying
    | StatusChanged
    | CompactionUpdate
    | Restarted
)
StatusChanged.model_rebuild()
