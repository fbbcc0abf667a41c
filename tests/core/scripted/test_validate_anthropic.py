"""Anthropic's request fields: what is refused, with which status, type and text."""

from typing import Any

import pytest

from agent_core.scripted import ModelLimits, validate_anthropic, validate_count_tokens
from tests.core.scripted.bodies import ADD, LIMITS, SIGNER, assistant, messages_body, refused, user


def check(body: dict[str, Any], limits: ModelLimits = LIMITS) -> None:
    validate_anthropic(body, limits, SIGNER)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"system": "be brief"},
        {"system": [{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}]},
        {"stream": True, "stop_sequences": ["END"], "metadata": {"user_id": "s1"}},
        {"tools": [ADD], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        {"tools": [ADD], "tool_choice": {"type": "tool", "name": "add"}},
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "high"}},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000},
        {"cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"max_tokens": 0},
    ],
)
def test_a_valid_request_passes(fields: dict[str, Any]) -> None:
    check(messages_body(**fields))


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"messages": [user("hi")], "max_tokens": 1}, "model: Field required"),
        ({"model": "m", "max_tokens": 1}, "messages: Field required"),
        ({"model": "m", "messages": [user("hi")]}, "max_tokens: Field required"),
        (messages_body(temperature=0.5), "temperature: Extra inputs are not permitted"),
        (messages_body(top_p=0.5), "top_p: Extra inputs are not permitted"),
        (messages_body(top_k=5), "top_k: Extra inputs are not permitted"),
        (messages_body(frobnicate=1), "frobnicate: Extra inputs are not permitted"),
        (messages_body(metadata={"session": "x"}), "metadata.session: Extra inputs are not permitted"),
        (messages_body(model=3), "model: Input should be a valid string"),
        (messages_body(messages="hi"), "messages: Input should be a valid list"),
        (messages_body(messages=[]), "messages: at least one message is required"),
        (messages_body(system=3), "system: Input should be a valid list"),
        (messages_body(system=[{"type": "text", "text": ""}]), "system: text content blocks must be non-empty"),
        (messages_body(system=[{"type": "image", "source": {}}]), "system.0: Input tag 'image'"),
        (messages_body(max_tokens="5"), "max_tokens: Input should be a valid integer"),
        (messages_body(max_tokens=-1), "max_tokens: Input should be greater than or equal to 0"),
        (messages_body(stream="yes"), "stream: Input should be a valid boolean"),
        (messages_body(stop_sequences=[" "]), "stop_sequences: each stop sequence must contain non-whitespace"),
        (messages_body(stop_sequences=[1]), "stop_sequences: Input should be a valid string"),
        (messages_body(output_config={"effort": "huge"}), "output_config.effort: Input should be"),
        (messages_body(thinking={"type": "loud"}), "thinking: Input tag 'loud' found using 'type' does not match"),
        (messages_body(thinking=True), "thinking: Input should be a valid dictionary"),
        (messages_body(thinking={"type": "enabled"}), "thinking.enabled.budget_tokens: Field required"),
        (messages_body(thinking={"type": "enabled", "budget_tokens": 5}), "greater than or equal to 1024"),
        (
            messages_body(thinking={"type": "enabled", "budget_tokens": 1024}),
            "`max_tokens` must be greater than `thinking.budget_tokens`.",
        ),
        (
            messages_body(thinking={"type": "adaptive"}, tools=[ADD], tool_choice={"type": "any"}),
            "Thinking may not be enabled when tool_choice forces tool use.",
        ),
        (messages_body(tools=[{"name": "add"}]), "tools.0.custom.input_schema: Field required"),
        (messages_body(tools=["add"]), "tools.0: Input should be a valid dictionary"),
        (messages_body(tools=[ADD | {"name": "a b"}]), "tools.0.custom.name: String should match pattern"),
        (messages_body(tools=[ADD | {"parameters": {}}]), "tools.0.custom.parameters: Extra inputs are not permitted"),
        (messages_body(tools=[ADD | {"input_schema": {}}]), "tools.0.custom.input_schema.type: Field required"),
        (messages_body(tools=[ADD | {"input_schema": []}]), "tools.0.custom.input_schema: Input should be"),
        (
            messages_body(tools=[ADD | {"input_schema": {"type": "string"}}]),
            "tools.0.custom.input_schema.type: Input should be 'object'",
        ),
        (messages_body(tools=[ADD, ADD]), "tools: Tool names must be unique."),
        (messages_body(tool_choice={"type": "any"}), "tool_choice may only be specified while providing tools"),
        (
            messages_body(tools=[ADD], tool_choice={"type": "tool", "name": "sub"}),
            "Tool 'sub' not found in provided tools",
        ),
        (messages_body(tools=[ADD], tool_choice={"type": "must"}), "tool_choice: Input tag 'must'"),
    ],
)
def test_an_invalid_field_is_refused_by_name(body: dict[str, Any], text: str) -> None:
    error = refused(lambda: check(body))
    assert error.status == 400
    assert error.body["type"] == "error"
    assert error.body["error"]["type"] == "invalid_request_error"
    assert text in error.message


def test_more_output_than_the_model_has_is_refused() -> None:
    error = refused(lambda: check(messages_body(max_tokens=11), ModelLimits(max_output=10)))
    assert error.message == "max_tokens: 11 > 10, which is the maximum allowed number of output tokens for m"


def test_a_prompt_longer_than_the_window_is_refused_with_both_numbers() -> None:
    error = refused(lambda: check(messages_body(user("x" * 400)), ModelLimits(context_window=100)))
    assert error.message == "prompt is too long: 103 tokens > 100 maximum"
    assert error.reason == "context_too_long"


def test_an_older_model_counts_the_output_into_the_window() -> None:
    limits = ModelLimits(context_window=120, strict_budget=True)
    error = refused(lambda: check(messages_body(user("x" * 400)), limits))
    assert error.message.startswith("input length and `max_tokens` exceed context limit: 103 + 100 > 120")


def test_a_conversation_that_ends_with_the_assistant_is_refused_without_prefill() -> None:
    body = messages_body(user("hi"), assistant("Well"))
    check(body)
    error = refused(lambda: check(body, ModelLimits(prefill=False)))
    assert error.message.startswith("This model does not support assistant message prefill.")


def test_a_fifth_cache_breakpoint_is_refused() -> None:
    blocks = [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}] * 5
    check(messages_body(user(blocks[:4])))
    error = refused(lambda: check(messages_body(user(blocks))))
    assert error.message == "A maximum of 4 blocks with cache_control may be provided. Found 5."


def test_count_tokens_takes_no_max_tokens() -> None:
    validate_count_tokens({"model": "m", "messages": [user("hi")]}, SIGNER)
    error = refused(lambda: validate_count_tokens(messages_body(), SIGNER))
    assert error.message == "max_tokens: Extra inputs are not permitted"
