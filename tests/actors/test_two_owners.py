"""Two runtimes that open the same session: the last one has it, and neither takes it back by itself."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from actors import Runtime, SessionHandle
from agent_core.cursor import Cursor, Event
from agent_core.entries import Complete, ToolSettled
from agent_core.errors import Fenced
from agent_core.payloads import TextChunk
from agent_core.scripted import Knobs
from agent_core.scripted.server import ScriptedServer
from tests.actors.world import config, note

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def read_all(session: SessionHandle) -> None:
    async for _ in session.events():
        pass


async def test_the_last_who_opens_a_session_keeps_it_and_the_first_is_told(
    cluster: None, tmp_path: Path, server: ScriptedServer
) -> None:
    async with (
        Runtime(data_dir=tmp_path, sessions_per_actor=10, session_actors=1) as one,
        Runtime(data_dir=tmp_path, sessions_per_actor=10, session_actors=1) as other,
    ):
        first = await one.session("wanted", **config(server))
        reading = asyncio.create_task(read_all(first))
        assert await first.ask("1") == "You said: 1"
        second = await other.session("wanted")
        assert await second.ask("2") == "You said: 2"
        for _ in range(2):
            with pytest.raises(Fenced, match="was opened in another place since"):
                await first.ask("3")
        with pytest.raises(Fenced):
            await reading
        with pytest.raises(Fenced):
            await first.status()
        assert await second.ask("4") == "You said: 4"
        assert (await second.status()).epoch == 2
        again = await one.session("wanted")
        assert await again.ask("5") == await first.ask("5", key="k") == "You said: 5"
        with pytest.raises(Fenced):
            await second.ask("6")


TALE = "Once upon a time there was an owner that was frozen in the middle of a sentence, and it did not know it."


async def read_into(
    session: SessionHandle, shown: list[Event], when: Callable[[Event], bool], now: asyncio.Event
) -> None:
    async for event in session.events(after=Cursor()):
        shown.append(event)
        if when(event):
            now.set()


@pytest.mark.parametrize("at", ["text", "tool"])
async def test_an_owner_that_was_frozen_and_replaced_loses_every_write_when_it_wakes(
    cluster: None, tmp_path: Path, server: ScriptedServer, at: str
) -> None:
    ledger = tmp_path / "ledger"
    words = TALE if at == "text" else f'call note {{"path": "{ledger}", "seconds": 1.0}}'
    server.knobs = Knobs(tokens_per_second=40 if at == "text" else None)
    async with (
        Runtime(data_dir=tmp_path, sessions_per_actor=10, session_actors=1) as one,
        Runtime(data_dir=tmp_path, sessions_per_actor=10, session_actors=1) as other,
    ):
        first = await one.session("frozen", tools=[note], **config(server))
        seen_by_one: list[Event] = []
        under_way, ended = asyncio.Event(), asyncio.Event()

        def begun(event: Event) -> bool:
            return isinstance(event.payload, TextChunk) if at == "text" else ledger.exists()

        reading = asyncio.create_task(read_into(first, seen_by_one, begun, under_way))
        await first.submit(words, key="k")
        if at == "tool":
            while not ledger.exists():
                await asyncio.sleep(0.01)
        else:
            await under_way.wait()
        pid = await one.process_of("sessions/0")
        os.kill(pid, signal.SIGSTOP)
        try:
            server.knobs = Knobs()
            second = await other.session("frozen")
            seen: list[Event] = []
            told = asyncio.create_task(read_into(second, seen, lambda event: event.payload.kind == "turn_ended", ended))
            await ended.wait()
        finally:
            os.kill(pid, signal.SIGCONT)
        with pytest.raises(Fenced):
            await reading
        with pytest.raises(Fenced):
            await first.ask("still mine?")
        assert await second.ask("yours?") == "You said: yours?"
        assert (await second.status()).epoch == 2
        told.cancel()
        truth = await facts_of(second)
        assert all(truth[event.cursor.seq] == event.payload for event in seen_by_one if event.cursor.delta == 0)
        if at == "tool":
            assert [fact.outcome for fact in truth.values() if isinstance(fact, ToolSettled)] == ["outcome_unknown"]
            assert len(ledger.read_text().splitlines()) == 1
        else:
            assert sum(isinstance(fact, Complete) for fact in truth.values()) == 2
    assert not server.stats.invalid


async def facts_of(session: SessionHandle) -> dict[int, object]:
    """What the journal says, by sequence number."""
    last = (await session.status()).last_seq
    facts: dict[int, object] = {}
    async for event in session.events(after=Cursor()):
        if event.cursor.delta == 0:
            facts[event.cursor.seq] = event.payload
        if event.cursor.seq >= last:
            break
    return facts
