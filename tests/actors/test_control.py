"""Interrupt and status on a real cluster: they work whatever the session, its actor or the model are doing."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from actors import Runtime, SessionHandle
from agent_core.entries import TurnEnded
from agent_core.payloads import InterruptMode
from agent_core.scripted import Fault, Knobs
from agent_core.scripted.server import ScriptedServer
from tests.actors.world import add, config, inside, wait

pytestmark = pytest.mark.asyncio(loop_scope="module")

MAILBOX = 32
SILENT = Knobs(first_byte_s=60.0)
STALLED = Knobs(faults={"stall": Fault(every=1)})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tight(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Runtime]:
    """A runtime whose actor makes one request at a time."""
    data = tmp_path_factory.mktemp("tight")
    async with Runtime(data_dir=data, sessions_per_actor=9, session_actors=1, max_concurrent_requests=1) as running:
        yield running


async def is_in(session: SessionHandle, state: str) -> None:
    """Wait until the session is in that state."""
    while (await session.status()).state != state:
        await asyncio.sleep(0.01)


async def last_of(session: SessionHandle, message: str) -> TurnEnded:
    """The end of a turn."""
    *_, last = [event async for event in session.send(message)]
    assert isinstance(last, TurnEnded)
    return last


async def said_to(session: SessionHandle) -> list[str]:
    """Every text that the user said."""
    users = [message for message in await session.history() if message.kind == "user"]
    return [block.text for message in users for block in message.content if block.kind == "text"]


async def ends_by_interrupt(session: SessionHandle, turn: asyncio.Task[TurnEnded], mode: InterruptMode) -> None:
    """Interrupt the turn: it ends so, its readers are told, and the session lives on."""
    assert await session.interrupt(mode)
    ended = await turn
    assert (ended.outcome, ended.discarded) == ("interrupted", mode == "discard")
    assert not await session.interrupt(mode)


@pytest.mark.parametrize("mode", ["keep", "discard"])
@pytest.mark.parametrize(
    ("knobs", "state", "fields"),
    [
        (SILENT, "running", {}),
        (SILENT, "running", {"streaming": False}),
        (STALLED, "running", {}),
        (Knobs(), "awaiting_tools", {}),
    ],
    ids=["the stream opens", "not streaming", "the model streams", "tools run"],
)
async def test_s24_interrupt_works_while(
    runtime: Runtime, server: ScriptedServer, mode: InterruptMode, knobs: Knobs, state: str, fields: dict[str, Any]
) -> None:
    session = await runtime.session(tools=[wait], **config(server, **fields))
    server.knobs = knobs
    seen, stalled = server.stats.requests, server.stats.stalled
    message = 'call wait {"seconds": 25}' if state == "awaiting_tools" else "Take your time over this."
    turn = asyncio.create_task(last_of(session, message))
    await server.seen(seen + 1)
    if knobs is STALLED:
        await server.stalled(stalled + 1)
    await is_in(session, state)
    await ends_by_interrupt(session, turn, mode)
    await server.idle()
    server.knobs = Knobs()
    assert await session.ask("Go on.")
    said = await said_to(session)
    assert said[-1] == "Go on."
    assert (message in said) == (mode == "keep")
    assert not server.stats.invalid


async def test_s24_interrupt_works_while_a_permit_is_awaited(tight: Runtime, server: ScriptedServer) -> None:
    holder, session = [await tight.session(**config(server)) for _ in range(2)]
    server.knobs = SILENT
    holding = asyncio.create_task(last_of(holder, "hold it"))
    await server.seen(server.stats.requests + 1)
    turn = asyncio.create_task(last_of(session, "me too"))
    await is_in(session, "awaiting_permit")
    await ends_by_interrupt(session, turn, "keep")
    await ends_by_interrupt(holder, holding, "keep")
    server.knobs = Knobs()
    assert (await session.ask("go on")).endswith("go on")


def _held_up(directory: str) -> Callable[[Any], None]:
    """Has an actor's loop blocked until a file is there."""

    def block() -> None:
        Path(directory, "blocked").touch()
        while not Path(directory, "go").exists():
            time.sleep(0.01)

    def hold_up(actor: Any) -> None:
        actor._loop.call_soon_threadsafe(block)

    return hold_up


async def test_status_answers_while_the_actors_loop_is_blocked_and_interrupt_works_after(
    runtime: Runtime, server: ScriptedServer, tmp_path: Path
) -> None:
    session = await runtime.session(**config(server))
    server.knobs = SILENT
    turn = asyncio.create_task(last_of(session, "take your time"))
    await server.seen(server.stats.requests + 1)
    await inside(runtime, "sessions/0", _held_up(str(tmp_path)))
    while not (tmp_path / "blocked").exists():
        await asyncio.sleep(0.01)
    busy = asyncio.create_task(session.history())
    try:
        status = await session.status()
        assert (status.state, status.turn_id, status.session_id) == ("running", "u1", session.id)
        interrupting = asyncio.create_task(session.interrupt())
        assert (await session.status()).state == "running"
        assert not busy.done()
        assert not turn.done()
    finally:
        (tmp_path / "go").touch()
    assert await interrupting
    assert (await turn).outcome == "interrupted"
    assert len(await busy) == 1


