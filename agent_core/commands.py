"""What the turn machine answers. `inputs.py` mirrors this file with what it is told.

The rule here: commands are performed in order. Whatever follows a `Journal` and leaves the session (an event, an
answer, a tool call) leaves only when that entry is durable; a model call alone may start before.
"""

from dataclasses import dataclass

from agent_core.errors import RayconteurError
from agent_core.messages import TurnId
from agent_core.payloads import Delta
from agent_core.ports import CompactionJob, CompactionPriority, ModelRequest, Record, ToolInvocation
from agent_core.status import CompactResult


@dataclass(frozen=True, slots=True)
class Journal:
    """Write the record; when it is durable, its entry is an event."""

    record: Record


@dataclass(frozen=True, slots=True)
class Emit:
    """Show a delta to whoever reads."""

    delta: Delta


@dataclass(frozen=True, slots=True)
class CallModel:
    """Ask the model; its events come back as `FromModel(call, ...)`."""

    call: int
    request: ModelRequest


@dataclass(frozen=True, slots=True)
class CancelModel:
    """Stop the model call under way."""

    call: int


@dataclass(frozen=True, slots=True)
class RunTools:
    """Send calls to their executor, once what was journalled before is durable."""

    invocations: tuple[ToolInvocation, ...]


@dataclass(frozen=True, slots=True)
class CancelTools:
    """Stop these calls; nothing they report will count."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StartCompaction:
    """Have a range summarised; what comes of it comes back as `FromCompactor`."""

    job: CompactionJob
    priority: CompactionPriority


@dataclass(frozen=True, slots=True)
class PromoteCompaction:
    """The job is more urgent now."""

    key: str
    priority: CompactionPriority


@dataclass(frozen=True, slots=True)
class CancelCompaction:
    """Nobody waits for the job any more."""

    key: str


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Say `TimerEnded(timer)` after so many seconds."""

    timer: int
    seconds: float


@dataclass(frozen=True, slots=True)
class CompactionEnded:
    """Whoever asked for the compaction `job_id` is answered with `result`."""

    job_id: str
    result: CompactResult


@dataclass(frozen=True, slots=True)
class Answer:
    """The input was taken; `turn_id` is the turn that it belongs to, if any.

    A compaction that was asked for has its result here, or `job_id`: then `CompactionEnded` brings it.
    """

    turn_id: TurnId | None = None
    compacted: CompactResult | None = None
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """The input was not taken; nothing has changed."""

    error: RayconteurError


Command = (
    Journal
    | Emit
    | CallModel
    | CancelModel
    | RunTools
    | CancelTools
    | StartCompaction
    | PromoteCompaction
    | CancelCompaction
    | StartTimer
    | CompactionEnded
    | Answer
    | Refuse
)
