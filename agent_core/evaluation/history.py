"""What was said before a sample's input, as datasets write it: read into messages, and written.

The rule here: a message is one of a session's own (`kind`, see `agent_core/messages.py`; who said it to whom may be
left out), or one as the providers' chat formats have it (`role`). Whatever it was, what comes out is a history that a
session can begin with (`agent_core/seeding.py`).

Roles and parts are those of OpenAI's chat messages (`tool_calls`, role `tool`) and of Anthropic's (`tool_use` and
`tool_result` parts), for the fields that matter here; others are passed over.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from agent_core.content import AssistantBlock, ImageBlock, TextBlock, ToolResultBlock, ToolUseBlock, UserBlock
from agent_core.errors import ConfigError
from agent_core.messages import AssistantMessage, Message, SessionId, TurnId, UserMessage
from agent_core.seeding import regular

_MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)
_NOWHERE: dict[str, Any] = {"id": "", "session_id": "", "turn_id": ""}
_OF_NOBODY: dict[str, Any] = {"provider": "", "model": ""}
# What a session gives its messages anew, and what was true of the session alone.
_LEFT_OUT = {"id", "session_id", "parent_id", "created_at", "completed_at", "usage", "provider_message_id"}
_INLINE = "data:"

Row = dict[str, Any]


def messages_of(value: object) -> tuple[Message, ...]:
    """The messages that a dataset's value holds. Raises ValueError: what is wrong, as the end of a sentence."""
    if not isinstance(value, list):
        raise _Unread("a list of messages is wanted")
    return checked([_message(number, item) for number, item in enumerate(cast("list[object]", value), start=1)])


def checked(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages as a session can begin with them. Raises ValueError: what is wrong, as the end of a sentence."""
    try:
        return regular(messages)
    except ConfigError as error:
        raise ValueError(error.message.removeprefix("history: ").removesuffix(".")) from None


def rows_of(history: Sequence[Message]) -> list[Row]:
    """The messages as a dataset holds them: `messages_of` reads the same again, but for when they were said.

    Raises ConfigError if no session can begin with them.
    """
    return [message.model_dump(mode="json", exclude=_LEFT_OUT, exclude_none=True) for message in regular(history)]


def _message(number: int, item: object) -> Message:
    if not isinstance(item, dict):
        raise _Unread(f"message {number} is no object")
    row = cast("Row", item)
    if "kind" in row:
        return _own(number, row)
    try:
        return _chat(row)
    except _Unread as error:
        raise ValueError(f"message {number} {error}") from None


def _own(number: int, row: Row) -> Message:
    """A message of a session, with what only its session knew filled in."""
    try:
        return _MESSAGE.validate_python(_NOWHERE | (_OF_NOBODY if row["kind"] == "assistant" else {}) | row)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        raise ValueError(f"message {number}{f', {where}' if where else ''}: {first['msg']}") from None


class _Unread(ValueError):
    """What cannot be read as a message, as the end of a sentence."""


def _chat(row: Row) -> Message:
    """A message by its role."""
    match row.get("role"):
        case "user":
            return _user(tuple(_parts(row.get("content"), _user_part)))
        case "assistant":
            said = cast("list[AssistantBlock]", _parts(row.get("content"), _assistant_part))
            calls = [_call(call) for call in _objects(row.get("tool_calls"), "tool_calls")]
            return AssistantMessage.model_validate({**_NOWHERE, **_OF_NOBODY, "content": (*said, *calls)})
        case "tool":
            result = {"tool_use_id": row.get("tool_call_id"), "content": row.get("content")}
            return _user((_result(result),))
        case "system" | "developer":
            raise _Unread("is a system prompt, which is no part of a history: take it out and give it with --system")
        case role:
            raise _Unread(f"has the role {role!r} where user, assistant or tool is wanted")


def _user(content: tuple[UserBlock, ...]) -> UserMessage:
    return UserMessage(id="", session_id=SessionId(""), turn_id=TurnId(""), content=content)


def _parts(content: object, block_of: Callable[[Row], Any]) -> list[Any]:
    """The blocks of a content: text, or a list of parts."""
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [TextBlock(text=content)]
    return [block_of(part) for part in _objects(content, "content")]


def _objects(value: object, name: str) -> list[Row]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in cast("list[object]", value)):
        raise _Unread(f"has a '{name}' that is no list of objects")
    return cast("list[Row]", value)


def _user_part(part: Row) -> UserBlock:
    match part.get("type"):
        case "text" | "input_text":
            return TextBlock(text=_text(part, "text"))
        case "image_url":
            url = part.get("image_url")
            return _image(_text(cast("Row", url), "url") if isinstance(url, dict) else _text(part, "image_url"))
        case "image" if isinstance(part.get("source"), dict):
            source = cast("Row", part["source"])
            if source.get("type") == "url":
                return ImageBlock(url=_text(source, "url"))
            return ImageBlock(media_type=_text(source, "media_type"), data=_text(source, "data"))
        case "tool_result":
            return _result(part)
        case kind:
            raise _Unread(f"has a part of type {kind!r} where text, an image or a tool_result is wanted")


def _assistant_part(part: Row) -> AssistantBlock:
    match part.get("type"):
        case "text" | "output_text":
            return TextBlock(text=_text(part, "text"))
        case "tool_use":
            given: object = part.get("input") or {}
            if not isinstance(given, dict):
                raise _Unread("has a tool_use whose input is no object")
            return ToolUseBlock(id=_text(part, "id"), name=_text(part, "name"), input=cast("Row", given))
        case kind:
            raise _Unread(f"has a part of type {kind!r} where text or a tool_use is wanted")


def _result(part: Row) -> ToolResultBlock:
    content = _parts(part.get("content"), _user_part)
    if not all(isinstance(block, TextBlock | ImageBlock) for block in content):
        raise _Unread("has a result within a result")
    plain = len(content) == 1 and isinstance(content[0], TextBlock)
    return ToolResultBlock(
        tool_use_id=_text(part, "tool_use_id"),
        content=content[0].text if plain else tuple(content),
        is_error=part.get("is_error") is True,
    )


def _call(call: Row) -> ToolUseBlock:
    function = call.get("function")
    if not isinstance(function, dict):
        raise _Unread("has a call without a 'function'")
    arguments: object = cast("Row", function).get("arguments")
    given: object = None
    with suppress(ValueError, RecursionError):
        given = json.loads(arguments) if isinstance(arguments, str) and arguments.strip() else arguments or {}
    if not isinstance(given, dict):
        raise _Unread("has a call whose arguments are no JSON object")
    return ToolUseBlock(id=_text(call, "id"), name=_text(cast("Row", function), "name"), input=cast("Row", given))


def _text(row: Row, name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise _Unread(f"lacks the text '{name}'")
    return value


def _image(url: str) -> ImageBlock:
    """An image by its address, or the whole of it in one."""
    head, comma, data = url.partition(",")
    if not comma or not head.startswith(_INLINE) or not head.endswith(";base64"):
        return ImageBlock(url=url)
    return ImageBlock(media_type=head.removeprefix(_INLINE).removesuffix(";base64") or None, data=data)
