"""Messages of Inspect and messages of sessions, made into each other.

The rule here: what the model would be told stays the same. What a session cannot say (audio, video, documents) is
refused by name, never left out.
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageTool,
    ChatMessageUser,
    Content,
    ContentImage,
    ContentReasoning,
    ContentText,
    ModelUsage,
)
from inspect_ai.tool import ToolCall

from agent_core.content import (
    AssistantBlock,
    ImageBlock,
    InputBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from agent_core.errors import ConfigError
from agent_core.messages import AssistantMessage, Message, SessionId, StopReason, TurnId, Usage, UserMessage

_DATA_URI = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+);base64,(?P<data>.*)", re.DOTALL)
STOP_REASONS: dict[StopReason, Any] = {
    "max_tokens": "max_tokens",
    "refusal": "content_filter",
    "context_exceeded": "model_length",
}
Key = tuple[Any, ...]


def key_of(message: ChatMessage) -> Key:
    """What tells messages apart for a model: who says what, its calls, and the call that it answers."""
    calls: tuple[Any, ...] = ()
    if isinstance(message, ChatMessageAssistant):
        calls = tuple(
            (call.id, call.function, json.dumps(call.arguments, sort_keys=True, default=str))
            for call in message.tool_calls or ()
        )
    answered = message.tool_call_id if isinstance(message, ChatMessageTool) else None
    said = message.error.message if isinstance(message, ChatMessageTool) and message.error else ""
    return (message.role, _seen(message.content), calls, answered, said)


def _seen(content: str | list[Content]) -> tuple[str, ...]:
    if isinstance(content, str):
        return (content,) if content else ()
    return tuple(
        part.text if isinstance(part, ContentText) else part.model_dump_json(exclude={"internal"})
        for part in content
        if not isinstance(part, ContentReasoning) and not (isinstance(part, ContentText) and not part.text)
    )


def blocks_of(content: str | list[Content]) -> tuple[InputBlock, ...]:
    """What a user or a tool says, as blocks. Raises ConfigError for what sessions cannot say."""
    if isinstance(content, str):
        return (TextBlock(text=content),)
    return tuple(_block(part) for part in content)


def _block(part: Content) -> InputBlock:
    match part:
        case ContentText():
            return TextBlock(text=part.text)
        case ContentImage():
            if found := _DATA_URI.fullmatch(part.image):
                return ImageBlock(media_type=found["type"], data=found["data"])
            if part.image.startswith(("http://", "https://")):
                return ImageBlock(url=part.image)
            raise ConfigError(f"The image '{part.image[:60]}' is no data: or http: address. Give it as one of them.")
        case _:
            raise ConfigError(f"A message of the task holds {part.type}; sessions take text and images. Leave it out.")


def result_of(message: ChatMessageTool) -> ToolResultBlock:
    """The result of a call; an error is told as Inspect's providers tell it, by its text."""
    error = message.error
    content = blocks_of(message.content) if not error else ()
    return ToolResultBlock(
        tool_use_id=message.tool_call_id or "",
        content=error.message if error else message.content if isinstance(message.content, str) else content,
        is_error=error is not None,
    )


def history_of(messages: Sequence[ChatMessage]) -> tuple[Message, ...]:
    """A conversation without its system messages, as a session can begin with it: those of one side joined."""
    said: list[Message] = []
    for message in messages:
        match message:
            case ChatMessageSystem():
                continue
            case ChatMessageAssistant():
                content: tuple[Any, ...] = _answer_blocks(message)
                kind = AssistantMessage
            case ChatMessageTool():
                content, kind = (result_of(message),), UserMessage
            case _:
                content, kind = blocks_of(message.content), UserMessage
        if said and isinstance(said[-1], kind):
            said[-1] = said[-1].model_copy(update={"content": (*said[-1].content, *content)})
        else:
            said.append(_message(kind, len(said) + 1, content))
    return tuple(said)


def _message(kind: type[UserMessage | AssistantMessage], number: int, content: tuple[Any, ...]) -> Message:
    fields: dict[str, Any] = {
        "id": str(number),
        "session_id": SessionId(""),
        "turn_id": TurnId(f"u{(number + 1) // 2}"),
        "content": content,
    }
    if kind is AssistantMessage:
        fields |= {"provider": "", "model": ""}
    return kind(**fields)


def _answer_blocks(message: ChatMessageAssistant) -> tuple[AssistantBlock, ...]:
    text = message.text
    calls = (ToolUseBlock(id=call.id, name=call.function, input=call.arguments) for call in message.tool_calls or ())
    return (*((TextBlock(text=text),) if text else ()), *calls)


def answer_of(message: AssistantMessage, calls: Iterable[str]) -> ChatMessageAssistant:
    """An answer as Inspect has it, with those of its calls that are left to Inspect."""
    left, parts = set(calls), list[Content]()
    for block in message.content:
        match block:
            case TextBlock():
                parts.append(ContentText(text=block.text))
            case ThinkingBlock():
                parts.append(
                    ContentReasoning(reasoning=block.thinking, signature=block.signature, redacted=block.redacted)
                )
            case ToolUseBlock():
                pass
    plain = "".join(part.text for part in parts if isinstance(part, ContentText))
    return ChatMessageAssistant(
        content=plain if all(isinstance(part, ContentText) for part in parts) else parts,
        tool_calls=[
            ToolCall(id=block.id, function=block.name, arguments=dict(block.input))
            for block in message.content
            if isinstance(block, ToolUseBlock) and block.id in left
        ]
        or None,
        model=message.model,
        source="generate",
    )


def chat_of(messages: Iterable[Message]) -> list[ChatMessage]:
    """What was said in a session, as Inspect has it."""
    said: list[ChatMessage] = []
    for message in messages:
        if isinstance(message, AssistantMessage):
            calls = [block.id for block in message.content if isinstance(block, ToolUseBlock)]
            said.append(answer_of(message, calls))
            continue
        words: list[Content] = []
        for block in message.content:
            match block:
                case ToolResultBlock():
                    content = block.content if isinstance(block.content, str) else [_content(b) for b in block.content]
                    said.append(ChatMessageTool(content=content, tool_call_id=block.tool_use_id))
                case _:
                    words.append(_content(block))
        if words:
            texts = [part.text for part in words if isinstance(part, ContentText)]
            said.append(ChatMessageUser(content="".join(texts) if len(texts) == len(words) else words))
    return said


def _content(block: TextBlock | ImageBlock) -> Content:
    match block:
        case TextBlock():
            return ContentText(text=block.text)
        case ImageBlock():
            return ContentImage(image=block.url or f"data:{block.media_type};base64,{block.data}")


def usage_of(usage: Usage) -> ModelUsage:
    """Tokens of one request, as Inspect counts them."""
    return ModelUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.context_tokens,
        input_tokens_cache_read=usage.cache_read_tokens or None,
        input_tokens_cache_write=usage.cache_write_tokens or None,
    )
