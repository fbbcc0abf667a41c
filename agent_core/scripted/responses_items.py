"""Checks the input items of a Responses request: types, pairs of call and output, reasoning that came back whole.

The rule here: item types are those of `openai.types.responses.ResponseInputItemParam` (openai 3.54). Items of
built-in tools are known by their type and not looked into. `status` on a reasoning item is refused: the SDK's type
has it, the API does not take it (public reports of `Unknown parameter: 'input[n].status'`).
"""

from agent_core.scripted.fields import Fields, fields
from agent_core.scripted.openai_checks import (
    MAXIMUM_CALL_ID,
    check_array,
    check_name,
    check_object,
    check_string,
    invalid_type,
    invalid_value,
    missing,
)
from agent_core.scripted.signing import Signer, required_reasoning
from agent_core.scripted.wire import Json, WireError, as_array, as_object, openai_body, refuse_openai

_ITEMS = {
    "message": fields("role content", "type id status phase"),
    "function_call": fields("type call_id name arguments", "id status caller namespace async"),
    "function_call_output": fields("type call_id output", "id status caller name namespace"),
    "reasoning": fields("type id summary", "content encrypted_content"),
}
_OTHER_ITEMS = frozenset(
    {
        "additional_tools",
        "apply_patch_call",
        "apply_patch_call_output",
        "code_interpreter_call",
        "compaction",
        "compaction_trigger",
        "computer_call",
        "computer_call_output",
        "configuration_update",
        "custom_tool_call",
        "custom_tool_call_output",
        "file_search_call",
        "image_generation_call",
        "local_shell_call",
        "local_shell_call_output",
        "mcp_approval_request",
        "mcp_approval_response",
        "mcp_call",
        "mcp_list_tools",
        "program",
        "program_output",
        "shell_call",
        "shell_call_output",
        "tool_search_call",
        "tool_search_output",
        "web_search_call",
    }
)
_ROLES = ("user", "assistant", "system", "developer")
_STATUSES = ("in_progress", "completed", "incomplete")
_INPUT_PARTS = {
    "input_text": fields("type text", "prompt_cache_breakpoint"),
    "input_image": fields("type", "detail file_id image_url prompt_cache_breakpoint"),
    "input_file": fields("type", "detail file_data file_id file_url filename prompt_cache_breakpoint"),
}
_OUTPUT_PARTS = {
    "output_text": fields("type text", "annotations logprobs"),
    "refusal": fields("type refusal"),
}
_PREFIXES = {"message": "msg", "function_call": "fc", "reasoning": "rs", "function_call_output": "fc"}
_PRODUCED = frozenset({"function_call", "reasoning"})


def check_items(values: list[object], signer: Signer, *, stored: bool) -> None:
    """Raises WireError for the first item that breaks a rule; `stored` is false with `store: false`."""
    items = [_checked(value, f"input[{index}]") for index, value in enumerate(values)]
    _check_duplicates(items)
    for index, item in enumerate(items):
        if item.get("type") == "reasoning":
            following = items[index + 1] if index + 1 < len(items) else {}
            _check_reasoning(item, following, signer, stored=stored)
    _check_reasoning_kept(items)
    _check_pairs(items)


def _checked(value: object, path: str) -> Json:
    item = as_object(value)
    if item is None:
        raise invalid_type(path, "an object", value)
    kind = item.get("type", "message")
    if kind == "item_reference":
        raise _not_found(str(item.get("id")))
    if kind in _OTHER_ITEMS:
        return item
    if kind not in _ITEMS:
        raise invalid_value(f"{path}.type", kind, [*_ITEMS, *sorted(_OTHER_ITEMS)], "unknown_block")
    check_object(item, _ITEMS[kind], path)
    if "status" in item and item["status"] not in _STATUSES:
        raise invalid_value(f"{path}.status", item["status"], _STATUSES)
    if (own_id := item.get("id")) is not None:
        prefix = _PREFIXES[kind]
        if not check_string(own_id, f"{path}.id", MAXIMUM_CALL_ID).startswith(prefix):
            text = f"Invalid '{path}.id': '{own_id}'. Expected an ID that begins with '{prefix}'."
            raise refuse_openai(text, "item_id", f"{path}.id", "invalid_value")
    _check_kind(item, kind, path)
    return item


