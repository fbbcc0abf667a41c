"""`python -m drivers.chat`: a conversation with any model, in a terminal or through a pipe.

The rule here: a user's mistake is found before anything is started, and the prompt is there before anything heavy is
imported; the cluster connects behind it.
"""

import sys

if __name__ == "__main__" and not __package__:
    # A file that is run finds none of the packages below.
    print("error: run it as: python -m drivers.chat (from the root of the checkout)", file=sys.stderr)
    sys.exit(2)

import dataclasses
import os
from typing import Annotated

import typer

from agent_core.errors import ConfigError
from drivers import errors
from drivers.chatting.connection import Wanted
from drivers.chatting.quiet import Quiet
from drivers.compaction_options import CompactionOptions
from drivers.options import ModelOptions, PlaceOptions, grouped

PROGRAM = "python -m drivers.chat"
app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@dataclasses.dataclass(frozen=True)
class ChatOptions:
    """Which conversation, and in what form where there is no terminal."""

    session: Annotated[
        str | None,
        typer.Option("--session", metavar="ID", help="Go on with this session; one that is not there is made."),
    ] = None
    lines: Annotated[bool, typer.Option("--lines", help="Piped: each line is a message, not the whole input one.")] = (
        False
    )
    json: Annotated[
        bool, typer.Option("--json", help="Piped: print each event as a line of JSON, with its cursor.")
    ] = False


@app.command()
@grouped
async def chat(chat: ChatOptions, model: ModelOptions, compaction: CompactionOptions, place: PlaceOptions) -> int:
    """Talk with a model. In a terminal: a chat, /help lists its commands. Piped: the answer's plain text.

    echo "hi" | python -m drivers.chat --model local/smollm2
    """
    wanted = _checked(chat, model, compaction, place)
    at_terminal = _at_terminal() and not (chat.lines or chat.json)
    code = errors.INTERRUPTED
    try:
        code = await (_in_terminal(wanted) if at_terminal else _piped(wanted, chat))
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else code
        raise
    finally:
        if wanted.abandoned.is_set():
            errors.leave_now(code, "" if at_terminal else "interrupted")
    return code


def _at_terminal() -> bool:
    """Whether there is a terminal on both ends that can be drawn on."""
    streams = (sys.stdin, sys.stdout)
    return all(stream is not None and stream.isatty() for stream in streams) and os.environ.get("TERM") != "dumb"


def _checked(chat: ChatOptions, model: ModelOptions, compaction: CompactionOptions, place: PlaceOptions) -> Wanted:
    """The session that was asked for. Raises ConfigError or ToolError for whatever can be known to be wrong now."""
    from agent_core.opening import check_session_id

    fields = model.fields() | compaction.fields()
    place.check()
    compaction.check(here=place.is_here)
    if chat.session is not None:
        check_session_id(chat.session)
    if chat.session is None or model.model is not None:
        model.check_window()
        # On a cluster elsewhere the key has to be there, not here.
        if place.is_here:
            model.check_key()
    return Wanted(model, place, fields, model.loaded_tools(), chat.session)


async def _in_terminal(wanted: Wanted) -> int:
    """The chat on a screen; on leaving, how to come back to it."""
    from drivers.chatting.terminal import run_in_terminal

    return await run_in_terminal(wanted, program=PROGRAM)


async def _piped(wanted: Wanted, chat: ChatOptions) -> int:
    from drivers.chatting.piped import Streams, run_piped

    def hand_on(line: str) -> None:
        streams.note(line)

    if sys.stdin is None:
        raise ConfigError("stdin is closed. Write a message to it, as in: echo hi | python -m drivers.chat")
    # A terminal that cannot be drawn on is read line by line.
    lines = chat.lines or (sys.stdin.isatty() and sys.stdout.isatty())
    with Quiet(hand_on, everything=wanted.place.debug) as quiet:
        streams = Streams(quiet.stdout, quiet.stderr)
        return await run_piped(wanted.connect, streams, lines=lines, as_json=chat.json)


def main() -> None:
    """Run the program and leave with its exit code."""
    errors.leave(errors.run(app, program=PROGRAM))


if __name__ == "__main__":
    main()
