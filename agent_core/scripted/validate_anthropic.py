"""Checks a Messages request as Anthropic does: `validate_anthropic` returns or raises WireError.

The rule here: fields and block types are those of `anthropic.types.MessageCreateParams` and `ContentBlockParam`
(anthropic 2.12); anything else is refused by name. So are `temperature`, `top_p` and `top_k`, which that SDK no
longer has. The rules of the conversation (pairs, roles, thinking) are in `anthropic_turns.py`.
"""

import re

from agent_core.scripted.anthropic_blocks import check_blocks, check_object, extra, field_required
from agent_core.scripted.anthropic_turns import check_turns
from agent_core.scripted.fields import Fields, check_fields, fields
from agent_core.scripted.script import ModelLimits
from agent_core.scripted.signing import Signer
from agent_core.scripted.tokens import input_tokens
from agent_core.scripted.wire import Json, WireError, anthropic_error, as_array, as_object, refuse_anthropic

_COUNT = fields("model messages", "cache_control output_config speed system thinking tool_choice tools")
_CREATE = fields(
    "model messages max_tokens",
    "cache_control container diagnostics inference_geo metadata output_config service_tier speed stop_sequences stream"
    " system thinking tool_choice tools user_profile_id",
)
_TOOL = fields(
    "name input_schema",
    "allowed_callers cache_control defer_loading description eager_input_streaming input_examples strict type",
)
_TOOL_NAME = "^[a-zA-Z0-9_-]{1,128}$"
_CHOICES = {
    "auto": fields("type", "disable_parallel_tool_use"),
    "any": fields("type", "disable_parallel_tool_use"),
    "tool": fields("type name", "disable_parallel_tool_use"),
    "none": fields("type"),
}
_THINKING = {
    "enabled": fields("type budget_tokens", "display"),
    "adaptive": fields("type", "display"),
    "between_tools": fields("type"),
    "disabled": fields("type"),
}
_NESTED = {
    "metadata": fields("", "user_id"),
    "output_config": fields("", "effort format"),
    "cache_control": fields("type", "ttl"),
    "diagnostics": fields("", "previous_message_id"),
}
_EFFORTS = (None, "low", "medium", "high", "xhigh", "max")
_CACHE_BREAKPOINTS = 4
_MINIMUM_BUDGET = 1_024


def validate_anthropic(body: Json, limits: ModelLimits, signer: Signer, tokens: int | None = None) -> None:
    """Raises WireError for a create request that Anthropic would not answer.

    `tokens` are the input tokens of `body`, if they are counted already.
    """
    check_fields(body, _CREATE, field_required, extra)
    _check_prompt(body, signer)
    _check_settings(body, limits)
    if not limits.prefill and body["messages"][-1]["role"] == "assistant":
        text = "This model does not support assistant message prefill. The conversation must end with a user message."
        raise refuse_anthropic(text, "prefill")
    _check_size(body, limits, input_tokens(body) if tokens is None else tokens)


def validate_count_tokens(body: Json, signer: Signer) -> None:
    """The same for `/v1/messages/count_tokens`, which takes fewer fields."""
    check_fields(body, _COUNT, field_required, extra)
    _check_prompt(body, signer)


def model_not_found(model: str) -> WireError:
    """The 404 for a model that the server does not have."""
    return anthropic_error(404, "not_found_error", f"model: {model}", "unknown_model")


def _check_size(body: Json, limits: ModelLimits, tokens: int) -> None:
    if tokens > limits.context_window:
        text = f"prompt is too long: {tokens} tokens > {limits.context_window} maximum"
        raise refuse_anthropic(text, "context_too_long")
    if limits.strict_budget and tokens + body["max_tokens"] > limits.context_window:
        sizes = f"{tokens} + {body['max_tokens']} > {limits.context_window}"
        text = f"input length and `max_tokens` exceed context limit: {sizes}, decrease input length or `max_tokens`"
        raise refuse_anthropic(f"{text} and try again", "context_too_long")


def _check_prompt(body: Json, signer: Signer) -> None:
    if not isinstance(body["model"], str):
        raise _bad_type("model", "string")
    for name, shape in _NESTED.items():
        if body.get(name) is not None:
            check_object(body[name], shape, name)
    _check_tools(body)
    system = body.get("system", "")
    if not isinstance(system, str):
        check_blocks(_array(system, "system"), "system", frozenset({"text"}))
    thinking = body.get("thinking")
    mode = "" if thinking is None else _check_variant(thinking, "thinking", _THINKING)
    check_turns(_array(body["messages"], "messages"), mode, signer)
    _check_breakpoints(body)


