"""Faults as the real SDKs meet them: their own error classes, and streams that break where they were told to."""

import asyncio
from typing import Any

import aiohttp
import anthropic
import openai
import pytest

from agent_core.scripted import Fault, FaultKind, HttpError, Knobs, Match, Reply, Rule, Script
from tests.core.scripted.bodies import user
from tests.core.scripted.clients import Bench, bench

LONG = Reply(text="abcdefghij" * 4)
HI: list[Any] = [user("hi")]


def faulty(kind: FaultKind, **knobs: Any) -> Script:
    return Script(rules=(Rule(replies=(LONG,)),), knobs=Knobs(faults={kind: Fault(every=1)}, chunk_chars=10, **knobs))


async def ask_anthropic(b: Bench, **fields: Any) -> Any:
    return await b.anthropic.messages.create(model="m", max_tokens=99, messages=HI, **fields)


async def ask_chat(b: Bench, **fields: Any) -> Any:
    return await b.openai.chat.completions.create(model="m", messages=HI, **fields)


async def ask_responses(b: Bench, **fields: Any) -> Any:
    return await b.openai.responses.create(model="m", input="hi", **fields)


ASKS = [ask_anthropic, ask_chat, ask_responses]


async def gather(stream: Any, into: list[Any]) -> None:
    # One by one, so that what came before an error is kept.
    async for event in stream:
        into.append(event)  # noqa: PERF401


def shown(events: list[Any]) -> str:
    """The text that the events of any wire showed."""
    texts: list[str] = []
    for event in events:
        if getattr(event, "choices", None):
            texts.append(event.choices[0].delta.content or "")
        elif getattr(event, "type", "") == "response.output_text.delta":
            texts.append(event.delta)
        elif getattr(event, "type", "") == "content_block_delta":
            texts.append(event.delta.text)
    return "".join(texts)


@pytest.mark.parametrize(
    ("kind", "status", "error_type", "class_name"),
    [
        ("rate_limited", 429, "rate_limit_error", "RateLimitError"),
        ("overloaded", 529, "overloaded_error", "OverloadedError"),
        ("unavailable", 503, "api_error", "ServiceUnavailableError"),
        ("server_error", 500, "api_error", "InternalServerError"),
    ],
)
async def test_anthropic_error_answers(kind: FaultKind, status: int, error_type: str, class_name: str) -> None:
    async with bench(faulty(kind)) as b:
        with pytest.raises(anthropic.APIStatusError) as caught:
            await ask_anthropic(b)
        assert (caught.value.status_code, caught.value.type) == (status, error_type)
        assert type(caught.value).__name__ == class_name
        assert caught.value.request_id is not None
        assert (b.server.requests[0].outcome, b.server.requests[0].reason) == ("fault", kind)


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [("rate_limited", 429, "rate_limit_exceeded"), ("overloaded", 503, None), ("server_error", 500, None)],
)
@pytest.mark.parametrize("ask", [ask_chat, ask_responses])
async def test_openai_error_answers(ask: Any, kind: FaultKind, status: int, code: str | None) -> None:
    async with bench(faulty(kind)) as b:
        with pytest.raises(openai.APIStatusError) as caught:
            await ask(b, stream=True)
        assert (caught.value.status_code, caught.value.code) == (status, code)


async def test_a_rate_limit_says_when_to_come_back() -> None:
    async with bench(faulty("rate_limited", retry_after_s=1.5)) as b:
        with pytest.raises(anthropic.RateLimitError) as caught:
            await ask_anthropic(b)
        assert caught.value.response.headers["retry-after"] == "2"
        assert caught.value.response.headers["retry-after-ms"] == "1500"


async def test_a_rate_limit_may_say_nothing() -> None:
    async with bench(faulty("rate_limited", retry_after_s=None)) as b:
        with pytest.raises(anthropic.RateLimitError) as caught:
            await ask_anthropic(b)
        assert "retry-after" not in caught.value.response.headers


async def test_the_sdks_own_retry_gets_through_the_next_n() -> None:
    script = Script(knobs=Knobs(faults={"rate_limited": Fault(next=2)}, retry_after_s=0.001))
    async with bench(script) as b:
        answer = await ask_anthropic_with_retries(b)
        assert answer.content[0].text == "You said: hi"
        assert b.server.stats.by_status == {"429": 2, "200": 1}
        assert b.server.requests[-1].headers["x-stainless-retry-count"] == "2"


