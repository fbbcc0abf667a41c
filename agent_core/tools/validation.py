"""A call's input against its tool's JSON schema.

The rule here: the schema that the model was shown is the one that its input is held to, before any type is coerced.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Protocol, cast

import jsonschema
from jsonschema.exceptions import (
    SchemaError,
    ValidationError,
    best_match,  # pyright: ignore[reportUnknownVariableType] - its key argument is not typed
)

from agent_core.errors import ToolError
from agent_core.tools.definition import ToolDefinition

_KEPT = 1024
_SHOWN = 3


class _Validator(Protocol):
    """The part of a jsonschema validator that is used; its own types are partly unknown to the checker."""

    def is_valid(self, instance: object) -> bool: ...

    def iter_errors(self, instance: object) -> Any: ...


def check_schema(name: str, schema: Mapping[str, Any]) -> None:
    """Raises ToolError unless this is a JSON schema (draft 2020-12) of an object."""
    try:
        jsonschema.Draft202012Validator.check_schema(dict(schema))
    except SchemaError as error:
        raise ToolError(f"tool '{name}': its schema is no JSON schema: {error.message}") from None
    if schema.get("type") != "object":
        raise ToolError(f"tool '{name}': its schema must be of type 'object', with one property for each argument.")


class InputCheck:
    """Checks inputs, keeping the compiled validators of the newest thousand tools."""

    def __init__(self) -> None:
        self._validators: OrderedDict[tuple[str, str], tuple[dict[str, Any], _Validator]] = OrderedDict()

    def error(self, definition: ToolDefinition, values: Mapping[str, Any]) -> str | None:
        """What is wrong with the input, for the model; None if nothing is."""
        validator = self._validator(definition)
        if validator.is_valid(values):
            return None
        errors = [cast("ValidationError", item) for item in validator.iter_errors(values)]
        lines = [_line(best) for item in errors[:_SHOWN] if (best := _best(item)) is not None]
        more = [f"and {len(errors) - _SHOWN} more"] if len(errors) > _SHOWN else []
        return "; ".join([*lines, *more])

    def _validator(self, definition: ToolDefinition) -> _Validator:
        schema = definition.input_schema
        key = (definition.name, definition.reference.digest if definition.reference is not None else "")
        known = self._validators.get(key)
        # Compared too: a definition may have been changed by hand. Equal schemas compare in a microsecond.
        if known is not None and (known[0] is schema or known[0] == schema):
            return known[1]
        validator = cast("_Validator", jsonschema.Draft202012Validator(schema))
        self._validators[key] = (schema, validator)
        if len(self._validators) > _KEPT:
            self._validators.popitem(last=False)
        return validator


def _best(error: ValidationError) -> ValidationError | None:
    """The error in a choice of schemas that says most, or the error itself."""
    return cast("ValidationError | None", best_match([error]))


def _line(error: ValidationError) -> str:
    where = ".".join(str(part) for part in error.absolute_path)
    message = error.message if len(error.message) <= 300 else error.message[:300] + "..."
    return f"{where}: {message}" if where else message
