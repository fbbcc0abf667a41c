"""HTTP around the wires: keys, versions, JSON, sizes, unknown paths, the control paths and the record."""

import asyncio
import io
import socket
from typing import Any

import aiohttp
import anthropic
import openai
import pytest

from agent_core.scripted import Fault, Knobs, Reply, Rule, Script, WireError
from agent_core.scripted.record import Recorder
from agent_core.scripted.server import ScriptedServer
from agent_core.scripted.wire import Wire
from tests.core.scripted.bodies import chat_body, messages_body, responses_body, user
from tests.core.scripted.clients import bench

VERSION = {"anthropic-version": "2023-06-01"}
HI: list[Any] = [user("hi")]


async def test_a_wrong_key_is_refused_in_each_providers_words() -> None:
    async with bench(Script(api_keys=("sk-right",))) as b:
        with pytest.raises(anthropic.AuthenticationError) as one:
            await b.anthropic.messages.create(model="m", max_tokens=9, messages=HI)
        assert (one.value.type, one.value.api_message) == ("authentication_error", "invalid x-api-key")
        with pytest.raises(openai.AuthenticationError) as two:
            await b.openai.responses.create(model="m", input="x")
        assert two.value.code == "invalid_api_key"
        assert "sk-test-0123456789" not in str(two.value)
        assert b.server.stats.invalid == {"invalid_key": 2}


async def test_the_right_key_is_let_in_by_either_header() -> None:
    async with bench(Script(api_keys=("sk-right",)), key="sk-right") as b:
        await b.anthropic.messages.create(model="m", max_tokens=9, messages=HI)
        await b.openai.chat.completions.create(model="m", messages=HI)
        headers = VERSION | {"Authorization": "Bearer sk-right"}
        async with b.http.post("/v1/messages", json=messages_body(), headers=headers) as answer:
            assert answer.status == 200


@pytest.mark.parametrize(
    ("path", "kind"), [("/v1/messages", "authentication_error"), ("/v1/responses", "invalid_request_error")]
)
async def test_a_missing_key_is_refused(path: str, kind: str) -> None:
    async with bench(Script(api_keys=("sk-right",))) as b, b.http.post(path, json={}) as answer:
        assert answer.status == 401
        assert (await answer.json())["error"]["type"] == kind


async def test_anthropic_asks_for_its_version_header() -> None:
    async with bench() as b, b.http.post("/v1/messages", json=messages_body()) as answer:
        body = await answer.json()
        assert answer.status == 400
        assert body["error"]["message"] == "anthropic-version: header is required"
        assert body["request_id"] == answer.headers["request-id"]


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions", "/v1/responses"])
@pytest.mark.parametrize("raw", ["{", "[]", "", '"x"'])
async def test_what_is_no_json_object_is_refused(path: str, raw: str) -> None:
    async with bench() as b, b.http.post(path, data=raw, headers=VERSION) as answer:
        assert answer.status == 400
        assert "JSON" in (await answer.json())["error"]["message"]
        assert b.server.stats.invalid == {"bad_json": 1}


async def test_a_body_above_32_megabytes_is_refused() -> None:
    large = io.BytesIO(b"x" * (32 * 1024 * 1024 + 1))
    async with bench() as b, b.http.post("/v1/messages", data=large, headers=VERSION) as answer:
        assert answer.status == 413
        assert (await answer.json())["error"]["type"] == "request_too_large"


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
async def test_only_post_asks_a_model(path: str) -> None:
    async with bench() as b, b.http.get(path) as answer:
        assert answer.status == 405


async def test_an_unknown_path_is_not_found_in_each_providers_words() -> None:
    async with bench() as b:
        async with b.http.post("/v1/embeddings", json={}) as answer:
            assert answer.status == 404
            assert (await answer.json())["error"]["message"] == "Invalid URL (POST /v1/embeddings)"
        async with b.http.post("/v1/complete", json={}, headers=VERSION) as answer:
            assert (await answer.json())["error"]["type"] == "not_found_error"
        assert b.server.stats.requests == 0


async def test_health_is_ok() -> None:
    async with bench() as b, b.http.get("/health") as answer:
        assert await answer.json() == {"status": "ok"}


async def test_knobs_are_turned_and_restored_over_http() -> None:
    async with bench(Script(knobs=Knobs(chunk_chars=7))) as b:
        async with b.http.post("/scripted/knobs", json={"faults": {"server_error": {"next": 1}}}) as answer:
            knobs = await answer.json()
            assert (knobs["chunk_chars"], knobs["faults"]["server_error"]["next"]) == (7, 1)
        with pytest.raises(openai.InternalServerError):
            await b.openai.responses.create(model="m", input="x")
        await b.openai.responses.create(model="m", input="x")
        async with b.http.delete("/scripted/knobs") as answer:
            assert (await answer.json())["faults"] == {}
        async with b.http.get("/scripted/knobs") as answer:
            assert (await answer.json())["chunk_chars"] == 7


@pytest.mark.parametrize(("raw", "told"), [("{", "JSON"), ('{"latency": 1}', "latency"), ('{"deltas": 0}', "deltas")])
async def test_a_wrong_knob_is_told_by_name_and_changes_nothing(raw: str, told: str) -> None:
    async with bench() as b, b.http.post("/scripted/knobs", data=raw) as answer:
        assert answer.status == 400
        assert told in (await answer.json())["error"]["message"]
        assert b.server.knobs == Knobs()


