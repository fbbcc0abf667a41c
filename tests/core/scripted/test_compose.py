"""What a reply becomes: stop reasons on every wire, budgets, broken JSON, thinking only where asked for."""

from typing import Any

import pytest

from agent_core.scripted import (
    Engine,
    Mint,
    ModelLimits,
    Reply,
    Script,
    Signer,
    StopReason,
    ToolCall,
    UsageOverride,
    Wire,
)
from tests.core.scripted.bodies import ADD, chat_body, messages_body, responses_body, user

CALL = ToolCall(name="add", input={"number": 12345678})


def engine(reply: Reply, script: Script | None = None) -> Engine:
    return Engine(script, brain=lambda _: reply, mint=Mint("test"))


def anthropic(reply: Reply, script: Script | None = None, **fields: Any) -> dict[str, Any]:
    model = engine(reply, script)
    return model.body(model.answer(Wire.ANTHROPIC, messages_body(**fields)))


def chat(reply: Reply, script: Script | None = None, **fields: Any) -> dict[str, Any]:
    model = engine(reply, script)
    return model.body(model.answer(Wire.CHAT, chat_body(**fields)))


def responses(reply: Reply, **fields: Any) -> dict[str, Any]:
    model = engine(reply)
    return model.body(model.answer(Wire.RESPONSES, responses_body(**fields)))


@pytest.mark.parametrize(
    ("reason", "on_anthropic", "on_chat", "on_responses"),
    [
        ("end_turn", "end_turn", "stop", ("completed", None)),
        ("tool_use", "tool_use", "tool_calls", ("completed", None)),
        ("max_tokens", "max_tokens", "length", ("incomplete", "max_output_tokens")),
        ("stop_sequence", "stop_sequence", "stop", ("completed", None)),
        ("pause_turn", "pause_turn", "stop", ("completed", None)),
        ("refusal", "refusal", "stop", ("completed", None)),
        (
            "model_context_window_exceeded",
            "model_context_window_exceeded",
            "length",
            ("incomplete", "max_output_tokens"),
        ),
        ("content_filter", "refusal", "content_filter", ("incomplete", "content_filter")),
    ],
)
def test_every_stop_reason_has_a_form_on_every_wire(
    reason: StopReason, on_anthropic: str, on_chat: str, on_responses: tuple[str, str | None]
) -> None:
    reply = Reply(text="x", stop_reason=reason)
    assert anthropic(reply)["stop_reason"] == on_anthropic
    assert chat(reply)["choices"][0]["finish_reason"] == on_chat
    answer = responses(reply)
    assert (answer["status"], (answer["incomplete_details"] or {}).get("reason")) == on_responses


def test_the_stop_reason_follows_from_the_content() -> None:
    assert anthropic(Reply(text="x"))["stop_reason"] == "end_turn"
    assert anthropic(Reply(tool_calls=(CALL,)))["stop_reason"] == "tool_use"


def test_a_refusal_has_its_own_place_on_each_wire() -> None:
    reply = Reply(text="no", stop_reason="refusal")
    assert anthropic(reply)["stop_details"]["type"] == "refusal"
    message = chat(reply)["choices"][0]["message"]
    assert (message["content"], message["refusal"]) == (None, "no")
    assert responses(reply)["output"][0]["content"] == [{"type": "refusal", "refusal": "no"}]


def test_max_tokens_cuts_the_text() -> None:
    answer = anthropic(Reply(text="x" * 100), max_tokens=5)
    assert answer["content"][0]["text"] == "x" * 20
    assert (answer["stop_reason"], answer["usage"]["output_tokens"]) == ("max_tokens", 5)


def test_max_tokens_cuts_a_tool_call_whose_input_then_is_lost() -> None:
    answer = anthropic(Reply(tool_calls=(CALL, CALL)), max_tokens=2)
    assert [block["input"] for block in answer["content"]] == [{}]
    assert answer["stop_reason"] == "max_tokens"
    call = chat(Reply(tool_calls=(CALL,)), max_tokens=2)["choices"][0]["message"]["tool_calls"][0]
    assert call["function"]["arguments"] == '{"number'


def test_the_end_of_the_window_stops_the_answer() -> None:
    script = Script(default_limits=ModelLimits(context_window=20))
    answer = anthropic(Reply(text="x" * 400), script)
    assert answer["stop_reason"] == "model_context_window_exceeded"
    assert answer["usage"]["input_tokens"] + answer["usage"]["output_tokens"] == 20


