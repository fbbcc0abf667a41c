"""Links between client processes and session actors: whatever is lost, readers go on and calls are answered."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
import ray

from actors import Runtime, SessionHandle
from actors.link import Link
from agent_core.cursor import Cursor
from agent_core.entries import TurnEnded
from agent_core.errors import SessionError
from agent_core.payloads import TextChunk
from agent_core.scripted import Knobs
from agent_core.scripted.server import ScriptedServer
from tests.actors.world import config, inside

pytestmark = pytest.mark.asyncio(loop_scope="module")

TALE = "Once upon a time there was a session that was told a very long story which took its time to come to an end."


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runtime(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Runtime]:
    """A runtime that other programs find, and that lets go of a silent one soon."""
    data = tmp_path_factory.mktemp("data")
    async with Runtime(name="links", data_dir=data, sessions_per_actor=1000, session_actors=1, lease=0.6) as running:
        yield running


class Interrupted:
    """An actor's handle whose `deliver` does something else the first time."""

    def __init__(self, actor: Any, instead: Callable[..., None]) -> None:
        self._actor, self._instead = actor, instead

    def __getattr__(self, name: str) -> Any:
        return getattr(self._actor, name)

    @property
    def deliver(self) -> Any:
        return self

    def options(self, **_: Any) -> Any:
        return self

    def remote(self, *_: Any) -> None:
        self._instead()


def _lose() -> None:
    """The call never arrives, and nobody is told."""


def _refuse() -> None:
    raise Exception('Failed to submit task to actor 0123 due to b"Can\'t find actor"')  # noqa: TRY002 - as Ray does


async def link_of(session: SessionHandle) -> Link:
    return await session._link()


@pytest.mark.parametrize("instead", [_lose, _refuse])
async def test_what_does_not_reach_the_actor_is_sent_again(
    runtime: Runtime, server: ScriptedServer, instead: Callable[..., None]
) -> None:
    session = await runtime.session(**config(server))
    link = await link_of(session)
    link.actor = Interrupted(link.actor, instead)
    waiting = [asyncio.create_task(session.history()), asyncio.create_task(session.ask("Are you there?"))]
    assert await waiting[1] == "You said: Are you there?"
    assert len(await waiting[0]) in (0, 1)
    assert link.lost
    assert (await link_of(session)).name == link.name
    assert [message.kind for message in await session.history()] == ["user", "assistant"]


def _let_go(actor: Any) -> None:
    """What an actor does about clients that it has not heard of."""
    for client in tuple(actor._channels):
        actor._loop.call_soon_threadsafe(actor._let_go, client)


async def test_readers_go_on_where_they_were_when_the_actor_lets_go_of_their_process(
    runtime: Runtime, server: ScriptedServer
) -> None:
    server.knobs = Knobs(tokens_per_second=15)
    session = await runtime.session(**config(server))
    text: list[str] = []
    kinds: list[str] = []
    async for event in session.send(TALE):
        kinds.append(event.kind)
        if isinstance(event, TextChunk):
            text.append(event.text)
            if len(text) in (1, 3):
                await inside(runtime, "sessions/0", _let_go)
    assert "".join(text) == f"You said: {TALE}"
    facts = [kind for kind in kinds if kind not in ("stream_start", "text_chunk", "token_update")]
    assert facts == ["accepted", "turn_started", "complete", "turn_ended"]


async def _first(session: SessionHandle) -> Any:
    async for event in session.events():
        return event


def _clients(actor: Any) -> list[str]:
    """The clients whose streams an actor has, those that it has not heard of for a while included."""
    return [*actor._channels, *actor._silent]


def _heard_of(actor: Any) -> list[str]:
    return list(actor._channels)


def link_name(session: SessionHandle) -> str:
    """What the actor knows this process as."""
    place: Any = session._place
    (link,) = place._links._links.values()
    return link._client


