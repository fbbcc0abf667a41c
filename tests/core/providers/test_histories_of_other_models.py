"""A history that one model had is a valid body for every other: on each wire, with other tools or with none.

Histories are those of `test_bodies_are_valid.py` and one of a recorded session; the model that is asked is not the one
that answered in them.
"""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_core.content import TextBlock, ThinkingBlock, ToolUseBlock
from agent_core.messages import AssistantMessage, Message
from agent_core.seeding import regular
from agent_core.tools.definition import ToolDefinition
from tests.core.providers.making import ADD, MODELS, SESSION, config, request, user
from tests.core.providers.test_bodies_are_valid import WIRES, histories, validate
from tests.core.said_before import BEFORE

PROVIDERS = ["anthropic", "openai", "local", ""]


@st.composite
def recorded(draw: st.DrawFn) -> list[Message]:
    """What another session recorded, of a provider that wrote its answers and its thinking."""
    by = draw(st.sampled_from(PROVIDERS))
    return [_by(by, message) for message in draw(histories()) if _says_something(message)]


def _says_something(message: Message) -> bool:
    return any(block.kind != "text" or block.text.strip() for block in message.content)


def _by(provider: str, message: Message) -> Message:
    if not isinstance(message, AssistantMessage):
        return message
    return message.model_copy(update={"provider": provider, "model": "another"})


def body_of(wire: str, messages: list[Message], *tools: ToolDefinition) -> Any:
    """What would be sent when a session begins with these messages and is asked one question more."""
    chosen = {"wire": "chat"} if wire == "chat" else {}
    asked = request(config(MODELS[wire], **chosen), *regular(messages), user("And now?"), tools=tools)
    return json.loads(WIRES[wire]().encode(asked))


@pytest.mark.parametrize("wire", sorted(WIRES))
@settings(max_examples=40)
@given(messages=recorded(), with_tools=st.booleans())
def test_whatever_was_recorded_is_a_valid_beginning(wire: str, messages: list[Message], with_tools: bool) -> None:
    validate(wire, body_of(wire, messages, *([ADD] if with_tools else [])))


@settings(max_examples=40)
@given(messages=recorded())
def test_a_regular_history_stays_as_it_is(messages: list[Message]) -> None:
    assert regular(regular(messages)) == regular(messages)


@pytest.mark.parametrize("wire", sorted(WIRES))
def test_thinking_goes_back_to_its_own_provider_alone_and_unknown_tools_are_still_told_of(wire: str) -> None:
    body = body_of(wire, list(BEFORE), ADD)
    validate(wire, body)
    text = json.dumps(body)
    assert ("Two places to look." in text) == (wire == "messages")
    assert '"find"' in text
    assert "not here" in text
    assert text.index("Where is my parcel?") < text.index("And the other one?") < text.index("And now?")


@pytest.mark.parametrize("wire", sorted(WIRES))
@pytest.mark.parametrize("name", ["no such tool", "", "n" * 80, "functions.find"])
def test_a_call_of_a_tool_that_no_provider_would_take_is_told_by_another_name(wire: str, name: str) -> None:
    called = [
        message.model_copy(
            update={
                "content": tuple(
                    block.model_copy(update={"name": name}) if isinstance(block, ToolUseBlock) else block
                    for block in message.content
                )
            }
        )
        for message in BEFORE
    ]
    validate(wire, body_of(wire, called))


@pytest.mark.parametrize("wire", sorted(WIRES))
def test_an_answer_that_was_nothing_but_thinking_of_another_is_left_out(wire: str) -> None:
    thought = ThinkingBlock(thinking="Hm.", provider="elsewhere")
    silent = BEFORE[-1].model_copy(update={"content": (thought,)})
    history = [*BEFORE[:-1], silent]
    body = body_of(wire, history)
    validate(wire, body)
    assert "Hm." not in json.dumps(body)


@pytest.mark.parametrize("wire", sorted(WIRES))
def test_a_history_that_ends_with_the_user_is_followed_by_the_question(wire: str) -> None:
    ends = [*BEFORE[:3], BEFORE[-2]]
    assert [message.session_id for message in regular(ends)] == [""] * 4 != [SESSION] * 4
    validate(wire, body_of(wire, ends))
    validate(wire, body_of(wire, [user(TextBlock(text="Nobody has answered this."))]))
