"""Checks a Chat Completions request as OpenAI does: `validate_chat` returns or raises WireError.

The rule here: fields are those of `openai.types.chat.CompletionCreateParams` and of the message params beside it
(openai 3.54); every tool call is answered by tool messages right behind it, and a tool message answers a call.
"""

from agent_core.scripted.fields import fields
from agent_core.scripted.openai_checks import (
    MAXIMUM_CALL_ID,
    check_array,
    check_name,
    check_object,
    check_output_limit,
    check_settings,
    check_size,
    check_string,
    empty_array,
    invalid_type,
    invalid_value,
)
from agent_core.scripted.script import ModelLimits
from agent_core.scripted.tokens import input_tokens
from agent_core.scripted.wire import Json, as_array, as_object, refuse_openai

_CREATE = fields(
    "model messages",
    "audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens metadata"
    " modalities moderation n parallel_tool_calls prediction presence_penalty prompt_cache_key prompt_cache_options"
    " prompt_cache_retention reasoning_effort response_format safety_identifier seed service_tier stop store stream"
    " stream_options temperature tool_choice tools top_logprobs top_p user verbosity web_search_options",
)
_MESSAGES = {
    "system": fields("role content", "name"),
    "assistant": fields("role", "content name refusal tool_calls audio function_call"),
    "user": fields("role content", "name"),
    "function": fields("role content name"),
    "tool": fields("role content tool_call_id"),
    "developer": fields("role content", "name"),
}
_PARTS = {
    "text": fields("type text", "prompt_cache_breakpoint"),
    "image_url": fields("type image_url", "prompt_cache_breakpoint"),
    "input_audio": fields("type input_audio", "prompt_cache_breakpoint"),
    "file": fields("type file", "prompt_cache_breakpoint"),
    "refusal": fields("type refusal"),
}
_PARTS_OF = {"user": ("text", "image_url", "input_audio", "file"), "assistant": ("text", "refusal")}
_CALL = fields("id type function")
_CUSTOM_CALL = fields("id type custom")
_CALLED = fields("name arguments")
_TOOL = fields("type function")
_FUNCTION = fields("name", "description parameters strict")
_STREAM_OPTIONS = fields("", "include_usage include_obfuscation")
_EFFORTS = (None, "none", "minimal", "low", "medium", "high", "xhigh", "max")


def validate_chat(body: Json, limits: ModelLimits, tokens: int | None = None) -> None:
    """Raises WireError for a request that OpenAI would not answer.

    `tokens` are the input tokens of `body`, if they are counted already.
    """
    check_object(body, _CREATE, "")
    check_string(body["model"], "model")
    messages = check_array(body["messages"], "messages")
    if not messages:
        raise empty_array("messages")
    _check_pairs([_checked(value, f"messages[{index}]") for index, value in enumerate(messages)])
    _check_tools(body)
    check_settings(body, limits)
    _check_limits(body, limits)
    if body.get("stream_options") is not None:
        check_object(body["stream_options"], _STREAM_OPTIONS, "stream_options")
    if (body.get("n") or 1) != 1:
        text = "Invalid 'n': this server answers with one choice. Expected a value <= 1."
        raise refuse_openai(text, "out_of_range", "n", "integer_above_max_value")
    check_size(input_tokens(body) if tokens is None else tokens, limits, "messages")


def _check_limits(body: Json, limits: ModelLimits) -> None:
    if body.get("max_tokens") is not None:
        if limits.reasoning:
            text = "Unsupported parameter: 'max_tokens' is not supported with this model."
            text += " Use 'max_completion_tokens' instead."
            raise refuse_openai(text, "unsupported_field", "max_tokens", "unsupported_parameter")
        if body.get("max_completion_tokens") is not None:
            text = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
            raise refuse_openai(text, "max_tokens", "max_tokens", "invalid_parameter_combination")
    check_output_limit(body.get("max_tokens"), "max_tokens", limits, 1)
    check_output_limit(body.get("max_completion_tokens"), "max_completion_tokens", limits, 1)
    if body.get("reasoning_effort") not in _EFFORTS:
        raise invalid_value("reasoning_effort", body["reasoning_effort"], [e for e in _EFFORTS if e])


def _checked(value: object, path: str) -> Json:
    message = as_object(value)
    if message is None:
        raise invalid_type(path, "an object", value)
    role = message.get("role")
    if role not in _MESSAGES:
        raise invalid_value(f"{path}.role", role, _MESSAGES, "bad_role")
    check_object(message, _MESSAGES[role], path)
    content = message.get("content")
    calls = message.get("tool_calls")
    if role == "assistant" and (content is None or calls is not None):
        _check_calls(message, path)
    if content is None and role != "assistant":
        raise _null_content(path)
    if content is not None and not isinstance(content, str):
        _check_parts(check_array(content, f"{path}.content"), f"{path}.content", _PARTS_OF.get(role, ("text",)))
    if role == "tool":
        check_string(message["tool_call_id"], f"{path}.tool_call_id", MAXIMUM_CALL_ID)
    return message


