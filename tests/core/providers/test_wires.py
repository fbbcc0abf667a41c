"""Every wire over real HTTP with the real SDKs, against a server that validates as the providers do."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from agent_core.content import TextBlock, ThinkingBlock, ToolUseBlock
from agent_core.ports import TextDelta, ThinkingDelta, ToolUseDelta
from agent_core.providers.retry import RetryingModel
from agent_core.scripted import Knobs, Match, Reply, Rule, Script, ToolCall, UsageOverride
from agent_core.scripted.server import ScriptedServer
from tests.core.providers.making import (
    ADD,
    KEY,
    MODELS,
    ask,
    assistant,
    odd_server,
    provider_model,
    request,
    result,
    short_answer,
    user,
    wire_config,
)

WIRES = sorted(MODELS)
TWO_CALLS = Reply(
    text="Let me add these.",
    thinking="Two sums, side by side.",
    tool_calls=(ToolCall(name="add", input={"a": 1}), ToolCall(name="add", input={"a": 2})),
)


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
async def model() -> AsyncIterator[RetryingModel]:
    async with provider_model() as made:
        yield made


def script(*replies: Reply, **fields: Any) -> Script:
    return Script(rules=(Rule(replies=replies, repeat="last"),), **fields)


def tool_script() -> Script:
    again = Rule(
        match=Match(has_tool_result=True), replies=(Reply(text="The sums are {{results}}.", thinking="Good."),)
    )
    return Script(rules=(again, Rule(replies=(TWO_CALLS,))))


@pytest.mark.parametrize("wire", WIRES)
async def test_s07_streamed_and_whole_answers_give_the_same_blocks_usage_and_end(
    wire: str, model: RetryingModel
) -> None:
    answers = []
    for streaming in (True, False):
        async with ScriptedServer(script(TWO_CALLS, knobs=Knobs(deltas=3))) as server:
            thinking = {"thinking": {"effort": "high"}} if wire != "chat" else {}
            asked = request(wire_config(wire, server.url, streaming=streaming, **thinking), user("go"), tools=[ADD])
            answers.append(await ask(model, asked))
    streamed, whole = answers
    assert [_without_id(block) for block in streamed.blocks] == [_without_id(block) for block in whole.blocks]
    assert streamed.usage == whole.usage
    assert streamed.usage.input_tokens > 0
    assert streamed.usage.output_tokens > 0
    assert streamed.stop == whole.stop == "tool_use"
    assert streamed.kinds[0] == whole.kinds[0] == "ResponseStarted"
    assert streamed.kinds[-1] == whole.kinds[-1] == "ResponseStopped"


def _without_id(block: TextBlock | ThinkingBlock | ToolUseBlock) -> dict[str, Any]:
    # Ids and what is signed with them differ from answer to answer.
    return block.model_dump(exclude={"id", "item_id", "signature"})


@pytest.mark.parametrize("wire", WIRES)
async def test_s07_a_whole_answer_is_one_delta_a_block(wire: str, model: RetryingModel) -> None:
    async with ScriptedServer(script(TWO_CALLS)) as server:
        answer = await ask(model, request(wire_config(wire, server.url, streaming=False), tools=[ADD]))
    indices = [event.index for event in answer.events if isinstance(event, (TextDelta, ThinkingDelta, ToolUseDelta))]
    assert indices == sorted(set(indices))


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("wire", WIRES)
async def test_s10_the_results_of_a_batch_go_back_and_the_loop_goes_on(
    wire: str, streaming: bool, model: RetryingModel
) -> None:
    async with ScriptedServer(tool_script()) as server:
        thinking = {"thinking": {"effort": "low"}} if wire != "chat" else {}
        settings = wire_config(wire, server.url, streaming=streaming, **thinking)
        first = await ask(model, request(settings, user("add"), tools=[ADD]))
        assert [used.input for used in first.calls] == [{"a": 1}, {"a": 2}]
        messages = (
            user("add"),
            assistant(*first.blocks, provider=settings.provider),
            user(result(first.calls[0].id, "3"), result(first.calls[1].id, "4")),
        )
        second = await ask(model, request(settings, *messages, tools=[ADD], system="Add."))
        assert second.text == "The sums are 3\n4."
        assert second.stop == "end_turn"
        assert server.stats.invalid == {}


async def test_s11_thinking_comes_back_with_its_signature_and_is_accepted(model: RetryingModel) -> None:
    reply = Reply(text="So.", thinking="Hm.", redacted_thinking="secret", tool_calls=(ToolCall(name="add"),))
    async with ScriptedServer(script(reply, Reply(text="done"))) as server:
        settings = wire_config("messages", server.url, max_tokens=4000, thinking={"budget_tokens": 2000})
        first = await ask(model, request(settings, tools=[ADD], max_tokens=4000))
        thinking = [block for block in first.blocks if isinstance(block, ThinkingBlock)]
        assert thinking[0].signature
        assert thinking[0].provider == "anthropic"
        messages = (user("hi"), assistant(*first.blocks), user(result(first.calls[0].id)))
        second = await ask(model, request(settings, *messages, tools=[ADD], max_tokens=4000))
        assert second.text == "done"


async def test_reasoning_items_are_carried_over_without_anything_being_stored(model: RetryingModel) -> None:
    async with ScriptedServer(tool_script()) as server:
        settings = wire_config("responses", server.url, thinking={"effort": "high"})
        first = await ask(model, request(settings, tools=[ADD]))
        (thinking,) = [block for block in first.blocks if isinstance(block, ThinkingBlock)]
        assert thinking.thinking == "Two sums, side by side."
        assert thinking.item_id
        assert thinking.signature
        messages = (
            user("hi"),
            assistant(*first.blocks, provider="openai"),
            user(*(result(used.id) for used in first.calls)),
        )
        await ask(model, request(settings, *messages, tools=[ADD]))
        body = server.requests[-1].body
        assert body["store"] is False
        assert body["include"] == ["reasoning.encrypted_content"]
        (item,) = [item for item in body["input"] if item["type"] == "reasoning"]
        assert item["id"] == thinking.item_id
        assert item["encrypted_content"] == thinking.signature


@pytest.mark.parametrize(
    ("wire", "given", "meant"),
    [
        ("messages", "end_turn", "end_turn"),
        ("messages", "max_tokens", "max_tokens"),
        ("messages", "stop_sequence", "stop_sequence"),
        ("messages", "pause_turn", "pause_turn"),
        ("messages", "refusal", "refusal"),
        ("messages", "model_context_window_exceeded", "context_exceeded"),
        ("responses", "end_turn", "end_turn"),
        ("responses", "max_tokens", "max_tokens"),
        ("responses", "refusal", "refusal"),
        ("responses", "content_filter", "refusal"),
        ("chat", "end_turn", "end_turn"),
        ("chat", "max_tokens", "max_tokens"),
        ("chat", "refusal", "refusal"),
        ("chat", "content_filter", "refusal"),
    ],
)
@pytest.mark.parametrize("streaming", [True, False])
async def test_s33_every_stop_reason_has_its_meaning(
    wire: str, given: Any, meant: str, streaming: bool, model: RetryingModel
) -> None:
    async with ScriptedServer(script(Reply(text="Well.", stop_reason=given))) as server:
        answer = await ask(model, request(wire_config(wire, server.url, streaming=streaming)))
    assert answer.stop == meant
    assert answer.text == "Well."


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("wire", WIRES)
async def test_s12_cached_tokens_are_counted_apart_from_input(wire: str, streaming: bool, model: RetryingModel) -> None:
    usage = UsageOverride(input_tokens=100, output_tokens=7, cache_read_tokens=60, cache_write_tokens=0)
    async with ScriptedServer(script(Reply(text="ok", usage=usage))) as server:
        answer = await ask(model, request(wire_config(wire, server.url, streaming=streaming)))
    assert answer.usage.cache_read_tokens == 60
    # Anthropic's input leaves the cached tokens out, OpenAI's has them in.
    assert answer.usage.input_tokens == (100 if wire == "messages" else 40)
    assert answer.usage.output_tokens == 7


async def test_the_prompt_cache_is_read_at_the_second_step(model: RetryingModel) -> None:
    async with ScriptedServer(script(TWO_CALLS, Reply(text="ok"), cache_minimum=16)) as server:
        settings = wire_config("messages", server.url)
        system = "You add numbers, and you add them well. " * 20
        first = await ask(model, request(settings, tools=[ADD], system=system))
        assert first.usage.cache_write_tokens > 0
        results = user(*(result(used.id) for used in first.calls))
        messages = (user("hi"), assistant(*first.blocks), results)
        second = await ask(model, request(settings, *messages, tools=[ADD], system=system))
        assert second.usage.cache_read_tokens >= first.usage.cache_write_tokens


# A whole Messages answer carries its input as an object, so that it cannot be broken.
@pytest.mark.parametrize(
    ("wire", "streaming"),
    [("messages", True), ("responses", True), ("responses", False), ("chat", True), ("chat", False)],
)
async def test_s09_broken_tool_input_is_kept_as_it_came(wire: str, streaming: bool, model: RetryingModel) -> None:
    reply = Reply(tool_calls=(ToolCall(name="add", raw_input='{"a": '),))
    async with ScriptedServer(script(reply)) as server:
        answer = await ask(model, request(wire_config(wire, server.url, streaming=streaming), tools=[ADD]))
    (used,) = answer.calls
    assert used.input == {}
    assert used.input_error is not None
    assert used.raw_input == '{"a": '


@pytest.mark.parametrize("wire", WIRES)
async def test_a_connection_is_used_again_though_its_answer_ends_before_its_body(
    wire: str, model: RetryingModel
) -> None:
    peers: list[object] = []

    async def late_end(asked: web.BaseRequest) -> web.StreamResponse:
        await asked.read()
        assert asked.transport is not None
        peers.append(asked.transport.get_extra_info("peername"))
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(asked)
        await response.write("".join(short_answer(wire)).encode())
        # Well below what is waited for, and enough for the end to be a packet of its own.
        await asyncio.sleep(0.02)
        await response.write_eof()
        return response

    async with odd_server(late_end) as url:
        for _ in range(4):
            assert (await ask(model, request(wire_config(wire, url)))).text == "Hello"
    assert len(peers) == 4
    assert len(set(peers)) == 1
