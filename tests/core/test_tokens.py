"""Token estimates."""

import gc

from agent_core import tokens
from agent_core.content import ImageBlock, TextBlock, ThinkingBlock, ToolResultBlock
from agent_core.tokens import IMAGE_TOKENS, estimate_message, estimate_text
from tests.core.providers.making import assistant, call, user


def test_a_text_is_counted_by_its_providers_characters_a_token() -> None:
    assert estimate_text("x" * 330, "anthropic") == 100
    assert estimate_text("x" * 400, "openai") == 100
    assert estimate_text("x" * 401, "local") == 101
    assert estimate_text("", "openai") == 0


def test_every_block_of_a_message_counts() -> None:
    empty = estimate_message(user(), "openai")
    assert estimate_message(user(ImageBlock(data="aGk=")), "openai") == empty + IMAGE_TOKENS
    seen = ToolResultBlock(tool_use_id="a", content=(TextBlock(text="x" * 40), ImageBlock(url="http://h/a.png")))
    assert estimate_message(user(seen), "openai") == empty + 10 + IMAGE_TOKENS
    assert estimate_message(user(ToolResultBlock(tool_use_id="a", content="x" * 40)), "openai") == empty + 10
    thinking = ThinkingBlock(signature="x" * 40, redacted=True, provider="anthropic")
    assert estimate_message(assistant(thinking), "openai") == empty + 10
    assert estimate_message(assistant(call("a", text="x" * 400)), "openai") > empty + 100


def test_an_estimate_is_remembered_for_each_provider_as_long_as_its_message_lives() -> None:
    message = user("x" * 1320)
    place = id(message)
    assert estimate_message(message, "anthropic") == 404
    assert estimate_message(message, "openai") == 334
    assert estimate_message(message, "local") == 334
    assert [key for key in tokens._known if key[0] == place] == [(place, 33), (place, 40)]
    del message
    gc.collect()
    assert not [key for key in tokens._known if key[0] == place]
