"""Messages as a log has them: one for each thing said, a tool's result a message of its own.

The rule here: what a message says stands in it, but for images, which stand once among the sample's attachments. Where
an event repeats a message, its long texts are attachments too. Source: `_chat_message.py`, `_util/content.py` and
`tool/_tool_call.py` of inspect_ai 0.3.285, and `events_attachment_fn` and `messages_attachment_fn` of its log writer.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, assert_never

from agent_core.content import ImageBlock, TextBlock, ThinkingBlock, ToolResultBlock, ToolUseBlock
from agent_core.messages import AssistantMessage, Message, StopReason, UserMessage

Json = dict[str, Any]

REFERENCE = "attachment://"
# Longer texts are kept once for all events that repeat them.
LONG_TEXT = 400
MARKER = "marker"
RAW_INPUT = "raw_input"

STOP_REASONS: dict[StopReason, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "max_tokens",
    "context_exceeded": "model_length",
    "refusal": "content_filter",
}


class Attachments:
    """Texts and images that are referred to from more than one place, each once."""

    def __init__(self) -> None:
        self.by_key: dict[str, str] = {}

    def keep(self, text: str) -> str:
        """Keep the text; returns what refers to it."""
        key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        self.by_key[key] = text
        return REFERENCE + key

    def shortened(self, text: str) -> str:
        """The text if it is short, else what refers to it."""
        return text if len(text) <= LONG_TEXT else self.keep(text)


class Said(NamedTuple):
    """One message of a log: `whole` as the conversation has it, `repeated` as events have it; the same if it is short.

    `source` is the message it is of, `call` what it is the result of.
    """

    whole: Json
    repeated: Json
    source: Message
    call: ToolUseBlock | None = None


def said(messages: Iterable[Message], attachments: Attachments, uuid: str) -> Iterator[Said]:
    """The messages of a log, in their order. Their ids begin with `uuid`: Inspect wants no two alike in any log."""
    calls: dict[str, ToolUseBlock] = {}
    for message in messages:
        if isinstance(message, AssistantMessage):
            calls |= {block.id: block for block in message.content if isinstance(block, ToolUseBlock)}
            yield _told(_assistant(message, attachments, uuid), message, attachments)
        else:
            yield from _user(message, calls, attachments, uuid)


def call_of(block: ToolUseBlock) -> Json:
    """A call as an assistant's message has it."""
    call: Json = {"id": block.id, "function": block.name, "arguments": block.input, "type": "function"}
    if block.input_error is not None:
        call["parse_error"] = block.input_error
        if block.raw_input is not None:
            call["arguments"] = {RAW_INPUT: block.raw_input}
    return call


def error_of(block: ToolResultBlock) -> Json:
    """The error of a call that failed, as a tool's message has it."""
    text = block.content if isinstance(block.content, str) else "".join(_texts(block.content))
    return {"type": "unknown", "message": text}


def _assistant(message: AssistantMessage, attachments: Attachments, uuid: str) -> Json:
    content: list[Json] = []
    calls: list[Json] = []
    for block in message.content:
        if isinstance(block, ToolUseBlock):
            calls.append(call_of(block))
        elif isinstance(block, ThinkingBlock):
            content.append(_reasoning(block, message.provider))
        else:
            content.append(_content(block, attachments))
    made: Json = {"id": f"{uuid}.{message.id}", "role": "assistant", "content": _simple(content), "source": "generate"}
    if calls:
        made["tool_calls"] = calls
    made["model"] = message.model
    return made


def _user(message: UserMessage, calls: dict[str, ToolUseBlock], attachments: Attachments, uuid: str) -> Iterator[Said]:
    """The results of a message each by itself, what the user said between them or after them together."""
    spoken: list[Json] = []
    number = 0

    def name() -> str:
        nonlocal number
        number += 1
        return f"{uuid}.{message.id}" if number == 1 else f"{uuid}.{message.id}.{number}"

    def flush() -> Iterator[Said]:
        if spoken or not message.content:
            made: Json = {"id": name(), "role": "user", "content": _simple(spoken), "source": "input"}
            if message.marker is not None:
                made["metadata"] = {MARKER: message.marker}
            spoken.clear()
            yield _told(made, message, attachments)

    for block in message.content:
        if isinstance(block, ToolResultBlock):
            yield from flush()
            call = calls.get(block.tool_use_id)
            yield _told({"id": name()} | _result(block, call, attachments), message, attachments, call)
        else:
            spoken.append(_content(block, attachments))
    yield from flush()


def _result(block: ToolResultBlock, call: ToolUseBlock | None, attachments: Attachments) -> Json:
    content: str | list[Json]
    if isinstance(block.content, str):
        content = block.content
    else:
        content = [_content(inner, attachments) for inner in block.content]
    made: Json = {"role": "tool", "content": content, "tool_call_id": block.tool_use_id}
    if call is not None:
        made["function"] = call.name
    if block.is_error:
        made["error"] = error_of(block)
    return made


def _content(block: TextBlock | ImageBlock, attachments: Attachments) -> Json:
    match block:
        case TextBlock():
            return {"type": "text", "text": block.text}
        case ImageBlock():
            return {"type": "image", "image": _image(block, attachments)}
    assert_never(block)


def _reasoning(block: ThinkingBlock, provider: str) -> Json:
    if block.redacted:
        made: Json = {"type": "reasoning", "reasoning": block.signature or "", "redacted": True}
    else:
        made = {"type": "reasoning", "reasoning": block.thinking}
        if block.signature is not None:
            made["signature"] = block.signature
    if block.item_id is not None or block.provider != provider:
        made["internal"] = {"provider": block.provider, "item_id": block.item_id}
    return made


def _image(block: ImageBlock, attachments: Attachments) -> str:
    if block.data is not None:
        return attachments.keep(f"data:{block.media_type or 'image/png'};base64,{block.data}")
    return block.url or ""


def _told(whole: Json, source: Message, attachments: Attachments, call: ToolUseBlock | None = None) -> Said:
    """The message, and how events repeat it."""
    content = whole["content"]
    if isinstance(content, str):
        short = attachments.shortened(content)
        return Said(whole, whole if short is content else whole | {"content": short}, source, call)
    shortened = [_shortened(part, attachments) for part in content]
    same = all(before is after for before, after in zip(content, shortened, strict=True))
    return Said(whole, whole if same else whole | {"content": shortened}, source, call)


def _shortened(part: Json, attachments: Attachments) -> Json:
    key = {"text": "text", "reasoning": "reasoning"}.get(part["type"])
    if key is None or len(part[key]) <= LONG_TEXT:
        return part
    return part | {key: attachments.keep(part[key])}


def _simple(content: list[Json]) -> str | list[Json]:
    """Text alone is a string."""
    if not content:
        return ""
    if len(content) == 1 and content[0]["type"] == "text":
        return str(content[0]["text"])
    return list(content)


def _texts(blocks: Iterable[TextBlock | ImageBlock]) -> Iterator[str]:
    return (block.text for block in blocks if isinstance(block, TextBlock))
