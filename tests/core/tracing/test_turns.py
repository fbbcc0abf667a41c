"""Spans of turns, model calls and tools: one tree a turn, ended by whatever ends it."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable

import pytest

from agent_core.content import ToolResultBlock
from agent_core.entries import Accepted
from agent_core.errors import Fenced, ProviderError, RayconteurError
from agent_core.messages import Usage
from agent_core.ports import ModelEvent, ModelRequest, PermitWait, RetryScheduled, ToolReport
from agent_core.testing import FakeModel, Says
from agent_core.tracing import names
from agent_core.tracing.correlating import TraceFilter
from tests.core.playbook import APPROVE, LOOKUP, PAY, outside, user
from tests.core.stage import quiet, until
from tests.core.tracing.watched import TracedStage, events, failed, is_child, outcomes, place, said

Make = Callable[..., TracedStage]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Makes stages, and looks at the end that they have left no span open."""
    made: list[TracedStage] = []

    def one(*answers: Says, **more: object) -> TracedStage:
        made.append(TracedStage(*answers, **more))  # type: ignore[arg-type]
        return made[-1]

    yield one
    await quiet()
    for stage in made:
        stage.close()


def calling(name: str = "lookup") -> Says:
    return Says("look", calls=[(name, {"q": "x"})], usage=Usage(input_tokens=7, output_tokens=2, cache_read_tokens=90))


async def test_a_turn_is_one_tree_with_what_it_took(make: Make) -> None:
    stage = make(calling(), Says("found", usage=Usage(input_tokens=3, cache_write_tokens=1, output_tokens=4)))
    stage.tools.functions["lookup"] = lambda _: "it"
    session = await stage.session("s", LOOKUP, base_url="http://user.test:8080/v1", max_tokens=500)
    await session.ask("q")
    turn, chats, tool = stage.span("invoke_agent"), stage.spans("chat fake"), stage.span("execute_tool lookup")
    assert turn.parent is None
    assert all(is_child(span, turn) for span in (*chats, tool))
    assert said(turn)[names.TURN_OUTCOME] == "completed"
    assert (said(turn)[names.INPUT_TOKENS], said(turn)[names.OUTPUT_TOKENS]) == (101, 6)
    assert (said(turn)[names.CACHE_READ_TOKENS], said(turn)[names.CACHE_WRITE_TOKENS]) == (90, 1)
    assert said(turn)[names.TURN_REQUESTS] == 2
    assert outcomes(chats, names.FINISH_REASONS) == [("tool_use",), ("end_turn",)]
    assert outcomes(chats, names.INPUT_TOKENS) == [97, 4]
    first = said(chats[0])
    assert (first[names.PROVIDER], first[names.REQUEST_MODEL], first[names.RESPONSE_MODEL]) == ("local", "fake", "fake")
    assert (first[names.SERVER_ADDRESS], first[names.SERVER_PORT]) == ("user.test", 8080)
    assert first[names.REQUEST_MAX_TOKENS] == 500
    assert names.FIRST_CHUNK in events(chats[0])
    assert (said(tool)[names.TOOL_CALL_ID], said(tool)[names.TOOL_OUTCOME]) == ("call_1_0", "ok")
    assert stage.tools.ran[0].traceparent is not None
    assert f"{place(tool).span_id:016x}" in stage.tools.ran[0].traceparent


async def test_the_span_that_the_caller_has_open_is_the_parent_of_the_turn(make: Make) -> None:
    stage, other = make(), make()
    session = await stage.session("s")
    with other.provider.get_tracer("mine").start_as_current_span("work") as span:
        await session.ask("one")
        async for _ in session.send("two"):
            pass
    await session.ask("three")
    one, two, three = stage.spans("invoke_agent")
    for turn in (one, two):
        assert turn.parent is not None
        assert turn.parent.span_id == span.get_span_context().span_id
    assert three.parent is None
    assert place(three).trace_id != place(one).trace_id
    accepted = [entry for entry in await stage.entries("s") if isinstance(entry, Accepted)]
    assert accepted[0].traceparent == accepted[1].traceparent != accepted[2].traceparent


@pytest.mark.parametrize("mode", ["keep", "discard"])
async def test_an_interrupt_ends_the_turn_and_its_call(make: Make, mode: str) -> None:
    stage = make(Says("never"))
    stage.model.gate = asyncio.Event()
    session = await stage.session("s")
    await session.submit("q")
    await until(lambda: stage.model.requests)
    await session.interrupt(mode)  # type: ignore[arg-type]
    await until(lambda: not stage.open)
    turn, chat = stage.span("invoke_agent"), stage.span("chat")
    assert said(turn)[names.TURN_OUTCOME] == "interrupted"
    assert said(turn).get(names.TURN_DISCARDED, False) is (mode == "discard")
    assert (said(chat)[names.ERROR_TYPE], failed(turn)) == ("cancelled", False)


