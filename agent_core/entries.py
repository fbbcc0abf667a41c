"""Journal entries: the facts of a session, in the past tense. One vocabulary: events are these facts plus deltas.

The rule here: an entry says only what is new (a delta of the history, never the history), so journalled bytes grow with
what happened. Replaying a session's entries gives its whole state.
"""

from collections.abc import Sized
from typing import Annotated, Any, Literal, cast

from pydantic import Field, TypeAdapter, field_serializer
from pydantic_core import PydanticSerializationError, to_json

from agent_core.config import SessionConfig
from agent_core.content import ToolResultBlock
from agent_core.errors import ErrorInfo
from agent_core.frozen import Frozen
from agent_core.messages import AssistantMessage, Message, StopReason, TurnId, Usage
from agent_core.overlays import Overlay
from agent_core.payloads import Delta, ToLLMPayload, When
from agent_core.tools.definition import ToolDefinition

Outcome = Literal["completed", "max_tokens", "refused", "context_exceeded", "max_steps", "failed", "interrupted"]
ToolOutcome = Literal[
    "ok",
    "unknown_tool",
    "bad_input",
    "too_large",
    "exception",
    "timeout",
    "killed",
    "unavailable",
    "outcome_unknown",
    "interrupted",
    "not_run",
    "external",
]


def _is_empty(value: Sized) -> bool:
    return not value


def _is_none(value: object) -> bool:
    return value is None


class Opened(Frozen):
    """The session was made. Always the first entry.

    `history` is what was said before, elsewhere, as `seeding.regular` makes it: the session begins with it.
    """

    kind: Literal["opened"] = "opened"
    config: SessionConfig
    tools: tuple[ToolDefinition, ...] = ()
    labels: dict[str, str] = Field(default_factory=dict)
    history: tuple[Message, ...] = Field(default=(), exclude_if=_is_empty)

    @field_serializer("config")
    def _whole(self, config: SessionConfig) -> dict[str, Any]:
        # A None that is left out would be read again as the default, which for compaction is not None.
        return config.model_dump(mode="json")


class Accepted(Frozen):
    """A payload was taken in. From here on it is never lost. `key` is the caller's idempotency key.

    `traceparent` is the span that the turn belongs to, whoever goes on with it (W3C Trace Context).
    """

    kind: Literal["accepted"] = "accepted"
    turn_id: TurnId
    payload: ToLLMPayload
    when: When = "after"
    key: str | None = None
    # Left out where there is none, so that a program that does not know it reads the entry too.
    traceparent: str | None = Field(default=None, exclude_if=_is_none)


class TurnStarted(Frozen):
    """The turn's message entered the conversation."""

    kind: Literal["turn_started"] = "turn_started"
    turn_id: TurnId


class Steered(Frozen):
    """Messages accepted for the next step (by their journal sequence numbers) entered the open turn."""

    kind: Literal["steered"] = "steered"
    turn_id: TurnId
    accepted: tuple[int, ...]


class Complete(Frozen):
    """One answer of the model is whole."""

    kind: Literal["complete"] = "complete"
    turn_id: TurnId
    message: AssistantMessage
    stop_reason: StopReason


class ToolCall(Frozen):
    """One call as it leaves for its executor. `external` calls wait for `ToolResults` from outside."""

    id: str
    name: str
    input: dict[str, Any]
    external: bool = False
    idempotent: bool = False


class ToolBatch(Frozen):
    """The calls of one answer, about to run. Written before any of them leaves."""

    kind: Literal["tool_batch"] = "tool_batch"
    turn_id: TurnId
    message_id: str
    calls: tuple[ToolCall, ...]


class ToolSettled(Frozen):
    """A call has its result. `seconds` is how long the tool ran."""

    kind: Literal["tool_settled"] = "tool_settled"
    turn_id: TurnId
    result: ToolResultBlock
    outcome: ToolOutcome
    seconds: float = 0.0


class Error(Frozen):
    """A provider error ended the turn. `partial` is text that was received and shown before."""

    kind: Literal["error"] = "error"
    turn_id: TurnId
    error: ErrorInfo
    partial: str = ""


class TurnEnded(Frozen):
    """The turn is over; always its last event. A `discarded` turn's messages leave the conversation.

    `key` is the idempotency key of the interrupt that ended it.
    """

    kind: Literal["turn_ended"] = "turn_ended"
    turn_id: TurnId
    outcome: Outcome
    discarded: bool = False
    error: ErrorInfo | None = None
    key: str | None = None


class TurnRetried(Frozen):
    """A failed turn was opened again. `key` is the caller's idempotency key, `traceparent` as in Accepted."""

    kind: Literal["turn_retried"] = "turn_retried"
    turn_id: TurnId
    key: str | None = None
    traceparent: str | None = Field(default=None, exclude_if=_is_none)


