"""Checks the names of an object's fields against what a wire knows.

The rule here: a missing field is told before an unknown one, and both by their full path, as the providers do.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from agent_core.scripted.wire import Json, WireError

Refusal: TypeAlias = Callable[[str], WireError]


class Fields(NamedTuple):
    """The fields that an object must have and those that it may have."""

    required: tuple[str, ...]
    known: frozenset[str]


def fields(required: str, optional: str = "") -> Fields:
    """From two lists of names, separated by blanks."""
    names = tuple(required.split())
    return Fields(names, frozenset(names) | frozenset(optional.split()))


def check_fields(value: Json, shape: Fields, missing: Refusal, unknown: Refusal) -> None:
    """Raises what `missing` or `unknown` makes of the first field that is not as `shape` has it."""
    for name in shape.required:
        if name not in value:
            raise missing(name)
    if not value.keys() <= shape.known:
        raise unknown(next(name for name in value if name not in shape.known))
