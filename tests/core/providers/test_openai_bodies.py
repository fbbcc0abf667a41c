"""How requests are written on OpenAI's two wires."""

import json
from typing import Any

import pytest

from agent_core.content import ImageBlock, TextBlock, ThinkingBlock, ToolResultBlock
from agent_core.errors import ConfigError
from agent_core.messages import Message
from agent_core.providers.openai_chat import OpenAIChat
from agent_core.providers.openai_responses import OpenAIResponses
from tests.core.providers.making import ADD, assistant, call, config, request, result, user


def written(wire: str, *messages: Message, model: str = "openai/gpt-5", **fields: Any) -> Any:
    chosen = {"wire": wire} if model.startswith("local/") or wire == "chat" else {}
    settings = {name: fields.pop(name) for name in list(fields) if name not in ("system", "tools", "max_tokens")}
    encoder = OpenAIChat() if wire == "chat" else OpenAIResponses()
    return json.loads(encoder.encode(request(config(model, **chosen, **settings), *messages, **fields)))


def chat(*messages: Message, **fields: Any) -> Any:
    return written("chat", *messages, **fields)


def responses(*messages: Message, **fields: Any) -> Any:
    return written("responses", *messages, **fields)


# --- Chat ----------------------------------------------------------------------------------------------------------


def test_chat_sends_turns_with_lone_texts_as_strings() -> None:
    body = chat(user("one"), user("two"), assistant("three", provider="openai"), user("four"), system="Be brief.")
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one\n\ntwo"},
        {"role": "assistant", "content": "three"},
        {"role": "user", "content": "four"},
    ]


def test_s10_chat_answers_every_call_with_a_message_of_its_own_before_the_users_words() -> None:
    body = chat(
        user("go"),
        assistant(call("a", a=1), call("b")),
        user("meanwhile", result("b", "2"), result("a", "boom", is_error=True)),
    )
    used, *answers = body["messages"][1:]
    assert used["content"] is None
    assert [one["function"]["arguments"] for one in used["tool_calls"]] == ['{"a":1}', "{}"]
    assert [one["role"] for one in answers] == ["tool", "tool", "user"]
    assert answers[1] == {"role": "tool", "tool_call_id": "a", "content": "Error: boom"}


def test_chat_never_sends_thinking_back() -> None:
    body = chat(user("go"), assistant(ThinkingBlock(thinking="Hm.", provider="openai"), "So."), user("on"))
    assert body["messages"][1] == {"role": "assistant", "content": "So."}


def test_chat_moves_the_images_of_a_result_into_the_next_message() -> None:
    seen = ToolResultBlock(tool_use_id="a", content=(TextBlock(text="look"), ImageBlock(data="aGk=")))
    body = chat(user("go"), assistant(call("a")), user(seen))
    tool, after = body["messages"][2:]
    assert tool["content"].startswith("look")
    assert after["content"] == [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]


@pytest.mark.parametrize(
    ("model", "base_url", "field"),
    [
        ("openai/gpt-5", None, "max_completion_tokens"),
        ("openai/gpt-5", "https://eu.api.openai.com/v1", "max_completion_tokens"),
        ("openai/llama", "http://127.0.0.1:8000/v1", "max_tokens"),
        ("local/smollm2", "http://127.0.0.1:8000/v1", "max_tokens"),
    ],
)
def test_chat_names_the_output_limit_as_the_server_knows_it(model: str, base_url: str | None, field: str) -> None:
    body = chat(model=model, base_url=base_url, max_tokens=77)
    assert body[field] == 77
    assert not {"max_tokens", "max_completion_tokens"} - {field} & body.keys()


def test_chat_lets_extra_choose_the_other_name_of_the_output_limit() -> None:
    body = chat(model="openai/o3", base_url="http://gateway/v1", extra={"max_completion_tokens": 9})
    assert body["max_completion_tokens"] == 9
    assert "max_tokens" not in body


def test_chat_asks_a_stream_for_its_usage_and_only_a_stream() -> None:
    assert chat()["stream_options"] == {"include_usage": True}
    assert not {"stream", "stream_options"} & chat(streaming=False).keys()


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", "auto"),
        ("any", "required"),
        ("required", "required"),
        ("none", "none"),
        ("add", {"type": "function", "function": {"name": "add"}}),
    ],
)
def test_s03_chat_maps_the_tool_choice(choice: str, sent: Any) -> None:
    assert chat(tools=[ADD], tool_choice=choice)["tool_choice"] == sent


def test_s03_chat_sends_temperature_stop_sequences_effort_and_extra() -> None:
    body = chat(temperature=0.3, stop_sequences=("END",), thinking={"effort": "low"}, extra={"seed": 7})
    assert (body["temperature"], body["stop"], body["reasoning_effort"], body["seed"]) == (0.3, ["END"], "low", 7)


