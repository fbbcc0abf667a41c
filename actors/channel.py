"""A session actor's side of one client: frames gathered for its stream, and its readers.

The rule here: first tokens and ends leave at once, the rest on a tick; so many sessions share one Ray item. A client
that does not renew its lease is gone, whatever Ray thinks; but its stream is ended only if it takes notice or is dead.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from actors.envelopes import TEXT, Frame, end_frame, event_frame, failure_frame, merged
from agent_core.cursor import Cursor, Event
from agent_core.entries import TurnEnded
from agent_core.errors import RayconteurError
from agent_core.messages import TurnId
from agent_core.payloads import TextChunk, ThinkingChunk
from agent_core.ports import Record
from agent_core.session import Shell
from agent_core.stream import Subscription

TICK = 0.02
SPACING = 0.002


class Channel:
    """Frames on their way to a client of a job, which has to be heard of once in `lease` seconds."""

    def __init__(self, job: str, lease: float) -> None:
        self.job, self._lease = job, lease
        self._loop = asyncio.get_running_loop()
        self._frames: list[Frame] = []
        self._newest_text: dict[int, int] = {}
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._flushed = 0.0
        self.closed = False
        self._ended = False
        self.received = 0
        """How many envelopes of requests have come."""
        self._renewed = self._loop.time()
        self.readers: dict[int, Reader] = {}

    @property
    def expired(self) -> bool:
        """Whether the client has not been heard of for a lease's length."""
        return self._loop.time() - self._renewed > self._lease

    def renew(self) -> None:
        """The client was heard of."""
        self._renewed = self._loop.time()

    def put(self, frame: Frame, *, urgent: bool) -> None:
        """Have the frame sent: soon if urgent, else with the next tick. A closed channel drops it."""
        if self.closed:
            return
        if frame[0] == TEXT:
            at = self._newest_text.get(frame[1])
            one = merged(self._frames[at], frame) if at is not None else None
            if one is not None and at is not None:
                self._frames[at] = one
                return
            self._newest_text[frame[1]] = len(self._frames)
        else:
            self._newest_text.pop(frame[1], None)
        self._frames.append(frame)
        self._schedule(self._flushed + SPACING if urgent else self._loop.time() + TICK)

    def _schedule(self, when: float) -> None:
        if self._timer is not None:
            if self._due <= when:
                return
            self._timer.cancel()
        self._due = when
        self._timer = self._loop.call_at(when, self._wake.set)

    async def stream(self) -> AsyncIterator[list[Frame]]:
        """Envelopes of frames, until the channel is ended."""
        while not self._ended:
            await self._wake.wait()
            self._wake.clear()
            self._timer = None
            self._flushed = self._loop.time()
            if self._frames:
                frames, self._frames = self._frames, []
                self._newest_text = {}
                yield frames

    def close(self) -> None:
        """Let every reader go and send nothing more."""
        self.closed = True
        self._frames = []
        for reader in tuple(self.readers.values()):
            reader.leave()

    def end(self) -> None:
        """End the stream as well.

        Ray then waits until the client has taken everything, and blocks the whole event loop meanwhile: never end the
        stream of a process that may be stopped.
        """
        self.close()
        self._ended = True
        self._wake.set()


class Reader:
    """One subscription of a client: all events of a session, or those of one turn.

    It does nothing if the channel has closed meanwhile: nobody is there to read.
    """

    def __init__(self, channel: Channel, number: int, shell: Shell, turn_id: TurnId | None = None) -> None:
        self._channel, self._number, self._shell, self._turn_id = channel, number, shell, turn_id
        self._subscription: Subscription | None = None
        self._catching_up: asyncio.Task[None] | None = None
        self._shown = -1
        if not channel.closed:
            channel.readers[number] = self

    def follow(self) -> None:
        """Read from now on."""
        if self._shell.stream.closed:
            self._listen(None)
        elif not self._channel.closed:
            self._shell.stream.listen(self._listen)

    def resume(
        self, after: Cursor, read: Callable[[int], Awaitable[Sequence[Record]]], *, onlooker: bool = False
    ) -> None:
        """Read from after the cursor on, what has passed from the journal."""
        if self._channel.closed:
            return
        self._subscription = Subscription(self._shell.stream, read, after, onlooker=onlooker)
        self._catching_up = asyncio.get_running_loop().create_task(self._pump(self._subscription))

    async def _pump(self, subscription: Subscription) -> None:
        try:
            async for event in subscription:
                self._listen(event)
            self._listen(None)
        except RayconteurError as error:
            self._channel.put(failure_frame(self._number, error), urgent=True)
            self.leave()
        finally:
            subscription.close()

    def _listen(self, event: Event | None) -> None:
        if event is None:
            lost = self._shell.lost
            self._channel.put(failure_frame(self._number, lost) if lost else end_frame(self._number), urgent=True)
            return self.leave()
        payload = event.payload
        if self._turn_id is not None and getattr(payload, "turn_id", self._turn_id) != self._turn_id:
            return None
        ends = isinstance(payload, TurnEnded)
        self._channel.put(event_frame(self._number, event), urgent=ends or self._is_first(event))
        if ends and self._turn_id is not None:
            self._channel.put(end_frame(self._number), urgent=True)
            self.leave()
        return None

    def _is_first(self, event: Event) -> bool:
        """Whether it is the first text or thinking after a fact, which is what a person waits for."""
        if not isinstance(event.payload, TextChunk | ThinkingChunk) or event.cursor.seq == self._shown:
            return False
        self._shown = event.cursor.seq
        return True

    def leave(self) -> None:
        """Read no more."""
        self._shell.stream.leave(self._listen)
        self._channel.readers.pop(self._number, None)
        if self._subscription is not None:
            # Not by the task that reads it: one that is cancelled before it begins ends nothing.
            self._subscription.close()
        if self._catching_up is not None and self._catching_up is not asyncio.current_task():
            self._catching_up.cancel()