async def ask_anthropic_with_retries(b: Bench) -> Any:
    return await b.anthropic.with_options(max_retries=3).messages.create(model="m", max_tokens=9, messages=HI)


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize("deltas", [0, 1, 3])
async def test_a_cut_stream_ends_after_exactly_k_deltas(ask: Any, deltas: int) -> None:
    events: list[Any] = []
    async with bench(faulty("cut", cut_after_deltas=deltas)) as b:
        stream = await ask(b, stream=True)
        # anthropic lets httpx2's error through; openai wraps it.
        with pytest.raises(Exception, match=r"(?i)incomplete|peer closed|connection"):
            await gather(stream, events)
        assert shown(events) == "abcdefghij" * deltas
        await b.server.idle()
        assert b.server.stats.outcomes == {"cut": 1}
        assert b.server.stats.faults == {"cut": 1}


@pytest.mark.parametrize("ask", ASKS)
async def test_a_cut_body_never_arrives(ask: Any) -> None:
    async with bench(faulty("cut")) as b:
        with pytest.raises(Exception, match=r"(?i)incomplete|peer closed|connection"):
            await ask(b)


@pytest.mark.parametrize("ask", ASKS)
async def test_a_dropped_connection_is_a_connection_error(ask: Any) -> None:
    async with bench(faulty("dropped")) as b:
        with pytest.raises((anthropic.APIConnectionError, openai.APIConnectionError)):
            await ask(b, stream=True)
        await b.server.idle()
        assert b.server.stats.outcomes == {"dropped": 1}


@pytest.mark.parametrize("ask", ASKS)
async def test_a_stalled_stream_goes_on_when_released(ask: Any) -> None:
    events: list[Any] = []
    async with bench(faulty("stall", stall_after_deltas=2)) as b, asyncio.TaskGroup() as group:
        task = group.create_task(gather(await ask(b, stream=True), events))
        await b.server.stalled()
        assert not task.done()
        b.server.release()
        await task
        assert shown(events) == "abcdefghij" * 4
        await b.server.idle()
        assert b.server.stats.outcomes == {"stalled": 1}


async def test_a_stall_ends_by_itself_after_its_time() -> None:
    events: list[Any] = []
    async with bench(faulty("stall", stall_s=0.001)) as b:
        await gather(await ask_chat(b, stream=True), events)
    assert shown(events) == "abcdefghij" * 4


async def test_a_client_that_leaves_a_stall_is_noticed() -> None:
    async with bench(faulty("stall")) as b:
        stream = await ask_anthropic(b, stream=True)
        await b.server.stalled()
        await stream.close()
        await b.server.idle()
        assert b.server.stats.stalled == 0