def _null_content(path: str) -> Exception:
    text = "Invalid value for 'content': expected a string, got null."
    return refuse_openai(text, "empty_content", f"{path}.content")


def _check_calls(message: Json, path: str) -> None:
    calls = message.get("tool_calls")
    if calls is None:
        if message.get("refusal") is None and message.get("audio") is None and message.get("function_call") is None:
            raise _null_content(path)
        return
    if not check_array(calls, f"{path}.tool_calls"):
        raise empty_array(f"{path}.tool_calls")
    for index, value in enumerate(calls):
        where = f"{path}.tool_calls[{index}]"
        call = as_object(value)
        if call is None:
            raise invalid_type(where, "an object", value)
        kind = call.get("type")
        if kind not in {"function", "custom"}:
            raise invalid_value(f"{where}.type", kind, ("function", "custom"))
        check_object(call, _CALL if kind == "function" else _CUSTOM_CALL, where)
        check_string(call["id"], f"{where}.id", MAXIMUM_CALL_ID)
        if kind == "function":
            function = check_object(call["function"], _CALLED, f"{where}.function")
            check_name(function["name"], f"{where}.function.name")
            check_string(function["arguments"], f"{where}.function.arguments")


def _check_parts(parts: list[object], path: str, allowed: tuple[str, ...]) -> None:
    if not parts:
        raise empty_array(path)
    for index, value in enumerate(parts):
        where = f"{path}[{index}]"
        part = as_object(value)
        if part is None:
            raise invalid_type(where, "an object", value)
        if part.get("type") not in allowed:
            raise invalid_value(f"{where}.type", part.get("type"), allowed, "unknown_block")
        check_object(part, _PARTS[part["type"]], where)


def _check_pairs(messages: list[Json]) -> None:
    open_ids: list[str] = []
    answered: set[str] = set()
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            _check_answer(message["tool_call_id"], open_ids, answered, index)
            answered.add(message["tool_call_id"])
            continue
        _require_answers(open_ids, answered, index)
        open_ids = [call["id"] for call in as_array(message.get("tool_calls")) or ()]
        answered = set()
        if len(set(open_ids)) < len(open_ids):
            text = f"Duplicate tool call ids in 'messages[{index}].tool_calls'. Each id must be unique."
            raise refuse_openai(text, "duplicate_tool_id", f"messages[{index}].tool_calls", "invalid_value")
    _require_answers(open_ids, answered, len(messages))


def _check_answer(call: str, open_ids: list[str], answered: set[str], index: int) -> None:
    if not open_ids:
        text = (
            "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
        )
        raise refuse_openai(text, "orphan_tool_result", f"messages.[{index}].role")
    if call not in open_ids:
        text = f"Invalid parameter: 'tool_call_id' of '{call}' not found in 'tool_calls' of previous message."
        raise refuse_openai(text, "orphan_tool_result", f"messages.[{index}].tool_call_id")
    if call in answered:
        text = f"Duplicate value for 'tool_call_id' of '{call}' in message[{index}]."
        raise refuse_openai(text, "duplicate_tool_result", f"messages.[{index}].tool_call_id")


def _require_answers(open_ids: list[str], answered: set[str], index: int) -> None:
    left = [call for call in open_ids if call not in answered]
    if left:
        text = (
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(left)}"
        )
        raise refuse_openai(text, "unanswered_tool_use", f"messages.[{index}].role")


def _check_tools(body: Json) -> None:
    tools = body.get("tools")
    if tools is None:
        for name in ("tool_choice", "parallel_tool_calls"):
            if body.get(name) is not None:
                text = f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified."
                raise refuse_openai(text, "tool_choice", name)
        return
    if not check_array(tools, "tools"):
        raise empty_array("tools")
    names: list[str] = []
    for index, value in enumerate(tools):
        tool = as_object(value)
        if tool is None:
            raise invalid_type(f"tools[{index}]", "an object", value)
        if tool.get("type") not in {"function", "custom"}:
            raise invalid_value(f"tools[{index}].type", tool.get("type"), ("function", "custom"))
        if tool["type"] == "function":
            check_object(tool, _TOOL, f"tools[{index}]")
            function = check_object(tool["function"], _FUNCTION, f"tools[{index}].function")
            names.append(check_name(function["name"], f"tools[{index}].function.name"))
    choice = as_object(body.get("tool_choice"))
    if choice is not None and choice.get("type") == "function":
        wanted = (as_object(choice.get("function")) or {}).get("name")
        if wanted not in names:
            text = f"Tool choice '{wanted}' not found in 'tools' parameter."
            raise refuse_openai(text, "tool_choice", "tool_choice")
