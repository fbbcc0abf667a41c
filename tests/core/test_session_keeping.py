"""Sessions as a whole: listed, forked, written out and deleted by the runtime in this process."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent_core.entries import decode
from agent_core.errors import ConfigError, SessionError
from agent_core.journals import JOURNAL_FILE
from agent_core.local_runtime import LocalRuntime
from agent_core.runtime_protocol import SessionKeeper
from agent_core.scripted import Fault, Knobs
from agent_core.scripted.server import ScriptedServer

SECRET = "the word that nobody may find again"


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ScriptedServer]:
    monkeypatch.setenv("SCRIPTED_KEY", "sk-test-0123456789")
    async with ScriptedServer() as running:
        yield running


@pytest.fixture
def settings(server: ScriptedServer) -> dict[str, Any]:
    """What a session needs to speak to the scripted server."""
    return {"model": "openai/gpt-4o", "wire": "chat", "base_url": f"{server.url}/v1", "api_key": "env:SCRIPTED_KEY"}


@pytest.fixture(params=["memory", "file"])
async def runtime(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[LocalRuntime]:
    async with LocalRuntime(data_dir=tmp_path if request.param == "file" else None) as running:
        yield running


async def test_sessions_are_listed_by_label_and_page_by_page(runtime: LocalRuntime, settings: dict[str, Any]) -> None:
    for number in range(5):
        await runtime.session(f"s{number}", labels={"team": "red" if number % 2 else "blue"}, **settings)
    keeper: SessionKeeper = runtime
    assert [found.session_id for found in await keeper.sessions(labels={"team": "red"})] == ["s3", "s1"]
    first = await keeper.sessions(limit=2)
    rest = await keeper.sessions(after=first[-1].session_id)
    assert [found.session_id for found in (*first, *rest)] == ["s4", "s3", "s2", "s1", "s0"]
    assert await keeper.sessions(labels={"team": "green"}) == []


async def test_a_fork_goes_its_own_way_from_the_turn_that_is_named(
    runtime: LocalRuntime, settings: dict[str, Any]
) -> None:
    session = await runtime.session("holiday", **settings)
    await session.ask("one")
    await session.ask("two")
    fork = await runtime.fork("holiday", turn="u1", id_of_fork="other")
    await fork.ask("another two")
    assert [message.content[0].text for message in await fork.history() if message.kind == "user"] == [  # type: ignore[union-attr]
        "one",
        "another two",
    ]
    assert len(await session.history()) == 4
    unnamed = await runtime.fork("holiday")
    assert len(await unnamed.history()) == 4
    assert (await runtime.sessions(labels={"forked_from": "holiday@u2"}))[0].session_id == unnamed.id


async def test_a_fork_of_nothing_to_something_or_with_a_wrong_name_is_refused(
    runtime: LocalRuntime, settings: dict[str, Any]
) -> None:
    await (await runtime.session("holiday", **settings)).ask("one")
    with pytest.raises(SessionError, match="no session 'holidya'"):
        await runtime.fork("holidya")
    with pytest.raises(SessionError, match="exists already"):
        await runtime.fork("holiday", id_of_fork="holiday")
    with pytest.raises(SessionError, match=r"'u7'.*u1"):
        await runtime.fork("holiday", turn="u7")
    with pytest.raises(ConfigError, match="cannot be a session's id"):
        await runtime.fork("holiday", id_of_fork="a b")
    assert len(await runtime.sessions()) == 1


async def test_an_export_holds_every_record(runtime: LocalRuntime, settings: dict[str, Any]) -> None:
    await (await runtime.session("holiday", **settings)).ask("one")
    head, *records = await runtime.export("holiday")
    assert json.loads(head)["records"] == len(records)
    entries = [decode(json.dumps(json.loads(line)["entry"])) for line in records]
    assert [entry.kind for entry in entries] == ["opened", "accepted", "turn_started", "complete", "turn_ended"]
    with pytest.raises(SessionError, match="no session 'other'"):
        await runtime.export("other")


async def test_a_deleted_session_is_gone_also_from_memory_and_its_id_is_free(
    runtime: LocalRuntime, settings: dict[str, Any]
) -> None:
    session = await runtime.session("holiday", **settings)
    await session.ask(SECRET)
    assert await runtime.delete("holiday")
    assert not await runtime.delete("holiday")
    assert not await runtime.exists("holiday")
    with pytest.raises(SessionError, match="was deleted"):
        await session.ask("still there?")
    with pytest.raises(SessionError, match="no session 'holiday'"):
        await runtime.session("holiday")
    again = await runtime.session("holiday", **settings)
    assert await again.history(full=True) == ()


async def test_a_turn_that_is_open_when_its_session_is_deleted_ends_with_an_error(
    runtime: LocalRuntime, server: ScriptedServer, settings: dict[str, Any]
) -> None:
    server.knobs = Knobs(faults={"stall": Fault(every=1)})
    session = await runtime.session("holiday", **settings)
    events = session.send("Take your time over this, please.")
    async for event in events:
        if event.kind == "text_chunk":
            break
    asking = asyncio.create_task(session.ask("And then?"))
    while (await session.status()).queued == 0:
        await asyncio.sleep(0)
    await runtime.delete("holiday")
    with pytest.raises(SessionError, match="was deleted"):
        await asking
    assert await runtime.sessions() == []


async def test_nothing_of_a_deleted_session_is_left_in_the_files(tmp_path: Path, settings: dict[str, Any]) -> None:
    async with LocalRuntime(data_dir=tmp_path) as runtime:
        await (await runtime.session("holiday", **settings)).ask(SECRET)
        assert SECRET.encode() in b"".join(path.read_bytes() for path in tmp_path.glob(f"{JOURNAL_FILE}*"))
        await runtime.delete("holiday")
        assert SECRET.encode() not in b"".join(path.read_bytes() for path in tmp_path.glob(f"{JOURNAL_FILE}*"))
