"""Sessions in this process with the real provider stack, tools and journal, against the scripted server."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent_core.compaction.settings import LLMCompaction
from agent_core.errors import ConfigError, SessionClosed, SessionError
from agent_core.journals.blobs import JournalBlobs
from agent_core.journals.memory import MemoryJournal
from agent_core.local_runtime import LocalRuntime
from agent_core.opening import opening
from agent_core.scripted.server import ScriptedServer
from agent_core.tools import tool
from tests.postgres import PostgresCluster


@tool
async def double(number: int) -> int:
    """Twice the number.

    Args:
        number: The number.
    """
    return 2 * number


@pytest.fixture
async def settings(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[dict[str, Any]]:
    """What a session needs to speak to a scripted server."""
    monkeypatch.setenv("SCRIPTED_KEY", "sk-test-0123456789")
    async with ScriptedServer() as server:
        yield {"model": "openai/gpt-4o", "wire": "chat", "base_url": f"{server.url}/v1", "api_key": "env:SCRIPTED_KEY"}


async def test_a_session_answers_and_is_there_again_the_next_time(tmp_path: Path, settings: dict[str, Any]) -> None:
    async with LocalRuntime(data_dir=tmp_path) as runtime:
        session = await runtime.session("mine", **settings)
        first = await session.ask("Hello.")
        assert "kept under" in runtime.description
    with pytest.raises(SessionClosed, match="The runtime was closed"):
        await session.submit("Anybody there?")
    async with LocalRuntime(data_dir=tmp_path) as runtime:
        assert await runtime.exists("mine")
        again = await runtime.session("mine")
        assert await again.ask("Hello again.")
        history = await again.history()
    assert len(history) == 4
    assert first in str(history[1].content)


async def test_sessions_are_kept_in_a_database(postgres: PostgresCluster, settings: dict[str, Any]) -> None:
    address = postgres.create_schema()
    async with LocalRuntime(journal=address) as runtime:
        assert runtime.description == f"in this process, kept in {address}"
        await (await runtime.session("mine", **settings)).ask("Hello.")
    async with LocalRuntime(journal=address) as runtime:
        assert len(await (await runtime.session("mine")).history()) == 2
    with pytest.raises(ConfigError, match="exclude each other"):
        LocalRuntime(journal=address, data_dir=Path())


async def test_an_existing_session_keeps_its_settings_but_for_those_that_are_given(settings: dict[str, Any]) -> None:
    async with LocalRuntime() as runtime:
        await runtime.session("mine", **settings, system_prompt="Be kind.", max_tokens=50)
        session = await runtime.session("mine", model=settings["model"], max_tokens=60, tools=[double])
        assert (await session.system_prompt(), await session.max_tokens()) == ("Be kind.", 60)
        assert [definition.name for definition in await session.tools()] == ["double"]
        assert await (await runtime.session("mine")).max_tokens() == 60


async def test_s01_without_an_id_a_session_is_given_one(settings: dict[str, Any]) -> None:
    async with LocalRuntime() as runtime:
        first, second = await runtime.session(**settings), await runtime.session(**settings)
        assert first.id != second.id
        assert "in memory only" in runtime.description


async def test_what_is_given_wrongly_is_refused_with_what_to_do(settings: dict[str, Any]) -> None:
    async with LocalRuntime() as runtime:
        with pytest.raises(SessionError, match="Give a model to make it"):
            await runtime.session("nobody")
        with pytest.raises(ConfigError, match="max_tokens"):
            await runtime.session("mine", **settings, max_tokens=0)
        with pytest.raises(ConfigError, match="model: give it along"):
            await runtime.session("mine", max_tokens=5)
        with pytest.raises(ConfigError, match="context_limit"):
            await runtime.session("mine", model="openai/imagined")
        with pytest.raises(ConfigError, match="'double' is defined twice"):
            await runtime.session("mine", **settings, tools=[double, double])
        assert not await runtime.exists("mine")


async def test_a_runtime_that_is_not_open_says_how_to_open_it() -> None:
    with pytest.raises(SessionError, match="async with LocalRuntime"):
        await LocalRuntime().session("mine", model="openai/gpt-4o")


async def test_a_local_model_writes_summaries_only_where_that_was_chosen() -> None:
    blobs = JournalBlobs(MemoryJournal())

    async def kind(**fields: Any) -> str | None:
        opened = await opening([], {}, blobs, fields)
        return opened.config.compaction.kind if opened.config.compaction else None

    assert await kind(model="local/smollm2") == "threshold"
    assert await kind(model="local/smollm2", compaction=LLMCompaction()) == "llm"
    assert await kind(model="local/smollm2", compaction=None) is None
    assert await kind(model="openai/gpt-5") == "llm"
