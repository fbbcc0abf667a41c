"""The chat without a terminal: what comes in is a message (or one a line), what goes out is the answer alone.

The rule here: stdout holds the answer's text, or one JSON event a line; whatever else is to be said goes to stderr.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TextIO

from agent_core.content import text_of
from agent_core.cursor import Cursor, Event
from agent_core.entries import Compacted, CompactionFailed, Complete, TurnEnded
from agent_core.errors import ConfigError, SessionError
from agent_core.messages import TurnId
from agent_core.payloads import CompactionUpdate, Restarted, Retrying, StreamStart, TextChunk
from agent_core.session_protocol import Session
from drivers.chatting.compactions import Compactions
from drivers.chatting.connection import Connect
from drivers.chatting.pieces import Noted, clean
from drivers.chatting.stdin import read_messages
from drivers.chatting.transcript import ending_text, retry_text
from drivers.errors import FAILURE

# The outcomes that leave a whole answer, or one whose end alone is missing.
_ANSWERED = ("completed", "max_tokens")
INTERRUPT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Streams:
    """Where the program writes. A terminal is spared the control characters of an answer; a file gets it as it is."""

    out: TextIO
    err: TextIO

    def say(self, text: str) -> None:
        """Write some of the answer, at once. Raises BrokenPipeError when nobody reads any more."""
        self.out.write(clean(text) if self.out.isatty() else text)
        self.out.flush()

    def note(self, text: str) -> None:
        """Say something beside the answer."""
        self.err.write(f"{text}\n")
        self.err.flush()


async def run_piped(connect: Connect, streams: Streams, *, lines: bool, as_json: bool) -> int:
    """Send what comes in on stdin and print what is answered; return the exit code.

    Raises ConfigError for an input that is empty or no UTF-8.
    """
    messages = read_messages(lines=lines)
    # Read before anything is started: an empty input is a mistake that should cost nothing.
    first = await anext(messages, None)
    if first is None:
        raise ConfigError(
            "There is nothing to say: stdin was empty. Write to it, as in: echo hi | python -m drivers.chat"
        )
    async with connect() as connected:
        if connected.new and connected.named:
            streams.note(f"note: there was no session {connected.session.id}; it is new")
        message: str | None = first
        while message is not None:
            code = await _turn(connected.session, message, streams, as_json=as_json)
            if code:
                return code
            message = await anext(messages, None)
    return 0


async def _turn(session: Session, message: str, streams: Streams, *, as_json: bool) -> int:
    """One message and its answer. A turn that is left open (Ctrl-C, a reader that went away) is interrupted."""
    status = await session.status()
    turn_id = await session.submit(message)
    events = _turn_events(session, Cursor(seq=status.last_seq, epoch=status.epoch), turn_id)
    try:
        ended = await (_print_json(events, streams) if as_json else _print_text(events, streams))
    except BaseException:
        async with asyncio.timeout(INTERRUPT_SECONDS):
            await session.interrupt("keep")
        raise
    if text := ending_text(ended):
        streams.note(f"{'note' if ended.outcome in _ANSWERED else 'error'}: {text}")
    return 0 if ended.outcome in _ANSWERED else FAILURE


async def _turn_events(session: Session, cursor: Cursor, turn_id: TurnId) -> AsyncIterator[Event]:
    async for event in session.events(after=cursor):
        if getattr(event.payload, "turn_id", None) == turn_id:
            yield event
            if isinstance(event.payload, TurnEnded):
                return


async def _print_json(events: AsyncIterator[Event], streams: Streams) -> TurnEnded:
    async for event in events:
        payload = event.payload.model_dump(mode="json", exclude_none=True)
        streams.out.write(json.dumps({"cursor": event.cursor, "payload": payload}) + "\n")
        streams.out.flush()
        if isinstance(event.payload, TurnEnded):
            return event.payload
    raise _lost()


def _lost() -> SessionError:
    return SessionError(
        "The session was closed before the turn ended. Send the message again with --session.", "closed"
    )


async def _print_text(events: AsyncIterator[Event], streams: Streams) -> TurnEnded:
    """The text of every answer of the turn, each on lines of its own."""
    line_open = streamed = False
    compactions = Compactions()
    async for event in events:
        match event.payload:
            case StreamStart():
                streamed = False
            case TextChunk() as chunk if chunk.text:
                streams.say(chunk.text)
                streamed, line_open = True, not chunk.text.endswith("\n")
            case Complete() as complete:
                text = "" if streamed else text_of(complete.message.content)
                if text:
                    streams.say(text)
                    line_open = not text.endswith("\n")
                if line_open:
                    streams.say("\n")
                line_open = streamed = False
            case Restarted() if streamed:
                streams.say("\n" if line_open else "")
                streams.note("note: the session was restarted; the answer begins again")
                line_open = streamed = False
            case Retrying() as retrying:
                streams.note(f"note: {retry_text(retrying)}")
            case CompactionUpdate() | Compacted() | CompactionFailed() as payload:
                for piece in compactions.apply(payload):
                    if isinstance(piece, Noted):
                        streams.note(f"note: {piece.text}")
            case TurnEnded() as ended:
                if line_open:
                    streams.say("\n")
                return ended
            case _:
                pass
    raise _lost()
