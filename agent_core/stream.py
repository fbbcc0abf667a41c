"""A session's stream of events: who reads, from where, and what a late reader still needs.

The rule here: a reader never slows a turn or another reader. One that falls too far behind loses its buffer, not its
place: it goes on from its cursor, with facts from the journal.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from agent_core.cursor import Cursor, Event
from agent_core.entries import BESIDE_ANSWERS, FromLLMPayload
from agent_core.payloads import Delta, Restarted
from agent_core.ports import Record

BUFFER_LIMIT = 10_000

ReadFacts = Callable[[int], Awaitable[Sequence[Record]]]
Listener = Callable[[Event | None], None]


class EventStream:
    """Numbers the events of one session and hands them to listeners, synchronously and in order; None means the end.

    It begins after the journal's entry `seq`. Where an answer was under way then, `made_again_from` is the entry after
    which it began: what earlier owners showed of it is made again.
    """

    __slots__ = ("_delta", "_epoch", "_listeners", "_onlookers", "_partial", "_seq", "closed", "made_again_from")

    def __init__(self, epoch: int, seq: int, made_again_from: int | None = None) -> None:
        self._epoch, self._seq, self._delta = epoch, seq, 0
        self.made_again_from = seq if made_again_from is None else made_again_from
        self._partial: list[Event] = []
        self._listeners: tuple[Listener, ...] = ()
        self._onlookers: tuple[Listener, ...] = ()
        self.closed = False

    @property
    def cursor(self) -> Cursor:
        """The place of the newest event."""
        return Cursor(self._seq, self._epoch, self._delta)

    @property
    def partial(self) -> Sequence[Event]:
        """The deltas of the answer that is under way, with those since the newest fact."""
        return self._partial

    @property
    def is_read(self) -> bool:
        """Whether anybody listens who is no mere onlooker."""
        return len(self._listeners) > len(self._onlookers)

    def fact(self, record: Record) -> None:
        """A record is durable: its entry is an event, and it stands for the deltas before it if it ends an answer."""
        self._seq, self._delta = record.seq, 0
        if self._partial and not isinstance(record.entry, BESIDE_ANSWERS):
            self._partial = []
        self._publish(record.entry)

    def delta(self, delta: Delta) -> None:
        """Something passes by."""
        self._delta += 1
        event = Event(self.cursor, delta)
        self._partial.append(event)
        for listener in self._listeners:
            listener(event)

    def _publish(self, payload: FromLLMPayload) -> None:
        if self._listeners:
            event = Event(self.cursor, payload)
            for listener in self._listeners:
                listener(event)

    def listen(self, listener: Listener, *, onlooker: bool = False) -> None:
        """Hand every event from now on to `listener`. An onlooker keeps nobody from putting the session away."""
        self._listeners = (*self._listeners, listener)
        if onlooker:
            self._onlookers = (*self._onlookers, listener)

    def close(self) -> None:
        """There will be no more events: wake whoever reads."""
        self.closed = True
        for listener in self._listeners:
            listener(None)

    def leave(self, listener: Listener) -> None:
        """Hand nothing to `listener` any more."""
        self._listeners = tuple(other for other in self._listeners if other != listener)
        self._onlookers = tuple(other for other in self._onlookers if other != listener)


class Subscription:
    """One reader's place. Iterate it; it ends when `close` is called."""

    def __init__(
        self, stream: EventStream, read: ReadFacts, after: Cursor | None = None, *, onlooker: bool = False
    ) -> None:
        self._stream, self._read = stream, read
        self._place = after if after is not None else stream.cursor
        self._buffer: deque[Event] = deque()
        self._wake = asyncio.Event()
        self._behind = after is not None and after < stream.cursor
        self._closed = False
        stream.listen(self._listen, onlooker=onlooker)

    def _listen(self, event: Event | None) -> None:
        self._wake.set()
        if event is None:
            return
        if len(self._buffer) >= BUFFER_LIMIT:
            self._buffer.clear()
            self._behind = True
        self._buffer.append(event)

    def close(self) -> None:
        """End the iteration once everything buffered has been read."""
        self._closed = True
        self._stream.leave(self._listen)
        self._wake.set()

    async def __aiter__(self) -> AsyncIterator[Event]:
        try:
            while True:
                if self._behind:
                    for event in await self._catch_up():
                        self._place = event.cursor
                        yield event
                while self._buffer and not self._behind:
                    event = self._buffer.popleft()
                    if event.cursor > self._place:
                        self._place = event.cursor
                        yield event
                if self._behind:
                    continue
                if self._closed or self._stream.closed:
                    return
                self._wake.clear()
                await self._wake.wait()
        finally:
            self._stream.leave(self._listen)

    async def _catch_up(self) -> list[Event]:
        """What the journal and the open answer hold after this reader's place."""
        self._behind = False
        restarted = self._restarted()
        records = await self._read(self._place.seq)
        newest = self._stream.cursor.seq
        events = [Event(Cursor(r.seq, r.epoch), r.entry) for r in records if r.seq <= newest]
        # A fact that came while the journal was read is in the buffer, and so are the deltas after it.
        reached = events[-1].cursor.seq if events else self._place.seq
        events += [event for event in self._stream.partial if event.cursor.seq <= reached]
        events.sort(key=lambda event: event.cursor)
        return [*restarted, *(event for event in events if event.cursor > self._place)]

    def _restarted(self) -> list[Event]:
        """What a reader of an earlier owner is told first: the partial text that it holds is made again."""
        seq, epoch, delta = self._place
        owner, begun = self._stream.cursor.epoch, self._stream.made_again_from
        if epoch >= owner or not (delta or seq > begun):
            return []
        return [Event(Cursor(seq, owner), Restarted(from_seq=min(seq, begun)))]
