"""The two OpenAI wires, spoken by the real SDK: bodies, chunk and event order, tool loops, error classes."""

from typing import Any

import openai
import pytest

from agent_core.scripted import Knobs, Reply, Script, ToolCall
from tests.core.scripted.bodies import CHAT_ADD, RESPONSES_ADD, chat_call, chat_result, function_call, user
from tests.core.scripted.clients import bench

REPLY = Reply(
    thinking="let me see",
    text="Two calls.",
    tool_calls=(ToolCall(name="add", input={"a": 1}), ToolCall(name="add", input={"a": "é😀"})),
)
REASONING: dict[str, Any] = {
    "reasoning": {"effort": "low", "summary": "auto"},
    "include": ["reasoning.encrypted_content"],
    "store": False,
}


async def test_a_chat_completion_comes_whole() -> None:
    async with bench() as b:
        answer = await b.openai.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}])
        assert answer.choices[0].message.content == "You said: hello"
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage is not None
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
        assert (answer._request_id or "").startswith("req_")


async def test_chat_chunks_come_in_the_published_order() -> None:
    async with bench(brain=lambda _: REPLY) as b:
        stream = await b.openai.chat.completions.create(model="m", messages=[user("x")], tools=[CHAT_ADD], stream=True)
        chunks = [chunk async for chunk in stream]
    assert all(chunk.usage is None for chunk in chunks)
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert deltas[0].role == "assistant"
    assert "".join(delta.content or "" for delta in deltas) == "Two calls."
    calls = [call for delta in deltas for call in delta.tool_calls or ()]
    assert [call.index for call in calls if call.id] == [0, 1]
    named = [call for call in calls if call.function and call.function.name]
    assert [call.function.arguments for call in named if call.function] == ["", ""]
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "tool_calls"
    assert len({chunk.id for chunk in chunks}) == 1


@pytest.mark.parametrize("options", [None, {"include_usage": True}, {"include_usage": False}])
async def test_chat_usage_is_streamed_only_when_asked_for(options: Any) -> None:
    async with bench() as b:
        extra = {} if options is None else {"stream_options": options}
        stream = await b.openai.chat.completions.create(model="m", messages=[user("x")], stream=True, **extra)
        chunks = [chunk async for chunk in stream]
    reported = [chunk for chunk in chunks if chunk.usage is not None]
    if options == {"include_usage": True}:
        assert reported == chunks[-1:]
        assert chunks[-1].choices == []
    else:
        assert reported == []


async def test_the_chat_stream_helper_accumulates_parallel_calls() -> None:
    async with (
        bench(brain=lambda _: REPLY) as b,
        b.openai.chat.completions.stream(model="m", messages=[user("x")], tools=[CHAT_ADD]) as stream,
    ):
        final = await stream.get_final_completion()
    calls = final.choices[0].message.tool_calls or []
    assert [call.function.arguments for call in calls] == ['{"a": 1}', '{"a": "é😀"}']


async def test_a_chat_tool_loop_runs_without_a_script() -> None:
    async with bench() as b:
        messages: list[Any] = [user('call add {"a": 1} call add {"a": 2}')]
        answer = await b.openai.chat.completions.create(model="m", messages=messages, tools=[CHAT_ADD])
        message = answer.choices[0].message
        messages.append(message.model_dump(exclude_none=True, exclude={"annotations"}))
        messages.extend(chat_result(call.id) for call in message.tool_calls or ())
        final = await b.openai.chat.completions.create(model="m", messages=messages, tools=[CHAT_ADD])
        assert final.choices[0].message.content == "add returned: 3\nadd returned: 3"


async def test_an_unanswered_chat_call_is_a_bad_request() -> None:
    async with bench() as b:
        with pytest.raises(openai.BadRequestError) as caught:
            await b.openai.chat.completions.create(model="m", messages=[user("x"), chat_call("c1")])
        assert caught.value.param == "messages.[2].role"
        assert caught.value.request_id is not None
        assert b.server.stats.invalid == {"unanswered_tool_use": 1}


async def test_a_response_comes_whole() -> None:
    async with bench() as b:
        answer = await b.openai.responses.create(model="m", input="hello")
        assert (answer.output_text, answer.status) == ("You said: hello", "completed")
        assert answer.usage is not None
        assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens


async def test_response_events_come_in_the_published_order_and_are_numbered() -> None:
    async with bench(brain=lambda _: REPLY) as b:
        stream = await b.openai.responses.create(model="m", input="x", tools=[RESPONSES_ADD], stream=True, **REASONING)
        events = [event async for event in stream]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type.removeprefix("response.") for event in events]
    collapsed = [kind for index, kind in enumerate(kinds) if index == 0 or kinds[index - 1] != kind]
    call = ["output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done"]
    summary = [f"reasoning_summary_{kind}" for kind in ("part.added", "text.delta", "text.done", "part.done")]
    text = ["content_part.added", "output_text.delta", "output_text.done", "content_part.done"]
    assert collapsed == [
        *["created", "in_progress"],
        *["output_item.added", *summary, "output_item.done"],
        *["output_item.added", *text, "output_item.done"],
        *call,
        *call,
        "completed",
    ]
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.usage is not None


