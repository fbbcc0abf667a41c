"""The chat in a terminal: joins a screen to a session.

The rule here: the screen never waits for the session. What the user types is shown at once and sent in its order, as
soon as there is somebody to send it to; what the session says comes by its events alone, whoever caused it.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from prompt_toolkit.input import Input
from prompt_toolkit.output import Output

from agent_core.cursor import Cursor, Event
from agent_core.entries import Accepted, Complete, TurnStarted
from agent_core.errors import RayconteurError
from agent_core.messages import Message
from agent_core.payloads import When
from agent_core.session_protocol import Session
from agent_core.status import SessionStatus
from drivers.chatting.command import Command
from drivers.chatting.commands import command_of, suggestions
from drivers.chatting.compactions import Compactions
from drivers.chatting.connection import Connect, Connected
from drivers.chatting.devices import message_history
from drivers.chatting.earlier import earlier
from drivers.chatting.pieces import Noted, Piece, Printed, UserSaid, clean, content_text, open_calls
from drivers.chatting.screen import Callbacks, Screen
from drivers.chatting.transcript import Transcript
from drivers.chatting.view import Unsent, View
from drivers.errors import INTERRUPTED

TICK_SECONDS = 0.1
# How long a first Ctrl-C is remembered.
LEAVE_SECONDS = 5.0

Job = Callable[[], Awaitable[None]]
Farewell = Callable[[Connected, SessionStatus | None], str]


class Conversation:
    """One chat, from the prompt to leaving it.

    `model` is named until the session names its own. `check_model` raises ConfigError for a model that cannot be spoken
    to. `farewell` is what is said on leaving. `colors` is the terminal's colour system as rich knows it, None for none.
    """

    when: When = "after"

    def __init__(
        self,
        connect: Connect,
        *,
        model: str,
        check_model: Callable[[str], None],
        farewell: Farewell = lambda _connected, _status: "",
        colors: str | None = None,
    ) -> None:
        self._connect = connect
        self._check_model, self._farewell = check_model, farewell
        self._connected: Connected | None = None
        self._jobs: asyncio.Queue[Job] = asyncio.Queue()
        self._stale = asyncio.Event()
        self._disarming: asyncio.TimerHandle | None = None
        self._beside: set[asyncio.Task[None]] = set()
        self.transcript = Transcript(lambda: asyncio.get_running_loop().time())
        self.view = View(self.transcript, model, colors)

    async def run(self, input: Input, output: Output) -> int:  # noqa: A002 - prompt_toolkit's own word
        """Chat until the user leaves, and return the exit code. Raises what ended the chat, if it was not the user."""
        callbacks = Callbacks(
            live=self.view.live,
            status=self.view.status_line,
            suggestions=suggestions,
            placeholder=self.view.placeholder,
            entered=self._entered,
            interrupt=self._interrupted,
            leave=self.leave,
        )
        self._screen = Screen(callbacks, input=input, output=output, history=message_history())
        self._screen.buffer.on_text_changed += lambda _: self._disarm()
        try:
            async with asyncio.TaskGroup() as self._tasks:
                serving = self._tasks.create_task(self._serve())
                ticking = self._tasks.create_task(self._tick())
                code = await self._screen.run()
                if self._connected is not None and (farewell := self._farewell(self._connected, self.view.status)):
                    self._screen.print(f"\r\n{farewell}\r\n")
                for task in (ticking, serving, *self._beside):
                    task.cancel()
        finally:
            self.show([Noted(f"not sent: {item.text}", "warning") for item in self.view.unsent.values()])
        return code

    # --- what commands may use ----------------------------------------------------------------------------------------

    @property
    def session(self) -> Session | None:
        return self._connected.session if self._connected else None

    @property
    def compactions(self) -> Compactions:
        return self.transcript.compactions

    @property
    def place(self) -> Sequence[tuple[str, str]]:
        if self._connected is None:
            return ()
        rows = [("runtime", self._connected.description), ("dashboard", self._connected.dashboard)]
        return [(name, value) for name, value in rows if value]

    def check_model(self, model: str) -> None:
        self._check_model(model)

    def show(self, pieces: Sequence[Piece], *, whole: bool = False) -> None:
        if pieces:
            self._screen.print(self.view.above(pieces, self._screen.size().columns, whole=whole))

    async def interrupt(self) -> bool:
        return self.session is not None and await self.session.interrupt("keep")

    def leave(self) -> None:
        self._screen.close(0)

    def printed(self, line: str) -> None:
        """Show a line that somebody else wrote to the terminal."""
        self.show([Printed(clean(line))])

    # --- what the user does -------------------------------------------------------------------------------------------

    def _entered(self, text: str) -> None:
        if not text.startswith("/"):
            self._queue_message(text)
            return
        try:
            command, argument = command_of(text)
        except RayconteurError as error:
            self.show([Noted(str(error), "error")])
            return
        if command.at_once:
            self._tasks.create_task(self._guarded(command.perform(self, argument)))
        elif command.beside:
            self._jobs.put_nowait(lambda: self._begin(command, argument))
        else:
            self._jobs.put_nowait(lambda: command.perform(self, argument))

    async def _begin(self, command: Command, argument: str) -> None:
        task = self._tasks.create_task(self._guarded(command.perform(self, argument)))
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    def _queue_message(self, text: str) -> None:
        steers = text.startswith("!")
        # A space before a slash or an exclamation mark says that it is meant as it stands.
        words = (text[1:] if steers else text).strip()
        if not words:
            return
        key, when = uuid.uuid4().hex, "next_step" if steers else self.when
        self.view.unsent[key] = Unsent(words, when)

        async def send() -> None:
            try:
                await self._the_session().submit(words, when=when, key=key)
            except RayconteurError:
                self.view.unsent.pop(key, None)
                raise

        self._jobs.put_nowait(send)

    def _the_session(self) -> Session:
        assert self._connected is not None, "jobs are done only while connected"
        return self._connected.session

    def _interrupted(self) -> None:
        """Ctrl-C: ends the open turn, or a wait, or takes back what was typed; the second one leaves."""
        if self.view.leaving:
            self._screen.close(INTERRUPTED)
            return
        if self.transcript.turn_id is not None:
            self._tasks.create_task(self._guarded(self.interrupt()))
        elif self._beside:
            for task in self._beside:
                task.cancel()
            self.show([Noted("the compaction goes on in the background")])
        else:
            self._screen.buffer.reset()
        self.view.leaving = True
        self._disarming = asyncio.get_running_loop().call_later(LEAVE_SECONDS, self._disarm)
        self._screen.redraw()

    def _disarm(self) -> None:
        self.view.leaving = False
        if self._disarming is not None:
            self._disarming.cancel()
            self._disarming = None
        self._screen.redraw()

    # --- what the session does ----------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        """Connect, show what was said before, and from then on what is said, until cancelled."""
        async with self._connect() as connected:
            self._connected = connected
            cursor = await self._join(connected)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow(connected.session, cursor))
                tasks.create_task(self._work())
                tasks.create_task(self._refresh(connected.session))

    async def _join(self, connected: Connected) -> Cursor:
        """Show the conversation so far, and return the place in the stream from which on it is followed."""
        session = connected.session
        status, history, view = await _snapshot(session)
        self.view.status = status
        calls = open_calls(history) if status.turn_id is not None else {}
        self.transcript.joined(status.turn_id, status.state, calls)
        self.compactions.joined(status.compaction)
        what = f"{'new session' if connected.new else 'session'} {session.id}, {connected.description}"
        place = Noted("\n".join(line for line in (what, connected.dashboard) if line))
        self.show([place, *earlier(history, view, leaving_out=calls)])
        return Cursor(seq=status.last_seq, epoch=status.epoch)

    async def _follow(self, session: Session, cursor: Cursor) -> None:
        async for event in session.events(after=cursor):
            unheard = isinstance(event.payload, TurnStarted) and not self.transcript.knows(event.payload.turn_id)
            pieces = self.transcript.apply(event)
            if unheard and isinstance(event.payload, TurnStarted):
                # It was accepted before this reader came in.
                pieces = [*await _words_of(session, event.payload.turn_id), *pieces]
            self._noticed(event)
            self.show(pieces)
            self._screen.redraw()

    def _noticed(self, event: Event) -> None:
        payload = event.payload
        if isinstance(payload, Accepted) and payload.key is not None:
            self.view.unsent.pop(payload.key, None)
        elif isinstance(payload, Complete):
            self.view.count(payload.message.usage)
        elif isinstance(payload, TurnStarted):
            # A Ctrl-C before belonged to the turn before.
            self._disarm()
        if event.cursor.delta == 0:
            self._stale.set()

    async def _work(self) -> None:
        """Do what the user asked for, one after the other."""
        while True:
            job = await self._jobs.get()
            await self._guarded(job())

    async def _guarded(self, work: Awaitable[Any]) -> None:
        """A refusal is shown and the chat goes on."""
        try:
            await work
        except RayconteurError as error:
            self.show([Noted(str(error), "error")])

    async def _refresh(self, session: Session) -> None:
        """Read the status again whenever a fact was heard of; many facts at once are one reading."""
        while True:
            await self._stale.wait()
            self._stale.clear()
            self.view.status = await session.status()
            self._screen.redraw()

    async def _tick(self) -> None:
        """Keep what moves moving, while anything does."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.view.tick()
            if self.view.moves:
                self._screen.redraw()


async def _snapshot(session: Session) -> tuple[SessionStatus, Sequence[Message], Sequence[Message]]:
    """Status, whole history and what the model sees of it, of one and the same moment."""
    while True:
        status = await session.status()
        history, view = await session.history(full=True), await session.history()
        if (await session.status()).last_seq == status.last_seq:
            return status, history, view


async def _words_of(session: Session, turn_id: str) -> list[Piece]:
    for message in await session.history(full=True):
        if message.turn_id == turn_id and message.kind == "user":
            return [UserSaid(content_text(message.content))]
    return []
