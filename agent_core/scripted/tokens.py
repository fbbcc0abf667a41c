"""Token counts without a tokenizer: about four characters a token.

The rule here: the same text always counts the same, on every wire, so that limits, usage and `count_tokens` agree.
"""

from typing import Any, cast

CHARACTERS_PER_TOKEN = 4
MESSAGE_TOKENS = 3
IMAGE_TOKENS = 1_500
_BINARY = frozenset({"data", "image_url", "file_data"})
_FRAME = frozenset({"content", "text", "thinking", "input", "output", "arguments", "function", "tool_calls", "summary"})
_SILENT = frozenset({"cache_control", "type", "role", "id", "status", "signature", "encrypted_content"})


def text_tokens(text: str) -> int:
    """Tokens of a text, at least 1 unless it is empty."""
    return (len(text) + CHARACTERS_PER_TOKEN - 1) // CHARACTERS_PER_TOKEN


def characters(value: object) -> int:
    """Characters that a model would read in a JSON value.

    Keys count unless the wire alone needs them, so a text is worth the same as a block that holds it; an image or a
    file is a fixed lump.
    """
    total = 0
    stack: list[Any] = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            total += len(item)
        elif isinstance(item, dict):
            for key, inner in cast("dict[str, Any]", item).items():
                if key in _BINARY:
                    total += IMAGE_TOKENS * CHARACTERS_PER_TOKEN
                elif key not in _SILENT:
                    total += 0 if key in _FRAME else len(key)
                    stack.append(inner)
        elif isinstance(item, list):
            stack.extend(cast("list[Any]", item))
        elif item is not None:
            total += 1
    return total


def input_tokens(body: dict[str, Any]) -> int:
    """Tokens of a whole request on any wire: prompt, tools and messages, at least 1."""
    total = 0
    for key in ("system", "instructions", "tools"):
        total += characters(body.get(key))
    messages = body.get("messages", body.get("input"))
    total += characters(messages)
    count = len(cast("list[Any]", messages)) if isinstance(messages, list) else 1
    return max(1, (total + CHARACTERS_PER_TOKEN - 1) // CHARACTERS_PER_TOKEN + MESSAGE_TOKENS * count)
