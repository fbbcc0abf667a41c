"""Sessions that are moved from actor to actor, whatever they are at: no caller hears an error, nothing is lost."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import ray

from actors import Runtime, SessionHandle
from agent_core.cursor import Cursor, Event
from agent_core.entries import ToolSettled, TurnEnded
from agent_core.errors import ConfigError, PlacementError, SessionError
from agent_core.payloads import Restarted, TextChunk
from agent_core.placement import rendezvous
from agent_core.scripted import Knobs
from agent_core.scripted.server import ScriptedServer
from tests.actors.world import config, inside, kill, look, note

pytestmark = pytest.mark.asyncio(loop_scope="module")

TALE = "Once upon a time there was a session that was told a very long story which took its time to come to an end."
ACTORS = ["sessions/0", "sessions/1"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def moving(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Runtime]:
    """A runtime with two actors that sessions share, and room for some of their own."""
    data = tmp_path_factory.mktemp("data")
    async with Runtime(data_dir=data, sessions_per_actor=1000, session_actors=2, max_actors=3) as running:
        yield running


class Reader:
    """Reads a session from its first event on, for as long as the test."""

    def __init__(self, session: SessionHandle) -> None:
        self.events: list[Event] = []
        self._came = asyncio.Event()
        self.task = asyncio.create_task(self._read(session))

    async def _read(self, session: SessionHandle) -> None:
        async for event in session.events(after=Cursor()):
            self.events.append(event)
            self._came.set()

    async def until(self, claim: Callable[[Any], object]) -> None:
        while not any(claim(event.payload) for event in self.events):
            self._came.clear()
            await asyncio.wait({self.task, asyncio.create_task(self._came.wait())}, return_when="FIRST_COMPLETED")
            assert not self.task.done()

    def check(self) -> None:
        """Every fact came, once and in order."""
        stated = [e for e in self.events if e.cursor.delta == 0 and not isinstance(e.payload, Restarted)]
        assert [event.cursor.seq for event in stated] == list(range(1, len(stated) + 1))
        self.task.cancel()


async def place(session: SessionHandle) -> str:
    return (await session.status()).actor


def home(session_id: str) -> str:
    return rendezvous(session_id, ACTORS)


def other(session_id: str) -> str:
    (name,) = {*ACTORS} - {home(session_id)}
    return name


@pytest.mark.parametrize("to", ["actor", "dedicated"])
async def test_an_idle_session_is_moved_and_brought_back(moving: Runtime, server: ScriptedServer, to: str) -> None:
    session = await moving.session(f"idle-{to}", **config(server))
    reader = Reader(session)
    assert await session.ask("one") == "You said: one"
    assert await place(session) == home(session.id)
    target = await moving.move(session.id, other(session.id) if to == "actor" else to)
    assert await session.ask("two") == "You said: two"
    assert await place(session) == target != home(session.id)
    # Whoever opens it anew, knowing nothing, finds it there.
    again = await moving.session(session.id)
    assert await place(again) == target
    assert await moving.move(session.id, "packed") == home(session.id)
    assert await session.ask("three") == await again.ask("three") == "You said: three"
    assert await place(session) == await place(again) == home(session.id)
    assert (await session.status()).epoch == 3
    await reader.until(lambda payload: isinstance(payload, TurnEnded) and payload.turn_id == "u4")
    reader.check()


@pytest.mark.parametrize("patience", [0.0, 30.0], ids=["at once", "patiently"])
async def test_a_session_is_moved_in_the_middle_of_an_answer(
    moving: Runtime, server: ScriptedServer, patience: float
) -> None:
    server.knobs = Knobs(tokens_per_second=40)
    session = await moving.session(f"telling-{patience}", **config(server))
    reader = Reader(session)
    asked = asyncio.create_task(session.ask(TALE))
    await reader.until(lambda payload: isinstance(payload, TextChunk))
    before = server.stats.requests
    target = await moving.move(session.id, other(session.id), patience=patience)
    assert await asked == f"You said: {TALE}"
    assert await place(session) == target
    await reader.until(lambda payload: isinstance(payload, TurnEnded))
    restarts = [event for event in reader.events if isinstance(event.payload, Restarted)]
    assert len(restarts) == server.stats.requests - before == (0 if patience else 1)
    payloads = [event.payload for event in _after(reader.events, restarts)]
    text = "".join(payload.text for payload in payloads if isinstance(payload, TextChunk))
    assert text == f"You said: {TALE}"
    reader.check()


def _after(events: list[Event], restarts: list[Event]) -> list[Event]:
    return events[events.index(restarts[-1]) :] if restarts else events


@pytest.mark.parametrize(
    ("name", "patience", "outcome", "runs"),
    [("note", 30.0, "ok", 1), ("look", 30.0, "ok", 1), ("note", 0.0, "outcome_unknown", 1), ("look", 0.0, "ok", 2)],
)
async def test_a_session_is_moved_in_the_middle_of_a_call(
    moving: Runtime, server: ScriptedServer, tmp_path: Path, name: str, patience: float, outcome: str, runs: int
) -> None:
    ledger = tmp_path / "ledger"
    session = await moving.session(f"calling-{name}-{patience}", tools=[note, look], **config(server))
    await session.ask(f'call {name} {{"path": "{tmp_path / "warm"}", "seconds": 0}}')
    reader = Reader(session)
    turn = f'call {name} {{"path": "{ledger}", "seconds": {1.0 if patience else 3.0}}}'
    asked = asyncio.create_task(session.ask(turn))
    while not ledger.exists():
        await asyncio.sleep(0.01)
    target = await moving.move(session.id, "dedicated" if patience else other(session.id), patience=patience)
    await asked
    assert await place(session) == target
    assert await session.ask("still there?") == "You said: still there?"
    assert await moving.move(session.id, "packed") == home(session.id)
    assert await session.ask("and now?") == "You said: and now?"
    await reader.until(lambda payload: isinstance(payload, TurnEnded) and payload.turn_id == "u4")
    settled = [event.payload.outcome for event in reader.events if isinstance(event.payload, ToolSettled)]
    assert settled == ["ok", outcome]
    assert 1 <= len(ledger.read_text().splitlines()) <= runs
    reader.check()
    assert not server.stats.invalid


async def test_a_moved_session_survives_the_death_of_where_it_is_and_of_where_it_was(
    moving: Runtime, server: ScriptedServer
) -> None:
    session = await moving.session("hunted", **config(server))
    assert await session.ask("one") == "You said: one"
    target = await moving.move(session.id, other(session.id))
    assert await session.ask("two") == "You said: two"
    await kill(moving, home(session.id))
    # The one that starts again knows nothing, and has to find out that the session is elsewhere.
    again = await Stranger.of(moving, session.id)
    assert await again.ask("three") == "You said: three"
    assert await place(session) == await place(again) == target
    await kill(moving, target)
    assert await session.ask("four") == "You said: four"
    assert (await session.status()).epoch == 3


class Stranger:
    """A handle that knows nothing of where sessions went."""

    @staticmethod
    async def of(runtime: Runtime, session_id: str) -> SessionHandle:
        runtime._opened().shared._elsewhere.clear()
        return await runtime.session(session_id)


async def test_an_actor_is_drained_under_load_and_nobody_notices(moving: Runtime, server: ScriptedServer) -> None:
    server.knobs = Knobs(tokens_per_second=100)
    sessions = [await moving.session(f"busy-{number}", **config(server)) for number in range(16)]
    readers = [Reader(session) for session in sessions]
    asked = [asyncio.create_task(session.ask(f"I am {session.id}")) for session in sessions]
    silent = await moving.session("nobody-waits", **config(server))
    turn = await silent.submit(TALE)
    await server.seen(server.stats.requests + 4)
    process = await moving.process_of("sessions/0")
    assert await moving.drain("sessions/0", patience=0.3) == ["sessions/0"]
    assert await moving.process_of("sessions/0") != process
    assert await asyncio.gather(*asked) == [f"You said: I am {session.id}" for session in sessions]
    assert await asyncio.gather(*(session.ask("and?") for session in sessions)) == ["You said: and?"] * 16
    again = [await moving.session(session.id) for session in sessions]
    assert await asyncio.gather(*(session.ask("new?") for session in again)) == ["You said: new?"] * 16
    for reader in readers:
        await reader.until(lambda payload: isinstance(payload, TurnEnded) and payload.turn_id == "u3")
        reader.check()
    async for event in silent.events(after=Cursor()):
        if isinstance(event.payload, TurnEnded):
            assert (event.payload.turn_id, event.payload.outcome) == (turn, "completed")
            break


def _active(actor: Any) -> list[str]:
    return list(actor._host.active)


async def test_a_session_goes_home_when_the_actor_that_sheltered_it_has_put_it_away(
    moving: Runtime, server: ScriptedServer
) -> None:
    session = await moving.session("guest", **config(server))
    await moving.move(session.id, other(session.id))
    assert await session.ask("one") == "You said: one"
    await inside(moving, other(session.id), _put_away)
    await moving.drain(home(session.id))
    again = await Stranger.of(moving, session.id)
    assert await again.ask("two") == "You said: two"
    assert await place(again) == home(session.id)
    assert await session.ask("three") == "You said: three"
    assert session.id not in await inside(moving, other(session.id), _active)


def _put_away(actor: Any) -> None:
    asyncio.run_coroutine_threadsafe(actor._host.put_away(), actor._loop).result(10)


async def test_what_cannot_be_moved_is_said(moving: Runtime, server: ScriptedServer) -> None:
    with pytest.raises(SessionError, match="no session 'nobody'"):
        await moving.move("nobody", "packed")
    session = await moving.session("staying", **config(server))
    with pytest.raises(ConfigError, match="'nowhere' is no place"):
        await moving.move(session.id, "nowhere")
    with pytest.raises(PlacementError, match="no actor 'sessions/9'"):
        await moving.move(session.id, "sessions/9")
    with pytest.raises(PlacementError, match="no actor 'session/99'"):
        await moving.drain("session/99")
    with pytest.raises(PlacementError, match="'nowhere' is no node"):
        await moving.drain("nowhere")
    assert await session.ask("still there?") == "You said: still there?"


async def nodes_program(*arguments: str) -> tuple[int | None, str, str]:
    """What `python -m drivers.nodes` does on this cluster: its exit code, and what it says."""
    address = ray.get_runtime_context().gcs_address
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "drivers.nodes", *arguments, "--address", address),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_an_operator_moves_a_session_and_drains_an_actor_of_a_running_program(
    moving: Runtime, server: ScriptedServer
) -> None:
    session = await moving.session("operated", **config(server))
    assert await session.ask("one") == "You said: one"
    name = moving.namespace.removeprefix("rayconteur/")
    moved, drained, refused = await asyncio.gather(
        nodes_program("move", session.id, "--to", other(session.id), "--name", name),
        nodes_program("drain", home("operated"), "--name", name),
        nodes_program("drain", "abcd", "--name", "nobody"),
    )
    assert moved[:2] == (0, f"{other(session.id)}\n"), moved[2]
    assert drained[:2] == (0, f"{name}\t{home(session.id)}\n"), drained[2]
    assert refused[0] == 1
    assert "There is no runtime 'nobody' on the cluster. There are:" in refused[2]
    assert name in refused[2]
    assert await session.ask("two") == "You said: two"
