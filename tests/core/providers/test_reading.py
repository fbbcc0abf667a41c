"""What lesser servers send, and what the real ones may: answers are read all the same. Over HTTP, on each wire."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from agent_core.clock import SystemClock
from agent_core.content import TextBlock, ThinkingBlock, ToolUseBlock
from agent_core.messages import Usage
from agent_core.ports import ResponseStarted, ToolUseDelta
from agent_core.providers.dispatch import ProviderModel
from tests.core.providers.making import (
    DONE,
    Answer,
    ask,
    chunk,
    config,
    data,
    events_of,
    odd_server,
    request,
    wire_config,
)


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a-key")
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")


@pytest.fixture
async def model() -> AsyncIterator[ProviderModel]:
    made = ProviderModel(SystemClock())
    yield made
    await made.aclose()


async def answer_to(model: ProviderModel, *lines: str | bytes, wire: str = "chat", **fields: Any) -> Answer:
    async with odd_server(events_of(*lines)) as url:
        return await ask(model, request(wire_config(wire, url, **fields)))


def tool_calls(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"tool_calls": list(calls)}


def function(name: str | None = None, arguments: Any = "", **fields: Any) -> dict[str, Any]:
    named = {"arguments": arguments} | ({"name": name} if name else {})
    return fields | {"function": named}


# --- Chat ----------------------------------------------------------------------------------------------------------


async def test_chat_without_usage_ids_or_model_is_read(model: ProviderModel) -> None:
    answer = await answer_to(model, data(choices=[{"delta": {"content": "Hello"}, "finish_reason": "stop"}]), DONE)
    assert answer.text == "Hello"
    assert answer.kinds == ["ResponseStarted", "TextDelta", "ResponseStopped"]


async def test_chat_without_its_closing_mark_is_whole_once_it_says_why_it_ended(model: ProviderModel) -> None:
    assert (await answer_to(model, chunk({"content": "Hello"}, "stop"))).stop == "end_turn"


async def test_chat_without_a_finish_reason_is_whole_once_it_says_that_it_is_done(model: ProviderModel) -> None:
    assert (await answer_to(model, chunk({"content": "Hello"}), DONE)).stop == "end_turn"


async def test_chat_that_stops_with_calls_means_to_use_tools(model: ProviderModel) -> None:
    call = function("add", "{}", index=0, id="a")
    assert (await answer_to(model, chunk(tool_calls(call)), chunk({}, "stop"), DONE)).stop == "tool_use"


async def test_chat_usage_in_any_chunk_is_read(model: ProviderModel) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}
    last = data(choices=[], usage=usage)
    early = await answer_to(model, chunk({"content": "Hi"}, "stop", usage=usage), DONE)
    late = await answer_to(model, chunk({"content": "Hi"}, "stop", usage=None), last, DONE)
    assert early.usage == late.usage == Usage(input_tokens=6, cache_read_tokens=4, output_tokens=3)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_chat_reasoning_comes_under_two_names(field: str, model: ProviderModel) -> None:
    answer = await answer_to(
        model, chunk({field: "Hm, "}), chunk({field: "so."}), chunk({"content": "Yes."}), chunk({}, "stop"), DONE
    )
    assert answer.blocks == (ThinkingBlock(thinking="Hm, so.", provider="openai"), TextBlock(text="Yes."))


# Each is two parallel calls, add(a=1) and add(a=2), as some server sends them.
PARALLEL = {
    "indexed": [
        chunk(tool_calls(function("add", index=0, id="a"))),
        chunk(tool_calls(function(None, '{"a": 1}', index=0))),
        chunk(tool_calls(function("add", index=1, id="b"))),
        chunk(tool_calls(function(None, '{"a": 2}', index=1))),
    ],
    "interleaved": [
        chunk(tool_calls(function("add", '{"a"', index=0, id="a"), function("add", '{"a"', index=1, id="b"))),
        chunk(tool_calls(function(None, ": 2}", index=1), function(None, ": 1}", index=0))),
    ],
    "index always 0": [
        chunk(tool_calls(function("add", '{"a": 1}', index=0, id="a"))),
        chunk(tool_calls(function("add", '{"a": 2}', index=0, id="b"))),
    ],
    "id repeated": [
        chunk(tool_calls(function("add", '{"a"', index=0, id="a"))),
        chunk(tool_calls(function("add", ": 1}", index=0, id="a"))),
        chunk(tool_calls(function("add", '{"a": 2}', index=1, id="b"))),
    ],
    "no index": [
        chunk(tool_calls(function("add", '{"a"', id="a"))),
        chunk(tool_calls(function(None, ": 1}"))),
        chunk(tool_calls(function("add", '{"a": 2}', id="b"))),
    ],
    "no index, all at once": [
        chunk(tool_calls(function("add", '{"a": 1}', id="a"), function("add", '{"a": 2}', id="b"))),
    ],
    "no index, no id": [
        chunk(tool_calls(function("add", '{"a": 1}'))),
        chunk(tool_calls(function("add", '{"a": 2}'))),
    ],
    "arguments as objects": [
        chunk(tool_calls(function("add", {"a": 1}, index=0, id="a"), function("add", {"a": 2}, index=1, id="b"))),
    ],
}


@pytest.mark.parametrize("shape", PARALLEL)
async def test_chat_calls_are_told_apart_however_they_are_numbered(shape: str, model: ProviderModel) -> None:
    answer = await answer_to(model, *PARALLEL[shape], chunk({}, "tool_calls"), DONE)
    assert [(call.name, call.input) for call in answer.calls] == [("add", {"a": 1}), ("add", {"a": 2})]
    assert len({call.id for call in answer.calls}) == 2


async def test_s11_chat_blocks_keep_their_order(model: ProviderModel) -> None:
    call = function("add", "{}", index=0, id="a")
    answer = await answer_to(
        model, chunk({"content": "First."}), chunk(tool_calls(call)), chunk({"content": "After."}), chunk({}, "stop")
    )
    assert [type(block) for block in answer.blocks] == [TextBlock, ToolUseBlock, TextBlock]


async def test_chat_text_in_parts_is_read(model: ProviderModel) -> None:
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    assert (await answer_to(model, chunk({"content": parts}, "stop"))).text == "Hello"


async def test_s33_chat_tells_a_stop_sequence_where_the_server_does(model: ProviderModel) -> None:
    choice = {"index": 0, "delta": {"content": "Hello"}, "finish_reason": "stop", "stop_reason": "END"}
    answer = await answer_to(model, data(choices=[choice]), DONE, stop_sequences=("END",))
    assert answer.stop == "stop_sequence"


async def test_an_error_after_the_answer_began_is_not_taken_for_its_end(model: ProviderModel) -> None:
    with pytest.raises(Exception, match="out of memory"):
        await answer_to(model, chunk({"content": "Hel"}), data(error={"message": "out of memory", "code": 500}), DONE)


async def test_a_server_that_does_not_stream_though_asked_is_read(model: ProviderModel) -> None:
    body = data(choices=[{"message": {"content": "Hello"}, "finish_reason": "stop"}]).removeprefix("data: ")
    async with odd_server(events_of(body, content_type="application/json")) as url:
        assert (await ask(model, request(wire_config("chat", url)))).text == "Hello"


async def test_a_character_cut_in_two_does_not_break_an_answer(model: ProviderModel) -> None:
    cut = b'data: {"choices":[{"delta":{"content":"Hi \\ud83d"}}]}\n\n'
    answer = await answer_to(model, cut, chunk({}, "stop"), DONE)
    assert answer.text == "Hi \ufffd"


# --- Messages ------------------------------------------------------------------------------------------------------


def message(*events: dict[str, Any], stop: str | None = "end_turn") -> list[str]:
    return [
        data(
            type="message_start",
            message={"id": "msg_1", "model": "m", "usage": {"input_tokens": 3, "output_tokens": 1}},
        ),
        *(data(**event) for event in events),
        data(type="message_delta", delta={"stop_reason": stop}, usage={"output_tokens": 9}),
        data(type="message_stop"),
    ]


def block(index: int, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": fields}


def delta(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind} | fields}


async def test_s12_messages_merges_the_usage_of_its_start_and_its_end(model: ProviderModel) -> None:
    usage = {"input_tokens": 5, "cache_read_input_tokens": 7, "cache_creation_input_tokens": 2, "output_tokens": 1}
    lines = message(block(0, type="text", text="Hello"))
    lines[0] = data(type="message_start", message={"id": "msg_1", "model": "m", "usage": usage})
    answer = await answer_to(model, *lines, wire="messages")
    assert answer.usage == Usage(input_tokens=5, cache_read_tokens=7, cache_write_tokens=2, output_tokens=9)


async def test_s11_messages_thinking_is_gathered_with_its_signature(model: ProviderModel) -> None:
    lines = message(
        block(0, type="thinking", thinking="", signature=""),
        delta(0, "thinking_delta", thinking="Hm, "),
        delta(0, "thinking_delta", thinking="so."),
        delta(0, "signature_delta", signature="sig"),
        {"type": "content_block_stop", "index": 0},
        block(1, type="redacted_thinking", data="opaque"),
        block(2, type="text", text=""),
        delta(2, "text_delta", text="Yes."),
    )
    answer = await answer_to(model, *lines, wire="messages")
    assert answer.blocks == (
        ThinkingBlock(thinking="Hm, so.", signature="sig", provider="anthropic"),
        ThinkingBlock(signature="opaque", redacted=True, provider="anthropic"),
        TextBlock(text="Yes."),
    )


async def test_messages_passes_over_what_it_does_not_know(model: ProviderModel) -> None:
    lines = message(
        {"type": "ping"},
        {"type": "brand_new_event"},
        block(0, type="server_tool_use", id="srv", name="web_search", input={}),
        delta(1, "citations_delta", citation={}),
        block(1, type="text", text="Hello"),
    )
    assert (await answer_to(model, *lines, wire="messages")).text == "Hello"


async def test_messages_takes_a_tool_input_that_is_whole_where_its_block_starts(model: ProviderModel) -> None:
    lines = message(
        block(0, type="tool_use", id="a", name="add", input={"a": 1}),
        {"type": "content_block_stop", "index": 0},
        block(1, type="tool_use", id="b", name="add", input={}),
        delta(1, "input_json_delta", partial_json='{"a": 2}'),
        {"type": "content_block_stop", "index": 1},
        stop=None,
    )
    answer = await answer_to(model, *lines, wire="messages")
    assert [call.input for call in answer.calls] == [{"a": 1}, {"a": 2}]
    assert answer.stop == "tool_use"


# --- Responses -----------------------------------------------------------------------------------------------------


def response(*events: dict[str, Any], **fields: Any) -> list[str]:
    final = {"id": "resp_1", "model": "m", "status": "completed"} | fields
    return [
        data(type="response.created", response={"id": "resp_1", "model": "m"}),
        *(data(**event) for event in events),
        data(type=f"response.{final['status']}", response=final),
    ]


async def test_responses_keeps_the_parts_of_a_reasoning_item_apart(model: ProviderModel) -> None:
    item = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "First."}, {"type": "summary_text", "text": "Then."}],
        "encrypted_content": "sealed",
    }
    lines = response(
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "id": "rs_1"}},
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "First."},
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 1, "delta": "Then."},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
    )
    answer = await answer_to(model, *lines, wire="responses")
    assert answer.blocks == (
        ThinkingBlock(thinking="First.", item_id="rs_1", provider="openai"),
        ThinkingBlock(thinking="Then.", item_id="rs_1", signature="sealed", provider="openai"),
    )


async def test_responses_that_send_items_without_deltas_are_read(model: ProviderModel) -> None:
    said = {"type": "message", "content": [{"type": "output_text", "text": "Hello"}]}
    used = {"type": "function_call", "call_id": "a", "name": "add", "arguments": '{"a": 1}'}
    lines = response(
        {"type": "response.output_item.done", "output_index": 0, "item": said},
        {"type": "response.output_item.added", "output_index": 1, "item": used | {"arguments": ""}},
        {"type": "response.output_item.done", "output_index": 1, "item": used},
        {"type": "response.brand_new", "output_index": 2},
    )
    answer = await answer_to(model, *lines, wire="responses")
    assert answer.text == "Hello"
    assert [call.input for call in answer.calls] == [{"a": 1}]
    assert answer.stop == "tool_use"


async def test_responses_of_llama_cpp_have_ids_and_no_numbers(model: ProviderModel) -> None:
    used = {"type": "function_call", "call_id": "fc_a", "name": "add", "arguments": ""}
    lines = [
        data(type="response.created", response={"id": "resp_1", "status": "in_progress"}),
        data(type="response.output_item.added", item={"type": "message", "id": "msg_1", "content": []}),
        data(type="response.output_text.delta", item_id="msg_1", delta="Hel"),
        data(type="response.output_text.delta", item_id="msg_1", delta="lo"),
        data(
            type="response.output_item.done",
            item={"type": "message", "id": "msg_1", "content": [{"type": "output_text", "text": "Hello"}]},
        ),
        data(type="response.output_item.added", item=used),
        data(type="response.function_call_arguments.delta", item_id="fc_a", delta='{"a": 1}'),
        data(type="response.output_item.done", item=used | {"arguments": '{"a": 1}'}),
        data(type="response.completed", response={"id": "resp_1", "status": "completed"}),
    ]
    answer = await answer_to(model, *lines, wire="responses")
    assert answer.text == "Hello"
    assert [call.input for call in answer.calls] == [{"a": 1}]
    assert answer.events[0] == ResponseStarted("resp_1", "gpt-5")


async def test_s33_an_incomplete_response_that_does_not_say_why_was_cut_by_its_limit(model: ProviderModel) -> None:
    answer = await answer_to(model, *response(status="incomplete"), wire="responses")
    assert answer.stop == "max_tokens"


# --- Local ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", ["chat", "messages", "responses"])
async def test_a_local_model_is_spoken_to_on_any_wire_without_a_key(wire: Any, model: ProviderModel) -> None:
    lines = {
        "chat": [chunk({"content": "Hello"}, "stop"), DONE],
        "messages": message(block(0, type="text", text="Hello")),
        "responses": response(
            {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Hello"}
        ),
    }[wire]
    async with odd_server(events_of(*lines)) as url:
        settings = config("local/smollm2", base_url=f"{url}/v1", wire=wire, temperature=0.1)
        assert (await ask(model, request(settings))).text == "Hello"


async def test_the_first_delta_of_a_call_carries_its_id_and_name(model: ProviderModel) -> None:
    call = function("add", '{"a": 1}', index=0, id="a")
    answer = await answer_to(model, chunk(tool_calls(call)), chunk({}, "tool_calls"), DONE)
    assert [event for event in answer.events if isinstance(event, ToolUseDelta)] == [
        ToolUseDelta(0, '{"a": 1}', "a", "add")
    ]
