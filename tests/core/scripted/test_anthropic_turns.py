"""Anthropic's rules of the conversation: blocks, roles, pairs of call and result, thinking that comes back whole."""

from typing import Any

import pytest

from agent_core.scripted import Mint, validate_anthropic
from agent_core.scripted.signing import tool_use_id
from tests.core.scripted.bodies import (
    LIMITS,
    SIGNER,
    assistant,
    messages_body,
    refused,
    thinking,
    tool_result,
    tool_use,
    user,
)

TEXT = {"type": "text", "text": "ok"}
ENABLED = {"max_tokens": 2000, "thinking": {"type": "enabled", "budget_tokens": 1024}}
ADAPTIVE = {"thinking": {"type": "adaptive"}}


def check(*messages: Any, **fields: Any) -> None:
    validate_anthropic(messages_body(*messages, **fields), LIMITS, SIGNER)


@pytest.mark.parametrize(
    "messages",
    [
        [user("hi"), user("again")],
        [user("hi"), assistant("a"), assistant("b"), user("c")],
        [user("hi"), {"role": "system", "content": "now be brief"}],
        [user("hi"), assistant([TEXT, tool_use()]), user([tool_result(), TEXT])],
        [user("hi"), assistant([tool_use("a"), tool_use("b")]), user([tool_result("b"), tool_result("a")])],
        [user("hi"), assistant([tool_use()]), user([tool_result(content=[TEXT])])],
        [user("hi"), assistant([tool_use()]), user([{"type": "tool_result", "tool_use_id": "t1", "is_error": True}])],
        [user("hi"), assistant([thinking(), TEXT]), user("go on")],
        [user([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}])],
        [user("hi"), assistant("")],
    ],
)
def test_a_valid_conversation_passes(messages: list[dict[str, Any]]) -> None:
    check(*messages)


@pytest.mark.parametrize(
    ("messages", "reason", "text"),
    [
        ([assistant("hi")], "first_role", 'messages: first message must use the "user" role'),
        ([{"role": "tool", "content": "x"}], "bad_role", "messages.0.role: Input should be"),
        ([{"role": "system", "content": "x"}], "first_role", "first message"),
        (
            [user("hi"), assistant("x"), {"role": "system", "content": "y"}],
            "system_role",
            "messages.2: a `system` message must directly follow a `user` message",
        ),
        ([user("hi") | {"id": "m1"}], "unknown_field", "messages.0.id: Extra inputs are not permitted"),
        ([{"role": "user"}], "missing_field", "messages.0.content: Field required"),
        (["hi"], "bad_type", "messages.0: Input should be a valid dictionary"),
        ([user(3)], "bad_type", "messages.0.content: Input should be a valid list"),
        ([user("")], "empty_content", "messages.0: all messages must have non-empty content"),
        ([user([])], "empty_content", "messages.0: all messages must have non-empty content"),
        ([user("a"), assistant(""), user("b")], "empty_content", "messages.1: all messages must have"),
        ([user([{"type": "text", "text": ""}])], "empty_text", "messages: text content blocks must be non-empty"),
        ([user([{"type": "text", "text": " "}])], "empty_text", "must contain non-whitespace text"),
        (
            [user("a"), assistant("b ")],
            "trailing_whitespace",
            "messages: final assistant content cannot end with trailing whitespace",
        ),
        ([user("a"), assistant([TEXT | {"text": "b\n"}])], "trailing_whitespace", "trailing whitespace"),
        ([user([{"type": "hologram"}])], "unknown_block", "messages.0.content.0: Input tag 'hologram' found"),
        ([user([{"text": "x"}])], "missing_field", "messages.0.content.0.type: Field required"),
        ([user([TEXT | {"colour": 1}])], "unknown_field", "messages.0.content.0.text.colour: Extra inputs"),
        ([user(["x"])], "bad_type", "messages.0.content.0: Input should be a valid dictionary"),
        ([user([{"type": "text", "text": 3}])], "bad_type", "messages.0.content.0.text.text: Input should be"),
        ([user([{"type": "image", "source": {"type": "disk"}}])], "image", "source: Input tag 'disk'"),
        (
            [user([{"type": "image", "source": {"type": "base64", "media_type": "image/bmp", "data": ""}}])],
            "image",
            "media_type: Input should be 'image/jpeg'",
        ),
        ([user([tool_use()])], "misplaced_block", "`tool_use` blocks can only be in `assistant` messages"),
        (
            [user("a"), assistant([tool_result()])],
            "misplaced_block",
            "`tool_result` blocks can only be in `user` messages",
        ),
        ([user("a"), assistant([tool_use("a b")])], "tool_id", "tool_use.id: String should match pattern"),
        ([user("a"), assistant([tool_use() | {"input": "{}"}])], "tool_input", "input: Input should be a valid dict"),
        ([user("a"), assistant([tool_use(name="")])], "tool_name", "name: String should have at least 1 character"),
        (
            [user("a"), assistant([tool_use()]), user([tool_result(content=[thinking()])])],
            "unknown_block",
            "content.0.tool_result.content.0: Input tag 'thinking'",
        ),
    ],
)
def test_a_malformed_message_is_refused(messages: list[Any], reason: str, text: str) -> None:
    error = refused(lambda: check(*messages))
    assert text in error.message
    assert (error.status, error.reason) == (400, reason)


