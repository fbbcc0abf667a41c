"""`compact` over a live session: who asks is answered, whatever becomes of the job, of the turn or of the session."""

import asyncio
from typing import Any

import pytest

from agent_core.errors import JournalError, RayconteurError
from agent_core.local_session import LocalSession
from agent_core.messages import Usage
from agent_core.status import CompactResult
from agent_core.testing import Says
from tests.core.compaction.strained import strained
from tests.core.stage import Stage, quiet, until

LONG = "long " * 400


async def filled(stage: Stage, **fields: Any) -> LocalSession:
    """A session of four turns, the last of which says that 1,600 tokens are taken; the marks are far away."""
    compaction = strained(soft=0.9, trigger=0.9, hard=0.9, **fields)
    session = await stage.session(compaction=compaction)
    for _ in range(4):
        await session.ask(LONG)
    return session


def stage_of(*more: Says) -> Stage:
    return Stage(*[Says(LONG, usage=Usage(input_tokens=1_600))] * 4, *more)


async def asking(stage: Stage, session: LocalSession, focus: str = "") -> "asyncio.Task[CompactResult]":
    """Somebody who asks for a compaction; the job has been started."""
    jobs = len(stage.compactor.jobs)
    task = asyncio.create_task(session.compact(focus=focus))
    await until(lambda: len(stage.compactor.jobs) > jobs)
    return task


async def test_s21_who_asks_is_told_what_the_summary_did() -> None:
    stage = stage_of()
    session = await filled(stage)
    task = await asking(stage, session)
    stage.compactor.finish(stage.compactor.jobs[0])
    result = await task
    assert (result.compacted, result.strategy, result.turns_compacted, result.turns_kept) == (True, "llm", 3, 1)
    assert (result.messages_before, result.messages_after) == (8, 3)
    assert result.tokens_after < result.tokens_before
    assert result.summary_length == len("A summary.")


async def test_s21_all_who_ask_are_told_the_same() -> None:
    stage = stage_of()
    session = await filled(stage)
    first = await asking(stage, session)
    second = asyncio.create_task(session.compact())
    await quiet()
    stage.compactor.finish(stage.compactor.jobs[0])
    assert await first == await second
    assert len(stage.compactor.jobs) == 1


async def test_s21_another_focus_ends_the_first_and_is_told_of_its_own() -> None:
    stage = stage_of()
    session = await filled(stage)
    first = await asking(stage, session)
    second = await asking(stage, session, "the code")
    assert not (await first).compacted
    stage.compactor.finish(stage.compactor.jobs[1])
    assert (await second).compacted


async def test_s21_a_failure_is_told_and_changes_nothing() -> None:
    stage = stage_of()
    session = await filled(stage)
    before = await session.history()
    task = await asking(stage, session)
    stage.compactor.fail(stage.compactor.jobs[0])
    result = await task
    assert (result.compacted, result.error) == (False, "The summariser is overloaded.")
    assert await session.history() == before


async def test_one_who_no_longer_waits_takes_the_answer_from_nobody() -> None:
    stage = stage_of()
    session = await filled(stage)
    first = await asking(stage, session)
    second = asyncio.create_task(session.compact())
    await quiet()
    first.cancel()
    stage.compactor.finish(stage.compactor.jobs[0])
    assert (await second).compacted


async def test_a_shutdown_answers_who_waits() -> None:
    stage = stage_of()
    session = await filled(stage)
    task = await asking(stage, session)
    await session.shutdown()
    assert not (await task).compacted
    assert stage.compactor.cancelled


async def test_the_loss_of_the_session_is_told_to_who_waits() -> None:
    stage = stage_of()
    session = await filled(stage)
    task = await asking(stage, session)
    stage.journal.failure = JournalError("The disk is full. Make room.", "full")
    with pytest.raises(RayconteurError):
        await session.submit("Hi.")
    with pytest.raises(JournalError):
        await task
    assert stage.compactor.cancelled == [stage.compactor.jobs[0].key]


async def test_while_a_turn_runs_the_summary_waits_for_the_end_of_its_request() -> None:
    stage = stage_of(Says("Done."))
    session = await filled(stage)
    stage.model.gate = asyncio.Event()
    turn = asyncio.create_task(session.ask("Hi."))
    await until(lambda: len(stage.model.requests) == 5)
    task = await asking(stage, session)
    stage.compactor.finish(stage.compactor.jobs[0])
    await quiet()
    assert not task.done()
    stage.model.gate.set()
    assert await turn == "Done."
    assert (await task).compacted
