"""Values that many sessions of one process hold alike, kept once: what makes thousands of them small.

The rule here: what is shared is equal and never changed, so nobody can tell. It lives as long as a session holds it.
"""

from hashlib import blake2b
from typing import TypeVar, cast
from weakref import WeakValueDictionary

from pydantic_core import PydanticSerializationError

from agent_core.frozen import Frozen

Value = TypeVar("Value", bound=Frozen)

_known: WeakValueDictionary[tuple[type[Frozen], bytes], Frozen] = WeakValueDictionary()
_fields_sets: dict[tuple[str, ...], set[str]] = {}
_PLAIN = frozenset((str, int, float, bool, type(None)))


def shared(value: Value) -> Value:
    """An equal value that some session holds already, or else this one. Costs about as much as its JSON."""
    try:
        told = value.model_dump_json().encode()
    except PydanticSerializationError:
        return value
    known = _known.setdefault((type(value), blake2b(told, digest_size=16).digest()), value)
    return cast("Value", known) if known == value else value


def slimmed(value: Value) -> Value:
    """The value itself, to be kept for long: pydantic's sets of field names, 216 bytes or more each, become shared."""
    names = value.model_fields_set
    object.__setattr__(value, "__pydantic_fields_set__", _fields_sets.setdefault(tuple(names), names))
    for held in value.__dict__.values():
        # First what is found fast: asking whether something is of a pydantic class is slow.
        if type(held) in _PLAIN:
            continue
        for part in cast("tuple[object, ...]", held) if isinstance(held, tuple) else (held,):
            if isinstance(part, Frozen):
                slimmed(part)
    return value
