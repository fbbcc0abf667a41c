"""The chat on a real terminal: takes it over, hands it back, and says how to come back to the conversation.

The rule here: between taking over and handing back, nobody but the screen writes to the terminal.
"""

import asyncio
import dataclasses
import os

from agent_core.status import SessionStatus
from drivers.chatting.connection import Connected, Wanted
from drivers.chatting.conversation import Conversation
from drivers.chatting.devices import terminal_input, terminal_output
from drivers.chatting.quiet import Quiet


async def run_in_terminal(wanted: Wanted, *, program: str) -> int:
    """Chat until the user leaves; return the exit code. Raises what ended the chat, if it was not the user."""
    loop = asyncio.get_running_loop()
    colors = None if "NO_COLOR" in os.environ else "standard"
    conversation = Conversation(
        wanted.connect,
        model=wanted.fields["model"],
        check_model=lambda model: check_model(wanted, model),
        farewell=lambda connected, status: farewell(connected, status, program),
        colors=colors,
    )
    quiet = Quiet(lambda line: loop.call_soon_threadsafe(conversation.printed, line), everything=wanted.place.debug)
    with quiet:
        return await conversation.run(terminal_input(), terminal_output(quiet.stdout))


def check_model(wanted: Wanted, model: str) -> None:
    """Raise ConfigError if the session could not speak to `model` with the options that the program was given."""
    options = dataclasses.replace(wanted.model, model=model)
    options.fields()
    options.check_window()
    if wanted.place.is_here:
        options.check_key()


def farewell(connected: Connected, status: SessionStatus | None, program: str) -> str:
    """How to come back to the conversation; nothing if there was none."""
    if status is None or not status.messages:
        return ""
    if not connected.kept:
        return "It was kept in memory only; --data-dir DIRECTORY keeps the next conversation."
    return f"Go on with this conversation: {program} --session {connected.session.id}{connected.place_options}"
