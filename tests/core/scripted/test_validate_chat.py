"""OpenAI's Chat Completions: what is refused, with which param and code."""

from typing import Any

import pytest

from agent_core.scripted import ModelLimits, validate_chat
from tests.core.scripted.bodies import CHAT_ADD, LIMITS, assistant, chat_body, chat_call, chat_result, refused, user


def check(body: dict[str, Any], limits: ModelLimits = LIMITS) -> None:
    validate_chat(body, limits)


@pytest.mark.parametrize(
    "body",
    [
        chat_body(),
        chat_body(user([{"type": "text", "text": "hi"}])),
        chat_body({"role": "system", "content": "x"}, {"role": "developer", "content": "y"}, user("hi")),
        chat_body(user("a"), chat_call("c1", "c2"), chat_result("c2"), chat_result("c1"), user("b")),
        chat_body(user("a"), chat_call("c1") | {"content": "calling"}, chat_result("c1")),
        chat_body(user("a"), {"role": "assistant", "content": None, "refusal": "no"}, user("b")),
        chat_body(user("a"), assistant([{"type": "text", "text": "x"}])),
        chat_body(tools=[CHAT_ADD], tool_choice="auto", parallel_tool_calls=True),
        chat_body(tools=[CHAT_ADD], tool_choice={"type": "function", "function": {"name": "add"}}),
        chat_body(stream=True, stream_options={"include_usage": True}, stop=["END"]),
        chat_body(temperature=2, top_p=0, frequency_penalty=-2, n=1, max_completion_tokens=5),
        chat_body(user([{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}])),
    ],
)
def test_a_valid_request_passes(body: dict[str, Any]) -> None:
    check(body)


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"messages": [user("hi")]}, "model", "missing_required_parameter"),
        ({"model": "m"}, "messages", "missing_required_parameter"),
        (chat_body(frobnicate=1), "frobnicate", "unknown_parameter"),
        (chat_body(top_k=1), "top_k", "unknown_parameter"),
        (chat_body(model=1), "model", "invalid_type"),
        (chat_body(messages=[]), "messages", "empty_array"),
        (chat_body(messages="hi"), "messages", "invalid_type"),
        (chat_body("hi"), "messages[0]", "invalid_type"),
        (chat_body({"role": "robot", "content": "x"}), "messages[0].role", "invalid_value"),
        (chat_body(user("hi") | {"id": 1}), "messages[0].id", "unknown_parameter"),
        (chat_body({"role": "user"}), "messages[0].content", "missing_required_parameter"),
        (chat_body(user(None)), "messages[0].content", None),
        (chat_body(user([])), "messages[0].content", "empty_array"),
        (chat_body(user(3)), "messages[0].content", "invalid_type"),
        (chat_body(user(["x"])), "messages[0].content[0]", "invalid_type"),
        (chat_body(user([{"type": "input_text", "text": "x"}])), "messages[0].content[0].type", "invalid_value"),
        (chat_body(user("a"), assistant(None)), "messages[1].content", None),
        (chat_body(user("a"), chat_call() | {"content": "x"}), "messages[1].tool_calls", "empty_array"),
        (
            chat_body(user("a"), assistant(None) | {"tool_calls": [{"id": "1"}]}),
            "messages[1].tool_calls[0].type",
            "invalid_value",
        ),
        (chat_body(user("a"), chat_call("x" * 65)), "messages[1].tool_calls[0].id", "string_above_max_length"),
        (chat_body(tools=[]), "tools", "empty_array"),
        (chat_body(tools=["x"]), "tools[0]", "invalid_type"),
        (chat_body(tools=[{"type": "web"}]), "tools[0].type", "invalid_value"),
        (chat_body(tools=[CHAT_ADD | {"name": "add"}]), "tools[0].name", "unknown_parameter"),
        (
            chat_body(tools=[{"type": "function", "function": {"name": "a b"}}]),
            "tools[0].function.name",
            "invalid_value",
        ),
        (
            chat_body(tools=[{"type": "function", "function": {"name": "a", "schema": {}}}]),
            "tools[0].function.schema",
            "unknown_parameter",
        ),
        (chat_body(tool_choice="auto"), "tool_choice", None),
        (chat_body(parallel_tool_calls=True), "parallel_tool_calls", None),
        (
            chat_body(tools=[CHAT_ADD], tool_choice={"type": "function", "function": {"name": "sub"}}),
            "tool_choice",
            None,
        ),
        (chat_body(stream="yes"), "stream", "invalid_type"),
        (chat_body(stream_options={"include_usage": True}), "stream_options", None),
        (chat_body(stream=True, stream_options={"usage": True}), "stream_options.usage", "unknown_parameter"),
        (chat_body(temperature=3), "temperature", "decimal_above_max_value"),
        (chat_body(temperature=-1), "temperature", "decimal_below_min_value"),
        (chat_body(temperature="hot"), "temperature", "invalid_type"),
        (chat_body(max_tokens=0), "max_tokens", "integer_below_min_value"),
        (chat_body(max_tokens=65_000), "max_tokens", "invalid_value"),
        (chat_body(max_tokens="5"), "max_tokens", "invalid_type"),
        (chat_body(max_tokens=5, max_completion_tokens=5), "max_tokens", "invalid_parameter_combination"),
        (chat_body(n=2), "n", "integer_above_max_value"),
        (chat_body(reasoning_effort="huge"), "reasoning_effort", "invalid_value"),
        (chat_body(metadata={"a": 1}), "metadata.a", "invalid_type"),
        (chat_body(metadata="a"), "metadata", "invalid_type"),
        (chat_body(metadata={str(i): "x" for i in range(17)}), "metadata", "object_above_max_properties"),
    ],
)
def test_an_invalid_request_is_refused_by_param_and_code(body: dict[str, Any], param: str, code: str | None) -> None:
    error = refused(lambda: check(body))
    assert error.status == 400
    assert error.body["error"]["type"] == "invalid_request_error"
    assert (error.body["error"]["param"], error.body["error"]["code"]) == (param, code)