async def test_a_client_that_leaves_before_the_answer_is_counted_as_left() -> None:
    async with bench(faulty("slow_first_byte", slow_first_byte_s=60)) as b:
        task = asyncio.create_task(ask_anthropic(b))
        await b.server.seen(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await b.server.idle()
        assert b.server.stats.outcomes == {"left": 1}


async def test_a_slow_first_byte_runs_into_the_clients_time_out() -> None:
    async with bench(faulty("slow_first_byte", slow_first_byte_s=60)) as b:
        with pytest.raises(anthropic.APITimeoutError):
            await b.anthropic.with_options(timeout=0.05).messages.create(model="m", max_tokens=9, messages=HI)


async def test_anthropic_stream_error_is_an_event_with_the_named_type() -> None:
    events: list[Any] = []
    async with bench(faulty("stream_error", error_after_deltas=2)) as b:
        with pytest.raises(anthropic.APIStatusError) as caught:
            await gather(await ask_anthropic(b, stream=True), events)
        assert caught.value.type == "overloaded_error"
        assert shown(events) == "abcdefghij" * 2


@pytest.mark.parametrize("ask", [ask_chat, ask_responses])
async def test_openai_stream_error_is_raised_with_its_code(ask: Any) -> None:
    events: list[Any] = []
    async with bench(faulty("stream_error", error_after_deltas=2, stream_error_form="nested")) as b:
        with pytest.raises(openai.APIError) as caught:
            await gather(await ask(b, stream=True), events)
        assert caught.value.code == "server_error"
        assert shown(events) == "abcdefghij" * 2


@pytest.mark.parametrize("form", ["event", "failed"])
async def test_responses_errors_in_their_other_forms_arrive_as_events(form: Any) -> None:
    events: list[Any] = []
    code = "context_length_exceeded"
    async with bench(faulty("stream_error", stream_error_form=form, stream_error_code=code)) as b:
        await gather(await ask_responses(b, stream=True), events)
    last = events[-1]
    assert last.type == ("error" if form == "event" else "response.failed")
    assert (last.code if form == "event" else last.response.error.code) == code
    assert [event.sequence_number for event in events] == list(range(len(events)))


async def test_a_stream_error_without_a_stream_is_an_error_answer() -> None:
    async with bench(faulty("stream_error")) as b:
        with pytest.raises(anthropic.InternalServerError):
            await ask_anthropic(b)


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
async def test_pings_stand_between_deltas(path: str) -> None:
    script = Script(rules=(Rule(replies=(LONG,)),), knobs=Knobs(chunk_chars=10, ping_every_deltas=2))
    body = {"model": "m", "messages": HI, "stream": True} | ({"max_tokens": 99} if path == "/v1/messages" else {})
    async with bench(script) as b, b.http.post(path, json=body, headers={"anthropic-version": "2023-06-01"}) as answer:
        text = await answer.text()
    assert text.count("event: ping" if path == "/v1/messages" else ": keep-alive") == (
        3 if path == "/v1/messages" else 2
    )


async def test_pings_do_not_disturb_the_sdks() -> None:
    script = Script(rules=(Rule(replies=(LONG,)),), knobs=Knobs(chunk_chars=10, ping_every_deltas=1))
    async with bench(script) as b:
        for ask in ASKS:
            events: list[Any] = []
            await gather(await ask(b, stream=True), events)
            assert shown(events) == LONG.text


@pytest.mark.parametrize("ask", ASKS)
async def test_tokens_come_no_faster_than_the_rate(ask: Any) -> None:
    script = Script(rules=(Rule(replies=(LONG,)),), knobs=Knobs(deltas=4, tokens_per_second=200))
    async with bench(script) as b:
        loop = asyncio.get_running_loop()
        started = loop.time()
        events: list[Any] = []
        await gather(await ask(b, stream=True), events)
        assert loop.time() - started >= 0.049
    assert shown(events) == LONG.text


async def test_the_number_of_deltas_may_be_set() -> None:
    script = Script(rules=(Rule(replies=(LONG,)),), knobs=Knobs(deltas=7))
    async with bench(script) as b:
        events: list[Any] = []
        await gather(await ask_anthropic(b, stream=True), events)
    assert sum(event.type == "content_block_delta" for event in events) == 7


async def test_the_script_may_answer_any_error() -> None:
    body = {"type": "error", "error": {"type": "permission_error", "message": "Not for you"}}
    script = Script(rules=(Rule(replies=(Reply(error=HttpError(status=403, body=body)),)),))
    async with bench(script) as b:
        with pytest.raises(anthropic.PermissionDeniedError, match="Not for you"):
            await ask_anthropic(b)
        assert b.server.stats.outcomes == {"fault": 1}


async def test_a_fault_of_a_rule_spares_the_other_requests() -> None:
    rule = Rule(match=Match(text="boom"), replies=(Reply(),), knobs=Knobs(faults={"server_error": Fault(every=1)}))
    async with bench(Script(rules=(rule,))) as b:
        await ask_anthropic(b)
        with pytest.raises(anthropic.InternalServerError):
            await b.anthropic.messages.create(model="m", max_tokens=9, messages=[user("boom")])


async def test_concurrent_requests_are_counted_at_their_peak() -> None:
    async with bench(faulty("stall")) as b, asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(ask_anthropic(b))
        await b.server.stalled(5)
        assert b.server.stats.in_flight == 5
        b.server.release()
        await b.server.idle()
        assert b.server.stats.max_concurrent == 5


async def test_a_server_that_ends_breaks_what_is_in_flight() -> None:
    async with bench(faulty("stall")) as b, aiohttp.ClientSession() as session:
        body = {"model": "m", "max_tokens": 9, "messages": HI}
        headers = {"anthropic-version": "2023-06-01"}
        task = asyncio.create_task(session.post(f"{b.server.url}/v1/messages", json=body, headers=headers).__aenter__())
        await b.server.stalled()
        await b.server.__aexit__(None, None, None)
        with pytest.raises(aiohttp.ClientError):
            await task
