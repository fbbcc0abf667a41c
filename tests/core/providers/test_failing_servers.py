"""Servers that fail, over real HTTP: each failure becomes its kind, and nothing is left open."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from agent_core.clock import SystemClock
from agent_core.errors import ProviderError
from agent_core.providers.dispatch import ProviderModel
from agent_core.scripted import Fault, HttpError, Knobs, Reply, Rule, Script
from agent_core.scripted.server import ScriptedServer
from tests.core.providers.making import (
    KEY,
    MODELS,
    ask,
    data,
    events_of,
    odd_server,
    request,
    short_answer,
    user,
    wire_config,
)

WIRES = sorted(MODELS)
LONG = Reply(text="one two three four five six seven eight")


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
async def model() -> AsyncIterator[ProviderModel]:
    """One attempt for each request: retries are another matter."""
    made = ProviderModel(SystemClock())
    yield made
    await made.aclose()


def script(reply: Reply = LONG, **knobs: Any) -> Script:
    return Script(rules=(Rule(replies=(reply,)),), knobs=Knobs(**knobs))


def fault(name: Any, **knobs: Any) -> Script:
    return script(faults={name: Fault(every=1)}, **knobs)


async def failure(model: ProviderModel, asked: Any) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await ask(model, asked)
    return caught.value


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("rate_limited", "rate_limit"),
        ("overloaded", "overloaded"),
        ("unavailable", "overloaded"),
        ("server_error", "server"),
        ("dropped", "connection"),
    ],
)
async def test_s26_a_refusal_becomes_its_kind(wire: str, name: str, kind: str, model: ProviderModel) -> None:
    async with ScriptedServer(fault(name, retry_after_s=3.0)) as server:
        for streaming in (True, False):
            error = await failure(model, request(wire_config(wire, server.url, streaming=streaming)))
            # OpenAI has no 529: there an overload is another server error.
            assert error.kind == kind or (name, wire != "messages") == ("overloaded", True)
            if name == "rate_limited":
                assert error.retry_after == 3.0


@pytest.mark.parametrize("wire", WIRES)
async def test_s27_a_stream_that_ends_early_is_an_error(wire: str, model: ProviderModel) -> None:
    async with ScriptedServer(fault("cut", cut_after_deltas=1)) as server:
        assert (await failure(model, request(wire_config(wire, server.url)))).kind == "cut_short"


@pytest.mark.parametrize("wire", WIRES)
async def test_s27_a_stream_that_ends_well_but_unfinished_is_an_error(wire: str, model: ProviderModel) -> None:
    async with odd_server(events_of(*short_answer(wire)[:-2])) as url:
        error = await failure(model, request(wire_config(wire, url)))
    assert error.kind == "cut_short"
    assert "before it was whole" in error.message


@pytest.mark.parametrize("wire", WIRES)
async def test_an_error_within_a_stream_becomes_its_kind(wire: str, model: ProviderModel) -> None:
    knobs = {"stream_error_code": "rate_limit_exceeded", "stream_error_type": "overloaded_error"}
    kind = "overloaded" if wire == "messages" else "rate_limit"
    async with ScriptedServer(fault("stream_error", **knobs)) as server:
        assert (await failure(model, request(wire_config(wire, server.url)))).kind == kind


@pytest.mark.parametrize("form", ["event", "nested", "failed"])
async def test_every_form_of_a_failing_response_is_read(form: Any, model: ProviderModel) -> None:
    async with ScriptedServer(
        fault("stream_error", stream_error_form=form, stream_error_code="server_error")
    ) as server:
        error = await failure(model, request(wire_config("responses", server.url)))
    assert error.kind == "server"
    assert "Overloaded" in error.message


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("wire", WIRES)
async def test_a_context_that_is_too_long_is_recognised_on_every_wire(
    wire: str, streaming: bool, model: ProviderModel
) -> None:
    async with ScriptedServer(script(context_window=300)) as server:
        settings = wire_config(wire, server.url, streaming=streaming, max_tokens=100)
        error = await failure(model, request(settings, user("word " * 2000), max_tokens=100))
    assert error.kind == "context_too_long"
    # The Responses API names no figure.
    assert error.context_limit == (None if wire == "responses" else 300)


async def test_a_status_that_no_provider_knows_is_told(model: ProviderModel) -> None:
    reply = Reply(error=HttpError(status=418, body={"error": {"message": "teapot"}}))
    async with ScriptedServer(script(reply)) as server:
        error = await failure(model, request(wire_config("messages", server.url)))
    assert (error.kind, error.status) == ("bad_request", 418)
    assert "teapot" in error.message


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("streaming", [True, False])
async def test_a_server_that_says_nothing_times_out(wire: str, streaming: bool, model: ProviderModel) -> None:
    async with ScriptedServer(fault("slow_first_byte", slow_first_byte_s=60.0)) as server:
        error = await failure(model, request(wire_config(wire, server.url, streaming=streaming, timeout=0.1)))
        assert error.kind == "timeout"
        assert "0.1 s" in error.message
        await server.idle()


@pytest.mark.parametrize("wire", WIRES)
async def test_a_stream_that_stalls_times_out(wire: str, model: ProviderModel) -> None:
    async with ScriptedServer(fault("stall", stall_after_deltas=1)) as server:
        assert (await failure(model, request(wire_config(wire, server.url, timeout=0.1)))).kind == "timeout"
        await server.idle()


@pytest.mark.parametrize("wire", WIRES)
async def test_no_server_at_all_says_to_check_the_address(wire: str, model: ProviderModel) -> None:
    error = await failure(model, request(wire_config(wire, "http://127.0.0.1:1")))
    assert error.kind == "connection"
    assert "base_url" in error.message
    assert "127.0.0.1" in error.message


STRANGE = {
    "web page": events_of("<html>Welcome</html>", content_type="text/html; charset=utf-8"),
    "no JSON": events_of("data: no json\n\n"),
    "no object": events_of("data: [1]\n\n"),
    "another API": events_of('{"unexpected": true}', content_type="application/json"),
    "fields missing": events_of(
        data(type="content_block_delta"), data(type="response.output_text.delta"), data(choices=[1])
    ),
}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("name", STRANGE)
async def test_a_server_of_another_kind_is_told_from_its_answer(wire: str, name: str, model: ProviderModel) -> None:
    async with odd_server(STRANGE[name]) as url:
        error = await failure(model, request(wire_config(wire, url)))
    # What is not understood is not asked for again; a stream of unknown events is one that never came to its end.
    assert error.kind in {"bad_request", "cut_short"}


@pytest.mark.parametrize("wire", WIRES)
async def test_an_error_in_an_answer_of_status_200_is_an_error(wire: str, model: ProviderModel) -> None:
    async def handle(asked: web.BaseRequest) -> web.StreamResponse:
        await asked.read()
        return web.json_response({"error": {"message": "Overloaded", "type": "overloaded_error"}})

    async with odd_server(handle) as url:
        assert (await failure(model, request(wire_config(wire, url)))).kind == "overloaded"


@pytest.mark.parametrize("wire", WIRES)
async def test_a_compressed_stream_is_read(wire: str, model: ProviderModel) -> None:
    async def handle(asked: web.BaseRequest) -> web.StreamResponse:
        await asked.read()
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        response.enable_compression(web.ContentCoding.gzip)
        await response.prepare(asked)
        await response.write("".join(short_answer(wire)).encode())
        await response.write_eof()
        return response

    async with odd_server(handle) as url:
        assert (await ask(model, request(wire_config(wire, url)))).text == "Hello"


@pytest.mark.parametrize("wire", WIRES)
async def test_an_answer_is_whole_though_its_connection_stays_open(wire: str, model: ProviderModel) -> None:
    left = asyncio.Event()

    async def handle(asked: web.BaseRequest) -> web.StreamResponse:
        await asked.read()
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(asked)
        await response.write("".join(short_answer(wire)).encode())
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        return response

    async with odd_server(handle) as url:
        assert (await ask(model, request(wire_config(wire, url)))).text == "Hello"
        await left.wait()
