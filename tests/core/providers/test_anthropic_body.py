"""How requests are written on the Messages wire."""

import json
from typing import Any

import pytest

from agent_core.content import ImageBlock, TextBlock, ThinkingBlock, ToolResultBlock, ToolUseBlock
from agent_core.errors import ConfigError
from agent_core.messages import Message
from agent_core.providers.anthropic_messages import AnthropicMessages
from tests.core.providers.making import ADD, assistant, call, config, request, result, user


def body(*messages: Message, model: str = "anthropic/claude-opus-4-6", **fields: Any) -> Any:
    settings = {name: fields.pop(name) for name in list(fields) if name not in ("system", "tools", "max_tokens")}
    return json.loads(AnthropicMessages().encode(request(config(model, **settings), *messages, **fields)))


def roles(written: Any) -> list[str]:
    return [message["role"] for message in written["messages"]]


def test_s10_every_result_of_a_batch_is_in_one_user_message_before_anything_else() -> None:
    written = body(
        user("go"),
        assistant(call("a"), call("b")),
        user("steered in meanwhile", result("b", "second")),
        user(result("a", "first")),
        user("and more"),
    )
    assert roles(written) == ["user", "assistant", "user"]
    kinds = [block["type"] for block in written["messages"][2]["content"]]
    assert kinds == ["tool_result", "tool_result", "text", "text"]


def test_s26_a_failed_turns_message_and_the_next_one_are_sent_as_one() -> None:
    written = body(user("first try"), user("second try"))
    assert roles(written) == ["user"]
    assert [block["text"] for block in written["messages"][0]["content"]] == ["first try", "second try"]


def test_a_message_that_would_be_empty_is_left_out() -> None:
    written = body(user("hi"), assistant(" \n"), user("still there?"))
    assert roles(written) == ["user"]


def test_s11_blocks_keep_their_order_with_thinking_whole() -> None:
    thinking = ThinkingBlock(thinking="Hm.", signature="sig", provider="anthropic")
    redacted = ThinkingBlock(signature="opaque", redacted=True, provider="anthropic")
    written = body(user("go"), assistant(thinking, redacted, "So:", call("a", a=1)), user(result("a")))
    assert written["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
        {"type": "redacted_thinking", "data": "opaque"},
        {"type": "text", "text": "So:"},
        {"type": "tool_use", "id": "a", "name": "add", "input": {"a": 1}},
    ]


def test_thinking_of_another_provider_or_without_a_signature_is_left_out_whole() -> None:
    theirs = ThinkingBlock(thinking="Hm.", signature="sig", item_id="rs_1", provider="openai")
    cut = ThinkingBlock(thinking="Hm, and th", provider="anthropic")
    written = body(user("go"), assistant(theirs, cut, "So."), user("go on"))
    assert written["messages"][1]["content"] == [{"type": "text", "text": "So."}]


def test_s09_a_call_with_broken_input_goes_back_as_an_empty_object() -> None:
    broken = ToolUseBlock(id="a", name="add", input_error="not JSON", raw_input='{"a": ')
    written = body(user("go"), assistant(broken), user(result("a", "not JSON", is_error=True)))
    assert written["messages"][1]["content"][0]["input"] == {}
    assert written["messages"][2]["content"][0]["is_error"] is True


def test_an_error_that_says_nothing_is_given_words() -> None:
    written = body(user("go"), assistant(call("a")), user(result("a", "", is_error=True)))
    assert written["messages"][2]["content"][0]["content"]


def test_images_go_as_base64_or_by_address_in_messages_and_results() -> None:
    given, linked = ImageBlock(media_type="image/jpeg", data="aGk="), ImageBlock(url="https://example.org/a.png")
    both = ToolResultBlock(tool_use_id="a", content=(TextBlock(text="look"), linked))
    written = body(user("see", given), assistant(call("a")), user(both))
    source = {"type": "base64", "media_type": "image/jpeg", "data": "aGk="}
    assert written["messages"][0]["content"][1]["source"] == source
    assert written["messages"][2]["content"][0]["content"][1]["source"] == {"type": "url", "url": linked.url}


def test_ids_of_other_servers_are_replaced_alike_in_call_and_result() -> None:
    written = body(user("go"), assistant(call("functions.add:0")), user(result("functions.add:0")))
    used, answered = written["messages"][1]["content"][0], written["messages"][2]["content"][0]
    assert used["id"] == answered["tool_use_id"]
    assert "." not in used["id"]


