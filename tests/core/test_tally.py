"""The tally counts what sessions did, once each, as facts and providers tell it."""

import asyncio

import pytest

from agent_core.entries import Compacted, CompactionFailed
from agent_core.errors import ProviderError
from agent_core.messages import SessionId, TurnId, Usage
from agent_core.observing import Observers
from agent_core.ports import ModelRequest, Patch, Record, RetryScheduled, UsageUpdate
from agent_core.tally import Tally
from agent_core.testing import Says
from tests.core.playbook import LOOKUP
from tests.core.stage import Stage, until


def counted(stage: Stage) -> Tally:
    """A tally of what the sessions of this stage do from now on."""
    tally = Tally(since=7.0)
    stage.host = stage.another_host(observer=Observers(tally))
    return tally


async def test_turns_requests_tools_and_tokens_are_counted_once_each() -> None:
    cached = Usage(input_tokens=100, output_tokens=20, cache_read_tokens=30, cache_write_tokens=4)
    answers = Says("look", calls=[("lookup", {"q": "x"})], usage=cached), Says("found"), Says("more")
    stage = Stage(*answers, functions={"lookup": lambda _: "it"})
    tally = counted(stage)
    session = await stage.session("s", LOOKUP)
    await session.ask("q")
    await session.ask("again")
    totals = tally.totals()
    assert (totals.since, totals.turns, totals.failed_turns, totals.requests) == (7.0, 2, 0, 3)
    assert (totals.tool_calls, totals.failed_tool_calls) == (1, 0)
    assert (totals.input_tokens, totals.output_tokens) == (134 + 10 + 10, 20 + 5 + 5)


async def test_a_turn_that_fails_and_a_tool_that_fails_are_counted_as_failed() -> None:
    answers = Says("look", calls=[("nothing", {})]), Says(error=ProviderError("busy", "rate_limit", 429))
    stage = Stage(*answers)
    tally = counted(stage)
    session = await stage.session("s", LOOKUP)
    with pytest.raises(ProviderError):
        await session.ask("q")
    totals = tally.totals()
    assert (totals.turns, totals.failed_turns, totals.failed_requests, totals.rate_limited) == (1, 1, 1, 1)
    assert (totals.tool_calls, totals.failed_tool_calls) == (1, 1)


async def test_what_an_interrupted_call_took_is_counted_and_its_turn_ended() -> None:
    stage = Stage(Says("never"))
    tally = counted(stage)
    stage.model.gate = asyncio.Event()
    session = await stage.session("s")
    await session.submit("q")
    await session.interrupt("keep")
    await until(lambda: tally.totals().turns)
    assert (tally.totals().requests, tally.totals().failed_turns, tally.totals().output_tokens) == (1, 0, 0)


def test_retries_are_counted_and_those_for_the_rate_apart(request_of_a_model: ModelRequest) -> None:
    tally = Tally(0.0)
    call = tally.model_called(request_of_a_model)
    call.heard(UsageUpdate(Usage(input_tokens=50)))
    call.heard(RetryScheduled(1, 0.5, ProviderError("slow down", "rate_limit", 429)))
    call.heard(RetryScheduled(2, 0.5, ProviderError("down", "server", 500)))
    call.heard(UsageUpdate(Usage(input_tokens=40)))
    call.heard(UsageUpdate(Usage(input_tokens=40, output_tokens=9)))
    totals = tally.totals()
    assert (totals.retries, totals.rate_limited, totals.failed_requests) == (2, 1, 0)
    assert (totals.input_tokens, totals.output_tokens) == (90, 9)


async def test_compactions_and_what_their_summaries_took_are_counted(request_of_a_model: ModelRequest) -> None:
    tally, conversation = Tally(0.0), (await _stage_with_a_session()).shell("s").conversation
    done = Compacted(strategy="llm", overlays=(), tokens_before=9, tokens_after=3)
    tally.fact(conversation, Record(5, 1, 0.0, done))
    tally.fact(conversation, Record(6, 1, 0.0, CompactionFailed(job_id="j", reason="stale")))
    tally.summary_told(Patch("k", "d", "A summary.", Usage(input_tokens=70, output_tokens=6)))
    totals = tally.totals()
    assert (totals.compactions, totals.failed_compactions, totals.summary_tokens) == (1, 1, 76)


async def _stage_with_a_session() -> Stage:
    stage = Stage()
    await stage.session("s")
    return stage


@pytest.fixture
async def request_of_a_model() -> ModelRequest:
    stage = Stage(Says("yes"))
    await (await stage.session("s")).ask("q")
    (asked,) = stage.model.requests
    assert (asked.session_id, asked.turn_id) == (SessionId("s"), TurnId("u1"))
    return asked
