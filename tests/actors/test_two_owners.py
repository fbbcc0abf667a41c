"""Two runtimes that open the same session: the last one has it, and neither takes it back by itself."""

import asyncio
from pathlib import Path

import pytest

from actors import Runtime, SessionHandle
from agent_core.errors import Fenced
from agent_core.scripted.server import ScriptedServer
from tests.actors.world import config

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
