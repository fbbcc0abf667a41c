"""What the turn machine is told. `commands.py` mirrors this file with what it answers.

The rule here: an input is something that has happened or that somebody wants; it carries no decision.
"""

from dataclasses import dataclass
from typing import Literal

from agent_core.entries import Settings
from agent_core.errors import ProviderError
from agent_core.messages import Message
from agent_core.payloads import InterruptMode, ToLLMPayload, When
from agent_core.ports import CompactionReport, ModelEvent, ToolReport


@dataclass(frozen=True, slots=True)
class Recover:
    """The session was read from its journal by a new owner: go on where the last one was lost.

    A session that was shut down stays so unless it is to `reopen`.
    """

    reopen: bool = False


@dataclass(frozen=True, slots=True)
class Submit:
    """Somebody sends a message or the results of external calls. `traceparent` is the span that they had open."""

    payload: ToLLMPayload
    when: When = "after"
    key: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class FromModel:
    """The model call number `call` has something to tell."""

    call: int
    event: ModelEvent


@dataclass(frozen=True, slots=True)
class ModelFailed:
    """The model call number `call` came to nothing."""

    call: int
    error: ProviderError


@dataclass(frozen=True, slots=True)
class FromTool:
    """A tool call has ended."""

    report: ToolReport


@dataclass(frozen=True, slots=True)
class Interrupt:
    """End the open turn now. The same `key` again ends no other one."""

    mode: InterruptMode = "keep"
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """Open the failed last turn again. The same `key` again does nothing. `traceparent` is as in Submit."""

    key: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Clear:
    """Empty the conversation. The same `key` again does nothing."""

    key: str | None = None


@dataclass(frozen=True, slots=True)
class Configure:
    """Change settings from the next request on."""

    changes: Settings


@dataclass(frozen=True, slots=True)
class Compact:
    """Compact now, whatever the marks say. `focus` is what the summary should look at most."""

    focus: str = ""


@dataclass(frozen=True, slots=True)
class Pin:
    """Keep a message word for word from now on, or (not `kept`) no longer.

    `message` is the message itself, where the conversation holds it no more.
    """

    message_id: str
    kept: bool = True
    message: Message | None = None


@dataclass(frozen=True, slots=True)
class FromCompactor:
    """A compaction job has something to tell."""

    report: CompactionReport


@dataclass(frozen=True, slots=True)
class TimerEnded:
    """The time that was asked for with this number is over."""

    timer: int


@dataclass(frozen=True, slots=True)
class Shutdown:
    """Take no more; finish the open turn (`finish`) or cancel it (`cancel`)."""

    how: Literal["finish", "cancel"] = "finish"


Input = (
    Recover
    | Submit
    | FromModel
    | ModelFailed
    | FromTool
    | FromCompactor
    | TimerEnded
    | Interrupt
    | Retry
    | Clear
    | Configure
    | Compact
    | Pin
    | Shutdown
)
