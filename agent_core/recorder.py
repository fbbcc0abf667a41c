"""Where decisions become records: the part of the machine that numbers entries and gathers commands.

The rule here: an entry is applied to the conversation in the moment that it is decided. If the journal later refuses
it, the whole session is dropped with its state, so nothing is ever taken back.
"""

from agent_core import commands as out
from agent_core.commands import Command
from agent_core.conversation import Conversation
from agent_core.entries import Entry
from agent_core.payloads import Delta
from agent_core.ports import Record


class Recorder:
    """Numbers entries, applies them, and keeps the commands of the input being handled in order."""

    __slots__ = ("_commands", "conversation", "epoch", "now")

    def __init__(self, conversation: Conversation, epoch: int) -> None:
        self.conversation = conversation
        self.epoch = epoch
        self.now = 0.0
        self._commands: list[Command] = []

    @property
    def next_seq(self) -> int:
        """The sequence number of the next entry."""
        return self.conversation.last_seq + 1

    def record(self, entry: Entry) -> None:
        """Write one fact."""
        record = Record(self.next_seq, self.epoch, self.now, entry)
        self.conversation.apply(record)
        self._commands.append(out.Journal(record))

    def emit(self, delta: Delta) -> None:
        """Show one delta."""
        self._commands.append(out.Emit(delta))

    def do(self, command: Command) -> None:
        """Have one command performed."""
        self._commands.append(command)

    def take(self) -> list[Command]:
        """The commands so far; begins anew."""
        commands, self._commands = self._commands, []
        return commands
