"""What a tool returned or raised, as the model gets it.

The rule here: every end of a call is a `CallEnd`, made where the tool ran, and small enough to be sent on.
"""

import logging
import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from traceback import extract_tb
from typing import Any, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from agent_core.content import ImageBlock, TextBlock
from agent_core.entries import ToolOutcome
from agent_core.tools.decorator import Tool

Content = str | tuple[TextBlock | ImageBlock, ...]
AnyTool = Tool[..., Any]

MESSAGE_LIMIT = 2_000
SUMMARY_LIMIT = 2_000
# Base64 characters of one result's images. Both providers refuse larger requests; a session's journal would keep them.
IMAGE_LIMIT = 16_000_000

_log = logging.getLogger("rayconteur.tools")


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How an attempt ended. `content` is for the model, an error's text unless `outcome` is `ok`."""

    outcome: ToolOutcome
    content: Content
    compact_summary: str | None = None


class _Unsendable(Exception):
    """A returned value that has no form for the model; the text says which."""


def end_of_value(tool: AnyTool, values: Mapping[str, Any], value: object, limit: int) -> CallEnd:
    """The end of a call that returned `value` for the input `values`; `limit` is in characters of text."""
    try:
        content = content_of(value)
    except _Unsendable as error:
        return CallEnd("exception", f"Tool '{tool.name}' failed: {error}")
    size = _text_size(content)
    if size > limit:
        return CallEnd("too_large", _cut(tool.name, content, size, limit))
    images = _image_size(content)
    if images > IMAGE_LIMIT:
        return CallEnd(
            "too_large",
            f"The images that tool '{tool.name}' returned are {images:,} characters of base64, over the limit of"
            f" {IMAGE_LIMIT:,}. Ask for fewer or smaller ones.",
        )
    return CallEnd("ok", content, _summary(tool, values, value))


def end_of_error(tool: AnyTool, error: BaseException) -> CallEnd:
    """The end of a call that raised: the error's type and message, and the last line of the tool's own file."""
    message = _message(error)
    if len(message) > MESSAGE_LIMIT:
        message = f"{message[:MESSAGE_LIMIT]}... ({len(message) - MESSAGE_LIMIT:,} characters left out)"
    said = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return CallEnd("exception", _sendable(f"Tool '{tool.name}' failed: {said}{_place(tool, error)}"))


def end_of_bad_arguments(tool: AnyTool, error: ValidationError) -> CallEnd:
    """The end of a call whose input fits the schema but not the function's types."""
    said = [
        f"{'.'.join(str(part) for part in item['loc']) or 'input'}: {item['msg']}"
        for item in error.errors(include_url=False, include_context=False)
    ]
    return CallEnd("bad_input", bad_input_text(tool.name, "; ".join(said[:5])))


def bad_input_text(name: str, problem: str) -> str:
    """What the model is told of an input that was refused."""
    return f"The input for tool '{name}' was refused, nothing was run: {problem}. Mend the input and call again."


def content_of(value: object) -> Content:
    """The returned value as text, or as the blocks that it is made of."""
    match value:
        case str():
            # Not the value itself, which may be of a class that only the tool's process knows.
            return _sendable(str.__str__(value))
        case None:
            return ""
        case bytes() | bytearray() | memoryview():
            raise _Unsendable("it returned bytes. Return text, or an ImageBlock with base64 data")
        case TextBlock() | ImageBlock():
            return (value,)
        case list() | tuple() if _has_blocks(cast("list[object]", value)):
            return tuple(_block(item) for item in cast("list[object]", value))
        case _:
            return _json(value)


def _message(error: BaseException) -> str:
    try:
        return str(error).strip()
    except Exception:  # noqa: BLE001 - the author's own __str__
        return "(its message could not be read)"


def _sendable(text: str) -> str:
    """The text without lone surrogates, which no JSON on the way to a journal or a provider can hold."""
    if text.isascii():
        return text
    return text.encode(errors="replace").decode()


def _has_blocks(items: "list[object] | tuple[object, ...]") -> bool:
    return any(isinstance(item, TextBlock | ImageBlock) for item in items)


def _block(item: object) -> TextBlock | ImageBlock:
    if isinstance(item, TextBlock | ImageBlock):
        return item
    content = content_of(item)
    return TextBlock(text=content if isinstance(content, str) else "")


def _json(value: object) -> str:
    try:
        if isinstance(value, BaseModel):
            return value.model_dump_json()
        return to_json(value).decode()
    except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
        raise _Unsendable(
            f"it returned {type(value).__name__}, which has no JSON form ({error})."
            " Return text, numbers, lists, dicts or a pydantic model"
        ) from None


def _text_size(content: Content) -> int:
    if isinstance(content, str):
        return len(content)
    return sum(len(block.text) for block in content if isinstance(block, TextBlock))


def _image_size(content: Content) -> int:
    if isinstance(content, str):
        return 0
    return sum(len(block.data or "") for block in content if isinstance(block, ImageBlock))


def _cut(name: str, content: Content, size: int, limit: int) -> str:
    text = content if isinstance(content, str) else "\n".join(b.text for b in content if isinstance(b, TextBlock))
    head = limit * 2 // 3
    tail = limit - head
    return (
        f"The output of tool '{name}' is {size:,} characters, over its limit of {limit:,}. Its beginning and end"
        f" follow; {size - limit:,} characters between them are left out. Ask for less at a time.\n\n"
        f"{text[:head]}\n[... {size - limit:,} characters left out ...]\n{text[len(text) - tail :]}"
    )


def _summary(tool: AnyTool, values: Mapping[str, Any], value: object) -> str | None:
    made = tool.compact_summary
    if made is None:
        return None
    try:
        if isinstance(made, str):
            text = string.Formatter().vformat(made, (), {**_defaults(tool), **values, "output": value})
        else:
            text = str(made(values, value))
    except Exception as error:  # noqa: BLE001 - the author's code; a result must not be lost for want of a summary
        _log.warning("compact_summary of tool '%s' failed: %s: %s", tool.name, type(error).__name__, error)
        return None
    return _sendable(text[:SUMMARY_LIMIT])


def _defaults(tool: AnyTool) -> dict[str, Any]:
    fields = tool.parameters.model.model_fields
    return {name: fields[field].default for field, name in tool.parameters.fields.items()}


def _place(tool: AnyTool, error: BaseException) -> str:
    code = getattr(tool.function, "__code__", None)
    frames = extract_tb(error.__traceback__)
    own = [frame for frame in frames if code is not None and frame.filename == code.co_filename]
    if not own:
        return ""
    line = f" in: {own[-1].line}" if own[-1].line else ""
    return f" ({Path(own[-1].filename).name}, line {own[-1].lineno}{line})"
