"""What was said, as attributes of spans, for those who ask for it.

The rule here: it is JSON after the conventions' schema of messages (roles and parts), without thinking's signatures and
without images. It is bounded: long texts are cut, and of a long conversation only the newest messages are told. What
looks like a key is taken out. Source: "GenAI input messages" in the semantic conventions (see `names.py`).
"""

import json
from collections.abc import Sequence
from typing import Any

from agent_core.content import ContentBlock, ImageBlock, TextBlock, ThinkingBlock, ToolUseBlock, text_of
from agent_core.messages import Message
from agent_core.providers.keys import redact

_MOST_IN_A_TEXT = 8_000
_MOST = 32_000


def told(text: str) -> str:
    """A text as it may leave: short enough, and without what looks like a key."""
    clean = redact(text)
    return clean if len(clean) <= _MOST_IN_A_TEXT else clean[: _MOST_IN_A_TEXT - 1] + "…"


def messages_told(messages: Sequence[Message]) -> str:
    """The newest messages, oldest first, as many as there is room for."""
    chosen: list[str] = []
    room = _MOST
    for message in reversed(messages):
        text = _json({"role": _role(message), "parts": [part(block) for block in message.content]})
        room -= len(text)
        if room < 0 and chosen:
            break
        chosen.append(text)
    return f"[{', '.join(reversed(chosen))}]"


def output_told(blocks: Sequence[ContentBlock], finish_reason: str) -> str:
    """One answer."""
    parts = [part(block) for block in blocks]
    return _json([{"role": "assistant", "parts": parts, "finish_reason": finish_reason}])


def instructions_told(text: str) -> str:
    """The system prompt."""
    return _json([{"type": "text", "content": told(text)}])


def arguments_told(values: dict[str, Any]) -> str:
    """A tool's input. Cut where it is too long, and then no JSON."""
    return told(_json(values))


def part(block: ContentBlock) -> dict[str, Any]:
    """A block as a part of a message."""
    match block:
        case TextBlock():
            return {"type": "text", "content": told(block.text)}
        case ThinkingBlock():
            return {"type": "reasoning", "content": told(block.thinking)}
        case ToolUseBlock():
            return {"type": "tool_call", "id": block.id, "name": block.name, "arguments": arguments_told(block.input)}
        case ImageBlock():
            return {"type": "image"}
        case _:
            return {
                "type": "tool_call_response",
                "id": block.tool_use_id,
                "response": told(text_of(block.content)),
            }


def _role(message: Message) -> str:
    if message.kind == "assistant":
        return "assistant"
    return "tool" if all(block.kind == "tool_result" for block in message.content) else "user"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "replace").decode()
