"""Ports: everything that a session needs of the world. Implemented by SDK clients, by Ray handles and by fakes.

The rule here: ports are batch-shaped where they cross processes, and they say nothing of how: a session cannot tell
which implementation it has.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol

from agent_core.config import RequestClass, SessionConfig
from agent_core.content import ToolResultBlock
from agent_core.entries import Entry, ToolCall, ToolOutcome
from agent_core.errors import ErrorInfo, RayconteurError
from agent_core.messages import Message, SessionId, StopReason, TurnId, Usage
from agent_core.tools.definition import ToolDefinition

# --- Model ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One request, in no provider's form. `messages` is the view, never empty; `estimate` its size in tokens.

    `traceparent` is the span that what it is for belongs to (see `tracing/context.py`), here and below.
    """

    config: SessionConfig
    messages: Sequence[Message]
    session_id: SessionId
    turn_id: TurnId
    system: str | None = None
    tools: Sequence[ToolDefinition] = ()
    max_tokens: int = 4096
    estimate: int = 0
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class ResponseStarted:
    """The answer has begun. Ids and names as the provider gave them."""

    message_id: str
    model: str


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Text of block `index`. A new index begins a new block."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    """Thinking of block `index`; `text` may be empty when only the signature, or a whole opaque block, has come.

    `signature` is appended to what came before. See `ThinkingBlock` for the meaning of the fields.
    """

    index: int
    text: str = ""
    signature: str | None = None
    redacted: bool = False
    item_id: str | None = None


@dataclass(frozen=True, slots=True)
class ToolUseDelta:
    """JSON text of a tool call's input in block `index`; the first of a block carries its `id` and `name`."""

    index: int
    text: str = ""
    id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class UsageUpdate:
    """All tokens of this request as known so far (not a difference)."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class ResponseStopped:
    """The answer is whole. Always the last event of a stream that did not fail."""

    stop_reason: StopReason


@dataclass(frozen=True, slots=True)
class RetryScheduled:
    """Nothing had been shown yet; the request is made again after `delay` seconds."""

    attempt: int
    delay: float
    error: RayconteurError


@dataclass(frozen=True, slots=True)
class PermitWait:
    """The request waits for admission (`waiting` true), or got it."""

    waiting: bool


ModelEvent = (
    ResponseStarted
    | TextDelta
    | ThinkingDelta
    | ToolUseDelta
    | UsageUpdate
    | ResponseStopped
    | RetryScheduled
    | PermitWait
)


class Model(Protocol):
    """Answers requests. Streaming or not, by `request.config.streaming`: the same events, one delta a block when not.

    The stream begins with ResponseStarted (after any PermitWait and RetryScheduled) and ends with ResponseStopped.
    Raises ProviderError. Closing the iterator cancels the request.
    """

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]: ...


class Permit(Protocol):
    """Admission to a provider: held while a request is under way."""

    def hold(self, request_class: RequestClass, tokens: int) -> AbstractAsyncContextManager[None]: ...

    @property
    def free(self) -> bool:
        """Whether a permit would be had at once."""
        ...


# --- Tools ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToolInvocation:
    """One call on its way to an executor. `key` is unique for ever, whoever owns the session: the dedupe key."""

    key: str
    session_id: SessionId
    turn_id: TurnId
    call: ToolCall
    definition: ToolDefinition
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class ToolReport:
    """A call's end, as its executor tells it."""

    key: str
    result: ToolResultBlock
    outcome: ToolOutcome
    seconds: float = 0.0


class ToolExecutor(Protocol):
    """Runs calls. Reports come back one way, each as it settles, exactly one a call, to the `deliver` given with it."""

    def dispatch(self, calls: Sequence[ToolInvocation], deliver: Callable[[ToolReport], None]) -> None:
        """Start the calls. Never blocks and never raises: what cannot run is reported as a failed call."""
        ...

    def cancel(self, keys: Sequence[str]) -> None:
        """Stop the calls, killing what ignores it. Nothing is reported for them any more."""
        ...


# --- Compaction ----------------------------------------------------------------------------------------------------