async def is_alone(runtime: Runtime, session: SessionHandle) -> None:
    """Wait until the actor has no stream but this process's."""
    while await inside(runtime, "sessions/0", _clients) != [link_name(session)]:
        await asyncio.sleep(0.01)


async def test_a_program_that_leaves_leaves_no_stream_behind(runtime: Runtime, server: ScriptedServer) -> None:
    session = await runtime.session("left", **config(server))
    async with Runtime(name="links") as other:
        same = await other.session("left")
        following = asyncio.create_task(_first(same))
        await same.history()
        assert link_name(same) in await inside(runtime, "sessions/0", _clients)
    with pytest.raises(SessionError, match="runtime was closed"):
        await following
    await is_alone(runtime, session)
    assert await session.ask("still there?") == "You said: still there?"


READER = """
import asyncio
from actors import Runtime
from agent_core.cursor import Cursor
from agent_core.entries import TurnEnded
from agent_core.errors import SessionError

async def main():
    async with Runtime({address!r}, name="links") as rt:
        session = await rt.session({session!r})
        turns = 0
        async for event in session.events(after=Cursor()):
            print(event.cursor.seq, event.cursor.delta, event.payload.kind, flush=True)
            turns += isinstance(event.payload, TurnEnded)
            if turns == {turns}:
                return

asyncio.run(main())
"""


async def program(session: str, *, turns: int) -> asyncio.subprocess.Process:
    """A program that prints the events of a session until so many turns have ended."""
    code = READER.format(address=ray.get_runtime_context().gcs_address, session=session, turns=turns)
    return await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)


async def test_a_program_that_is_stopped_for_longer_than_its_lease_misses_nothing_and_stops_nothing(
    runtime: Runtime, server: ScriptedServer
) -> None:
    session = await runtime.session("stopped", **config(server))
    await session.ask("one")
    reader = await program("stopped", turns=4)
    assert reader.stdout is not None
    lines = [await reader.stdout.readline()]
    server.knobs = Knobs(tokens_per_second=60)
    turn = await session.submit(TALE)
    while b"text_chunk" not in lines[-1]:
        lines.append(await reader.stdout.readline())
    reader.send_signal(signal.SIGSTOP)
    while await inside(runtime, "sessions/0", _heard_of) != [link_name(session)]:
        await asyncio.sleep(0.05)
    server.knobs = Knobs()
    assert await session.ask("three") == "You said: three"
    assert turn
    reader.send_signal(signal.SIGCONT)
    assert await session.ask("four") == "You said: four"
    lines.extend((await reader.stdout.read()).splitlines())
    assert await reader.wait() == 0
    seen = [(int(seq), int(delta), kind.decode()) for seq, delta, kind in (line.split() for line in lines)]
    assert seen == sorted(set(seen))
    facts = [(seq, kind) for seq, delta, kind in seen if delta == 0]
    assert facts == await facts_of(session)


async def test_nothing_is_left_of_a_program_that_was_killed(runtime: Runtime, server: ScriptedServer) -> None:
    session = await runtime.session("killed", **config(server))
    reader = await program("killed", turns=1)
    assert reader.stdout is not None
    await reader.stdout.readline()
    server.knobs = Knobs(tokens_per_second=60)
    asked = asyncio.create_task(session.ask(TALE))
    while b"text_chunk" not in await reader.stdout.readline():
        pass
    reader.kill()
    await reader.wait()
    assert await asked == f"You said: {TALE}"
    await is_alone(runtime, session)


async def facts_of(session: SessionHandle) -> list[tuple[int, str]]:
    """Everything that the journal holds of a session with four turns."""
    facts: list[tuple[int, str]] = []
    turns = 0
    async for event in session.events(after=Cursor()):
        if event.cursor.delta == 0:
            facts.append((event.cursor.seq, event.payload.kind))
            turns += isinstance(event.payload, TurnEnded)
            if turns == 4:
                break
    return facts
