"""Sessions whose journal is in PostgreSQL: every actor connects to it by itself, and no password is anywhere on Ray."""

import asyncio
import dataclasses
import importlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from actors import Runtime
from agent_core.entries import ToolSettled
from agent_core.errors import ConfigError, Fenced, JournalError
from agent_core.scripted.server import ScriptedServer
from tests.actors.world import config, kill, look
from tests.postgres import PASSWORD, USER, PostgresCluster

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def address(postgres: PostgresCluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A reference to the DSN of an empty database, which has a password in it."""
    kept = tmp_path_factory.mktemp("secrets") / "dsn"
    kept.write_text(postgres.dsn(postgres.create_database()).replace(f"{USER}@", f"{USER}:{PASSWORD}@"))
    return f"file:{kept}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runtime(cluster: None, address: str) -> AsyncIterator[Runtime]:
    async with Runtime(journal=address, sessions_per_actor=100, session_actors=1, max_actors=3) as running:
        yield running


async def test_session_is_there_again_in_another_runtime_on_the_same_database(
    runtime: Runtime, server: ScriptedServer, address: str
) -> None:
    session = await runtime.session("shared", **config(server), labels={"team": "red"})
    assert await session.ask("1") == "You said: 1"
    async with Runtime(journal=address, sessions_per_actor=100, session_actors=1) as other:
        assert await other.exists("shared")
        again = await other.session("shared")
        assert await again.ask("2") == "You said: 2"
        assert len(await again.history()) == 4
        with pytest.raises(Fenced):
            await session.ask("3")


async def test_sessions_of_a_killed_actor_go_on_from_the_database(
    runtime: Runtime, server: ScriptedServer, tmp_path: Path
) -> None:
    session = await runtime.session(tools=[look], **config(server))
    call = f'call look {{"path": "{tmp_path / "ledger"}", "seconds": 0.2}}'
    settled = [event async for event in session.send(call) if isinstance(event, ToolSettled)]
    assert [event.outcome for event in settled] == ["ok"]
    await kill(runtime, "sessions/0")
    assert await session.ask("still there?") == "You said: still there?"


async def test_dedicated_session_and_a_tool_pickled_by_value_need_no_journal_actor(
    runtime: Runtime, server: ScriptedServer
) -> None:
    def shout(text: str) -> str:
        """Say it loudly."""
        return text.upper()

    session = await runtime.session(tools=[shout], sessions_per_actor=1, **config(server))
    settled = [event async for event in session.send('call shout {"text": "hello"}') if isinstance(event, ToolSettled)]
    assert [event.outcome for event in settled] == ["ok"]
    assert "HELLO" in str(settled[0].result.content)
    with pytest.raises(Exception, match="journal"):
        await runtime.process_of("journal")


async def test_database_that_is_away_for_a_moment_is_waited_for(
    runtime: Runtime, server: ScriptedServer, postgres: PostgresCluster
) -> None:
    session = await runtime.session(**config(server))
    assert await session.ask("1") == "You said: 1"
    await asyncio.to_thread(postgres.stop)
    asked = asyncio.create_task(session.ask("2"))
    await asyncio.to_thread(postgres.start)
    assert await asked == "You said: 2"


async def test_password_is_in_no_file_of_ray_and_in_no_setting(runtime: Runtime) -> None:
    said = [runtime.settings, dataclasses.asdict(runtime.settings), runtime.description, runtime.dashboard_hint]
    assert PASSWORD not in str(said)
    worker: Any = importlib.import_module("ray._private.worker")
    directory = Path(worker._global_node.get_session_dir_path())
    files = [path for path in directory.rglob("*") if path.is_file() and not path.is_symlink()]
    assert files
    assert [path for path in files if PASSWORD.encode() in path.read_bytes()] == []


async def test_wrong_journal_is_known_before_ray_is_asked(tmp_path: Path, postgres: PostgresCluster) -> None:
    with pytest.raises(ConfigError, match="password in it is refused"):
        Runtime(journal=f"postgresql://user:{PASSWORD}@host/db")
    with pytest.raises(ConfigError, match="exclude each other"):
        Runtime(journal="env:DSN", data_dir=tmp_path)
    # No cluster is there, and it is not what the error is about.
    with pytest.raises(JournalError, match="DSN_THAT_IS_NOT_SET is not set"):
        await Runtime("127.0.0.1:1", journal="env:DSN_THAT_IS_NOT_SET").__aenter__()
    with pytest.raises(JournalError, match="does not exist"):
        await Runtime("127.0.0.1:1", journal=postgres.owner_dsn("not_there")).__aenter__()


async def test_runtime_of_the_same_name_with_another_journal_is_refused(
    cluster: None, tmp_path: Path, address: str
) -> None:
    async with Runtime(name="filed", data_dir=tmp_path, sessions_per_actor=10, session_actors=1):
        with pytest.raises(ConfigError, match="runtime 'filed' keeps its sessions in"):
            await Runtime(name="filed", journal=address).__aenter__()