CompactionPriority = Literal["waiting", "manual", "trigger", "soft"]
"""Why a job is wanted, the most urgent first: a turn waits at the hard mark; a user asked; past the trigger; early."""


@dataclass(frozen=True, slots=True)
class CompactionJob:
    """A range of a conversation to be summarised. `key` is unique for ever.

    `messages` are the covered ones as they happened, `previous` the summary that stands before them, `digest` that of
    their ids. `config` is the summariser's: its `max_tokens` bounds the summary, its `timeout` (seconds) the whole job.
    `turn_id` is the turn that was open when it was issued.
    """

    key: str
    session_id: SessionId
    job_id: str
    config: SessionConfig
    messages: Sequence[Message]
    digest: str
    previous: str | None = None
    focus: str = ""
    turn_id: TurnId | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class CompactionStarted:
    """The job has left the queue."""

    key: str


@dataclass(frozen=True, slots=True)
class Patch:
    """A summary for exactly the range whose ids have this digest. Never a new history."""

    key: str
    digest: str
    summary: str
    usage: Usage = Usage()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class CompactionFailure:
    """The job came to nothing. One that was `shed` never started: there was no room for it."""

    key: str
    error: ErrorInfo
    usage: Usage = Usage()
    shed: bool = False


CompactionReport = CompactionStarted | Patch | CompactionFailure


class Compactor(Protocol):
    """Summarises away from the turn. Reports come back one way; none may be relied on to come, or to come once."""

    def submit(
        self, job: CompactionJob, priority: CompactionPriority, deliver: Callable[[CompactionReport], None]
    ) -> None:
        """Queue the job. Never blocks and never raises."""
        ...

    def promote(self, key: str, priority: CompactionPriority) -> None:
        """The job has become more urgent."""
        ...

    def cancel(self, key: str) -> None:
        """Nobody waits for the job any more."""
        ...


# --- Journal -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Record:
    """An entry in its place. `seq` counts from 1 in each session without a gap; `at` is in seconds since the epoch."""

    seq: int
    epoch: int
    at: float
    entry: Entry


@dataclass(frozen=True, slots=True)
class Append:
    """New records of one session, by its owner of `epoch`. `records[0].seq` follows the last one in the journal.

    Repeating an append that is already there (same seqs, same epoch) is a success and changes nothing.
    """

    session_id: SessionId
    epoch: int
    records: Sequence[Record]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A session's state after record `seq`, as its owner encoded it. A shortcut: every record is kept all the same."""

    seq: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """Ownership of a session: the new epoch and everything that happened so far (no records: a new session).

    With a snapshot, `records` are those after it.
    """

    session_id: SessionId
    epoch: int
    records: Sequence[Record] = field(default_factory=tuple)
    snapshot: Snapshot | None = None


class Journal(Protocol):
    """The durable log. What `append` has answered survives the death of every process."""

    async def claim(self, session_id: SessionId, owner: str, first: Record | None = None) -> Claim:
        """Take the session over with a new epoch: every older owner's appends are refused from now on.

        A session without any record gets `first` (of seq 1) as its first one, in the same step.
        """
        ...

    async def append(self, appends: Sequence[Append]) -> "Sequence[JournalOutcome]":
        """Make the records durable, all of one `Append` or none. One outcome for each, in order: None, or the refusal.

        Refusals are Fenced (epoch too old) and SequenceGap. Raises JournalError when the journal itself fails.
        """
        ...

    async def read(self, session_id: SessionId, after: int = 0) -> Sequence[Record]:
        """Records with seq > after, without claiming."""
        ...

    async def exists(self, session_id: SessionId) -> bool:
        """Whether the session has any record."""
        ...

    async def save_snapshot(self, session_id: SessionId, epoch: int, snapshot: Snapshot) -> None:
        """Keep the snapshot in place of an older one. Raises Fenced if `epoch` is not the owner's."""
        ...


JournalOutcome = RayconteurError | None


class Clock(Protocol):
    """Time: seconds since the epoch, and waiting."""

    def now(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...
