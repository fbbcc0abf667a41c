"""Checks that both OpenAI wires share: fields, numbers, tool names, metadata, and the refusals in OpenAI's words.

The rule here: each refusal has `param` and `code` as the API gives them (`unknown_parameter`,
`missing_required_parameter`, `invalid_value`, `invalid_type`, ...), since clients branch on these and not on the
text.
"""

import re
from collections.abc import Iterable

from agent_core.scripted.fields import Fields, check_fields
from agent_core.scripted.script import ModelLimits
from agent_core.scripted.wire import Json, WireError, as_array, as_object, openai_body, refuse_openai

NAME_PATTERN = "^[a-zA-Z0-9_-]+$"
MAXIMUM_NAME = 64
MAXIMUM_CALL_ID = 64
_METADATA_PAIRS = 16
_METADATA_VALUE = 512
_SAMPLING = ("temperature", "top_p")
_RANGES = {"temperature": 2, "top_p": 1, "presence_penalty": 2, "frequency_penalty": 2}


def missing(param: str) -> WireError:
    """A required field is not there."""
    text = f"Missing required parameter: '{param}'."
    return refuse_openai(text, "missing_field", param, "missing_required_parameter")


def unknown(param: str) -> WireError:
    """A field does not exist."""
    return refuse_openai(f"Unknown parameter: '{param}'.", "unknown_field", param, "unknown_parameter")


def invalid_type(param: str, expected: str, value: object) -> WireError:
    """A field has the wrong JSON type."""
    text = f"Invalid type for '{param}': expected {expected}, but got {_json_type(value)} instead."
    return refuse_openai(text, "bad_type", param, "invalid_type")


def invalid_value(param: str, value: object, supported: Iterable[str], reason: str = "bad_value") -> WireError:
    """A field has a value outside of its list."""
    names = [f"'{name}'" for name in supported]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])}, and {names[-1]}"
    text = f"Invalid value: '{value}'. Supported values are: {listed}."
    return refuse_openai(text, reason, param, "invalid_value")


def empty_array(param: str) -> WireError:
    """A list that must not be empty is empty."""
    text = f"Invalid '{param}': empty array. Expected an array with minimum length 1, but got an empty array instead."
    return refuse_openai(text, "empty_array", param, "empty_array")


def model_not_found(model: str) -> WireError:
    """The 404 for a model that the server does not have."""
    text = f"The model `{model}` does not exist or you do not have access to it."
    return WireError(404, openai_body("invalid_request_error", text, None, "model_not_found"), "unknown_model")


def check_object(value: object, shape: Fields, path: str) -> Json:
    """`value` as an object that has the fields of `shape`; `path` is empty for the body itself."""
    inner = as_object(value)
    if inner is None:
        raise invalid_type(path, "an object", value)
    dot = f"{path}." if path else ""
    check_fields(inner, shape, lambda name: missing(dot + name), lambda name: unknown(dot + name))
    return inner


def check_array(value: object, param: str) -> list[object]:
    """`value` as a list."""
    array = as_array(value)
    if array is None:
        raise invalid_type(param, "an array", value)
    return array


def check_string(value: object, param: str, maximum: int | None = None) -> str:
    """`value` as a string of at most `maximum` characters."""
    if not isinstance(value, str):
        raise invalid_type(param, "a string", value)
    if maximum is not None and len(value) > maximum:
        text = (
            f"Invalid '{param}': string too long. Expected a string with maximum length {maximum}, "
            f"but got a string with length {len(value)} instead."
        )
        raise refuse_openai(text, "string_too_long", param, "string_above_max_length")
    return value


def check_name(value: object, param: str) -> str:
    """`value` as a tool's name."""
    name = check_string(value, param, MAXIMUM_NAME)
    if not re.match(NAME_PATTERN, name):
        expected = f"Expected a string that matches the pattern '{NAME_PATTERN}'."
        text = f"Invalid '{param}': string does not match pattern. {expected}"
        raise refuse_openai(text, "tool_name", param, "invalid_value")
    return name


def check_settings(body: Json, limits: ModelLimits) -> None:
    """Sampling ranges, metadata, and what a reasoning model refuses."""
    for name in _SAMPLING:
        if limits.reasoning and body.get(name) is not None:
            text = f"Unsupported parameter: '{name}' is not supported with this model."
            raise refuse_openai(text, "unsupported_field", name, "unsupported_parameter")
    for name, top in _RANGES.items():
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise invalid_type(name, "a decimal", value)
        _check_range(name, value, top)
    if not isinstance(body.get("stream"), bool | None):
        raise invalid_type("stream", "a boolean", body["stream"])
    if body.get("stream_options") is not None and not body.get("stream"):
        text = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise refuse_openai(text, "stream_options", "stream_options")
    if body.get("metadata") is not None:
        _check_metadata(body["metadata"])


def _check_range(name: str, value: float, top: int) -> None:
    bottom = -top if name.endswith("penalty") else 0
    if bottom <= value <= top:
        return
    side, sign, bound = ("above maximum", "<=", top) if value > top else ("below minimum", ">=", bottom)
    text = f"Invalid '{name}': decimal {side} value. Expected a value {sign} {bound}, but got {value} instead."
    code = "decimal_above_max_value" if value > top else "decimal_below_min_value"
    raise refuse_openai(text, "out_of_range", name, code)


def _check_metadata(value: object) -> None:
    metadata = as_object(value)
    if metadata is None:
        raise invalid_type("metadata", "an object", value)
    if len(metadata) > _METADATA_PAIRS:
        text = f"Invalid 'metadata': too many properties. Expected an object with at most {_METADATA_PAIRS} properties."
        raise refuse_openai(text, "metadata", "metadata", "object_above_max_properties")
    for key, item in metadata.items():
        check_string(item, f"metadata.{key}", _METADATA_VALUE)


def check_output_limit(value: object, name: str, limits: ModelLimits, minimum: int) -> None:
    """A limit of output tokens within what the model can give."""
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool):
        raise invalid_type(name, "an integer", value)
    if value < minimum:
        text = f"Invalid '{name}': integer below minimum value. Expected a value >= {minimum}, but got {value} instead."
        raise refuse_openai(text, "max_tokens", name, "integer_below_min_value")
    if value > limits.max_output:
        text = (
            f"{name} is too large: {value}. This model supports at most {limits.max_output} completion tokens, "
            f"whereas you provided {value}."
        )
        raise refuse_openai(text, "max_tokens", name, "invalid_value")


def check_size(tokens: int, limits: ModelLimits, param: str) -> None:
    """Refuses an input that is longer than the window."""
    if tokens <= limits.context_window:
        return
    text = (
        "Your input exceeds the context window of this model. Please adjust your input and try again."
        if param == "input"
        else f"This model's maximum context length is {limits.context_window} tokens. However, your messages resulted "
        f"in {tokens} tokens. Please reduce the length of the messages."
    )
    raise refuse_openai(text, "context_too_long", param, "context_length_exceeded")


def _json_type(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a decimal"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"
