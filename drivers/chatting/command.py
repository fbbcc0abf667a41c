"""What a slash command is, and what it may use of the chat.

The rule here: a command only calls the session and shows pieces; a refusal is the session's own error, shown as it is.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from agent_core.errors import RayconteurError
from agent_core.payloads import When
from agent_core.session_protocol import Session
from drivers.chatting.compactions import Compactions
from drivers.chatting.pieces import Piece


class Chat(Protocol):
    """What a command may use of the running chat. `session` is None while it is being connected."""

    when: When

    @property
    def session(self) -> Session | None: ...

    @property
    def compactions(self) -> Compactions:
        """What is heard of the session's compaction."""
        ...

    @property
    def place(self) -> Sequence[tuple[str, str]]:
        """Where the session runs, in words: rows for /status."""
        ...

    def show(self, pieces: Sequence[Piece], *, whole: bool = False) -> None: ...

    def check_model(self, model: str) -> None:
        """Raise ConfigError if the model cannot be spoken to."""
        ...

    async def interrupt(self) -> bool: ...

    def leave(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Command:
    """`perform` gets the chat and what stands after the command's name.

    `at_once`: needs no session and no queue. `beside`: may take long; it begins in its turn, what comes after does not
    wait for its end, and Ctrl-C leaves it (which cancels `perform`).
    """

    usage: str
    about: str
    perform: Callable[[Chat, str], Awaitable[None]]
    at_once: bool = False
    beside: bool = False

    @property
    def name(self) -> str:
        return self.usage.split()[0]


def session_of(chat: Chat) -> Session:
    """The chat's session. Raises RayconteurError while it is not there."""
    if chat.session is None:
        raise RayconteurError("The session is not there yet.")
    return chat.session
