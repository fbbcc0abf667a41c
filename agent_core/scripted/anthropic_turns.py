"""Checks the conversation of a Messages request: roles, pairs of tool use and result, thinking that came back whole.

The rule here: every tool use is answered once, in the very next message, before any other content of it; and what the
server signed comes back as it was. Error texts are those that the API gives, as its users quote them in public bug
reports.
"""

from collections.abc import Iterable
from itertools import pairwise

from agent_core.scripted.anthropic_blocks import IN_MESSAGES, check_blocks, check_object
from agent_core.scripted.fields import fields
from agent_core.scripted.signing import Signer, asks_for_thinking
from agent_core.scripted.wire import Json, as_array, refuse_anthropic

_MESSAGE = fields("role content")
_ROLES = frozenset({"user", "assistant", "system"})
_OWNERS = {
    "tool_use": "assistant",
    "thinking": "assistant",
    "redacted_thinking": "assistant",
    "server_tool_use": "assistant",
    "tool_result": "user",
    "image": "user",
    "document": "user",
    "search_result": "user",
}
_THINKING = frozenset({"thinking", "redacted_thinking"})


def check_turns(messages: list[object], thinking: str, signer: Signer) -> None:
    """Raises WireError for the first message that breaks a rule; `thinking` is the request's thinking type or empty."""
    if not messages:
        raise refuse_anthropic("messages: at least one message is required", "no_messages")
    checked = [_checked(value, index, last=index == len(messages) - 1) for index, value in enumerate(messages)]
    _check_roles(checked)
    _check_pairs(checked)
    _check_signatures(checked, signer)
    if thinking in {"enabled", "adaptive", "between_tools"}:
        _check_thinking_kept(checked, strict=thinking == "enabled")


def notices(messages: Iterable[Json]) -> list[str]:
    """What is accepted, but worth telling: two messages of one role in a row."""
    roles = [message["role"] for message in messages]
    return ["consecutive_same_role"] if any(a == b for a, b in pairwise(roles)) else []


def _checked(value: object, index: int, *, last: bool) -> Json:
    path = f"messages.{index}"
    message = check_object(value, _MESSAGE, path)
    role = message["role"]
    if role not in _ROLES:
        raise refuse_anthropic(f"{path}.role: Input should be 'user', 'assistant' or 'system'", "bad_role")
    content = message["content"]
    blocks = as_array(content)
    if blocks is None and not isinstance(content, str):
        raise refuse_anthropic(f"{path}.content: Input should be a valid list", "bad_type")
    if not content and not (last and role == "assistant"):
        text = f"{path}: all messages must have non-empty content except for the optional final assistant message"
        raise refuse_anthropic(text, "empty_content")
    if blocks is not None:
        check_blocks(blocks, f"{path}.content", frozenset({"text"}) if role == "system" else IN_MESSAGES)
        for place, block in enumerate(blocks):
            owner = _OWNERS.get(block["type"], role)
            if owner != role:
                text = f"{path}.content.{place}: `{block['type']}` blocks can only be in `{owner}` messages"
                raise refuse_anthropic(text, "misplaced_block")
    return message


def _check_roles(messages: list[Json]) -> None:
    if messages[0]["role"] != "user":
        raise refuse_anthropic('messages: first message must use the "user" role', "first_role")
    for index, message in enumerate(messages):
        if message["role"] == "system" and messages[index - 1]["role"] != "user":
            text = f"messages.{index}: a `system` message must directly follow a `user` message"
            raise refuse_anthropic(text, "system_role")
    final = messages[-1]
    if final["role"] == "assistant":
        content = final["content"]
        block = {"type": "text", "text": content} if isinstance(content, str) else (content or [{"type": ""}])[-1]
        if block["type"] == "text" and block["text"] != block["text"].rstrip():
            text = "messages: final assistant content cannot end with trailing whitespace"
            raise refuse_anthropic(text, "trailing_whitespace")