def test_the_prefix_is_cached_at_tools_and_system_and_at_the_newest_two_user_turns() -> None:
    turns = [message for number in range(4) for message in (user(f"q{number}"), assistant(f"a{number}"))]
    written = body(*turns, user("last"), system="Be brief.", tools=[ADD])
    assert written["system"][0]["cache_control"] == {"type": "ephemeral"}
    marked = [message["content"][-1].get("cache_control") is not None for message in written["messages"]]
    assert marked == [False] * 6 + [True, False, True]
    assert "cache_control" not in written["tools"][-1]


def test_without_a_system_prompt_the_tools_are_cached() -> None:
    assert body(user("hi"), tools=[ADD])["tools"][-1]["cache_control"] == {"type": "ephemeral"}


def test_a_local_server_is_asked_for_no_cache() -> None:
    settings = config("local/smollm2", wire="messages", base_url="http://127.0.0.1:1")
    written = AnthropicMessages().encode(request(settings, system="Be brief.", tools=[ADD]))
    assert b"cache_control" not in written
    assert json.loads(written)["system"] == "Be brief."


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", {"type": "auto"}),
        ("any", {"type": "any"}),
        ("required", {"type": "any"}),
        ("none", {"type": "none"}),
        ("add", {"type": "tool", "name": "add"}),
    ],
)
def test_s03_tool_choice_is_a_mode_or_a_tools_name(choice: str, sent: Any) -> None:
    assert body(user("hi"), tools=[ADD], tool_choice=choice)["tool_choice"] == sent


def test_s03_an_unknown_tool_choice_names_the_tools_there_are() -> None:
    with pytest.raises(ConfigError, match=r"'ad'.*\(add\)"):
        body(user("hi"), tools=[ADD], tool_choice="ad")


def test_a_tool_choice_without_tools_is_left_out() -> None:
    assert "tool_choice" not in body(user("hi"), tool_choice="any")


def test_s03_stop_sequences_and_extra_fields_are_sent() -> None:
    written = body(user("hi"), stop_sequences=("END",), extra={"service_tier": "auto", "max_tokens": 7})
    assert written["stop_sequences"] == ["END"]
    assert written["service_tier"] == "auto"
    assert written["max_tokens"] == 7


@pytest.mark.parametrize("field", ["messages", "model", "stream", "tools"])
def test_extra_may_not_replace_what_the_session_owns(field: str) -> None:
    with pytest.raises(ConfigError, match=rf"extra\.{field}"):
        body(user("hi"), extra={field: None})


def test_an_effort_asks_for_adaptive_thinking_that_is_shown() -> None:
    written = body(user("hi"), thinking={"effort": "high"})
    assert written["output_config"] == {"effort": "high"}
    assert written["thinking"] == {"type": "adaptive", "display": "summarized"}


def test_a_budget_is_sent_to_models_that_take_one() -> None:
    written = body(user("hi"), thinking={"budget_tokens": 2000}, model="anthropic/claude-haiku-4-5")
    assert written["thinking"] == {"type": "enabled", "budget_tokens": 2000}


@pytest.mark.parametrize(
    ("model", "thinking", "words"),
    [
        ("anthropic/claude-opus-5", {"budget_tokens": 2000}, "set thinking.effort"),
        ("anthropic/claude-haiku-4-5-20251001", {"effort": "low"}, "set thinking.budget_tokens"),
        ("anthropic/claude-opus-4-6", {"budget_tokens": 4096}, r"below max_tokens \(4096\)"),
    ],
)
def test_thinking_that_a_model_cannot_have_says_what_to_set(model: str, thinking: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=f"(?i){words}"):
        body(user("hi"), thinking=thinking, model=model)


def test_a_tool_loop_that_another_provider_began_goes_on_without_a_thinking_budget() -> None:
    messages = (user("go"), assistant(call("a"), provider="openai"), user(result("a")))
    assert "thinking" not in body(*messages, thinking={"budget_tokens": 2000})
    assert "thinking" in body(*messages, assistant("3"), user("thanks"), thinking={"budget_tokens": 2000})


def test_half_a_character_and_not_a_number_do_not_break_a_request() -> None:
    written = body(user("go"), assistant(call("a", text="\ud83d", size=float("nan"))), user(result("a")))
    assert written["messages"][1]["content"][0]["input"] == {"text": "\ufffd", "size": None}


def test_an_answer_that_is_to_be_continued_ends_without_white_space() -> None:
    written = body(user("go"), assistant("So far, \n"))
    assert written["messages"][1]["content"] == [{"type": "text", "text": "So far,"}]
    written = body(user("go"), assistant("So far, \n"), user("go on"))
    assert written["messages"][1]["content"] == [{"type": "text", "text": "So far, \n"}]


def test_a_request_for_a_summary_is_not_written_to_the_cache() -> None:
    assert "cache_control" not in json.dumps(body(user("Hi."), system="Be kind.", request_class="summary"))
    assert "cache_control" in json.dumps(body(user("Hi."), system="Be kind."))
