"""Labels: the names of the groups that a sample is in, by a field of its metadata.

The rule here: the same value has the same name in every table, plot and comparison.
"""

import json
from collections.abc import Mapping

from pydantic import JsonValue

NO_GROUP = "(none)"
LONGEST_LABEL = 60


def labels_in(metadata: Mapping[str, JsonValue], field: str) -> tuple[str, ...] | None:
    """The groups of a sample with this metadata, several if the field holds a list; None if it is not there.

    A dotted field is looked up in objects inside of objects.
    """
    found, value = _looked_up(metadata, field)
    if not found:
        return None
    if isinstance(value, list):
        return tuple(dict.fromkeys(label(one) for one in value)) or (NO_GROUP,)
    return (label(value),)


def label(value: JsonValue) -> str:
    """A value as the name of a group: text as it is, the rest as JSON, cut."""
    if value is None:
        return NO_GROUP
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_LABEL else text[:LONGEST_LABEL] + "…"


def _looked_up(metadata: Mapping[str, JsonValue], field: str) -> tuple[bool, JsonValue]:
    """Whether the metadata has the field, and what it holds."""
    if field in metadata:
        return True, metadata[field]
    outer, dot, inner = field.partition(".")
    value = metadata.get(outer)
    return _looked_up(value, inner) if dot and isinstance(value, dict) else (False, None)
