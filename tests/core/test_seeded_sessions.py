"""Sessions that begin with what was said elsewhere: it stands there as if it had been said there."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent_core import inputs
from agent_core.archive import fork
from agent_core.compaction.settings import LLMCompaction
from agent_core.config import SessionConfig
from agent_core.entries import Opened, decode, encode
from agent_core.errors import ConfigError, SessionError
from agent_core.local_runtime import LocalRuntime
from agent_core.local_session import LocalSession
from agent_core.messages import SessionId
from agent_core.scripted.server import ScriptedServer
from agent_core.seeding import regular
from agent_core.status import TokenUsage
from agent_core.testing import Says
from agent_core.tokens import estimate_message
from tests.core.playbook import LOOKUP, Playbook, lines_of, user
from tests.core.said_before import BEFORE, LINES
from tests.core.stage import Stage, until

HISTORY = regular(BEFORE)
ID, TARGET = SessionId("s"), SessionId("fork")


async def seeded(stage: Stage, **config: Any) -> LocalSession:
    fields = {"model": "local/fake", "compaction": None, **config}
    opened = Opened(config=SessionConfig(**fields), tools=(LOOKUP,), history=HISTORY)
    return LocalSession(await stage.host.open(ID, opened, reopen=True), stage.host)


def said_in(session: LocalSession) -> list[str]:
    return [line for message in session.conversation.view.shown for line in lines_of(message)]


# --- the machine ------------------------------------------------------------------------------------------------------


def test_a_history_stands_before_the_first_turn_and_its_turns_and_calls_are_taken() -> None:
    book = Playbook(LOOKUP, history=BEFORE)
    assert book.said == list(LINES)
    book.given(user("And now?")).follows("accepted u3", "answer u3", "turn_started u3", "call_model 1")
    assert [message.id for message in book.requests[0].messages] == [*(f"s/1.{n}" for n in range(1, 7)), "s/3"]
    assert book.requests[0].messages[-1].parent_id == "s/1.6"
    book.given(book.answer(calls=[("a", "lookup", {})]))
    assert book.said[-1] == "model calls a_2: lookup"
    refusal = book.given(user("Once more.", turn_id="u1")).refusal
    assert "'u1' exists already" in str(refusal)


def test_turns_that_are_taken_out_take_nothing_of_the_history_along() -> None:
    book = Playbook(LOOKUP, history=BEFORE)
    book.given(user("And now?"))
    book.given(book.fails("bad_request"))
    assert book.said == list(LINES)
    book.given(user("And later?"))
    book.given(inputs.Interrupt("discard"))
    assert book.said == list(LINES)
    book.crashes()
    assert book.said == list(LINES)
    book.given(inputs.Clear())
    assert book.said == []


def test_a_history_counts_for_the_context_and_not_for_what_was_paid() -> None:
    book = Playbook(LOOKUP, history=BEFORE)
    shown = book.conversation.view.shown
    assert book.conversation.context_used == sum(estimate_message(message, "local") for message in shown) > 0
    assert book.conversation.usage == TokenUsage()


# --- sessions ---------------------------------------------------------------------------------------------------------


async def test_a_history_is_journalled_once_and_read_again_by_the_next_owner() -> None:
    stage = Stage(Says("Here."), Says("Still here."))
    session = await seeded(stage)
    assert await session.ask("And now?") == "Here."
    assert (await stage.kinds()).count("opened") == 1
    records = await stage.journal.read(ID)
    assert sum(encode(record.entry).count(b"post office") for record in records) == 1
    host = stage.another_host("other")
    other = LocalSession(await host.open(ID), host)
    assert said_in(other)[: len(LINES)] == list(LINES)
    assert await other.history(full=True) == await session.history(full=True)


async def test_a_summary_covers_a_history_and_the_next_request_begins_with_it() -> None:
    stage = Stage(Says("Here."), Says("Later."))
    session = await seeded(stage, compaction=LLMCompaction(keep_recent_turns=1, mechanical=None))
    await session.ask("And now?")
    await session.pin((await session.history())[3])
    asking = asyncio.create_task(session.compact())
    await until(lambda: stage.compactor.jobs)
    (job,) = stage.compactor.jobs
    assert [message.id for message in job.messages] == [f"s/1.{number}" for number in range(1, 7)]
    stage.compactor.finish(job, "Two parcels.")
    assert (await asking).turns_compacted == 2
    assert said_in(session)[0].endswith("Two parcels.")
    assert "It is at the post office." in said_in(session)[2]
    assert said_in(session)[3:] == ["user: And now?", "model: Here."]
    await session.ask("And later?")
    assert [line for message in await session.history(full=True) for line in lines_of(message)][:10] == list(LINES)
    await session.clear()
    assert said_in(session) == []


async def test_a_fork_begins_with_the_history_too() -> None:
    stage = Stage(Says("Here."), Says("Elsewhere."))
    session = await seeded(stage)
    await session.ask("And now?")
    await session.pin((await session.history())[0])
    assert await fork(stage.journal, ID, TARGET) == "u3"
    forked = LocalSession(await stage.host.open(TARGET), stage.host)
    assert said_in(forked) == said_in(session)
    messages = await forked.history(full=True)
    assert [message.id for message in messages[:6]] == [f"fork/1.{number}" for number in range(1, 7)]
    assert (await forked.status()).pinned == ("fork/1.1",)
    assert await forked.ask("And there?") == "Elsewhere."


async def test_a_snapshot_knows_what_the_session_began_with() -> None:
    stage = Stage(Says("Here."))
    session = await seeded(stage)
    await session.ask("And now?")
    digest = session.conversation.history_digest
    await stage.host.put_away()
    assert stage.host.find(ID) is None
    again = await stage.host.open(ID)
    assert again.conversation.history_digest == digest != ""
    assert [line for message in again.conversation.view.shown for line in lines_of(message)][:10] == list(LINES)


async def test_a_session_that_was_put_away_before_its_first_turn_begins_with_it_all_the_same() -> None:
    stage = Stage(Says("Here."))
    await seeded(stage)
    assert await stage.host.put_away() == 1
    session = await seeded(stage)
    assert said_in(session) == list(LINES)
    assert await session.ask("And now?") == "Here."
    assert (await stage.kinds()).count("opened") == 1


def test_a_session_without_a_history_is_journalled_as_it_always_was() -> None:
    entry = Opened(config=SessionConfig(model="local/fake"))
    assert b"history" not in encode(entry)
    assert decode(encode(entry)) == entry
    with_history = Opened(config=SessionConfig(model="local/fake"), history=HISTORY)
    assert decode(encode(with_history)) == with_history


# --- the runtime ------------------------------------------------------------------------------------------------------


@pytest.fixture
async def settings(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[dict[str, Any]]:
    monkeypatch.setenv("SCRIPTED_KEY", "sk-test-0123456789")
    async with ScriptedServer() as server:
        yield {"model": "anthropic/claude-test", "context_limit": 50_000, "base_url": server.url} | {
            "api_key": "env:SCRIPTED_KEY"
        }


async def test_a_runtime_opens_a_session_with_a_history_and_again_with_the_same(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    async with LocalRuntime(data_dir=tmp_path) as runtime:
        session = await runtime.session("s", history=BEFORE, **settings)
        assert await session.ask("And now?") == "You said: And now?"
        first = await session.history()
        assert tuple(line for message in first[:6] for line in lines_of(message)) == LINES
    async with LocalRuntime(data_dir=tmp_path) as runtime:
        again = await runtime.session("s", history=first[:6], **settings)
        assert await again.history() == first
        assert await (await runtime.session("s")).history() == first


async def test_another_history_for_a_session_that_is_there_is_refused(settings: dict[str, Any]) -> None:
    async with LocalRuntime() as runtime:
        await runtime.session("with", history=BEFORE, **settings)
        await runtime.session("without", **settings)
        with pytest.raises(ConfigError, match="'with' was opened before, with another history"):
            await runtime.session("with", history=BEFORE[:4], **settings)
        with pytest.raises(ConfigError, match="'without' was opened before, with no history"):
            await runtime.session("without", history=BEFORE, **settings)
        assert len(await (await runtime.session("with")).history()) == 6


async def test_a_history_that_cannot_be_makes_no_session(settings: dict[str, Any]) -> None:
    async with LocalRuntime() as runtime:
        with pytest.raises(ConfigError, match="message 1 is an answer to nothing"):
            await runtime.session("s", history=BEFORE[1:], **settings)
        with pytest.raises(ConfigError, match="model: give it along"):
            await runtime.session("s", history=BEFORE)
        with pytest.raises(SessionError):
            await runtime.session("s")
