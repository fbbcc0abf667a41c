"""Tasks written as YAML or JSON, for those that need no code.

The rule here: the fields are those of `Task`, by the same names. A field that is unknown or wrong is refused with its
line.
"""

import json
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any, cast

import yaml
from pydantic import ValidationError

from agent_core.errors import ConfigError
from agent_core.evaluation.rows import kind_of
from agent_core.evaluation.tasks import Task, wrong_fields

# Text is written as text; the rest would be a function's business.
_CODELESS = {"dataset": (str, list), "agent": (str, dict), "scorers": (str, dict, list), "tools": (str, list)}


def task_of_text(text: str, name: str) -> Task:
    """The task that a file says. `name` is what errors call it, and JSON if it ends so. Raises ConfigError."""
    fields, lines = _read_json(text, name) if name.lower().endswith(".json") else _read_yaml(text, name)
    if not isinstance(fields, dict):
        raise ConfigError(f"{name}: holds {kind_of(fields)} where an object with a field 'dataset' is wanted.")
    fields = cast("dict[str, Any]", fields)
    known = Task.model_fields.keys()
    for field, value in fields.items():
        if field not in known:
            raise _wrong(name, lines, (field,), f"there is no field '{field}'{_meant(field, known)}")
        if field in _CODELESS and not isinstance(value, _CODELESS[field]):
            raise _wrong(name, lines, (field,), f"{field}: {kind_of(value)} will not do here")
    _only_names(fields, lines, name)
    try:
        return Task(**fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "missing":
            raise ConfigError(f"{name}: {wrong_fields(error)}.") from None
        raise _wrong(name, lines, first["loc"], wrong_fields(error)) from None
    except ConfigError as error:
        field = error.message.partition(":")[0]
        raise _wrong(name, lines, (field,), error.message.removesuffix(".")) from None


def _only_names(fields: Mapping[str, Any], lines: Mapping[tuple[Any, ...], int], name: str) -> None:
    for field in ("scorers", "tools"):
        given = fields.get(field)
        for number, item in enumerate(cast("list[Any]", given) if isinstance(given, list) else ()):
            if not isinstance(item, str) and not (field == "scorers" and isinstance(item, dict)):
                raise _wrong(name, lines, (field, number), f"{field}: {kind_of(item)} where a name is wanted")


def _meant(field: str, known: Collection[str]) -> str:
    close = get_close_matches(field, known, n=1)
    return f" (did you mean '{close[0]}'?)" if close else f". There are: {', '.join(sorted(known))}"


def _wrong(name: str, lines: Mapping[tuple[Any, ...], int], place: tuple[Any, ...], what: str) -> ConfigError:
    """What is wrong with what stands at a place, with the line of the innermost part of it that the file has."""
    while place and place not in lines:
        place = place[:-1]
    line = f" line {lines[place]}" if place else ""
    return ConfigError(f"{name}{line}: {what}. Mend that line.")


def _read_yaml(text: str, name: str) -> tuple[object, dict[tuple[Any, ...], int]]:
    lines: dict[tuple[Any, ...], int] = {}
    try:
        node = _composed(text)
        if node is not None:
            _lines_of(node, (), lines, name)
        return yaml.safe_load(text), lines
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{name} line {line}: not valid YAML ({error.problem}). Mend that line.") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not valid YAML ({error}). Mend the file.") from None


def _read_json(text: str, name: str) -> tuple[object, dict[tuple[Any, ...], int]]:
    lines: dict[tuple[Any, ...], int] = {}
    try:
        fields = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{name} line {error.lineno}: not valid JSON ({error.msg}). Mend that line.") from None
    try:
        # Nearly all JSON is YAML, and YAML knows its lines.
        node = _composed(text)
    except yaml.YAMLError:
        return fields, lines
    if node is not None:
        _lines_of(node, (), lines, name)
    return fields, lines


def _composed(text: str) -> yaml.Node | None:
    compose = cast("Any", yaml.compose)  # pyright: ignore[reportUnknownMemberType]
    return compose(text, Loader=yaml.SafeLoader)


def _lines_of(node: yaml.Node, place: tuple[Any, ...], lines: dict[tuple[Any, ...], int], name: str) -> None:
    """Note the line of every key and item. Raises ConfigError for a key that comes twice."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, key.value)
            line = key.start_mark.line + 1
            if inner in lines:
                raise ConfigError(f"{name} line {line}: '{key.value}' is there twice (see line {lines[inner]}).")
            lines[inner] = line
            _lines_of(value, inner, lines, name)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            lines[(*place, number)] = item.start_mark.line + 1
            _lines_of(item, (*place, number), lines, name)
