"""Spans of summaries: from being asked for to being had or given up, and what the summariser asks under them."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from agent_core.clock import SystemClock
from agent_core.compaction.summarising import Summariser
from agent_core.local_session import LocalSession
from agent_core.messages import Usage
from agent_core.ports import CompactionJob
from agent_core.testing import FakeModel, Says
from agent_core.tracing import names
from agent_core.tracing.chats import Chats, TracedModel
from agent_core.tracing.spans import Spans
from tests.core.compaction.strained import strained
from tests.core.stage import quiet, until
from tests.core.tracing.watched import TracedStage, events, failed, is_child, place, said

LONG = "long " * 400


@pytest.fixture
async def stage() -> AsyncIterator[TracedStage]:
    """Four turns that fill a session, and no span left open."""
    made = TracedStage(*[Says(LONG, usage=Usage(input_tokens=1_600))] * 4)
    yield made
    await quiet()
    made.close()


async def asked(stage: TracedStage) -> tuple[LocalSession, CompactionJob, "asyncio.Task[object]"]:
    """A session with a summary under way."""
    session = await stage.session(compaction=strained(soft=0.9, trigger=0.9, hard=0.9))
    for _ in range(4):
        await session.ask(LONG)
    task: asyncio.Task[object] = asyncio.create_task(session.compact())
    await until(lambda: stage.compactor.jobs)
    return session, stage.compactor.jobs[0], task


async def test_a_summary_that_is_put_in_place_says_what_it_freed(stage: TracedStage) -> None:
    _, job, task = await asked(stage)
    stage.compactor.start(job)
    stage.compactor.finish(job)
    await task
    span = stage.span(names.COMPACT)
    assert f"{place(span).span_id:016x}" in (job.traceparent or "")
    assert events(span) == [names.SUMMARY_STARTED, names.SUMMARY_READY]
    assert said(span)[names.JOB_OUTCOME] == "applied"
    assert said(span)[names.TOKENS_AFTER] < said(span)[names.TOKENS_BEFORE]
    assert (said(span)[names.INPUT_TOKENS], said(span)[names.JOB_PRIORITY]) == (100, "manual")


async def test_a_summary_that_fails_or_is_turned_away_says_so(stage: TracedStage) -> None:
    session, job, task = await asked(stage)
    stage.compactor.fail(job)
    await task
    again = asyncio.create_task(session.compact())
    await until(lambda: len(stage.compactor.jobs) == 2)
    stage.compactor.fail(stage.compactor.jobs[1], shed=True)
    await again
    first, second = stage.spans(names.COMPACT)
    assert (said(first)[names.JOB_OUTCOME], said(first)[names.ERROR_TYPE]) == ("failed", "overloaded")
    assert said(second)[names.JOB_OUTCOME] == "shed"


async def test_a_summary_that_is_of_another_range_is_stale(stage: TracedStage) -> None:
    _, job, task = await asked(stage)
    object.__setattr__(job, "digest", "another")
    stage.compactor.finish(job)
    await task
    assert said(stage.span(names.COMPACT))[names.JOB_OUTCOME] == "stale"
    assert failed(stage.span(names.COMPACT))


async def test_a_summary_that_nobody_waits_for_any_more_is_cancelled(stage: TracedStage) -> None:
    session, _, task = await asked(stage)
    await session.clear()
    await task
    assert said(stage.span(names.COMPACT))[names.JOB_OUTCOME] == "cancelled"


async def test_a_summary_that_is_held_is_told_once_a_while_is_over() -> None:
    stage = TracedStage(*[Says(LONG, usage=Usage(input_tokens=1_600))] * 5, linger=0.0)
    session = await stage.session(compaction=strained(soft=0.1, trigger=0.9, hard=0.9), context_limit=16_000)
    for _ in range(5):
        await session.ask(LONG)
    stage.compactor.finish(stage.compactor.jobs[0])
    await until(lambda: stage.spans(names.COMPACT))
    span = stage.span(names.COMPACT)
    assert said(span)[names.JOB_OUTCOME] == "ready"
    turn = next(turn for turn in stage.spans("invoke_agent") if is_child(span, turn))
    assert said(turn)[names.REQUEST_MODEL] == "fake"
    stage.close()


async def test_what_the_summariser_asks_is_under_the_summary_wherever_it_runs(stage: TracedStage) -> None:
    _, job, task = await asked(stage)
    model = TracedModel(FakeModel([Says("A summary.")]), Chats(Spans(stage.provider), SystemClock(), content=False))
    report = await Summariser(model, SystemClock(), lambda _: 100_000).summarise(job)
    stage.compactor._deliver[job.key](report)
    await task
    chat = next(span for span in stage.spans("chat") if said(span)[names.TURN_ID].startswith("compaction/"))
    assert is_child(chat, stage.span(names.COMPACT))


async def test_ids_do_not_repeat_where_a_program_seeds_its_randomness() -> None:
    ids: set[int] = set()
    before = random.getstate()
    for _ in range(2):
        random.seed(1)
        stage = TracedStage(Says("a"))
        await (await stage.session("s")).ask("q")
        ids |= {place(span).trace_id for span in stage.kept.ended}
        stage.close()
    random.setstate(before)
    assert len(ids) == 2
