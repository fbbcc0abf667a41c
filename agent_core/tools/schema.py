"""A function's signature as a JSON schema for the model, and the model's input as the function's arguments.

The rule here: the schema and the arguments come from one pydantic model, so that what the schema accepts the function
gets in the types that it is annotated with.
"""

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind

from agent_core.errors import ToolError
from agent_core.tools.context import ToolContext

_KINDS_REFUSED = {
    inspect.Parameter.VAR_POSITIONAL: "*{0}: name every argument, or take one list (for example `{0}: list[str]`)",
    inspect.Parameter.VAR_KEYWORD: "**{0}: name every argument, or take one dict (for example `{0}: dict[str, str]`)",
}


class _Schema(GenerateJsonSchema):
    """A default value that JSON has no form for is left out of the schema; the function still has it."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of one tool. `positional` are those that may not be passed by name; `context` is filled in."""

    model: type[BaseModel]
    fields: Mapping[str, str]
    positional: tuple[str, ...]
    context: str | None

    def bind(self, values: Mapping[str, Any], context: ToolContext) -> tuple[list[Any], dict[str, Any]]:
        """The arguments for a call.

        Raises pydantic.ValidationError when the values do not fit the annotations.
        """
        checked = self.model.model_validate(values)
        keyword = {name: getattr(checked, field) for field, name in self.fields.items()}
        if self.context is not None:
            keyword[self.context] = context
        return [keyword.pop(name) for name in self.positional], keyword

    def json_schema(self) -> dict[str, Any]:
        """The schema of the input, without the titles that pydantic makes up."""
        schema = self.model.model_json_schema(by_alias=True, schema_generator=_Schema)
        return cast("dict[str, Any]", _untitled(schema))


def parameters_of(
    function: Callable[..., object], name: str, hints: Mapping[str, Any], described: Callable[[], Mapping[str, str]]
) -> Parameters:
    """Read a function's signature; `described` gives the docstring's words for each parameter.

    Raises ToolError for a parameter without a type hint, `*args`, `**kwargs`, or a hint that JSON has no form for.
    """
    fields: dict[str, Any] = {}
    names: dict[str, str] = {}
    positional: list[str] = []
    context: str | None = None
    words: Mapping[str, str] | None = None
    for parameter in inspect.signature(function).parameters.values():
        if refusal := _KINDS_REFUSED.get(parameter.kind):
            raise ToolError(f"tool '{name}' takes {refusal.format(parameter.name)}; a model passes arguments by name.")
        if parameter.name == "self" and "self" not in hints:
            raise ToolError(
                f"tool '{name}' is a method: decorate a function, or a method of an object, tool(it.{name})."
            )
        if parameter.name not in hints:
            raise ToolError(
                f"tool '{name}': parameter '{parameter.name}' has no type hint, so no schema can be made for the model."
                f" Write for example `{parameter.name}: str`."
            )
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            positional.append(parameter.name)
        hint = hints[parameter.name]
        if hint is ToolContext:
            context = parameter.name
            continue
        words = described() if words is None else words
        field = f"p{len(names)}"
        names[field] = parameter.name
        fields[field] = _field(parameter, hint, words.get(parameter.name))
    return Parameters(_model(name, fields), names, tuple(positional), context)


def hints_of(function: Callable[..., object], name: str) -> dict[str, Any]:
    """The function's type hints, evaluated. Raises ToolError for one that names what is not there."""
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError) as error:
        raise ToolError(
            f"tool '{name}': its type hints cannot be read: {type(error).__name__}: {error}."
            " Import or define at module level every name that they use (not under TYPE_CHECKING)."
        ) from error


def _field(parameter: inspect.Parameter, hint: object, words: str | None) -> tuple[Any, Any]:
    alias = parameter.name
    words = _description_in(hint) or words
    extra = Field(alias=alias, validation_alias=alias, serialization_alias=alias, description=words)
    if words is None:
        extra = Field(alias=alias, validation_alias=alias, serialization_alias=alias)
    default: Any = ... if parameter.default is inspect.Parameter.empty else parameter.default
    return Annotated[hint, extra], default


def _description_in(hint: object) -> str | None:
    if get_origin(hint) is not Annotated:
        return None
    for extra in get_args(hint)[1:]:
        if isinstance(extra, FieldInfo) and extra.description:
            return extra.description
        if isinstance(extra, str):
            return extra
    return None


def _model(name: str, fields: dict[str, Any]) -> type[BaseModel]:
    # A default is not checked by pydantic, and the function's own is what it gets when it is called as a function.
    config = ConfigDict(extra="forbid", protected_namespaces=())
    try:
        model = create_model(name, __config__=config, **fields)
        model.model_json_schema(schema_generator=_Schema)
    except PydanticUserError as error:
        reason = str(error).partition("\n")[0]
        raise ToolError(
            f"tool '{name}': one of its type hints has no JSON form: {reason}"
            " Use str, int, float, bool, list, dict, Literal, Enum, Optional, a dataclass or a pydantic model."
        ) from error
    return model


def _untitled(node: Any, *, named: bool = False) -> Any:
    """The schema without `title`, which only repeats names. With `named`, the keys are names and not keywords."""
    if isinstance(node, list):
        return [_untitled(item) for item in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    items = cast("dict[str, Any]", node).items()
    if named:
        return {key: _untitled(value) for key, value in items}
    verbatim = ("default", "const", "enum", "examples")
    return {
        key: value if key in verbatim else _untitled(value, named=key in ("properties", "$defs"))
        for key, value in items
        if key != "title"
    }
