"""`Session`: what every session can do, in this process or on an actor of the cluster. Callers cannot tell which.

The rule here: an answer means durable. Whatever `submit` has accepted is run once, whatever dies.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from agent_core.cursor import Cursor, Event
from agent_core.entries import FromLLMPayload
from agent_core.messages import Message, SessionId, TurnId
from agent_core.payloads import InterruptMode, ToolResults, UserInput, When
from agent_core.status import CompactResult, SessionStatus
from agent_core.tools.definition import ToolDefinition

Input = str | UserInput | ToolResults


def id_of(message: str | Message) -> str:
    """The id of a message that is given itself or by its id."""
    return message if isinstance(message, str) else message.id


class Session(Protocol):
    """One conversation with a model. Every method may raise SessionClosed, JournalError or PlacementError."""

    @property
    def id(self) -> SessionId:
        """The session's name, by which it is opened again."""
        ...

    def send(self, message: Input, *, when: When = "after", key: str | None = None) -> AsyncIterator[FromLLMPayload]:
        """Submit, then yield the turn's events up to and with its TurnEnded. Leaving the loop stops no turn."""
        ...

    async def submit(self, message: Input, *, when: When = "after", key: str | None = None) -> TurnId:
        """Accept a message durably and return its turn. Waits while the mailbox is full.

        `when` says what happens if a turn is open: queue behind it, steer it at its next model call, interrupt it
        (keeping what it has) and go first, or raise SessionBusy. The same `key` again returns the same turn and does
        nothing. Raises ConfigError for an empty message, ToolError for results of calls that are not open.
        """
        ...

    async def ask(self, message: Input, *, when: When = "after", key: str | None = None) -> str:
        """Submit, wait for the turn's end and return the text of the final answer.

        Raises ProviderError when the turn failed, SessionError when it was interrupted, refused or cut by a limit.
        """
        ...

    def events(self, after: Cursor | None = None) -> AsyncIterator[Event]:
        """Events from after the cursor on (without one, from now on), until the session is shut down."""
        ...

    async def interrupt(self, mode: InterruptMode = "keep") -> bool:
        """End the open turn now. `keep` leaves what it has in the conversation, `discard` takes the turn out of it.

        Returns whether a turn was open.
        """
        ...

    async def retry(self) -> TurnId:
        """Open the failed last turn again. Raises SessionError if the last turn did not fail."""
        ...

    async def status(self) -> SessionStatus:
        """What the session is doing, its counts and where it is. Answers at once, whatever is under way."""
        ...

    async def history(self, *, full: bool = False) -> Sequence[Message]:
        """The messages that the model sees; with `full`, everything that was ever said, compacted or not."""
        ...

    async def clear(self) -> None:
        """Empty the conversation; prompt, tools and counters stay. An open turn is discarded first."""
        ...

    async def system_prompt(self) -> str | None:
        """What the model is told before the conversation, None for nothing."""
        ...

    async def set_system_prompt(self, prompt: str) -> None:
        """Tell the model this from the next request on."""
        ...

    async def clear_system_prompt(self) -> None:
        """Tell the model nothing before the conversation, from the next request on."""
        ...

    async def max_tokens(self) -> int:
        """How long one answer of the model may be, in tokens."""
        ...

    async def set_max_tokens(self, max_tokens: int) -> None:
        """Bound answers to so many tokens from the next request on. Raises ConfigError unless it is 1 or more."""
        ...

    async def tools(self) -> Sequence[ToolDefinition]:
        """What the model may call, in the order in which it is shown."""
        ...

    async def set_tools(self, tools: Sequence[ToolDefinition]) -> None:
        """Offer these tools instead of those before, from the next request on.

        Their code has to be where it can be found: in a module, or stored when a session was opened with it. Raises
        ConfigError for two of one name.
        """
        ...

    async def clear_tools(self) -> None:
        """Offer no tools from the next request on."""
        ...

    async def set_model(self, model: str) -> None:
        """Ask this model, `provider/name`, from the next request on.

        Raises ConfigError for one of no known form, provider or context window.
        """
        ...

    async def compact(self, *, focus: str = "") -> CompactResult:
        """Compact now, whatever the marks say, and wait for what comes of it. A turn that is open goes on meanwhile.

        `focus` is what a summary should keep most of. That nothing could be done is no error: the result says why.
        """
        ...

    async def pin(self, message: str | Message) -> None:
        """Keep a message of the conversation (or the one of that id) word for word, whatever is compacted.

        Raises SessionError for an unknown message, ConfigError where pins would take too much of the window.
        """
        ...

    async def unpin(self, message: str | Message) -> None:
        """Keep a message no longer."""
        ...

    async def shutdown(self, *, graceful: bool = True) -> None:
        """Take no more messages; finish the open turn, or cancel it at once. What was accepted stays journalled."""
        ...

    @property
    def is_shutdown(self) -> bool:
        """Whether it takes no more messages, as far as is known here."""
        ...
