"""Code pickled by value, for tools that no module holds.

The rule here: what comes out of the bytes behaves as what went in, or `pickled` raises. It stands apart because
cloudpickle takes 40 ms to import, which only such tools shall pay.
"""

import dataclasses
import io
from typing import Any, cast

import cloudpickle  # pyright: ignore[reportMissingTypeStubs] - it has none


class _Pickler(cloudpickle.Pickler):
    """cloudpickle, with the mark for 'no default' of a dataclass's field kept the one that `dataclasses` looks for."""

    def reducer_override(self, obj: object) -> Any:
        if obj is dataclasses.MISSING:
            # A string names a global of the object's own module (pickle's protocol for singletons).
            return "MISSING"
        return cast("Any", super()).reducer_override(obj)


def pickled(value: object) -> bytes:
    """The value with all code that it refers to and no module holds. Raises whatever pickling raises."""
    buffer = io.BytesIO()
    _Pickler(buffer).dump(value)  # pyright: ignore[reportUnknownMemberType]
    return buffer.getvalue()