# --- Responses -----------------------------------------------------------------------------------------------------


def test_responses_stores_nothing_and_asks_for_encrypted_reasoning() -> None:
    body = responses(system="Be brief.")
    assert body["store"] is False
    assert body["include"] == ["reasoning.encrypted_content"]
    assert body["instructions"] == "Be brief."
    assert body["max_output_tokens"] == 4096


def test_responses_does_not_ask_a_model_without_reasoning_for_it() -> None:
    assert "include" not in responses(model="openai/gpt-4o-2024-11-20")


def test_responses_sends_reasoning_back_part_by_part_before_what_it_led_to() -> None:
    parts = [
        ThinkingBlock(thinking="First.", item_id="rs_1", provider="openai"),
        ThinkingBlock(thinking="Then.", signature="sealed", item_id="rs_1", provider="openai"),
    ]
    body = responses(user("go"), assistant(*parts, "So.", call("a")), user(result("a")))
    kinds = [item["type"] for item in body["input"]]
    assert kinds == ["message", "reasoning", "message", "function_call", "function_call_output"]
    assert body["input"][1] == {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "First."}, {"type": "summary_text", "text": "Then."}],
        "encrypted_content": "sealed",
    }


@pytest.mark.parametrize(
    "thinking",
    [
        ThinkingBlock(thinking="Hm.", signature="sig", provider="anthropic"),
        ThinkingBlock(thinking="Hm.", signature="sealed", item_id="rs_1", provider="local"),
        ThinkingBlock(thinking="Hm, and th", item_id="rs_1", provider="openai"),
    ],
)
def test_responses_leaves_out_reasoning_that_is_not_its_own_or_not_whole(thinking: ThinkingBlock) -> None:
    body = responses(user("go"), assistant(thinking, "So."), user("on"))
    assert all(item["type"] == "message" for item in body["input"])


def test_responses_leaves_out_reasoning_that_nothing_follows() -> None:
    alone = ThinkingBlock(thinking="Hm.", signature="sealed", item_id="rs_1", provider="openai")
    assert len(responses(user("go"), assistant(alone, " "), user("on"))["input"]) == 2


def test_s10_responses_gives_every_output_before_the_users_words() -> None:
    body = responses(
        user("go"),
        assistant(call("a"), call("b")),
        user("meanwhile", result("b")),
        user(result("a", "boom", is_error=True)),
    )
    assert [item["type"] for item in body["input"]][3:] == ["function_call_output"] * 2 + ["message"]
    assert body["input"][4]["output"] == "Error: boom"


def test_responses_sends_the_images_of_a_result_with_it() -> None:
    seen = ToolResultBlock(tool_use_id="a", content=(TextBlock(text="look"), ImageBlock(url="https://e.org/a.png")))
    body = responses(user("go"), assistant(call("a")), user(seen))
    assert [part["type"] for part in body["input"][2]["output"]] == ["input_text", "input_image"]


def test_responses_sends_schemas_as_they_are() -> None:
    (tool,) = responses(tools=[ADD])["tools"]
    assert tool["strict"] is False
    assert tool["parameters"] == ADD.input_schema


def test_s03_responses_maps_temperature_effort_and_tool_choice() -> None:
    body = responses(temperature=0.3, thinking={"effort": "low"}, tools=[ADD], tool_choice="add")
    assert body["temperature"] == 0.3
    assert body["reasoning"] == {"effort": "low", "summary": "auto"}
    assert body["tool_choice"] == {"type": "function", "name": "add"}


def test_responses_keeps_openais_own_fields_from_local_servers() -> None:
    body = responses(model="local/smollm2", base_url="http://127.0.0.1:1")
    assert not {"store", "include", "prompt_cache_key"} & body.keys()


def test_s03_responses_refuses_stop_sequences_and_names_the_wire_that_has_them() -> None:
    with pytest.raises(ConfigError, match=r"stop_sequences.*wire to 'chat'"):
        responses(stop_sequences=("END",))


@pytest.mark.parametrize("wire", ["chat", "responses"])
def test_s03_a_thinking_budget_on_an_openai_wire_says_to_set_an_effort(wire: str) -> None:
    with pytest.raises(ConfigError, match=r"budget_tokens.*thinking\.effort"):
        written(wire, thinking={"budget_tokens": 2000})


@pytest.mark.parametrize("wire", ["chat", "responses"])
def test_requests_of_a_session_are_routed_to_one_prompt_cache_at_openai_only(wire: str) -> None:
    assert written(wire)["prompt_cache_key"] == "session"
    assert "prompt_cache_key" not in written(wire, base_url="http://127.0.0.1:1/v1")