@pytest.mark.parametrize("mode", ["keep", "discard"])
async def test_an_interrupt_ends_the_spans_of_open_tools(make: Make, mode: str) -> None:
    stage = make(calling(), held=True)
    session = await stage.session("s", LOOKUP)
    await session.submit("q")
    await until(lambda: stage.tools.waiting)
    await session.interrupt(mode)  # type: ignore[arg-type]
    assert said(stage.span("execute_tool"))[names.ERROR_TYPE] == "interrupted"
    assert not stage.open


async def test_a_failed_call_fails_its_turn_by_kind_and_a_retry_is_a_span_of_its_own(make: Make) -> None:
    stage = make(Says(error=ProviderError("The key sk-0123456789 is wrong.", "authentication", 401)), Says("fine"))
    session = await stage.session("s")
    with pytest.raises(ProviderError):
        await session.ask("q")
    turn, chat = stage.span("invoke_agent"), stage.span("chat")
    assert failed(turn)
    assert failed(chat)
    assert (said(chat)[names.ERROR_TYPE], said(chat)[names.STATUS_CODE]) == ("authentication", 401)
    assert (said(turn)[names.TURN_OUTCOME], said(turn)[names.ERROR_TYPE]) == ("failed", "authentication")
    assert "sk-" not in str([(span.status.description, span.attributes) for span in stage.kept.ended])
    await session.retry()
    await until(lambda: len(stage.spans("invoke_agent")) == 2)
    assert said(stage.spans("invoke_agent")[1])[names.TURN_RETRIED] is True


async def test_a_turn_that_uses_up_its_steps_says_so(make: Make) -> None:
    stage = make(calling())
    session = await stage.session("s", LOOKUP, max_steps=1)
    with pytest.raises(RayconteurError):
        await session.ask("q")
    assert said(stage.span("invoke_agent"))[names.TURN_OUTCOME] == "max_steps"
    assert said(stage.span("execute_tool"))[names.ERROR_TYPE] == "not_run"


async def test_calls_that_fail_or_are_killed_say_how(make: Make) -> None:
    both = Says(calls=[("lookup", {}), ("pay", {}), ("nothing", {})])
    stage = make(both, Says("sorry"), held=True)
    session = await stage.session("s", LOOKUP, PAY)
    turn_id = await session.submit("q")
    await until(lambda: len(stage.tools.waiting) == 2)
    stage.tools.release("s/call_1_0")
    _, deliver = stage.tools._waiting.pop("s/call_1_1")
    result = ToolResultBlock(tool_use_id="call_1_1", content="killed", is_error=True)
    deliver(ToolReport("s/call_1_1", result, "killed", 1.5))
    await stage.shell("s").result(turn_id)
    spans = sorted(stage.spans("execute_tool"), key=lambda span: span.name)
    assert outcomes(spans, names.ERROR_TYPE) == ["exception", "unknown_tool", "killed"]
    assert said(spans[2])[names.TOOL_SECONDS] == 1.5
    assert all(failed(span) for span in spans)
    assert not failed(stage.span("invoke_agent"))


async def test_a_call_that_is_answered_from_outside_ends_with_its_result(make: Make) -> None:
    stage = make(calling("approve"), Says("thanks"))
    session = await stage.session("s", APPROVE)
    turn_id = await session.submit("q")
    await until(lambda: stage.open == ["invoke_agent", "execute_tool approve"])
    await stage.shell("s").submit(outside(("call_1_0", "yes")))
    await stage.shell("s").result(turn_id)
    assert said(stage.span("execute_tool"))[names.TOOL_OUTCOME] == "external"


class Patient(FakeModel):
    """A model that is refused once before it answers."""

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        yield PermitWait(waiting=True)
        yield PermitWait(waiting=False)
        yield RetryScheduled(1, 0.5, ProviderError("Too many requests.", "rate_limit", 429))
        async for event in super().stream(request):
            yield event


async def test_a_call_that_is_made_again_is_one_span_with_its_retries_as_events(make: Make) -> None:
    stage = make()
    stage.model = Patient()
    stage.host = stage.another_host()
    await (await stage.session("s")).ask("q")
    chat = stage.span("chat")
    assert events(chat) == [names.PERMIT_AWAITED, names.PERMIT_HAD, names.RETRY, names.FIRST_CHUNK]
    retry = dict(chat.events[2].attributes or {})
    assert retry == {
        names.RETRY_ATTEMPT: 1,
        names.RETRY_DELAY: 0.5,
        names.ERROR_TYPE: "rate_limit",
        names.STATUS_CODE: 429,
    }
    assert not failed(chat)


