"""Where dedicated sessions are, and that a router which dies forgets nothing: each session keeps its one actor."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from actors import Runtime, SessionHandle
from actors.calls import Gone
from actors.finding import names_in
from actors.router_handle import RouterHandle
from actors.settings import DEDICATED
from agent_core.errors import PlacementError
from agent_core.placement import shard_of
from agent_core.scripted.server import ScriptedServer
from tests.actors.world import config, inside, kill

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMIT = 4


@pytest_asyncio.fixture(loop_scope="module")
async def sharded(cluster: None, tmp_path: Path) -> AsyncIterator[Runtime]:
    """A runtime with two router shards, whose sessions have an actor each."""
    async with Runtime(data_dir=tmp_path, routers=2, max_actors=LIMIT) as running:
        yield running


async def actors_of(runtime: Runtime) -> set[str]:
    """The names of all dedicated actors that there are."""
    return {name for name in await names_in(runtime.settings.namespace) if name.startswith(DEDICATED)}


async def place(runtime: Runtime, session: SessionHandle) -> tuple[str, int]:
    """The session's actor and its process."""
    actor = (await session.status()).actor
    return actor, await runtime.process_of(actor)


async def standing_by(runtime: Runtime, number: int) -> set[str]:
    """The actors, once there are so many."""
    while len(names := await actors_of(runtime)) < number:
        await asyncio.sleep(0.02)
    return names


async def test_a_router_that_was_killed_finds_every_session_where_it_was(
    cluster: None, tmp_path: Path, server: ScriptedServer
) -> None:
    async with Runtime(data_dir=tmp_path, max_actors=LIMIT) as runtime:
        sessions = [await runtime.session(f"s{number}", **config(server)) for number in range(2)]
        before = [await place(runtime, session) for session in sessions]
        named = await standing_by(runtime, 3)
        (standby,) = named - {actor for actor, _ in before}
        router = await runtime.process_of("router/0")
        await kill(runtime, "router/0")
        # A place of one's own knows nothing, so it has to ask the router that was started again.
        found = [await RouterHandle(runtime.settings).place(session.id) for session in sessions]
        assert found == [actor for actor, _ in before]
        assert await runtime.process_of("router/0") != router
        assert [await place(runtime, session) for session in sessions] == before
        assert await actors_of(runtime) == named
        # Two at once for the same new session, and another: one takes the actor that stood by, one gets a new number.
        new = await asyncio.gather(*(runtime.session(name, **config(server)) for name in ("new", "new", "newer")))
        places = [(await session.status()).actor for session in new]
        assert places[0] == places[1] != places[2]
        assert standby in places
        assert named < await actors_of(runtime)
        assert len(await actors_of(runtime)) == LIMIT
        with pytest.raises(PlacementError, match="max_actors"):
            await runtime.session("one-too-many", **config(server))
        assert [await session.ask("there?") for session in (*sessions, *new)] == ["You said: there?"] * 5
        await sessions[0].shutdown()
        assert await (await runtime.session("now", **config(server))).ask("room?") == "You said: room?"
        assert len(await actors_of(runtime)) == LIMIT


async def test_shards_place_their_own_sessions_and_share_nothing(sharded: Runtime, server: ScriptedServer) -> None:
    ids = {shard: [f"s{n}" for n in range(50) if shard_of(f"s{n}", 2) == shard] for shard in (0, 1)}
    opened = {shard: await sharded.session(ids[shard][0], **config(server)) for shard in (0, 1)}
    numbers = {}
    for shard, session in opened.items():
        actor, _ = await place(sharded, session)
        numbers[shard] = int(actor.removeprefix(DEDICATED))
        assert numbers[shard] % 2 == shard
    before = [await place(sharded, session) for session in opened.values()]
    await kill(sharded, "router/1")
    found = [await RouterHandle(sharded.settings).place(session.id) for session in opened.values()]
    assert found == [actor for actor, _ in before]
    assert [await place(sharded, session) for session in opened.values()] == before
    # What starts again ends with the program, as what was there before would have, though nobody calls it any more.
    actor, _ = before[0]
    await kill(sharded, actor)
    await kill(sharded, "journal")
    for name, holds in (("router/1", _holds), ("journal", _holds), (actor, _is_ready)):
        await comes_to(sharded, name, holds)


async def comes_to(runtime: Runtime, actor: str, state: Callable[[Any], bool]) -> None:
    """Wait until an actor that starts again is in a state, without calling any method of its own."""
    while True:
        with suppress(Gone):
            if await inside(runtime, actor, state):
                return
        await asyncio.sleep(0.05)


def _holds(actor: Any) -> bool:
    return actor._held is not None


def _is_ready(actor: Any) -> bool:
    return actor._host is not None
