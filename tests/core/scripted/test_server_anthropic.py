"""The Anthropic wire, spoken by the real SDK: bodies, event order, tool loops, error classes."""

from typing import Any

import anthropic
import pytest

from agent_core.scripted import Engine, Knobs, Mint, Reply, Script, ToolCall, Wire
from tests.core.scripted.bodies import ADD, messages_body, tool_result, tool_use, user
from tests.core.scripted.clients import bench

MODEL: dict[str, Any] = {"model": "claude-scripted", "max_tokens": 4_000}
THINKING: dict[str, Any] = {"thinking": {"type": "enabled", "budget_tokens": 1_024}}
REPLY = Reply(
    thinking="let me see",
    text="Two calls.",
    tool_calls=(ToolCall(name="add", input={"a": 1}), ToolCall(name="add", input={"a": "é😀"})),
)


async def test_a_message_comes_whole() -> None:
    async with bench() as b:
        message = await b.anthropic.messages.create(**MODEL, messages=[{"role": "user", "content": "hello"}])
        assert [block.text for block in message.content if block.type == "text"] == ["You said: hello"]
        assert (message.stop_reason, message.role, message.model) == ("end_turn", "assistant", "claude-scripted")
        assert message.usage.input_tokens > 0
        assert message._request_id is not None
        assert message._request_id.startswith("req_")


async def test_raw_events_come_in_the_published_order() -> None:
    async with bench(brain=lambda _: REPLY) as b:
        b.server.knobs = Knobs(chunk_chars=5)
        stream = await b.anthropic.messages.create(
            **MODEL, **THINKING, messages=[{"role": "user", "content": "go"}], tools=[ADD], stream=True
        )
        events = [event async for event in stream]
    kinds = [
        f"{event.type}:{event.delta.type}" if event.type == "content_block_delta" else event.type for event in events
    ]
    collapsed = [kind for index, kind in enumerate(kinds) if index == 0 or kinds[index - 1] != kind]
    json_block = ["content_block_start", "content_block_delta:input_json_delta", "content_block_stop"]
    assert collapsed == [
        "message_start",
        *["content_block_start", "content_block_delta:thinking_delta"],
        *["content_block_delta:signature_delta", "content_block_stop"],
        *["content_block_start", "content_block_delta:text_delta", "content_block_stop"],
        *json_block,
        *json_block,
        "message_delta",
        "message_stop",
    ]
    indexes = [event.index for event in events if event.type == "content_block_start"]
    assert indexes == [0, 1, 2, 3]