def test_a_stop_sequence_ends_the_text_before_it_and_drops_the_calls() -> None:
    answer = anthropic(Reply(text="one END two STOP", tool_calls=(CALL,)), stop_sequences=["STOP", "END"])
    assert answer["content"] == [{"type": "text", "text": "one "}]
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", "END")
    assert chat(Reply(text="one END"), stop="END")["choices"][0]["message"]["content"] == "one "


def test_thinking_is_sent_only_where_it_is_asked_for() -> None:
    reply = Reply(text="x", thinking="hm", redacted_thinking="secret")
    assert [block["type"] for block in anthropic(reply)["content"]] == ["text"]
    asked = anthropic(reply, thinking={"type": "adaptive"})
    assert [block["type"] for block in asked["content"]] == ["thinking", "redacted_thinking", "text"]
    unasked = Script(default_limits=ModelLimits(thinks_unasked=True))
    assert anthropic(reply, unasked)["content"][0]["type"] == "thinking"
    assert anthropic(reply, unasked, thinking={"type": "disabled"})["content"][0]["type"] == "text"


def test_omitted_thinking_is_empty_and_still_signed() -> None:
    block = anthropic(Reply(thinking="hm"), thinking={"type": "adaptive", "display": "omitted"})["content"][0]
    assert block["thinking"] == ""
    assert Signer().verify_thinking("", block["signature"])


def test_chat_sends_thinking_only_in_a_field_that_the_script_names() -> None:
    reply = Reply(text="x", thinking="hm")
    assert "reasoning_content" not in chat(reply)["choices"][0]["message"]
    script = Script(chat_reasoning_field="reasoning_content")
    assert chat(reply, script)["choices"][0]["message"]["reasoning_content"] == "hm"


def test_reasoning_is_encrypted_only_when_included_and_summarised_only_when_asked() -> None:
    reply = Reply(text="x", thinking="hm")
    bare = responses(reply, reasoning={"effort": "low"})["output"][0]
    assert bare["summary"] == []
    assert "encrypted_content" not in bare
    full = responses(reply, reasoning={"summary": "auto"}, include=["reasoning.encrypted_content"])["output"][0]
    assert full["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert Signer().verify_reasoning(full["id"], "hm", full["encrypted_content"])


def test_usage_may_be_overridden() -> None:
    usage = UsageOverride(input_tokens=7, output_tokens=8, cache_read_tokens=9, cache_write_tokens=10)
    reported = anthropic(Reply(text="x", usage=usage))["usage"]
    assert (reported["input_tokens"], reported["output_tokens"]) == (7, 8)
    assert (reported["cache_read_input_tokens"], reported["cache_creation_input_tokens"]) == (9, 10)
    details = chat(Reply(text="x", usage=usage))["usage"]
    assert (details["prompt_tokens"], details["prompt_tokens_details"]["cached_tokens"]) == (7, 9)


def test_malformed_tool_json_does_not_parse_on_any_wire() -> None:
    reply = Reply(tool_calls=(CALL,), fault="malformed_tool_json")
    broken = '{"number": 12345678, "broken": '
    assert anthropic(reply, tools=[ADD])["content"][0]["input"] == broken
    assert chat(reply)["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == broken
    assert responses(reply)["output"][0]["arguments"] == broken


def test_a_script_may_send_any_input_text_and_id() -> None:
    call = ToolCall(name="add", raw_input="[1]", id="mine")
    block = anthropic(Reply(tool_calls=(call,)))["content"][0]
    assert (block["id"], block["input"]) == ("mine", "[1]")


def test_ids_are_never_given_twice_and_repeat_with_the_same_nonce() -> None:
    first, second = Mint(), Mint()
    ids = [mint.suffix() for mint in (first, second) for _ in range(50)]
    assert len(set(ids)) == 100
    assert Mint("n").suffix() == Mint("n").suffix()


def test_an_answer_to_an_echoed_lone_surrogate_can_be_sent() -> None:
    model = Engine()
    frames = model.frames(model.answer(Wire.ANTHROPIC, messages_body(user("a\ud800b"), stream=True)))
    assert b"a?b" in frames.whole()
