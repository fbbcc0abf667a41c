"""Whatever a session's history holds, each wire writes a body that its provider takes.

The validators are the scripted server's. Histories are those that a session can have: users, answers with thinking
and parallel calls, results in any order, failed turns that left nothing or only a user's message, answers of other
providers.
"""

import json
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_core.content import AssistantBlock, ImageBlock, TextBlock, ThinkingBlock, ToolResultBlock, ToolUseBlock
from agent_core.messages import Message
from agent_core.ports import ModelRequest
from agent_core.providers.anthropic_messages import AnthropicMessages
from agent_core.providers.encoding import Fragments
from agent_core.providers.openai_chat import OpenAIChat
from agent_core.providers.openai_responses import OpenAIResponses
from agent_core.scripted import ModelLimits, Signer, validate_anthropic, validate_chat, validate_responses
from tests.core.providers.making import ADD, MODELS, assistant, config, request, user

SIGNER = Signer()
LIMITS = ModelLimits(context_window=10_000_000)
WIRES: dict[str, Any] = {"messages": AnthropicMessages, "responses": OpenAIResponses, "chat": OpenAIChat}

text = st.text(st.characters(codec="utf-8"), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(text, inner, max_size=2),
    max_leaves=4,
)
images = st.builds(
    ImageBlock, media_type=st.sampled_from(["image/png", "image/jpeg"]), data=st.just("aGk=")
) | st.builds(ImageBlock, url=st.just("https://example.org/a.png"))
user_blocks = st.lists(st.builds(TextBlock, text=text) | images, min_size=1, max_size=3)
contents = text | st.lists(st.builds(TextBlock, text=text) | images, max_size=3).map(tuple)
# Ids that providers and lesser servers give: what some take, others refuse.
id_shapes = st.sampled_from(["toolu_{}", "call_{}", "functions.add:{}", "{}", "id with blanks {}", "x" * 70 + "{}"])
names = st.sampled_from(["add", "no.such tool", "", "n" * 80])


@st.composite
def thinking_blocks(draw: st.DrawFn, number: int) -> list[ThinkingBlock]:
    said = draw(text)
    match draw(st.sampled_from(["none", "anthropic", "redacted", "openai", "parts", "unsigned", "elsewhere"])):
        case "anthropic":
            return [ThinkingBlock(thinking=said, signature=SIGNER.thinking(said), provider="anthropic")]
        case "redacted":
            return [ThinkingBlock(signature=SIGNER.redacted(said), redacted=True, provider="anthropic")]
        case "openai":
            own = f"rs_{number}"
            return [ThinkingBlock(thinking=said, signature=SIGNER.reasoning(own, said), item_id=own, provider="openai")]
        case "parts":
            own, more = f"rs_{number}", draw(text)
            sealed = SIGNER.reasoning(own, said + more)
            return [
                ThinkingBlock(thinking=said, item_id=own, provider="openai"),
                ThinkingBlock(thinking=more, signature=sealed, item_id=own, provider="openai"),
            ]
        case "unsigned":
            return [ThinkingBlock(thinking=said, provider="anthropic")]
        case "elsewhere":
            return [ThinkingBlock(thinking=said, provider="local")]
        case _:
            return []


@st.composite
def histories(draw: st.DrawFn) -> list[Message]:
    numbers = count(1)
    messages: list[Message] = [user(*draw(user_blocks), "first")]
    for _ in range(draw(st.integers(0, 4))):
        if draw(st.booleans()):
            # A failed turn leaves its user message, and the next one follows it.
            messages.append(user(*draw(user_blocks)))
        number = next(numbers)
        blocks: list[AssistantBlock] = [*draw(thinking_blocks(number)), *map(_text, draw(st.lists(text, max_size=2)))]
        ids = [draw(id_shapes).format(f"{number}_{place}") for place in range(draw(st.integers(0, 3)))]
        blocks += [
            ToolUseBlock(id=id, name=draw(names), input=draw(st.dictionaries(text, json_values, max_size=2)))
            for id in ids
        ]
        messages.append(assistant(*blocks))
        if ids:
            results = [
                ToolResultBlock(tool_use_id=id, content=draw(contents), is_error=draw(st.booleans()))
                for id in draw(st.permutations(ids))
            ]
            steered = draw(user_blocks) if draw(st.booleans()) else []
            # What was steered in may come in the message of the results or as its own.
            if draw(st.booleans()):
                messages.append(user(*steered, *results))
            else:
                messages += [user(*results), user(*steered)]
        else:
            messages.append(user(*draw(user_blocks), "next"))
    return messages


def _text(said: str) -> TextBlock:
    return TextBlock(text=said)


def validate(wire: str, body: Any) -> None:
    match wire:
        case "messages":
            validate_anthropic(body, LIMITS, SIGNER)
        case "responses":
            validate_responses(body, LIMITS, SIGNER)
        case _:
            validate_chat(body, LIMITS)


def asked(wire: str, messages: list[Message], thinking: dict[str, Any] | None = None) -> ModelRequest:
    chosen = {"wire": "chat"} if wire == "chat" else {}
    settings = config(MODELS[wire], **chosen, thinking=thinking)
    return request(settings, *messages, tools=[ADD], system="Add.", max_tokens=4000)


@pytest.mark.parametrize("wire", sorted(WIRES))
@settings(max_examples=50)
@given(messages=histories())
def test_s26_every_history_makes_a_valid_body(wire: str, messages: list[Message]) -> None:
    validate(wire, json.loads(WIRES[wire]().encode(asked(wire, messages))))


@settings(max_examples=50)
@given(messages=histories())
def test_every_history_makes_a_valid_body_with_a_thinking_budget(messages: list[Message]) -> None:
    wanted = asked("messages", messages, {"budget_tokens": 2000})
    validate("messages", json.loads(AnthropicMessages().encode(wanted)))


@pytest.mark.parametrize("wire", sorted(WIRES))
@settings(max_examples=50)
@given(messages=histories())
def test_a_body_from_memory_is_the_same_body(wire: str, messages: list[Message]) -> None:
    remembering, forgetting = WIRES[wire](), WIRES[wire](Fragments(limit=0))
    wanted = asked(wire, messages)
    bodies = {remembering.encode(wanted), remembering.encode(wanted), forgetting.encode(wanted)}
    assert len(bodies) == 1


@pytest.mark.parametrize("wire", sorted(WIRES))
@settings(max_examples=50)
@given(messages=histories())
def test_a_conversation_only_grows_at_its_end(wire: str, messages: list[Message]) -> None:
    """What was sent once is sent again byte for byte, or no prompt cache would ever hit."""
    field = "input" if wire == "responses" else "messages"
    shorter = json.loads(WIRES[wire]().encode(asked(wire, messages)))[field]
    longer = json.loads(WIRES[wire]().encode(asked(wire, [*messages, assistant("Yes."), user("and more")])))[field]
    assert _unmarked(longer[: len(shorter)]) == _unmarked(shorter)


def _unmarked(turns: list[Any]) -> str:
    return json.dumps(turns).replace(', "cache_control": {"type": "ephemeral"}', "")
