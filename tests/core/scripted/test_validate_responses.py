"""OpenAI's Responses: what is refused, with which param and code; reasoning carried over without a store."""

from typing import Any

import pytest

from agent_core.scripted import Mint, ModelLimits, validate_responses
from agent_core.scripted.signing import item_id
from tests.core.scripted.bodies import (
    CHAT_ADD,
    LIMITS,
    RESPONSES_ADD,
    SIGNER,
    assistant,
    function_call,
    function_output,
    reasoning,
    refused,
    responses_body,
    user,
)

OUTPUT = {"type": "output_text", "text": "ok", "annotations": []}


def check(body: dict[str, Any], limits: ModelLimits = LIMITS) -> None:
    validate_responses(body, limits, SIGNER)


@pytest.mark.parametrize(
    "body",
    [
        responses_body(),
        responses_body(user("a"), assistant("b"), {"role": "developer", "content": "c"}, user("d")),
        responses_body(user([{"type": "input_text", "text": "a"}])),
        responses_body(user([{"type": "input_image", "image_url": "data:image/png;base64,aGk="}])),
        responses_body(
            user("a"),
            {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [OUTPUT]},
        ),
        responses_body(
            user("a"), function_call("c1"), function_call("c2"), function_output("c2"), function_output("c1")
        ),
        responses_body(user("a"), reasoning(), function_call(id="fc_1"), function_output()),
        responses_body(user("a"), reasoning() | {"summary": []}, assistant([OUTPUT]), user("b")),
        responses_body(tools=[RESPONSES_ADD, {"type": "web_search"}], tool_choice={"type": "function", "name": "add"}),
        responses_body(include=["reasoning.encrypted_content"], reasoning={"effort": "low", "summary": "auto"}),
        responses_body(temperature=1, top_p=1, max_output_tokens=16, metadata={"session_id": "s"}, stream=True),
    ],
)
def test_a_valid_request_passes(body: dict[str, Any]) -> None:
    check(body)


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"input": "hi"}, "model", "missing_required_parameter"),
        ({"model": "m"}, "input", "missing_required_parameter"),
        (responses_body(messages=[]), "messages", "unknown_parameter"),
        (responses_body(max_tokens=5), "max_tokens", "unknown_parameter"),
        (responses_body(stop=["x"]), "stop", "unknown_parameter"),
        (responses_body(model=3), "model", "invalid_type"),
        (responses_body(input=3), "input", "invalid_type"),
        (responses_body("hi"), "input[0]", "invalid_type"),
        (responses_body({"type": "hologram"}), "input[0].type", "invalid_value"),
        (responses_body({"role": "tool", "content": "x"}), "input[0].role", "invalid_value"),
        (responses_body(user("a") | {"name": "x"}), "input[0].name", "unknown_parameter"),
        (responses_body(user([{"type": "text", "text": "a"}])), "input[0].content[0]", "invalid_value"),
        (responses_body(user([OUTPUT])), "input[0].content[0]", "invalid_value"),
        (responses_body(assistant([{"type": "input_text", "text": "a"}])), "input[0].content[0]", "invalid_value"),
        (responses_body(user([{"text": "a"}])), "input[0].content[0].type", "missing_required_parameter"),
        (responses_body(user(["a"])), "input[0].content[0]", "invalid_type"),
        (responses_body(user([{"type": "input_text"}])), "input[0].content[0].text", "missing_required_parameter"),
        (responses_body(user("a"), function_call(id="call_1")), "input[1].id", "invalid_value"),
        (responses_body(user("a"), assistant("b") | {"status": None}), "input[1].status", "invalid_value"),
        (responses_body(user("a"), function_call(arguments={})), "input[1].arguments", "invalid_type"),
        (responses_body(user("a"), function_call("c" * 65)), "input[1].call_id", "string_above_max_length"),
        (responses_body(user("a"), reasoning(status="completed")), "input[1].status", "unknown_parameter"),
        (responses_body(tools=[CHAT_ADD]), "tools[0].name", "missing_required_parameter"),
        (responses_body(tools=[{"name": "x"}]), "tools[0].type", "missing_required_parameter"),
        (responses_body(tools=["x"]), "tools[0]", "invalid_type"),
        (responses_body(tools=[{"type": "hammer"}]), "tools[0].type", "invalid_value"),
        (responses_body(tools=[RESPONSES_ADD | {"schema": {}}]), "tools[0].schema", "unknown_parameter"),
        (responses_body(tool_choice={"type": "function", "name": "sub"}), "tool_choice", None),
        (responses_body(max_output_tokens=5), "max_output_tokens", "integer_below_min_value"),
        (responses_body(max_output_tokens=65_000), "max_output_tokens", "invalid_value"),
        (responses_body(include=["everything"]), "include[0]", "invalid_value"),
        (responses_body(reasoning={"depth": 3}), "reasoning.depth", "unknown_parameter"),
        (responses_body(reasoning={"effort": "huge"}), "reasoning.effort", "invalid_value"),
        (
            responses_body(stream_options={"include_usage": True}, stream=True),
            "stream_options.include_usage",
            "unknown_parameter",
        ),
        (responses_body(previous_response_id="resp_1"), "previous_response_id", "previous_response_not_found"),
        (responses_body(background=True), "background", "unsupported_parameter"),
    ],
)
def test_an_invalid_request_is_refused_by_param_and_code(body: dict[str, Any], param: str, code: str | None) -> None:
    error = refused(lambda: check(body))
    assert error.status == 400
    assert (error.body["error"]["param"], error.body["error"]["code"]) == (param, code)