async def test_the_stream_helper_accumulates_what_the_whole_message_would_be() -> None:
    async with bench(brain=lambda _: REPLY) as b:
        ask: dict[str, Any] = {**MODEL, **THINKING, "messages": [{"role": "user", "content": "go"}], "tools": [ADD]}
        whole = await b.anthropic.messages.create(**ask)
        async with b.anthropic.messages.stream(**ask) as stream:
            texts = [text async for text in stream.text_stream]
            final = await stream.get_final_message()
    assert "".join(texts) == "Two calls."
    assert [block.type for block in final.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert [block.input for block in final.content if block.type == "tool_use"] == [{"a": 1}, {"a": "é😀"}]
    assert final.stop_reason == whole.stop_reason == "tool_use"
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert final.usage.input_tokens == whole.usage.input_tokens


async def test_a_tool_loop_with_thinking_runs_without_a_script() -> None:
    async with bench() as b:
        ask: dict[str, Any] = {**MODEL, **THINKING, "tools": [ADD]}
        messages: list[Any] = [{"role": "user", "content": 'call add {"a": 1} then call add {"a": 2}'}]
        for _ in range(2):
            async with b.anthropic.messages.stream(**ask, messages=messages) as stream:
                answer = await stream.get_final_message()
            calls = [block for block in answer.content if block.type == "tool_use"]
            messages.append(answer.to_param())
            messages.append(user([tool_result(call.id, "42") for call in calls]))
        final = await b.anthropic.messages.create(**ask, messages=messages)
        assert final.content[-1].type == "text"
        assert final.content[-1].text == "add returned: 42"
        assert b.server.stats.outcomes == {"answered": 3}


async def test_thinking_that_was_tampered_with_is_a_bad_request() -> None:
    async with bench(brain=lambda _: REPLY) as b:
        answer = await b.anthropic.messages.create(**MODEL, **THINKING, messages=[user("go")], tools=[ADD])
        content = [block.model_dump(exclude_none=True) for block in answer.content]
        content[0]["thinking"] += "!"
        results = user([tool_result(block["id"]) for block in content if block["type"] == "tool_use"])
        ask: list[Any] = [user("go"), {"role": "assistant", "content": content}, results]
        with pytest.raises(anthropic.BadRequestError) as caught:
            await b.anthropic.messages.create(**MODEL, **THINKING, messages=ask, tools=[ADD])
        assert caught.value.type == "invalid_request_error"
        assert caught.value.request_id is not None
        assert b.server.stats.invalid == {"thinking_signature": 1}


async def test_an_unanswered_call_is_a_bad_request() -> None:
    async with bench() as b:
        ask: list[Any] = [user("go"), {"role": "assistant", "content": [tool_use()]}, user("never mind")]
        with pytest.raises(anthropic.BadRequestError, match="without `tool_result` blocks immediately after"):
            await b.anthropic.messages.create(**MODEL, messages=ask, tools=[ADD])
        assert (b.server.requests[-1].outcome, b.server.requests[-1].reason) == ("invalid", "unanswered_tool_use")


async def test_the_sdks_extra_body_cannot_bring_temperature_back() -> None:
    async with bench() as b:
        with pytest.raises(anthropic.BadRequestError, match="temperature: Extra inputs are not permitted"):
            await b.anthropic.messages.create(**MODEL, messages=[user("x")], extra_body={"temperature": 1})


async def test_count_tokens_agrees_with_the_usage() -> None:
    async with bench() as b:
        ask: dict[str, Any] = {"model": "m", "messages": [user("x" * 999)], "tools": [ADD], "system": "be brief"}
        counted = await b.anthropic.messages.count_tokens(**ask)
        answered = await b.anthropic.messages.create(**ask, max_tokens=10)
        assert counted.input_tokens == answered.usage.input_tokens > 250


@pytest.mark.parametrize("stream", [False, True])
async def test_every_stop_reason_reaches_the_client(stream: bool) -> None:
    reasons: list[Any] = [
        "end_turn",
        "tool_use",
        "max_tokens",
        "stop_sequence",
        "pause_turn",
        "refusal",
        "model_context_window_exceeded",
    ]
    replies = iter([Reply(text="x", stop_reason=reason) for reason in reasons])
    async with bench(brain=lambda _: next(replies)) as b:
        got = []
        for _ in reasons:
            if stream:
                async with b.anthropic.messages.stream(**MODEL, messages=[user("x")]) as events:
                    got.append((await events.get_final_message()).stop_reason)
            else:
                got.append((await b.anthropic.messages.create(**MODEL, messages=[user("x")])).stop_reason)
        assert got == reasons


async def test_prompt_caching_is_reported_in_streams_and_bodies() -> None:
    async with bench() as b:
        system: list[Any] = [{"type": "text", "text": "x" * 8_000, "cache_control": {"type": "ephemeral"}}]
        first = await b.anthropic.messages.create(**MODEL, system=system, messages=[user("a")])
        async with b.anthropic.messages.stream(**MODEL, system=system, messages=[user("b")]) as stream:
            second = await stream.get_final_message()
        assert first.usage.cache_creation_input_tokens == 2_000
        assert second.usage.cache_read_input_tokens == 2_000
        assert b.server.stats.cache_read_tokens == 2_000


async def test_malformed_tool_json_arrives_as_it_was_broken() -> None:
    call = Reply(tool_calls=(ToolCall(name="add", input={"a": 1}),), fault="malformed_tool_json")
    async with bench(brain=lambda _: call) as b:
        stream = await b.anthropic.messages.create(**MODEL, messages=[user("x")], tools=[ADD], stream=True)
        parts = [
            event.delta.partial_json
            async for event in stream
            if event.type == "content_block_delta" and event.delta.type == "input_json_delta"
        ]
        assert "".join(parts) == '{"a": 1, "broken": '


async def test_the_models_are_listed_with_their_limits() -> None:
    script = Script.model_validate({"models": {"claude-a": {"context_window": 5, "max_output": 3}}})
    async with bench(script) as b:
        models = [model async for model in await b.anthropic.models.list()]
        assert [(model.id, model.max_input_tokens, model.max_tokens) for model in models] == [("claude-a", 5, 3)]


async def test_an_unknown_model_is_not_found_where_only_the_listed_ones_exist() -> None:
    script = Script.model_validate({"models": {"claude-a": {}}, "only_models": True})
    async with bench(script) as b:
        await b.anthropic.messages.create(model="claude-a", max_tokens=5, messages=[user("x")])
        with pytest.raises(anthropic.NotFoundError, match="model: claude-b"):
            await b.anthropic.messages.create(model="claude-b", max_tokens=5, messages=[user("x")])


def test_the_rendered_stream_is_the_same_without_http() -> None:
    engine = Engine(brain=lambda _: REPLY, mint=Mint("n"))
    frames = engine.frames(engine.answer(Wire.ANTHROPIC, messages_body(stream=True)))
    again = Engine(brain=lambda _: REPLY, mint=Mint("n"))
    assert frames.whole() == again.frames(again.answer(Wire.ANTHROPIC, messages_body(stream=True))).whole()
    assert frames.data[0].startswith("event: message_start\ndata: {")
    assert frames.data[-1] == 'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    assert frames.data[2] == 'event: ping\ndata: {"type":"ping"}\n\n'
