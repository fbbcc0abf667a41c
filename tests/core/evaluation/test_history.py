"""The history of a sample: read from what datasets hold, and written so that it is read again."""

import json
from typing import Any

import pytest

from agent_core.evaluation.history import messages_of, rows_of
from agent_core.messages import Message
from agent_core.seeding import digest_of_history, regular
from tests.core.playbook import lines_of
from tests.core.said_before import BEFORE, LINES

ARGUMENTS = json.dumps({"place": "Bonn"})
OPENAI = [
    {"role": "user", "content": "Where is my parcel?", "name": "ada"},
    {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "find", "arguments": ARGUMENTS}},
            {"id": "b", "type": "function", "function": {"name": "find", "arguments": ""}},
        ],
    },
    {"role": "tool", "tool_call_id": "b", "content": "found"},
    {"role": "tool", "tool_call_id": "a", "content": "not here"},
    {"role": "assistant", "content": "At the post office."},
]
ANTHROPIC = [
    {"role": "user", "content": [{"type": "text", "text": "Where is my parcel?"}]},
    {
        "role": "assistant",
        "content": [
            {"type": "tool_use", "id": "a", "name": "find", "input": {"place": "Bonn"}},
            {"type": "tool_use", "id": "b", "name": "find", "input": {}},
        ],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "not here"}]},
            {"type": "tool_result", "tool_use_id": "b", "content": "found", "is_error": False},
        ],
    },
    {"role": "assistant", "content": "At the post office."},
]


def lines(messages: tuple[Message, ...]) -> list[str]:
    return [line for message in messages for line in lines_of(message)]


@pytest.mark.parametrize("chat", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
def test_chat_messages_of_the_providers_are_read_with_their_calls(chat: list[dict[str, Any]]) -> None:
    messages = messages_of(chat)
    assert lines(messages) == [
        "user: Where is my parcel?",
        "model calls a: find",
        "model calls b: find",
        "result a: not here",
        "result b: found",
        "model: At the post office.",
    ]
    assert messages[1].content[0].input == {"place": "Bonn"}  # type: ignore[union-attr]
    assert [message.turn_id for message in messages] == ["u1"] * 4


def test_images_are_read_by_their_address_or_whole() -> None:
    (message,) = messages_of(
        [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "aGk="}},
                ],
            }
        ]
    )
    assert [(block.url, block.media_type, block.data) for block in message.content] == [  # type: ignore[union-attr]
        ("https://example.org/a.png", None, None),
        (None, "image/png", "aGk="),
        (None, "image/jpeg", "aGk="),
    ]


def test_what_is_written_is_read_again_with_thinking_and_turns() -> None:
    rows = rows_of(BEFORE)
    again = messages_of(json.loads(json.dumps(rows)))
    assert tuple(lines(again)) == LINES
    assert digest_of_history(again) == digest_of_history(regular(BEFORE))
    assert rows_of(again) == rows
    assert "session_id" not in rows[0]
    assert "usage" not in rows[1]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("Hello.", "a list of messages is wanted"),
        (["Hello."], "message 1 is no object"),
        ([{"content": "Hi."}], "message 1 has the role None"),
        ([{"role": "system", "content": "Be kind."}], "message 1 is a system prompt"),
        ([{"role": "critic", "content": "Bad."}], "message 1 has the role 'critic'"),
        ([{"role": "user", "content": 3}], "message 1 has a 'content' that is no list of objects"),
        ([{"role": "user", "content": [{"type": "audio"}]}], "message 1 has a part of type 'audio'"),
        ([{"role": "user", "content": "  "}], "message 1 is empty"),
        ([{"role": "assistant", "content": "Hi."}], "message 1 is an answer to nothing"),
        ([OPENAI[0], OPENAI[0], {"role": "tool", "content": "x"}], "message 3 lacks the text 'tool_use_id'"),
        ([*OPENAI[:3]], "message 2 makes call 'a', whose result is missing"),
        ([OPENAI[0], {"role": "assistant", "tool_calls": [{"id": "a"}]}], "message 2 has a call without a 'function'"),
        (
            [
                OPENAI[0],
                {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "[1]"}}]},
            ],
            "message 2 has a call whose arguments are no JSON object",
        ),
        ([{"kind": "user", "content": [{"kind": "txt", "text": "Hi."}]}], "message 1, content.0:"),
        ([{"kind": "users", "content": []}], "message 1: Input tag 'users'"),
        ([{"kind": "user", "content": [], "who": "Ada"}], "message 1, who:"),
    ],
)
def test_what_is_no_history_is_refused_by_its_message(value: object, said: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        messages_of(value)
    assert said in str(caught.value)
    assert not str(caught.value).endswith(".") or said.startswith("message 1, ")