class Compacted(Frozen):
    """Overlays were laid over the history. Token counts are of the view, before and after, estimated.

    `usage` is what the summariser took, `waited` how many seconds the turn waited for it, and `learned_limit` the
    window (in tokens) that an overflow taught.
    """

    kind: Literal["compacted"] = "compacted"
    strategy: str
    overlays: tuple[Overlay, ...]
    tokens_before: int
    tokens_after: int
    job_id: str | None = None
    turn_id: TurnId | None = None
    usage: Usage | None = None
    waited: float = 0.0
    learned_limit: int | None = None


class CompactionFailed(Frozen):
    """A compaction job came to nothing; the conversation is as it was. `usage` is what the summariser took.

    `stale`: the range that it was for had changed. `unproductive`: its summary would not have freed enough.
    """

    kind: Literal["compaction_failed"] = "compaction_failed"
    job_id: str
    reason: Literal["failed", "stale", "unproductive"]
    error: ErrorInfo | None = None
    usage: Usage | None = None
    turn_id: TurnId | None = None


class Pinned(Frozen):
    """A message is kept word for word whatever is compacted. One that a summary has covered since comes along."""

    kind: Literal["pinned"] = "pinned"
    message_id: str
    message: Message | None = None


class Unpinned(Frozen):
    """A message is no longer pinned."""

    kind: Literal["unpinned"] = "unpinned"
    message_id: str


class Cleared(Frozen):
    """The conversation was emptied; prompt, tools and counts of requests stay. `key` is the caller's, for a repeat."""

    kind: Literal["cleared"] = "cleared"
    key: str | None = None


class Configured(Frozen):
    """Settings changed at run time; they hold from the next request. Only the fields that were set are in `changes`."""

    kind: Literal["configured"] = "configured"
    changes: "Settings"


class Settings(Frozen):
    """What can change while a session lives: `fields` of its SessionConfig by name, and its `tools` if not None."""

    fields: dict[str, Any] = Field(default_factory=dict)
    tools: tuple[ToolDefinition, ...] | None = None

    @field_serializer("fields")
    def _whole(self, fields: dict[str, Any]) -> dict[str, Any]:
        # As in Opened: a None inside of a strategy is a choice.
        return {
            name: value.model_dump(mode="json") if isinstance(value, Frozen) else value
            for name, value in fields.items()
        }

    def applied(self, config: SessionConfig) -> SessionConfig:
        """The configuration with these changes. Raises ConfigError for a wrong value."""
        return SessionConfig.of(**{**config.model_dump(), **self.fields}) if self.fields else config


class Closed(Frozen):
    """The session was shut down. Accepted payloads that did not run stay, and run when it is opened again."""

    kind: Literal["closed"] = "closed"


class Reopened(Frozen):
    """A closed session was opened again."""

    kind: Literal["reopened"] = "reopened"


Entry = Annotated[
    Opened
    | Accepted
    | TurnStarted
    | Steered
    | Complete
    | ToolBatch
    | ToolSettled
    | Error
    | TurnEnded
    | TurnRetried
    | Compacted
    | CompactionFailed
    | Pinned
    | Unpinned
    | Cleared
    | Configured
    | Closed
    | Reopened,
    Field(discriminator="kind"),
]

BESIDE_ANSWERS = (Accepted, Compacted, CompactionFailed, Pinned, Unpinned, Configured)
"""Facts that may come in the middle of an answer of the model, and neither begin nor end it."""

FromLLMPayload = Annotated[Entry | Delta, Field(discriminator="kind")]

Configured.model_rebuild()
ENTRY: TypeAdapter[Entry] = TypeAdapter(Entry)
PAYLOAD: TypeAdapter[FromLLMPayload] = TypeAdapter(FromLLMPayload)


def encode(entry: Entry) -> bytes:
    """The entry as compact JSON: fields that are None are left out but in a configuration, every other one is kept."""
    try:
        return ENTRY.dump_json(entry, exclude_none=True)
    except PydanticSerializationError:
        # A tool may return half a character (a lone surrogate), which no JSON can hold: it must not end the session.
        return to_json(_whole_characters(ENTRY.dump_python(entry, exclude_none=True)))


def _whole_characters(value: object) -> object:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case dict():
            items = cast("dict[str, object]", value).items()
            return {cast("str", _whole_characters(key)): _whole_characters(item) for key, item in items}
        case list() | tuple():
            return [_whole_characters(item) for item in cast("list[object]", value)]
        case _:
            return value


def decode(data: bytes | str) -> Entry:
    """The entry that `encode` wrote."""
    return ENTRY.validate_json(data)
