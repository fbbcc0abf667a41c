"""Checks the content blocks of a Messages request: known types, known fields, non-empty texts.

The rule here: the tables are transcribed from `anthropic.types.*_block_param` (anthropic 2.12). Blocks that only
server-side tools make are known by their type and not looked into.
"""

import re

from agent_core.scripted.fields import Fields, check_fields, fields
from agent_core.scripted.wire import Json, WireError, as_array, as_object, refuse_anthropic

BLOCKS: dict[str, Fields | None] = {
    "text": fields("type text", "cache_control citations"),
    "image": fields("type source", "cache_control transformations"),
    "document": fields("type source", "cache_control citations context title"),
    "search_result": fields("type content source title", "cache_control citations"),
    "thinking": fields("type thinking signature"),
    "redacted_thinking": fields("type data"),
    "tool_use": fields("type id name input", "cache_control caller toolset_name"),
    "tool_result": fields("type tool_use_id", "cache_control content is_error toolset_name"),
    "server_tool_use": None,
    "web_search_tool_result": None,
    "web_fetch_tool_result": None,
    "code_execution_tool_result": None,
    "bash_code_execution_tool_result": None,
    "text_editor_code_execution_tool_result": None,
    "tool_search_tool_result": None,
    "container_upload": None,
    "tool_reference": None,
    "browser_state": None,
}
_NOT_IN_MESSAGES = frozenset({"tool_reference", "browser_state"})
IN_MESSAGES = frozenset(BLOCKS) - _NOT_IN_MESSAGES
IN_RESULTS = frozenset({"text", "image", "search_result", "document", "tool_reference", "browser_state"})
_STRINGS = {
    "text": ("text",),
    "thinking": ("thinking", "signature"),
    "redacted_thinking": ("data",),
    "tool_use": ("id", "name"),
    "tool_result": ("tool_use_id",),
}
_IMAGE_SOURCES = {
    "base64": fields("type data media_type"),
    "url": fields("type url"),
    "file": fields("type file_id"),
}
_IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_ID = "^[a-zA-Z0-9_-]+$"
_CACHE_CONTROL = fields("type", "ttl")


def field_required(path: str) -> WireError:
    """The refusal of an object that lacks a field."""
    return refuse_anthropic(f"{path}: Field required", "missing_field")


def extra(path: str) -> WireError:
    """The refusal of an object that has a field which does not exist."""
    return refuse_anthropic(f"{path}: Extra inputs are not permitted", "unknown_field")


def check_object(value: object, shape: Fields, path: str) -> Json:
    """`value` as an object that has the fields of `shape`."""
    inner = as_object(value)
    if inner is None:
        raise refuse_anthropic(f"{path}: Input should be a valid dictionary", "bad_type")
    check_fields(inner, shape, lambda name: field_required(f"{path}.{name}"), lambda name: extra(f"{path}.{name}"))
    return inner


def check_blocks(blocks: list[object], path: str, allowed: frozenset[str]) -> None:
    """Raises WireError for the first block that is not of an allowed type or not as its type has it."""
    for index, value in enumerate(blocks):
        block = as_object(value)
        where = f"{path}.{index}"
        if block is None:
            raise refuse_anthropic(f"{where}: Input should be a valid dictionary", "bad_type")
        kind = block.get("type")
        if kind is None:
            raise field_required(f"{where}.type")
        if kind not in allowed:
            expected = ", ".join(f"'{name}'" for name in BLOCKS if name in allowed)
            text = f"{where}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {expected}"
            raise refuse_anthropic(text, "unknown_block")
        _check_block(block, str(kind), where)


def _check_block(block: Json, kind: str, where: str) -> None:
    shape = BLOCKS[kind]
    if shape is None:
        return
    path = f"{where}.{kind}"
    check_object(block, shape, path)
    for name in _STRINGS.get(kind, ()):
        if not isinstance(block[name], str):
            raise refuse_anthropic(f"{path}.{name}: Input should be a valid string", "bad_type")
    if (control := block.get("cache_control")) is not None:
        check_object(control, _CACHE_CONTROL, f"{path}.cache_control")
    match kind:
        case "text":
            _check_text(block, where)
        case "image":
            _check_image(block, path)
        case "tool_use":
            _check_tool_use(block, path)
        case "tool_result":
            _check_tool_result(block, path)
        case _:
            pass


def _check_text(block: Json, where: str) -> None:
    if not block["text"]:
        part = where.split(".", 1)[0]
        raise refuse_anthropic(f"{part}: text content blocks must be non-empty", "empty_text")
    if not block["text"].strip():
        part = where.split(".", 1)[0]
        raise refuse_anthropic(f"{part}: text content blocks must contain non-whitespace text", "empty_text")


def _check_image(block: Json, path: str) -> None:
    source = as_object(block["source"]) or {}
    kind = source.get("type")
    if kind not in _IMAGE_SOURCES:
        expected = "'base64', 'url', 'file'"
        found = f"Input tag '{kind}' found using 'type'"
        text = f"{path}.source: {found} does not match any of the expected tags: {expected}"
        raise refuse_anthropic(text, "image")
    check_object(source, _IMAGE_SOURCES[str(kind)], f"{path}.source.{kind}")
    if kind == "base64" and source["media_type"] not in _IMAGE_TYPES:
        expected = ", ".join(f"'{name}'" for name in _IMAGE_TYPES)
        raise refuse_anthropic(f"{path}.source.base64.media_type: Input should be {expected}", "image")


def _check_tool_use(block: Json, path: str) -> None:
    if not re.match(_ID, block["id"]):
        raise refuse_anthropic(f"{path}.id: String should match pattern '{_ID}'", "tool_id")
    if as_object(block["input"]) is None:
        raise refuse_anthropic(f"{path}.input: Input should be a valid dictionary", "tool_input")
    if not block["name"]:
        raise refuse_anthropic(f"{path}.name: String should have at least 1 character", "tool_name")


def _check_tool_result(block: Json, path: str) -> None:
    content = block.get("content", "")
    if isinstance(content, str):
        return
    blocks = as_array(content)
    if blocks is None:
        raise refuse_anthropic(f"{path}.content: Input should be a valid list", "bad_type")
    check_blocks(blocks, f"{path}.content", IN_RESULTS)
    if not isinstance(block.get("is_error", False), bool):
        raise refuse_anthropic(f"{path}.is_error: Input should be a valid boolean", "bad_type")
