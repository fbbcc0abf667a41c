"""The log of a session: a line for each step, with its session and turn, and never anything that was said."""

import asyncio
import logging

import pytest

from agent_core.compaction.settings import LLMCompaction, ThresholdCompaction
from agent_core.errors import JournalError, ProviderError
from agent_core.local_session import LocalSession
from agent_core.testing import Says
from tests.core.playbook import LOOKUP
from tests.core.stage import Stage

SECRET = "the-cat-sleeps-at-noon"
LOGGER = "rayconteur.session"


async def a_talk() -> LocalSession:
    """A session in which everything that could be logged contains the secret."""
    stage = Stage(
        Says(SECRET, calls=[("lookup", {"q": SECRET}), ("lookup", f"{{{SECRET}"), (SECRET, {})], thinking=SECRET),
        Says(SECRET),
        Says(error=ProviderError(f"Bad request: {SECRET}", "bad_request", 400)),
        functions={"lookup": lambda _: SECRET},
    )
    session = await stage.session("s", LOOKUP, system_prompt=SECRET, compaction=ThresholdCompaction())
    await session.ask(SECRET)
    with pytest.raises(ProviderError):
        await session.ask(SECRET)
    await session.set_system_prompt(SECRET)
    await session.compact()
    await session.clear()
    await session.shutdown()
    return session


async def test_s28_each_step_is_a_line_with_session_and_turn(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    await a_talk()
    lines = [record.getMessage() for record in caplog.records]
    steps = [line.split()[2] for line in lines]
    # The model is asked while what came before it is still on its way to the journal.
    assert steps.count("model_called") == 3
    assert [step for step in steps if step != "model_called"] == [
        *("opened", "accepted", "turn_started", "complete", "tool_batch", "tool_settled", "tool_settled"),
        *("tool_settled", "complete", "turn_ended"),
        *("accepted", "turn_started", "error", "turn_ended"),
        *("configured", "cleared", "closed"),
    ]
    assert all(line.startswith("session=s turn=") for line in lines)
    assert [line.split()[1] for line in lines[1:12]] == ["turn=u1"] * 11
    assert "outcome=completed" in lines[11]
    assert "kind=bad_request" in lines[15]


async def test_s28_a_record_bears_session_and_turn_for_handlers_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    await a_talk()
    assert {vars(record)["session_id"] for record in caplog.records} == {"s"}
    assert {vars(record)["turn_id"] for record in caplog.records} == {None, "u1", "u2"}


@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
async def test_s34_nothing_that_was_said_is_logged(caplog: pytest.LogCaptureFixture, level: int) -> None:
    caplog.set_level(level)
    await a_talk()
    assert len(caplog.records) > 10
    assert SECRET not in caplog.text


async def test_s34_an_unexpected_error_is_named_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    stage = Stage()
    session = await stage.session()
    stage.journal.failure = ValueError(SECRET)
    with pytest.raises(JournalError):
        await session.submit("Hi.")
    assert "ValueError" in caplog.text
    assert SECRET not in caplog.text
    assert [record.levelname for record in caplog.records][-2:] == ["ERROR", "WARNING"]


async def test_s34_who_asks_for_it_at_debug_level_sees_what_broke(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, LOGGER)
    stage = Stage()
    session = await stage.session()
    stage.journal.failure = ValueError(SECRET)
    with pytest.raises(JournalError):
        await session.submit("Hi.")
    assert SECRET in caplog.text


async def test_without_the_level_nothing_is_written(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, LOGGER)
    await a_talk()
    assert caplog.records == []


async def test_a_compaction_is_followed_by_ids_and_counts_and_not_by_what_it_says(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    stage = Stage(Says(f"{SECRET} " * 400), Says(SECRET))
    session = await stage.session("s", compaction=LLMCompaction())
    await session.ask(SECRET)
    await session.ask(SECRET)
    message = (await session.history())[0]
    await session.pin(message)
    for fails in (True, False):
        compacting = asyncio.create_task(session.compact(focus=SECRET))
        async with asyncio.timeout(10):
            while len(stage.compactor.jobs) < (1 if fails else 2):
                await asyncio.sleep(0)
        job = stage.compactor.jobs[-1]
        stage.compactor.start(job)
        if fails:
            stage.compactor.fail(job)
        else:
            stage.compactor.finish(job, SECRET)
        assert (await compacting).compacted is not fails
    said = [record.getMessage().split(" ", 2)[2] for record in caplog.records]
    assert f"pinned message={message.id}" in said
    assert [line for line in said if line.startswith("compact")][:-1] == [
        "compaction_submitted job=1.1 priority=manual model=local/fake messages=2",
        "compaction_started job=1.1",
        "compaction_gave_up job=1.1",
        "compaction_failed job=1.1 reason=failed kind=overloaded",
        "compaction_submitted job=1.2 priority=manual model=local/fake messages=2",
        "compaction_started job=1.2",
        "compaction_summarised job=1.2",
    ]
    assert said[-1].startswith("compacted job=1.2 strategy=llm tokens_before=")
    assert SECRET not in caplog.text
