"""JSON in answers: where it stands, and when two values of it are the same.

The rule here: what is no JSON by the standard (RFC 8259), such as NaN, is none here either. A number is the same
however it is written, true is no 1.
"""

import json
import math
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from pydantic import JsonValue

_FENCED = re.compile(r"```[^\n`]*\n(.*?)```", re.DOTALL)
_OPENING = re.compile(r"[{\[]")
# Characters that are read again and again, since so many brackets begin no JSON, until looking ends.
_MOST_IN_VAIN = 1_000_000
# What an attempt costs at least, in characters.
_LEAST = 1_000
_CLOSE = 1e-9

NOTHING: Any = object()
"""Stands for no value, since None is one."""


class _NotJsonError(ValueError):
    """A word that Python takes for a number and JSON does not."""


def json_in(text: str) -> JsonValue:
    """The value that the text holds: all of it, else its last fenced block that is one, else the longest one in it.

    NOTHING if there is none.
    """
    value = _read(text)
    if value is not NOTHING:
        return value
    for block in reversed(_FENCED.findall(text)):
        value = _read(block)
        if value is not NOTHING:
            return value
    longest, found = 0, NOTHING
    for length, value in _within(text):
        if length >= longest:
            longest, found = length, value
    return found


def _within(text: str) -> Iterator[tuple[int, JsonValue]]:
    """The objects and lists in a text, none of them within another, with their lengths."""
    decoder = json.JSONDecoder(parse_constant=_refuse)
    at = in_vain = 0
    while in_vain < _MOST_IN_VAIN and (opening := _OPENING.search(text, at)) is not None:
        start = opening.start()
        try:
            value, at = decoder.raw_decode(text, start)
            yield at - start, value
        except json.JSONDecodeError as error:
            in_vain += max(_LEAST, error.pos - start)
            at = start + 1
        except _NotJsonError:
            # How far it came is not told.
            in_vain += len(text) - start
            at = start + 1
        except RecursionError:
            return


def _read(text: str) -> JsonValue:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return NOTHING


def _refuse(name: str) -> None:
    raise _NotJsonError(name)


def same(one: JsonValue, other: JsonValue, *, tolerance: float = 0.0, ignore_case: bool = False) -> bool:
    """Whether two values say the same. `tolerance` is for numbers; a billionth part never counts between fractions."""
    match one, other:
        case (bool(), _) | (_, bool()) | (None, _) | (_, None):
            return one is other
        case int(), int():
            return abs(one - other) <= tolerance
        case int() | float(), int() | float():
            return _near(one, other, tolerance)
        case str(), str():
            return _plain(one, ignore_case=ignore_case) == _plain(other, ignore_case=ignore_case)
        case list(), list():
            return len(one) == len(other) and all(
                same(a, b, tolerance=tolerance, ignore_case=ignore_case) for a, b in zip(one, other, strict=True)
            )
        case dict(), dict():
            return one.keys() == other.keys() and all(
                same(one[key], other[key], tolerance=tolerance, ignore_case=ignore_case) for key in one
            )
        case _:
            return False


def _near(one: float, other: float, tolerance: float) -> bool:
    try:
        return math.isclose(one, other, rel_tol=_CLOSE, abs_tol=tolerance)
    except OverflowError:
        return False


def _plain(text: str, *, ignore_case: bool) -> str:
    text = unicodedata.normalize("NFC", text).strip()
    return text.casefold() if ignore_case else text