def _check_settings(body: Json, limits: ModelLimits) -> None:
    maximum = body["max_tokens"]
    if not isinstance(maximum, int) or isinstance(maximum, bool):
        raise _bad_type("max_tokens", "integer")
    if maximum < 0:
        raise refuse_anthropic("max_tokens: Input should be greater than or equal to 0", "max_tokens")
    if maximum > limits.max_output:
        name = body["model"]
        text = f"max_tokens: {maximum} > {limits.max_output}, which is the maximum allowed number of output tokens"
        raise refuse_anthropic(f"{text} for {name}", "max_tokens")
    if not isinstance(body.get("stream", False), bool):
        raise _bad_type("stream", "boolean")
    for stop in _array(body.get("stop_sequences") or [], "stop_sequences"):
        if not isinstance(stop, str):
            raise _bad_type("stop_sequences", "string")
        if not stop.strip():
            raise refuse_anthropic("stop_sequences: each stop sequence must contain non-whitespace", "stop_sequences")
    if (effort := (as_object(body.get("output_config")) or {}).get("effort")) not in _EFFORTS:
        text = f"output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max', got {effort!r}"
        raise refuse_anthropic(text, "bad_value")
    _check_budget(body)


def _check_budget(body: Json) -> None:
    thinking = as_object(body.get("thinking"))
    if thinking is None or thinking["type"] == "disabled":
        return
    if (as_object(body.get("tool_choice")) or {}).get("type") in {"any", "tool"}:
        raise refuse_anthropic("Thinking may not be enabled when tool_choice forces tool use.", "thinking_tool_choice")
    if thinking["type"] != "enabled":
        return
    budget = thinking["budget_tokens"]
    if not isinstance(budget, int) or budget < _MINIMUM_BUDGET:
        text = f"thinking.enabled.budget_tokens: Input should be greater than or equal to {_MINIMUM_BUDGET}"
        raise refuse_anthropic(text, "thinking_budget")
    if budget >= body["max_tokens"]:
        text = "`max_tokens` must be greater than `thinking.budget_tokens`."
        raise refuse_anthropic(text, "thinking_budget")


def _check_tools(body: Json) -> None:
    names: set[str] = set()
    for index, value in enumerate(_array(body.get("tools") or [], "tools")):
        tool = as_object(value)
        if tool is None:
            raise _bad_type(f"tools.{index}", "dictionary")
        name = tool.get("name")
        if tool.get("type", "custom") in {"custom", None}:
            check_object(tool, _TOOL, f"tools.{index}.custom")
            _check_custom_tool(tool, f"tools.{index}.custom")
        if isinstance(name, str):
            if name in names:
                raise refuse_anthropic("tools: Tool names must be unique.", "duplicate_tool")
            names.add(name)
    choice = body.get("tool_choice")
    if choice is None:
        return
    kind = _check_variant(choice, "tool_choice", _CHOICES)
    if not body.get("tools"):
        raise refuse_anthropic("tool_choice: tool_choice may only be specified while providing tools.", "tool_choice")
    if kind == "tool" and choice["name"] not in names:
        raise refuse_anthropic(f"tool_choice: Tool '{choice['name']}' not found in provided tools", "tool_choice")


def _check_custom_tool(tool: Json, path: str) -> None:
    if not isinstance(tool["name"], str) or not re.match(_TOOL_NAME, tool["name"]):
        raise refuse_anthropic(f"{path}.name: String should match pattern '{_TOOL_NAME}'", "tool_name")
    schema = as_object(tool["input_schema"])
    if schema is None:
        raise _bad_type(f"{path}.input_schema", "dictionary")
    if "type" not in schema:
        raise field_required(f"{path}.input_schema.type")
    if schema["type"] != "object":
        raise refuse_anthropic(f"{path}.input_schema.type: Input should be 'object'", "tool_schema")


def _check_variant(value: object, path: str, variants: dict[str, Fields]) -> str:
    inner = as_object(value)
    if inner is None:
        raise _bad_type(path, "dictionary")
    kind = inner.get("type")
    if kind not in variants:
        expected = ", ".join(f"'{name}'" for name in variants)
        text = f"{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {expected}"
        raise refuse_anthropic(text, "unknown_type")
    check_object(inner, variants[kind], f"{path}.{kind}")
    return str(kind)


def _check_breakpoints(body: Json) -> None:
    found = 0
    groups: list[object] = [body.get("system"), body.get("tools"), *(m["content"] for m in body["messages"])]
    for group in groups:
        for block in as_array(group) or ():
            found += bool(block.get("cache_control"))
            found += sum(bool(inner.get("cache_control")) for inner in as_array(block.get("content")) or ())
    found += bool(body.get("cache_control"))
    if found > _CACHE_BREAKPOINTS:
        text = f"A maximum of {_CACHE_BREAKPOINTS} blocks with cache_control may be provided. Found {found}."
        raise refuse_anthropic(text, "cache_breakpoints")


def _array(value: object, path: str) -> list[object]:
    array = as_array(value)
    if array is None:
        raise _bad_type(path, "list")
    return array


def _bad_type(path: str, kind: str) -> WireError:
    return refuse_anthropic(f"{path}: Input should be a valid {kind}", "bad_type")