def test_a_result_without_its_call_is_refused() -> None:
    error = refused(lambda: check(user([tool_result("t9")])))
    assert error.reason == "orphan_tool_result"
    assert error.message == (
        "messages.0.content.0: unexpected `tool_use_id` found in `tool_result` blocks: t9. "
        "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
    )


def test_a_late_result_is_an_orphan() -> None:
    late = [user("a"), assistant([tool_use()]), user([tool_result()]), assistant("b"), user([tool_result()])]
    assert refused(lambda: check(*late)).reason == "orphan_tool_result"


@pytest.mark.parametrize(
    "after",
    [
        [],
        [user("never mind")],
        [user([tool_result("a")])],
        [user([TEXT, tool_result("a"), tool_result("b")])],
        [user([tool_result("a")]), user([tool_result("b")])],
        [assistant("x"), user([tool_result("a"), tool_result("b")])],
    ],
)
def test_every_call_is_answered_in_the_very_next_message_before_its_text(after: list[Any]) -> None:
    error = refused(lambda: check(user("go"), assistant([tool_use("a"), tool_use("b")]), *after))
    assert error.reason == "unanswered_tool_use"
    assert error.message.startswith("messages.1: `tool_use` ids were found without `tool_result` blocks immediately")


def test_a_call_id_is_used_once_in_the_whole_conversation() -> None:
    again = [user("a"), assistant([tool_use()]), user([tool_result()]), assistant([tool_use()]), user([tool_result()])]
    error = refused(lambda: check(*again))
    assert error.message == "messages.3.content.0: `tool_use` ids must be unique"


def test_a_call_has_one_result() -> None:
    error = refused(lambda: check(user("a"), assistant([tool_use()]), user([tool_result(), tool_result()])))
    assert error.reason == "duplicate_tool_result"
    assert "each tool_use must have a single result" in error.message


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"thinking": "hm."}, "thinking_signature"),
        ({"signature": "x"}, "thinking_signature"),
        ({"signature": ""}, "thinking_signature"),
        ({"signature": None}, "bad_type"),
    ],
)
def test_edited_thinking_is_refused(change: dict[str, Any], reason: str) -> None:
    error = refused(lambda: check(user("a"), assistant([thinking() | change, TEXT]), user("b")))
    assert error.reason == reason
    assert error.message.startswith("messages.1.content.0")


def test_thinking_without_signature_is_refused() -> None:
    block = {"type": "thinking", "thinking": "hm"}
    error = refused(lambda: check(user("a"), assistant([block, TEXT]), user("b")))
    assert error.message == "messages.1.content.0.thinking.signature: Field required"


def test_redacted_thinking_is_checked_too() -> None:
    good = {"type": "redacted_thinking", "data": SIGNER.redacted("secret")}
    check(user("a"), assistant([good, TEXT]), user("b"))
    error = refused(lambda: check(user("a"), assistant([good | {"data": "zzz"}, TEXT]), user("b")))
    assert error.reason == "thinking_signature"


def test_with_enabled_thinking_an_open_tool_loop_begins_with_thinking() -> None:
    loop = [user("a"), assistant([TEXT, tool_use()]), user([tool_result()])]
    check(*loop)
    error = refused(lambda: check(*loop, **ENABLED))
    assert error.reason == "thinking_missing"
    assert error.message.startswith(
        "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `text`. When `thinking` is"
    )
    check(user("a"), assistant([thinking(), TEXT, tool_use()]), user([tool_result()]), **ENABLED)


def test_a_finished_tool_loop_may_lack_its_thinking() -> None:
    check(user("a"), assistant([tool_use()]), user([tool_result()]), assistant("done"), user("b"), **ENABLED)


def test_adaptive_thinking_asks_back_only_the_thinking_that_was_given() -> None:
    with_thinking = tool_use_id(Mint("x").suffix(), after_thinking=True)
    without = tool_use_id(Mint("y").suffix(), after_thinking=False)
    check(user("a"), assistant([tool_use(without)]), user([tool_result(without)]), **ADAPTIVE)
    loop = [user("a"), assistant([tool_use(with_thinking)]), user([tool_result(with_thinking)])]
    assert refused(lambda: check(*loop, **ADAPTIVE)).reason == "thinking_missing"
