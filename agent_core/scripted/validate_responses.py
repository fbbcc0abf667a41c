"""Checks a Responses request as OpenAI does: `validate_responses` returns or raises WireError.

The rule here: fields are those of `openai.types.responses.ResponseCreateParams` (openai 3.54). Nothing is stored, so
what points at a stored response or item is refused as not found. Items are checked in `responses_items.py`.
"""

from agent_core.scripted.fields import fields
from agent_core.scripted.openai_checks import (
    check_array,
    check_name,
    check_object,
    check_output_limit,
    check_settings,
    check_size,
    check_string,
    invalid_type,
    invalid_value,
    missing,
)
from agent_core.scripted.responses_items import check_items
from agent_core.scripted.script import ModelLimits
from agent_core.scripted.signing import Signer
from agent_core.scripted.tokens import input_tokens
from agent_core.scripted.wire import Json, WireError, as_object, openai_body, refuse_openai

_CREATE = fields(
    "model",
    "access_programs background background_options context_management conversation image include input instructions"
    " max_output_tokens max_tool_calls metadata moderation parallel_tool_calls previous_response_id prompt"
    " prompt_cache_key prompt_cache_options prompt_cache_retention reasoning"
    " safety_identifier service_tier store stream stream_options"
    " temperature text tool_choice tools top_logprobs top_p truncation user",
)
_INCLUDES = (
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
)
_TOOLS = (
    "function",
    "file_search",
    "web_search",
    "web_search_preview",
    "computer",
    "computer_use_preview",
    "mcp",
    "code_interpreter",
    "image_generation",
    "local_shell",
    "shell",
    "custom",
    "namespace",
    "tool_search",
    "apply_patch",
)
_FUNCTION = fields("type name parameters", "strict description async allowed_callers defer_loading output_schema")
_REASONING = fields("", "context effort generate_summary mode summary")
_EFFORTS = (None, "none", "minimal", "low", "medium", "high", "xhigh", "max")
_STREAM_OPTIONS = fields("", "include_obfuscation")
_MINIMUM_OUTPUT = 16


def validate_responses(body: Json, limits: ModelLimits, signer: Signer, tokens: int | None = None) -> None:
    """Raises WireError for a request that OpenAI would not answer.

    `tokens` are the input tokens of `body`, if they are counted already.
    """
    check_object(body, _CREATE, "")
    check_string(body["model"], "model")
    _check_stored(body)
    if "input" not in body:
        raise missing("input")
    if not isinstance(body["input"], str):
        items = check_array(body["input"], "input")
        check_items(items, signer, stored=body.get("store") is not False)
    _check_tools(body)
    _check_reasoning(body)
    check_settings(body, limits)
    check_output_limit(body.get("max_output_tokens"), "max_output_tokens", limits, _MINIMUM_OUTPUT)
    for index, name in enumerate(check_array(body.get("include") or [], "include")):
        if name not in _INCLUDES:
            raise invalid_value(f"include[{index}]", name, _INCLUDES)
    if body.get("truncation") != "auto":
        check_size(input_tokens(body) if tokens is None else tokens, limits, "input")


def _check_stored(body: Json) -> None:
    if (previous := body.get("previous_response_id")) is not None:
        text = f"Previous response with id '{previous}' not found."
        raise refuse_openai(text, "not_stored", "previous_response_id", "previous_response_not_found")
    if (conversation := body.get("conversation")) is not None:
        text = f"Conversation with id '{conversation}' not found."
        raise WireError(404, openai_body("invalid_request_error", text), "not_stored")
    if body.get("background"):
        text = "This server runs no background responses. Leave 'background' out."
        raise refuse_openai(text, "unsupported_field", "background", "unsupported_parameter")


def _check_tools(body: Json) -> None:
    names: set[str] = set()
    for index, value in enumerate(check_array(body.get("tools") or [], "tools")):
        path = f"tools[{index}]"
        tool = as_object(value)
        if tool is None:
            raise invalid_type(path, "an object", value)
        kind = tool.get("type")
        if kind is None:
            raise missing(f"{path}.type")
        if kind not in _TOOLS and not str(kind).startswith("web_search"):
            raise invalid_value(f"{path}.type", kind, _TOOLS, "unknown_type")
        if kind == "function":
            # A Chat tool (a nested `function`) is told by the name that it lacks at this level.
            if "name" not in tool:
                raise missing(f"{path}.name")
            check_object(tool, _FUNCTION, path)
            names.add(check_name(tool["name"], f"{path}.name"))
    choice = as_object(body.get("tool_choice"))
    if choice is not None and choice.get("type") == "function" and choice.get("name") not in names:
        text = f"Tool choice '{choice.get('name')}' not found in 'tools' parameter."
        raise refuse_openai(text, "tool_choice", "tool_choice")


def _check_reasoning(body: Json) -> None:
    if body.get("stream_options") is not None:
        check_object(body["stream_options"], _STREAM_OPTIONS, "stream_options")
    if body.get("reasoning") is None:
        return
    reasoning = check_object(body["reasoning"], _REASONING, "reasoning")
    if reasoning.get("effort") not in _EFFORTS:
        raise invalid_value("reasoning.effort", reasoning["effort"], [e for e in _EFFORTS if e])
