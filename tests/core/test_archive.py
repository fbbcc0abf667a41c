"""Forks and exports: a session's records used from outside."""

import asyncio
import json

import pytest

from agent_core.archive import FORKED_FROM, fork, lines
from agent_core.compaction.settings import LLMCompaction
from agent_core.content import ToolUseBlock
from agent_core.entries import decode
from agent_core.errors import SessionError
from agent_core.local_session import LocalSession
from agent_core.messages import SessionId, TurnId
from agent_core.testing import Says
from tests.core.playbook import LOOKUP, lines_of
from tests.core.stage import Stage, until

SOURCE, TARGET = SessionId("s"), SessionId("fork")


def said(session: LocalSession) -> list[str]:
    return [line for message in session.conversation.view.shown for line in lines_of(message)]


async def test_a_fork_is_what_the_session_was_when_the_turn_ended() -> None:
    stage = Stage(Says("One."), Says("", calls=[("lookup", {})]), Says("Two."), Says("Three."), Says("Other."))
    session = await stage.session(SOURCE, LOOKUP)
    await session.ask("First.")
    await session.ask("Second.")
    until_then = said(session)
    await session.ask("Third.")
    whole = said(session)
    assert await fork(stage.journal, SOURCE, TARGET, TurnId("u2")) == "u2"
    forked = LocalSession(await stage.host.open(TARGET), stage.host)
    assert said(forked) == until_then
    assert await forked.ask("Another third.") == "Other."
    assert said(session) == whole
    assert forked.conversation.labels[FORKED_FROM] == "s@u2"
    assert all(message.session_id == TARGET for message in await forked.history(full=True))
    assert not [m.id for m in await forked.history(full=True) if not m.id.startswith("fork/")]


async def test_a_fork_keeps_summaries_pins_and_shortened_results_and_leaves_waiting_messages() -> None:
    stage = Stage(
        Says("", calls=[("lookup", {})]),
        *(Says(f"Answer {number}.") for number in range(6)),
        functions={"lookup": lambda _: "found " * 400},
    )
    session = await stage.session(SOURCE, LOOKUP, compaction=LLMCompaction(keep_recent_turns=1, mechanical=None))
    for number in range(4):
        await session.ask(f"Question {number}. " + "words " * 50)
    await session.pin((await session.history())[0])
    asking = asyncio.create_task(session.compact())
    await until(lambda: stage.compactor.jobs)
    stage.compactor.finish(stage.compactor.jobs[0], "They asked four questions.")
    assert (await asking).compacted
    stage.model.gate = asyncio.Event()
    await session.submit("One that is never answered.")
    await session.submit("One that waits.")
    assert await fork(stage.journal, SOURCE, TARGET) == "u4"
    forked = LocalSession(await stage.host.open(TARGET), stage.host)
    assert said(forked) == said(session)[:-1]
    assert "They asked four questions." in said(forked)[0]
    assert not forked.conversation.queue


async def test_a_fork_of_what_is_not_there_says_what_is() -> None:
    stage = Stage(Says("One."))
    with pytest.raises(SessionError, match="no session 's' to fork"):
        await fork(stage.journal, SOURCE, TARGET)
    session = await stage.session(SOURCE)
    await session.ask("First.")
    with pytest.raises(SessionError, match=r"No turn 'u9' has ended there. The newest that did: u1"):
        await fork(stage.journal, SOURCE, TARGET, TurnId("u9"))
    with pytest.raises(SessionError, match="'s' exists already"):
        await fork(stage.journal, SOURCE, SOURCE)


async def test_a_session_without_a_turn_is_forked_with_its_settings_alone() -> None:
    stage = Stage(Says("Hi."))
    await stage.session(SOURCE, LOOKUP, system_prompt="Be kind.")
    assert await fork(stage.journal, SOURCE, TARGET) is None
    forked = LocalSession(await stage.host.open(TARGET), stage.host)
    assert await forked.system_prompt() == "Be kind."
    assert [tool.name for tool in await forked.tools()] == ["lookup"]
    assert await forked.ask("Hi.") == "Hi."


async def test_lines_hold_every_record_and_can_be_read_again() -> None:
    stage = Stage(Says("", calls=[("lookup", {"a": "ä"})]), Says("Done."))
    session = await stage.session(SOURCE, LOOKUP)
    await session.ask("Look.")
    records = await stage.journal.read(SOURCE)
    head, *rest = [json.loads(line) for line in lines(SOURCE, records)]
    assert head == {"session_id": "s", "records": len(records), "format": "rayconteur.session/1"}
    assert [line["seq"] for line in rest] == [record.seq for record in records]
    assert [decode(json.dumps(line["entry"])) for line in rest] == [record.entry for record in records]
    assert any(
        isinstance(block, ToolUseBlock) for message in session.conversation.messages for block in message.content
    )