@pytest.mark.parametrize(
    ("items", "reason", "text"),
    [
        ([function_output()], "orphan_tool_result", "No tool call found for function call output with call_id c1."),
        ([function_output(), function_call()], "orphan_tool_result", "No tool call found"),
        ([function_call()], "unanswered_tool_use", "No tool output found for function call c1."),
        ([function_call("c1"), function_call("c2"), function_output("c1")], "unanswered_tool_use", "function call c2."),
        ([function_call(), function_call(), function_output()], "duplicate_tool_id", "Duplicate function call"),
        ([function_call(), function_output(), function_output()], "duplicate_tool_result", "Duplicate function call"),
        (
            [function_call(id="fc_1"), function_output(), function_call("c2", id="fc_1"), function_output("c2")],
            "duplicate_item",
            "Duplicate item found with id fc_1.",
        ),
    ],
)
def test_every_call_has_one_output_and_every_output_a_call(items: list[Any], reason: str, text: str) -> None:
    error = refused(lambda: check(responses_body(user("a"), *items)))
    assert error.reason == reason
    assert text in error.message


@pytest.mark.parametrize(
    "change",
    [
        {"encrypted_content": "gAAAAAzzzz"},
        {"encrypted_content": SIGNER.reasoning("rs_2", "hm")},
        {"encrypted_content": 3},
        {"summary": [{"type": "summary_text", "text": "other"}]},
    ],
)
def test_edited_reasoning_is_refused(change: dict[str, Any]) -> None:
    error = refused(lambda: check(responses_body(user("a"), reasoning() | change, assistant("b"), user("c"))))
    assert error.body["error"]["code"] == "invalid_encrypted_content"


def test_reasoning_without_content_is_not_found_where_nothing_is_stored() -> None:
    bare = {"type": "reasoning", "id": "rs_1", "summary": []}
    error = refused(lambda: check(responses_body(user("a"), bare, assistant("b"))))
    assert (error.status, error.reason) == (404, "not_stored")
    assert error.message.startswith(
        "Item with id 'rs_1' not found. Items are not persisted when `store` is set to false."
    )
    check(responses_body(user("a"), bare, assistant("b"), store=True))


def test_an_item_reference_is_not_found() -> None:
    assert refused(lambda: check(responses_body({"type": "item_reference", "id": "msg_1"}))).status == 404


def test_a_conversation_is_not_found() -> None:
    assert refused(lambda: check(responses_body(conversation="conv_1"))).status == 404


@pytest.mark.parametrize("after", [[], [user("b")]])
def test_reasoning_is_followed_by_what_came_of_it(after: list[Any]) -> None:
    error = refused(lambda: check(responses_body(user("a"), reasoning(), *after)))
    assert error.message == "Item 'rs_1' of type 'reasoning' was provided without its required following item."


def test_an_item_that_came_of_reasoning_asks_for_it_back() -> None:
    call = function_call(id=item_id("fc", "rs_1", Mint("x").suffix()))
    check(responses_body(user("a"), reasoning(), call, function_output()))
    error = refused(lambda: check(responses_body(user("a"), call, function_output())))
    assert error.reason == "reasoning_missing"
    assert error.message.endswith("of type 'function_call' was provided without its required 'reasoning' item: 'rs_1'.")
    check(responses_body(user("a"), function_call(), function_output()))


def test_a_context_that_is_too_long_has_its_own_code_unless_it_may_be_truncated() -> None:
    body = responses_body(user("x" * 400))
    error = refused(lambda: check(body, ModelLimits(context_window=100)))
    assert error.body["error"]["code"] == "context_length_exceeded"
    check(body | {"truncation": "auto"}, ModelLimits(context_window=100))