def _check_kind(item: Json, kind: str, path: str) -> None:
    match kind:
        case "message":
            _check_message(item, path)
        case "function_call":
            check_string(item["call_id"], f"{path}.call_id", MAXIMUM_CALL_ID)
            check_name(item["name"], f"{path}.name")
            check_string(item["arguments"], f"{path}.arguments")
        case "function_call_output":
            check_string(item["call_id"], f"{path}.call_id", MAXIMUM_CALL_ID)
            if not isinstance(item["output"], str):
                parts = check_array(item["output"], f"{path}.output")
                _check_parts(parts, f"{path}.output", _INPUT_PARTS)
        case _:
            check_array(item["summary"], f"{path}.summary")


def _check_message(item: Json, path: str) -> None:
    role = item["role"]
    if role not in _ROLES:
        raise invalid_value(f"{path}.role", role, _ROLES, "bad_role")
    content = item["content"]
    if isinstance(content, str):
        return
    parts = check_array(content, f"{path}.content")
    _check_parts(parts, f"{path}.content", _OUTPUT_PARTS if role == "assistant" else _INPUT_PARTS)


def _check_parts(parts: list[object], path: str, known: dict[str, Fields]) -> None:
    for index, value in enumerate(parts):
        where = f"{path}[{index}]"
        part = as_object(value)
        if part is None:
            raise invalid_type(where, "an object", value)
        if "type" not in part:
            raise missing(f"{where}.type")
        if part["type"] not in known:
            raise invalid_value(f"{where}", part["type"], known, "unknown_block")
        check_object(part, known[part["type"]], where)


def _not_found(item_id: str) -> WireError:
    text = (
        f"Item with id '{item_id}' not found. Items are not persisted when `store` is set to false. "
        "Try again with `store` set to true, or remove this item from your input."
    )
    return WireError(404, openai_body("invalid_request_error", text, "input"), "not_stored")


def _check_duplicates(items: list[Json]) -> None:
    seen: set[str] = set()
    for item in items:
        own_id = item.get("id")
        if own_id is None or item.get("type") == "function_call_output":
            continue
        if own_id in seen:
            text = f"Duplicate item found with id {own_id}. Remove duplicate items from your input and try again."
            raise refuse_openai(text, "duplicate_item", "input")
        seen.add(own_id)


def _check_reasoning(item: Json, following: Json, signer: Signer, *, stored: bool) -> None:
    content = item.get("encrypted_content")
    if content is None and not stored:
        raise _not_found(item["id"])
    if content is not None:
        summary = "".join(part.get("text", "") for part in as_array(item["summary"]) or ())
        if not isinstance(content, str) or not signer.verify_reasoning(item["id"], summary, content):
            text = f"The encrypted content for item {item['id']} could not be verified."
            raise refuse_openai(text, "reasoning_content", code="invalid_encrypted_content")
    produced = following.get("type") in _PRODUCED or following.get("role") == "assistant"
    if not produced and following.get("type") not in _OTHER_ITEMS:
        text = f"Item '{item['id']}' of type 'reasoning' was provided without its required following item."
        raise refuse_openai(text, "reasoning_alone", "input")


def _check_reasoning_kept(items: list[Json]) -> None:
    present = {item["id"] for item in items if item.get("type") == "reasoning"}
    for item in items:
        needed = required_reasoning(item.get("id"))
        if needed is not None and needed not in present:
            kind = item.get("type", "message")
            text = (
                f"Item '{item['id']}' of type '{kind}' was provided without its required 'reasoning' item: '{needed}'."
            )
            raise refuse_openai(text, "reasoning_missing", "input")


def _check_pairs(items: list[Json]) -> None:
    open_calls: dict[str, bool] = {}
    for item in items:
        kind = item.get("type")
        if kind == "function_call":
            if item["call_id"] in open_calls:
                text = f"Duplicate function call found with call_id {item['call_id']}. Each call_id must be unique."
                raise refuse_openai(text, "duplicate_tool_id", "input")
            open_calls[item["call_id"]] = False
        elif kind == "function_call_output":
            call = item["call_id"]
            if call not in open_calls:
                text = f"No tool call found for function call output with call_id {call}."
                raise refuse_openai(text, "orphan_tool_result", "input")
            if open_calls[call]:
                text = f"Duplicate function call output found for call_id {call}. Each call takes one output."
                raise refuse_openai(text, "duplicate_tool_result", "input")
            open_calls[call] = True
    for call, answered in open_calls.items():
        if not answered:
            raise refuse_openai(f"No tool output found for function call {call}.", "unanswered_tool_use", "input")