@pytest.mark.parametrize(
    "messages",
    [
        [user("a"), chat_call("c1")],
        [user("a"), chat_call("c1"), user("b")],
        [user("a"), chat_call("c1", "c2"), chat_result("c1")],
        [user("a"), chat_call("c1", "c2"), chat_result("c1"), user("b"), chat_result("c2")],
    ],
)
def test_every_call_is_answered_by_the_tool_messages_behind_it(messages: list[Any]) -> None:
    error = refused(lambda: check(chat_body(*messages)))
    assert error.reason == "unanswered_tool_use"
    assert "must be followed by tool messages responding to each 'tool_call_id'" in error.message


@pytest.mark.parametrize(
    ("messages", "reason", "param"),
    [
        ([user("a"), chat_result("c1")], "orphan_tool_result", "messages.[1].role"),
        ([user("a"), chat_call("c1"), chat_result("c2")], "orphan_tool_result", "messages.[2].tool_call_id"),
        (
            [user("a"), chat_call("c1"), chat_result("c1"), chat_result("c1")],
            "duplicate_tool_result",
            "messages.[3].tool_call_id",
        ),
        ([user("a"), chat_call("c1", "c1"), chat_result("c1")], "duplicate_tool_id", "messages[1].tool_calls"),
    ],
)
def test_a_tool_message_answers_one_call_once(messages: list[Any], reason: str, param: str) -> None:
    error = refused(lambda: check(chat_body(*messages)))
    assert (error.reason, error.body["error"]["param"]) == (reason, param)


def test_a_context_that_is_too_long_has_its_own_code() -> None:
    error = refused(lambda: check(chat_body(user("x" * 400)), ModelLimits(context_window=100)))
    assert error.body["error"]["code"] == "context_length_exceeded"
    assert error.message.startswith(
        "This model's maximum context length is 100 tokens. However, your messages resulted"
    )


@pytest.mark.parametrize("field", ["temperature", "top_p", "max_tokens"])
def test_a_reasoning_model_refuses_sampling_and_max_tokens(field: str) -> None:
    error = refused(lambda: check(chat_body(**{field: 1}), ModelLimits(reasoning=True)))
    assert error.body["error"]["code"] == "unsupported_parameter"
