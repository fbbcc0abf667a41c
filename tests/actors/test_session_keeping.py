"""Sessions as a whole on a cluster: listed, forked, written out and deleted, active or not."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from actors import Runtime
from agent_core.errors import ConfigError, RayconteurError, SessionError
from agent_core.runtime_protocol import SessionKeeper
from agent_core.scripted.server import ScriptedServer
from tests.actors.world import config, inside
from tests.core.playbook import lines_of
from tests.core.said_before import BEFORE, LINES

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_sessions_are_listed_forked_and_written_out(runtime: Runtime, server: ScriptedServer) -> None:
    keeper: SessionKeeper = runtime
    session = await runtime.session("keeping", labels={"team": "red"}, **config(server))
    await session.ask("one")
    await session.ask("two")
    fork = await runtime.fork("keeping", turn="u1", id_of_fork="keeping-fork")
    assert await fork.ask("another two") == "You said: another two"
    assert len(await fork.history()) == len(await session.history()) == 4
    red = await keeper.sessions(labels={"team": "red"})
    assert [(found.session_id, found.labels.get("forked_from")) for found in red] == [
        ("keeping-fork", "keeping@u1"),
        ("keeping", None),
    ]
    assert await keeper.sessions(labels={"team": "red"}, after="keeping-fork", limit=1) == red[1:]
    head, *lines = await keeper.export("keeping")
    assert json.loads(head)["session_id"] == "keeping"
    assert len(lines) == red[1].last_seq


async def test_a_session_begins_with_a_history_and_keeps_it(runtime: Runtime, server: ScriptedServer) -> None:
    session = await runtime.session("parcels", history=BEFORE, **config(server))
    assert await session.ask("And now?") == "You said: And now?"
    history = await session.history()
    assert [message.id for message in history[:6]] == [f"parcels/1.{number}" for number in range(1, 7)]
    assert tuple(line for message in history[:6] for line in lines_of(message)) == LINES
    again = await runtime.session("parcels", history=history[:6], **config(server))
    assert await again.history() == history
    with pytest.raises(ConfigError, match="with another history"):
        await runtime.session("parcels", history=BEFORE[:4], **config(server))
    with pytest.raises(ConfigError, match="message 1 is an answer to nothing"):
        await runtime.session("others", history=BEFORE[1:], **config(server))
    assert not await runtime.exists("others")


def _active(actor: Any) -> list[str]:
    return list(actor._host.active)


async def test_a_deleted_session_is_gone_from_the_journal_and_from_its_actor(
    runtime: Runtime, server: ScriptedServer
) -> None:
    session = await runtime.session("short-lived", **config(server))
    await session.ask("one")
    actor = (await session.status()).actor
    assert "short-lived" in await inside(runtime, actor, _active)
    assert await runtime.delete("short-lived")
    assert "short-lived" not in await inside(runtime, actor, _active)
    assert not await runtime.exists("short-lived")
    with pytest.raises(SessionError, match="no session 'short-lived'"):
        await session.ask("still there?")
    assert not await runtime.delete("short-lived")
    again = await runtime.session("short-lived", **config(server))
    assert await again.history(full=True) == ()


async def _gone(runtime: Runtime, actor: str) -> None:
    """Ask for an actor that was told to end until it has: Ray takes some moments."""
    while await runtime.process_of(actor):
        await asyncio.sleep(0.05)


async def test_a_deleted_session_with_an_actor_of_its_own_takes_it_along(
    tmp_path: Path, server: ScriptedServer
) -> None:
    async with Runtime(data_dir=tmp_path, max_actors=2) as runtime:
        session = await runtime.session("alone", **config(server))
        await session.ask("one")
        actor = (await session.status()).actor
        assert await runtime.delete("alone")
        with pytest.raises(RayconteurError):
            await _gone(runtime, actor)
        with pytest.raises(SessionError, match="no session 'alone'"):
            await session.ask("still there?")