async def test_control_answers_while_thousands_of_requests_wait(runtime: Runtime, server: ScriptedServer) -> None:
    session = await runtime.session(**config(server))
    server.knobs = SILENT
    turn = asyncio.create_task(last_of(session, "take your time"))
    await server.seen(server.stats.requests + 1)
    crowd = [asyncio.create_task(session.history()) for _ in range(5_000)]
    await asyncio.sleep(0)
    assert (await session.status()).state == "running"
    assert not all(task.done() for task in crowd)
    await ends_by_interrupt(session, turn, "keep")
    assert {len(history) for history in await asyncio.gather(*crowd)} <= {1, 2}


async def test_s06_a_full_mailbox_makes_its_senders_wait_and_nobody_else(
    runtime: Runtime, server: ScriptedServer
) -> None:
    session, other = [await runtime.session(**config(server)) for _ in range(2)]
    server.knobs = STALLED
    stalled = server.stats.stalled
    await session.submit("first")
    await server.stalled(stalled + 1)
    for number in range(MAILBOX):
        await session.submit(f"queued {number}")
    late = [asyncio.create_task(session.submit(f"late {number}")) for number in range(3)]
    await session.history()
    assert (await session.status()).queued == MAILBOX
    assert not any(task.done() for task in late)
    server.knobs = Knobs()
    assert await other.ask("are you slowed?") == "You said: are you slowed?"
    assert not any(task.done() for task in late)
    assert await session.interrupt()
    turns = await asyncio.gather(*late)
    assert await session.ask("last") == "You said: last"
    said = await said_to(session)
    assert said[: MAILBOX + 1] == ["first", *(f"queued {number}" for number in range(MAILBOX))]
    assert sorted(said[MAILBOX + 1 :]) == sorted(["last", *(f"late {number}" for number in range(3))])
    assert len(set(turns)) == 3


# --- readers that go away -----------------------------------------------------------------------------------------


def _readers(actor: Any) -> int:
    """How many readers and listeners an actor has."""
    shells = actor._host._shells.values()
    listeners = sum(len(shell.stream._listeners) for shell in shells)
    return listeners + sum(len(channel.readers) for channel in actor._channels.values())


async def nobody_reads(runtime: Runtime) -> None:
    """Wait until the actor has no reader left."""
    while await inside(runtime, "sessions/0", _readers):
        await asyncio.sleep(0.01)


async def _close_after(session: SessionHandle, events: int) -> None:
    stream = session.send('call add {"a": 1, "b": 2}')
    for _ in range(events):
        await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]


async def _break_after(session: SessionHandle, events: int) -> None:
    seen = 0
    async for _ in session.send('call add {"a": 1, "b": 2}'):
        seen += 1
        if seen > events:
            break


async def _cancel_after(session: SessionHandle, events: int) -> None:
    seen = asyncio.Semaphore(0)

    async def read() -> None:
        async for _ in session.send('call add {"a": 1, "b": 2}'):
            seen.release()
            await asyncio.sleep(0)

    reading = asyncio.create_task(read())
    for _ in range(events):
        await seen.acquire()
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)


@pytest.mark.parametrize("leave", [_close_after, _break_after, _cancel_after])
@pytest.mark.parametrize("events", [0, 1, 4])
async def test_a_reader_that_goes_away_leaves_nothing_behind_and_does_not_stop_the_turn(
    runtime: Runtime, server: ScriptedServer, leave: Callable[[SessionHandle, int], Awaitable[None]], events: int
) -> None:
    session = await runtime.session(tools=[add], **config(server))
    await leave(session, events)
    assert await session.ask("go on") == "You said: go on"
    await nobody_reads(runtime)
    if events:
        turns = [str(message.turn_id) for message in await session.history()]
        assert turns.count("u1") == 4
        return
    # One that was never asked for an event may have sent nothing, or something that came behind the other message.
    while (await session.status()).state != "idle":
        await asyncio.sleep(0.02)
    turns = [str(message.turn_id) for message in await session.history()]
    assert turns in (["u1"] * 2, ["u1"] * 4 + ["u2"] * 2, ["u1"] * 2 + ["u2"] * 4)


async def test_a_reader_that_leaves_before_its_message_is_accepted_leaves_nothing_behind(
    runtime: Runtime, server: ScriptedServer
) -> None:
    session = await runtime.session(**config(server))
    server.knobs = STALLED
    stalled = server.stats.stalled
    for number in range(MAILBOX + 1):
        await session.submit(f"queued {number}")
    await server.stalled(stalled + 1)
    reading: list[asyncio.Task[Any]] = [asyncio.create_task(last_of(session, "too many")) for _ in range(3)]
    reading.append(asyncio.create_task(_all_of(session)))
    await session.history()
    for task in reading:
        task.cancel()
    await asyncio.gather(*reading, return_exceptions=True)
    server.knobs = Knobs()
    assert await session.interrupt("discard")
    assert await session.ask("the last") == "You said: the last"
    await nobody_reads(runtime)


async def test_events_of_a_session_that_was_shut_down_end(runtime: Runtime, server: ScriptedServer) -> None:
    session = await runtime.session(**config(server))
    following = asyncio.create_task(_all_of(session))
    await session.ask("hello")
    await session.shutdown()
    assert (await following)[-1] == "closed"
    assert await _all_of(session) == []
    await nobody_reads(runtime)


async def _all_of(session: SessionHandle) -> list[str]:
    return [event.payload.kind async for event in session.events()]
