"""JSON for the wire, and a memory of how each message was last written.

The rule here: a message is immutable, so its wire form is made once and then joined as bytes. A history of 200,000
tokens costs a few joins at each step, not a walk through every block.
"""

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Any, Generic, TypeVar, cast

from pydantic_core import PydanticSerializationError, from_json, to_json

_T = TypeVar("_T", bound="Fragment")
_M = TypeVar("_M")
_OVERHEAD = 400
_WIRE_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")


class Fragment:
    """A message's wire form; each wire has its own. `size` is in bytes and bounds the memory."""

    __slots__ = ("size",)

    def __init__(self, size: int) -> None:
        self.size = size


class Fragments(Generic[_T]):
    """The wire forms of the messages used last, `limit` bytes of them, found by the identity of the message.

    A message is held while its form is, so an identity is never mistaken for another's.
    """

    def __init__(self, limit: int = 64 * 1024 * 1024) -> None:
        self._limit = limit
        self._size = 0
        self._known: OrderedDict[tuple[int, str], tuple[object, _T]] = OrderedDict()

    @property
    def size(self) -> int:
        """Bytes held."""
        return self._size

    def get(self, message: _M, variant: str, make: Callable[[_M, str], _T]) -> _T:
        """The form of `message` in a `variant` (a provider), by `make(message, variant)` if it is not known."""
        key = (id(message), variant)
        found = self._known.get(key)
        if found is not None:
            self._known.move_to_end(key)
            return found[1]
        fragment = make(message, variant)
        self._known[key] = (message, fragment)
        self._size += fragment.size + _OVERHEAD
        while self._size > self._limit:
            _, (_, oldest) = self._known.popitem(last=False)
            self._size -= oldest.size + _OVERHEAD
        return fragment

    def clear(self) -> None:
        """Forget everything."""
        self._known.clear()
        self._size = 0


def encode(value: object) -> bytes:
    """`value` as compact JSON in UTF-8. NaN becomes null, half a surrogate pair becomes the replacement character."""
    try:
        return to_json(value, inf_nan_mode="null")
    except PydanticSerializationError:
        return to_json(_whole_characters(value), inf_nan_mode="null")


def decode(data: bytes) -> object:
    """The JSON value in `data`. Raises ValueError."""
    try:
        return cast("object", from_json(data))
    except ValueError:
        # The fast parser refuses half a surrogate pair, which servers send that cut a character in two.
        return _whole_characters(json.loads(data.decode("utf-8", "replace")))


def object_with(head: dict[str, Any], name: str, items: Iterable[bytes]) -> bytes:
    """The object `head` with one more field, an array of values that are JSON already."""
    return b"".join((encode(head)[:-1], b"," if head else b"", encode(name), b":[", b",".join(items), b"]}"))


def wire_id(id: str) -> str:
    """A tool use id as every provider takes it: letters, digits, `_` and `-`, 64 at most.

    Ids that other servers gave are replaced, always in the same way, so that a call and its result still match.
    """
    if _WIRE_ID.fullmatch(id):
        return id
    return "call_" + sha256(id.encode("utf-8", "replace")).hexdigest()[:24]


def wire_name(name: str) -> str:
    """A tool's name as every provider takes it back, for a model may call what no tool can be named."""
    return name if _WIRE_ID.fullmatch(name) else _NOT_IN_NAMES.sub("_", name)[:64] or "unnamed"


def _whole_characters(value: object) -> object:
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case dict():
            pairs = cast("dict[object, object]", value)
            return {_whole_characters(key): _whole_characters(item) for key, item in pairs.items()}
        case list() | tuple():
            return [_whole_characters(item) for item in cast("Iterable[object]", value)]
        case _:
            return value
