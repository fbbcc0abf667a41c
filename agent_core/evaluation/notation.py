"""How agents and values are written on one line: `react(max_turns=5, submit="done")`, `level=3`.

The rule here: arguments are named, and their values are literals of Python. Nothing is run.
"""

import ast
import json
from typing import Any, NamedTuple

from agent_core.errors import ConfigError


class Named(NamedTuple):
    """A name, and the arguments behind it."""

    name: str
    arguments: dict[str, Any]


def parse(text: str, what: str) -> Named:
    """What a line such as `react(max_turns=5)` names. `what` begins the error. Raises ConfigError."""
    refused = ConfigError(f"{what}: '{text}' cannot be read. Write NAME or NAME(setting=value, ...).")
    try:
        expression = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        raise refused from None
    match expression:
        case ast.Name(id=name):
            return Named(name, {})
        case ast.Call(func=ast.Name(id=name), args=[], keywords=keywords):
            pass
        case _:
            raise refused
    arguments: dict[str, Any] = {}
    for keyword in keywords:
        try:
            arguments[keyword.arg or ""] = ast.literal_eval(keyword.value)
        except ValueError:
            raise ConfigError(
                f"{what}: '{text}': the value of {keyword.arg} is no literal; put texts in quotes."
            ) from None
    if "" in arguments:
        raise refused
    return Named(name, arguments)


def value_of(text: str) -> Any:
    """A value as JSON where it is some, else the text as it stands."""
    try:
        return json.loads(text)
    except ValueError:
        return text
