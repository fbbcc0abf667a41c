"""Readers of a session's events: nothing missed, nothing twice, and nobody slows anybody."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent_core import stream as stream_module
from agent_core.cursor import Cursor, Event
from agent_core.entries import CompactionFailed, TurnStarted
from agent_core.messages import TurnId
from agent_core.payloads import Restarted, TextChunk
from agent_core.ports import Record
from agent_core.stream import EventStream, Subscription

TURN = TurnId("u1")


class Source:
    """A stream and the journal behind it. `gate`, if set, holds back the answer of a read that was made before."""

    def __init__(self, epoch: int = 1) -> None:
        self.records: list[Record] = []
        self._unpublished: list[Record] = []
        self.epoch = epoch
        self.stream = EventStream(epoch, 0)
        self.gate: asyncio.Event | None = None

    def becomes_durable(self) -> None:
        """The next fact is in the journal, and no reader has been told yet."""
        record = Record(len(self.records) + 1, self.epoch, 0.0, TurnStarted(turn_id=TURN))
        self.records.append(record)
        self._unpublished.append(record)

    def publish(self) -> None:
        while self._unpublished:
            self.stream.fact(self._unpublished.pop(0))

    def fact(self) -> None:
        self.becomes_durable()
        self.publish()

    def delta(self, text: str = "x") -> None:
        self.stream.delta(TextChunk(turn_id=TURN, index=0, text=text))

    def fact_beside(self) -> None:
        """A fact that has nothing to do with the answer under way."""
        record = Record(len(self.records) + 1, self.epoch, 0.0, CompactionFailed(job_id="j", reason="failed"))
        self.records.append(record)
        self.stream.fact(record)

    def facts(self, count: int) -> None:
        for _ in range(count):
            self.fact()

    def is_replaced(self, made_again_from: int | None = None) -> None:
        """A new owner takes over; what only passed by is lost."""
        self.epoch += 1
        self._unpublished.clear()
        self.stream = EventStream(self.epoch, len(self.records), made_again_from)

    async def read(self, after: int) -> Sequence[Record]:
        records = tuple(self.records[after:])
        if self.gate is not None:
            await self.gate.wait()
        return records

    def subscribe(self, after: Cursor | None = None) -> Subscription:
        return Subscription(self.stream, self.read, after)


async def rest(subscription: Subscription) -> list[Event]:
    """Everything up to the end of the stream, which is closed by now or soon."""
    return [event async for event in subscription]


def places(events: Sequence[Event]) -> list[tuple[int, int]]:
    return [(event.cursor.seq, event.cursor.delta) for event in events]


async def test_deltas_are_numbered_after_the_fact_before_them() -> None:
    source = Source()
    subscription = source.subscribe()
    source.fact()
    source.delta()
    source.delta()
    source.fact()
    source.stream.close()
    assert places(await rest(subscription)) == [(1, 0), (1, 1), (1, 2), (2, 0)]


async def test_without_a_cursor_a_reader_gets_what_comes_from_now_on() -> None:
    source = Source()
    source.fact()
    source.delta()
    subscription = source.subscribe()
    source.delta()
    source.fact()
    source.stream.close()
    assert places(await rest(subscription)) == [(1, 2), (2, 0)]


async def test_a_late_reader_gets_the_facts_and_what_has_come_of_the_open_answer() -> None:
    source = Source()
    source.facts(2)
    source.delta("old")
    source.fact()
    source.delta("new")
    source.stream.close()
    assert places(await rest(source.subscribe(Cursor()))) == [(1, 0), (2, 0), (3, 0), (3, 1)]


async def test_a_reader_goes_on_after_its_cursor() -> None:
    source = Source()
    source.facts(2)
    for _ in range(3):
        source.delta()
    source.stream.close()
    assert places(await rest(source.subscribe(Cursor(2, 1, 1)))) == [(2, 2), (2, 3)]
    assert places(await rest(source.subscribe(Cursor(1, 1, 7)))) == [(2, 0), (2, 1), (2, 2), (2, 3)]


async def test_a_reader_with_the_newest_cursor_reads_nothing_from_the_journal() -> None:
    source = Source()
    source.fact()
    source.gate = asyncio.Event()
    subscription = source.subscribe(source.stream.cursor)
    source.stream.close()
    assert await rest(subscription) == []


async def test_a_reader_that_comes_back_to_a_new_owner_is_told_what_to_drop() -> None:
    source = Source()
    source.fact()
    source.delta()
    place = source.stream.cursor
    source.is_replaced()
    source.delta("again")
    source.stream.close()
    events = await rest(source.subscribe(place))
    assert [event.payload for event in events] == [
        Restarted(from_seq=1),
        TextChunk(turn_id=TURN, index=0, text="again"),
    ]


async def test_a_reader_that_held_no_partial_text_has_nothing_to_drop() -> None:
    source = Source()
    source.fact()
    place = source.stream.cursor
    source.is_replaced()
    source.fact()
    source.stream.close()
    assert places(await rest(source.subscribe(place))) == [(2, 0)]


async def test_a_reader_that_comes_back_gets_the_text_from_before_and_after_a_fact_beside_the_answer() -> None:
    source = Source()
    source.fact()
    source.delta("read")
    place = source.stream.cursor
    source.delta("before")
    source.fact_beside()
    source.delta("after")
    late = source.subscribe(Cursor())
    source.stream.close()
    assert places(await rest(source.subscribe(place))) == [(1, 2), (2, 0), (2, 1)]
    assert places(await rest(late)) == [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]


async def test_a_reader_that_stands_after_a_fact_beside_the_answer_is_told_to_drop_the_text_before_it() -> None:
    source = Source()
    source.fact()
    source.delta("partial")
    source.fact_beside()
    places_after = [source.stream.cursor, Cursor(2, 1, 3)]
    source.is_replaced(made_again_from=1)
    source.delta("again")
    source.stream.close()
    for place in places_after:
        events = await rest(source.subscribe(place))
        assert [event.payload for event in events] == [
            Restarted(from_seq=1),
            TextChunk(turn_id=TURN, index=0, text="again"),
        ]
    before = await rest(source.subscribe(Cursor(1, 1)))
    assert places(before) == [(2, 0), (2, 1)]


async def test_a_fact_that_is_published_while_the_journal_is_read_is_not_missed() -> None:
    source = Source()
    source.fact()
    source.gate = asyncio.Event()
    reading = asyncio.create_task(rest(source.subscribe(Cursor())))
    await asyncio.sleep(0)
    source.fact()
    source.delta()
    source.gate.set()
    await asyncio.sleep(0)
    source.stream.close()
    assert places(await reading) == [(1, 0), (2, 0), (2, 1)]


async def test_a_slow_reader_loses_its_buffer_and_not_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "BUFFER_LIMIT", 5)
    source = Source()
    subscription = source.subscribe()
    events = aiter(subscription)
    source.fact()
    assert (await anext(events)).cursor.seq == 1
    for _ in range(20):
        source.fact()
        source.delta()
    assert len(subscription._buffer) <= 5
    source.stream.close()
    left = [event async for event in events]
    assert [event.cursor.seq for event in left if event.cursor.delta == 0] == list(range(2, 22))
    assert places(left) == sorted(set(places(left)))


async def test_a_slow_reader_does_not_slow_another() -> None:
    source = Source()
    slow, quick = source.subscribe(), source.subscribe()
    source.facts(3)
    quick.close()
    assert places(await rest(quick)) == [(1, 0), (2, 0), (3, 0)]
    source.stream.close()
    assert places(await rest(slow)) == [(1, 0), (2, 0), (3, 0)]


async def test_a_reader_that_leaves_is_forgotten() -> None:
    source = Source()
    subscription = source.subscribe()
    source.fact()
    async for _ in subscription:
        break
    subscription.close()
    assert source.stream._listeners == ()
    source.fact()


async def test_readers_end_when_the_stream_does() -> None:
    source = Source()
    reading = asyncio.create_task(rest(source.subscribe()))
    await asyncio.sleep(0)
    source.fact()
    source.stream.close()
    assert places(await reading) == [(1, 0)]
    assert await rest(source.subscribe()) == []


async def test_a_cursor_of_facts_and_deltas_orders_a_stream_over_owners() -> None:
    source = Source()
    source.fact()
    source.delta()
    first = source.stream.cursor
    source.is_replaced()
    source.delta()
    second = source.stream.cursor
    source.fact()
    assert Cursor() < Cursor(1, 1) < first < second < source.stream.cursor


STEPS = ["fact", "facts", "durable", "delta", "read", "come back", "come back blocked", "replace", "unblock"]


@given(st.lists(st.sampled_from(STEPS), max_size=40))
@settings(max_examples=300)
@example(["fact", "come back blocked", "fact", "delta", "unblock", "read"])
@example(["fact", "read", "facts", "facts", "delta", "read", "read"])
def test_a_reader_that_comes_and_goes_gets_every_fact_once_and_in_order(steps: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream_module, "BUFFER_LIMIT", 4)
        asyncio.run(Comings().play(steps))


class Comings:
    """One reader of one source, that reads, stops reading, goes away and comes back."""

    def __init__(self) -> None:
        self.source, self.got, self.place = Source(), list[Event](), Cursor()
        self.pending: asyncio.Task[Event] | None = None
        self.come()

    def come(self) -> None:
        self.events = cast("AsyncGenerator[Event, None]", aiter(self.source.subscribe(self.place)))

    async def play(self, steps: list[str]) -> None:
        for step in steps:
            await self.perform(step)
            for _ in range(3):
                await asyncio.sleep(0)
            if self.pending is not None and self.pending.done():
                self.take(self.pending.result())
        await self.end()
        facts = [event.cursor.seq for event in self.got if isinstance(event.payload, TurnStarted)]
        assert facts == list(range(1, len(self.source.records) + 1))
        assert [event.cursor for event in self.got] == sorted({event.cursor for event in self.got})

    def take(self, event: Event) -> None:
        self.got.append(event)
        self.place, self.pending = event.cursor, None

    async def perform(self, step: str) -> None:
        source = self.source
        match step:
            case "fact":
                source.fact()
            case "facts":
                source.facts(5)
            case "durable":
                source.becomes_durable()
            case "delta":
                source.delta()
            case "unblock" if source.gate is not None:
                source.gate.set()
                source.gate = None
            case "come back" | "come back blocked" | "replace":
                await self.come_back(step)
            case _:
                self.read()

    def read(self) -> None:
        self.pending = self.pending or asyncio.ensure_future(anext(self.events))

    async def come_back(self, how: str) -> None:
        if self.pending is not None:
            self.pending.cancel()
            await asyncio.wait([self.pending])
            self.pending = None
        await self.events.aclose()
        if how == "replace":
            self.source.is_replaced()
        self.come()
        if how == "come back blocked":
            self.source.gate = self.source.gate or asyncio.Event()
            self.read()

    async def end(self) -> None:
        self.source.publish()
        if self.source.gate is not None:
            self.source.gate.set()
        self.source.stream.close()
        if self.pending is not None:
            (last,) = await asyncio.gather(self.pending, return_exceptions=True)
            if isinstance(last, Event):
                self.take(last)
        self.got += [event async for event in self.events]