async def test_requests_and_stats_tell_what_was_seen_and_no_key() -> None:
    async with bench(key="sk-secret-0123456789") as b:
        ask = messages_body(user("a"), user("b"), metadata={"user_id": "s1"})
        await b.anthropic.messages.create(**ask)
        await b.openai.responses.create(model="gpt", input="x")
        async with b.http.get("/scripted/requests") as answer:
            raw = await answer.text()
            first, second = (await answer.json())["requests"]
        async with b.http.get("/scripted/requests?last=1") as answer:
            assert (await answer.json())["requests"] == [second]
        async with b.http.get("/scripted/stats") as answer:
            stats = await answer.json()
    assert (first["wire"], first["session"], first["body"], first["status"]) == ("anthropic", "s1", ask, 200)
    assert (second["wire"], second["model"], second["outcome"]) == ("responses", "gpt", "answered")
    assert "sk-secret" not in raw
    assert (stats["requests"], stats["by_wire"]) == (2, {"anthropic": 1, "responses": 1})
    assert stats["notices"] == {"consecutive_same_role": 1}


async def test_the_record_may_be_reset() -> None:
    async with bench() as b:
        await b.openai.responses.create(model="gpt", input="x")
        async with b.http.post("/scripted/reset") as answer:
            assert (await answer.json())["requests"] == 0
        assert b.server.requests == []


async def test_stalls_are_released_over_http() -> None:
    script = Script(knobs=Knobs(faults={"stall": Fault(next=1)}))
    async with bench(script) as b, asyncio.TaskGroup() as group:
        task = group.create_task(b.openai.responses.create(model="m", input="x"))
        await b.server.stalled()
        async with b.http.post("/scripted/release") as answer:
            assert await answer.json() == {"released": 1}
        assert (await task).output_text == "You said: x"


async def test_a_brain_may_refuse_in_the_providers_words() -> None:
    def brain(_: object) -> Reply:
        raise WireError(402, {"type": "error", "error": {"type": "billing_error", "message": "pay"}}, "unpaid")

    async with bench(brain=brain) as b:
        with pytest.raises(anthropic.APIStatusError, match="pay"):
            await b.anthropic.messages.create(model="m", max_tokens=9, messages=HI)


async def test_a_brain_that_crashes_is_a_server_error_and_told_apart() -> None:
    def brain(_: object) -> Reply:
        raise ZeroDivisionError

    async with bench(brain=brain) as b:
        with pytest.raises(anthropic.InternalServerError):
            await b.anthropic.messages.create(model="m", max_tokens=9, messages=HI)
        assert b.server.stats.outcomes == {"crashed": 1}


@pytest.mark.parametrize("body", [messages_body(), chat_body(), responses_body()])
async def test_a_streaming_answer_is_an_event_stream(body: dict[str, Any]) -> None:
    path = "/v1/responses" if "input" in body else "/v1/messages" if "max_tokens" in body else "/v1/chat/completions"
    async with bench() as b, b.http.post(path, json=body | {"stream": True}, headers=VERSION) as answer:
        assert answer.content_type == "text/event-stream"
        assert (await answer.text()).endswith("\n\n")


async def test_connections_are_kept_alive() -> None:
    made: list[object] = []

    async def count(*event: object) -> None:
        made.append(event)

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(count)
    async with bench() as b, aiohttp.ClientSession(b.server.url, trace_configs=[trace]) as session:
        for stream in (True, False, True):
            async with session.post("/v1/responses", json=responses_body(stream=stream)) as answer:
                await answer.read()
    assert len(made) == 1


async def test_a_port_in_use_is_an_os_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="address already in use"):
            await ScriptedServer(port=taken.getsockname()[1]).__aenter__()


def test_a_server_that_does_not_run_has_no_address() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        _ = ScriptedServer().url


async def test_the_ring_is_bounded_by_number_and_by_bytes() -> None:
    recorder = Recorder(maximum=3, maximum_bytes=10)
    for size in (1, 1, 1, 1):
        recorder.end(recorder.begin(Wire.CHAT, "/", b"x" * size, {}), "answered")
    assert [record.number for record in recorder.requests] == [2, 3, 4]
    recorder.begin(Wire.CHAT, "/", b"x" * 9, {})
    assert [record.number for record in recorder.requests] == [4, 5]
    recorder.begin(Wire.CHAT, "/", b"x" * 99, {})
    assert [record.number for record in recorder.requests] == [6]


async def test_many_sessions_are_served_at_once() -> None:
    rule = Rule(replies=(Reply(text="{{session}}"),))
    async with bench(Script(rules=(rule,))) as b:

        async def ask(tag: str) -> str:
            answer = await b.anthropic.messages.create(model="m", max_tokens=9, messages=HI, metadata={"user_id": tag})
            return "".join(block.text for block in answer.content if block.type == "text")

        tags = [f"s{number}" for number in range(50)]
        assert await asyncio.gather(*(ask(tag) for tag in tags)) == tags