async def test_a_message_for_the_open_turn_is_linked_and_one_that_waits_has_a_turn_of_its_own(make: Make) -> None:
    stage, other = make(calling(), held=True), make()
    stage.tools.functions["lookup"] = lambda _: "it"
    session = await stage.session("s", LOOKUP)
    await session.submit("q")
    await until(lambda: stage.tools.waiting)
    with other.provider.get_tracer("mine").start_as_current_span("steering") as steering:
        await session.submit("and this", when="next_step")
        after = await session.submit("and then", when="after")
    stage.tools.release("s/call_1_0")
    await stage.shell("s").result(after)
    first, second = stage.spans("invoke_agent")
    assert [link.context.span_id for link in first.links] == [steering.get_span_context().span_id]
    assert names.STEERED in events(first)
    assert second.parent is not None
    assert second.parent.span_id == steering.get_span_context().span_id
    assert not second.links


async def test_a_turn_that_another_process_takes_up_goes_on_in_its_trace(make: Make) -> None:
    stage = make(calling(), Says("found"), held=True)
    stage.tools.functions["lookup"] = lambda _: "it"
    session = await stage.session("s", LOOKUP)
    turn_id = await session.submit("q")
    await until(lambda: stage.tools.waiting)
    # The journal has the trace of a turn whose sender had no span open, too.
    second = stage.another_host("other")
    shell = await second.open(session.id)
    await until(lambda: len(stage.tools.ran) == 2)
    stage.tools.release("s/call_1_0")
    await shell.result(turn_id)
    await quiet()
    assert stage.shell("s").lost is None, "the first owner does not know yet"
    with pytest.raises(Fenced):
        await stage.shell("s").submit(user("Are you there?"))
    by_end = {said(span)[names.TURN_OUTCOME]: span for span in stage.spans("invoke_agent")}
    lost, done = by_end["lost"], by_end["completed"]
    assert place(lost).trace_id == place(done).trace_id
    assert said(done)[names.TURN_RESTARTED] is True
    assert names.TURN_RESTARTED not in said(lost)
    tools = {said(span).get(names.TOOL_OUTCOME): span for span in stage.spans("execute_tool")}
    assert is_child(tools["ok"], done)
    assert is_child(tools[None], lost)
    again = stage.tools.ran[1].traceparent
    assert again is not None
    assert f"{place(tools['ok']).span_id:016x}" in again


async def test_a_call_whose_outcome_is_unknown_after_a_restart_has_a_span_that_says_so(make: Make) -> None:
    stage = make(calling("pay"), Says("hm"), held=True)
    session = await stage.session("s", PAY)
    turn_id = await session.submit("q")
    await until(lambda: stage.tools.waiting)
    shell = await stage.another_host("other").open(session.id)
    await shell.result(turn_id)
    unknown = stage.span("execute_tool pay")
    assert said(unknown)[names.ERROR_TYPE] == "outcome_unknown"
    assert is_child(unknown, stage.span("invoke_agent"))


async def test_log_lines_of_a_turn_bear_its_trace(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    stage = make()
    log = logging.getLogger("rayconteur.session")
    added = TraceFilter(stage.tracings[0])
    log.addFilter(added)
    try:
        with caplog.at_level(logging.INFO, "rayconteur.session"):
            await (await stage.session("s")).ask("q")
    finally:
        log.removeFilter(added)
    trace = f"{place(stage.span('invoke_agent')).trace_id:032x}"
    lines = [record for record in caplog.records if getattr(record, "trace_id", None) == trace]
    assert [line.getMessage().split()[2] for line in lines][-2:] == ["complete", "turn_ended"]
    assert all(line.getMessage().endswith(f"trace={trace}") for line in lines)


async def test_a_session_that_is_dropped_or_shut_down_leaves_no_span_open(make: Make) -> None:
    stage = make(calling("approve"), calling(), held=True)
    waiting, running = await stage.session("w", APPROVE), await stage.session("r", LOOKUP)
    await waiting.submit("q")
    await running.submit("q")
    await until(lambda: stage.tools.waiting and len(stage.open) == 4)
    await waiting.shutdown()
    assert len(stage.open) == 2, "the turn that was left open is told as it stands"
    stage.host.evict(running.id, RayconteurError("Deleted.", "deleted"))
    assert not stage.open
    assert outcomes(stage.spans("invoke_agent"), names.ERROR_TYPE) == ["closed", "deleted"]