def _blocks(message: Json) -> list[Json]:
    return as_array(message["content"]) or []


def _check_pairs(messages: list[Json]) -> None:
    used: set[str] = set()
    open_ids: list[str] = []
    for index, message in enumerate(messages):
        if open_ids:
            _check_answers(open_ids, message, index)
        _check_results(open_ids, message, index)
        open_ids = []
        for place, block in enumerate(_blocks(message)):
            if block["type"] != "tool_use":
                continue
            if block["id"] in used:
                text = f"messages.{index}.content.{place}: `tool_use` ids must be unique"
                raise refuse_anthropic(text, "duplicate_tool_id")
            used.add(block["id"])
            open_ids.append(block["id"])
    if open_ids:
        raise _unanswered(open_ids, len(messages) - 1)


def _check_answers(open_ids: list[str], message: Json, index: int) -> None:
    answered: set[str] = set()
    for block in _blocks(message):
        # Results come first: one behind a text does not count as immediately after.
        if block["type"] != "tool_result":
            break
        answered.add(block["tool_use_id"])
    left = [call for call in open_ids if call not in answered]
    if left:
        raise _unanswered(left, index - 1)


def _unanswered(ids: list[str], index: int) -> Exception:
    text = (
        f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: "
        f"{', '.join(ids)}. "
        "Each `tool_use` block must have a corresponding `tool_result` block in the next message."
    )
    return refuse_anthropic(text, "unanswered_tool_use")


def _check_results(open_ids: list[str], message: Json, index: int) -> None:
    seen: set[str] = set()
    for place, block in enumerate(_blocks(message)):
        if block["type"] != "tool_result":
            continue
        call = block["tool_use_id"]
        where = f"messages.{index}.content.{place}"
        if call not in open_ids:
            text = (
                f"{where}: unexpected `tool_use_id` found in `tool_result` blocks: {call}. "
                "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
            )
            raise refuse_anthropic(text, "orphan_tool_result")
        if call in seen:
            text = (
                f"{where}: each tool_use must have a single result. Found multiple `tool_result` blocks with id: {call}"
            )
            raise refuse_anthropic(text, "duplicate_tool_result")
        seen.add(call)


def _check_signatures(messages: list[Json], signer: Signer) -> None:
    for index, message in enumerate(messages):
        for place, block in enumerate(_blocks(message)):
            where = f"messages.{index}.content.{place}"
            if block["type"] == "thinking" and not signer.verify_thinking(block["thinking"], block["signature"]):
                raise refuse_anthropic(f"{where}: Invalid `signature` in `thinking` block", "thinking_signature")
            if block["type"] == "redacted_thinking" and not signer.verify_redacted(block["data"]):
                raise refuse_anthropic(f"{where}: Invalid `data` in `redacted_thinking` block", "thinking_signature")


def _check_thinking_kept(messages: list[Json], *, strict: bool) -> None:
    """In an open tool loop the assistant's messages begin with their thinking.

    With `enabled` thinking every one of them does; in the other modes those whose tool use this server gave out with
    thinking.
    """
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        blocks = _blocks(message)
        if message["role"] == "user":
            if not any(block["type"] == "tool_result" for block in blocks):
                return
            continue
        calls = [block for block in blocks if block["type"] == "tool_use"]
        if not calls or blocks[0]["type"] in _THINKING:
            continue
        if strict or asks_for_thinking(calls[0]["id"]):
            text = (
                f"messages.{index}.content.0.type: Expected `thinking` or `redacted_thinking`, but found "
                f"`{blocks[0]['type']}`. When `thinking` is enabled, a final `assistant` message must start with "
                "a thinking block (preceeding the lastmost set of `tool_use` and `tool_result` blocks). We recommend "
                "you include thinking blocks from previous turns. To avoid this requirement, disable `thinking`."
            )
            raise refuse_anthropic(text, "thinking_missing")
