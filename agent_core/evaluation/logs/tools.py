"""Definitions of tools as a log has them.

The rule here: a schema that Inspect's own type cannot hold would make the whole log unreadable, so what is not known to
fit is left out. Source: `JSONSchema` and `ToolParams` of inspect_ai 0.3.285.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from agent_core.evaluation.logs.messages import Json

_TYPES = {"string", "integer", "number", "boolean", "array", "object", "null"}
_DEEPEST = 20


def tools_of(tools: Mapping[str, Any]) -> Iterator[Json]:
    """The tools of a configuration's basis, by their names."""
    for name, definition in tools.items():
        parameters = _schema(definition.get("input_schema"), 0)
        made: Json = {"type": "object", "properties": parameters.get("properties", {})}
        made["required"] = parameters.get("required", [])
        made["additionalProperties"] = parameters.get("additionalProperties", False)
        yield {"name": name, "description": str(definition.get("description", "")), "parameters": made}


def _schema(schema: Any, depth: int) -> Json:
    """As much of a JSON schema as a log can hold."""
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return {}
    given = cast("Mapping[str, Any]", schema)
    made: Json = {}
    for name, value in given.items():
        match name, value:
            case "type", str() if value in _TYPES:
                made[name] = value
            case "type", [*types] if all(isinstance(each, str) and each in _TYPES for each in types):
                made[name] = types
            case (("description" | "format" | "pattern"), str()):
                made[name] = value
            case "default", _:
                made[name] = value
            case (("enum" | "examples"), [*values]):
                made[name] = values
            case "items", Mapping():
                made[name] = _schema(value, depth + 1)
            case "additionalProperties", bool():
                made[name] = value
            case "additionalProperties", Mapping():
                made[name] = _schema(value, depth + 1)
            case "properties", Mapping():
                inner = cast("Mapping[str, Any]", value)
                made[name] = {str(key): _schema(each, depth + 1) for key, each in inner.items()}
            case "anyOf", [*choices]:
                made[name] = [_schema(each, depth + 1) for each in choices]
            case "required", [*names] if all(isinstance(each, str) for each in names):
                made[name] = names
            case (("minimum" | "maximum"), int() | float()):
                made[name] = value
            case (("minLength" | "maxLength"), int()):
                made[name] = value
            case _:
                pass
    return made