async def test_the_responses_helper_accumulates_what_the_whole_response_would_be() -> None:
    async with bench(brain=lambda _: REPLY) as b:
        b.server.knobs = Knobs(chunk_chars=3)
        whole = await b.openai.responses.create(model="m", input="x", tools=[RESPONSES_ADD], **REASONING)
        async with b.openai.responses.stream(model="m", input="x", tools=[RESPONSES_ADD], **REASONING) as stream:
            final = await stream.get_final_response()
    assert [item.type for item in final.output] == [item.type for item in whole.output]
    arguments = [item.arguments for item in final.output if item.type == "function_call"]
    assert arguments == ['{"a": 1}', '{"a": "é😀"}']
    assert final.usage == whole.usage


async def test_a_stateless_tool_loop_with_reasoning_runs_without_a_script() -> None:
    async with bench() as b:
        items: list[Any] = [user('call add {"a": 1}')]
        answer = await b.openai.responses.create(model="m", input=items, tools=[RESPONSES_ADD], **REASONING)
        items += [item.model_dump(exclude_none=True) for item in answer.output]
        call_id = next(item.call_id for item in answer.output if item.type == "function_call")
        items.append({"type": "function_call_output", "call_id": call_id, "output": "42"})
        final = await b.openai.responses.create(model="m", input=items, tools=[RESPONSES_ADD], **REASONING)
        assert final.output_text == "add returned: 42"


@pytest.mark.parametrize(
    ("drop", "error"),
    [("reasoning", openai.BadRequestError), ("encrypted_content", openai.NotFoundError)],
)
async def test_reasoning_that_does_not_come_back_whole_is_refused(drop: str, error: type[Exception]) -> None:
    async with bench() as b:
        answer = await b.openai.responses.create(model="m", input="hello", **REASONING)
        items: list[Any] = [item.model_dump(exclude_none=True) for item in answer.output]
        if drop == "reasoning":
            items = items[1:]
        else:
            del items[0]["encrypted_content"]
        with pytest.raises(error):
            await b.openai.responses.create(model="m", input=[*items, user("go on")], **REASONING)


@pytest.mark.parametrize(
    ("reason", "status", "event"),
    [
        ("max_tokens", "incomplete", "response.incomplete"),
        ("content_filter", "incomplete", "response.incomplete"),
        ("end_turn", "completed", "response.completed"),
        ("refusal", "completed", "response.completed"),
    ],
)
async def test_the_last_response_event_says_how_it_ended(reason: Any, status: str, event: str) -> None:
    async with bench(brain=lambda _: Reply(text="x", stop_reason=reason)) as b:
        stream = await b.openai.responses.create(model="m", input="x", stream=True)
        events = [event async for event in stream]
    last: Any = events[-1]
    assert (last.type, last.response.status) == (event, status)
    refusals = [item for item in events if item.type == "response.refusal.delta"]
    assert bool(refusals) is (reason == "refusal")


async def test_an_unanswered_function_call_is_a_bad_request() -> None:
    async with bench() as b:
        items: list[Any] = [user("x"), function_call()]
        with pytest.raises(openai.BadRequestError, match="No tool output found for function call c1"):
            await b.openai.responses.create(model="m", input=items)


async def test_a_context_that_is_too_long_is_told_by_its_code_on_both_wires() -> None:
    async with bench(Script.model_validate({"default_limits": {"context_window": 50}})) as b:
        with pytest.raises(openai.BadRequestError) as chat:
            await b.openai.chat.completions.create(model="m", messages=[user("x" * 400)])
        with pytest.raises(openai.BadRequestError) as responses:
            await b.openai.responses.create(model="m", input="x" * 400)
        assert chat.value.code == responses.value.code == "context_length_exceeded"


async def test_chat_streams_thinking_in_the_field_that_local_servers_use() -> None:
    script = Script(chat_reasoning_field="reasoning_content")
    async with bench(script, brain=lambda _: Reply(thinking="hm", text="x")) as b:
        stream = await b.openai.chat.completions.create(model="m", messages=[user("x")], stream=True)
        extras = [chunk.choices[0].delta.model_extra or {} async for chunk in stream]
    assert [extra["reasoning_content"] for extra in extras if "reasoning_content" in extra] == ["hm"]


async def test_the_models_are_listed() -> None:
    async with bench(Script.model_validate({"models": {"gpt-a": {}}})) as b:
        assert [model.id async for model in b.openai.models.list()] == ["gpt-a"]


async def test_an_unknown_model_is_not_found_where_only_the_listed_ones_exist() -> None:
    async with bench(Script.model_validate({"models": {"gpt-a": {}}, "only_models": True})) as b:
        with pytest.raises(openai.NotFoundError) as caught:
            await b.openai.responses.create(model="gpt-b", input="x")
        assert caught.value.code == "model_not_found"
