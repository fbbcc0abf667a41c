"""What a report says of how a run was asked for.

The rule here: everything in the record is shown, whatever a later version puts there; no value is cut, long ones are
folded.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import JsonValue

from agent_core.evaluation.configuration import RunRecord

LONGEST_ROW = 120
_BRIEF = 80


def setup(record: RunRecord | None) -> list[dict[str, Any]]:
    """The record as rows of name and value."""
    if record is None:
        return [_row("record", "There is no run.json beside the results: the configuration is not known.")]
    fields = record.model_dump(mode="json", exclude={"configuration", "version", "created_at"}, exclude_defaults=True)
    rows = [*_flat(fields), ("created", moment(record.created_at)), *_flat(record.configuration)]
    return [_row(name, value) for name, value in rows]


def moment(seconds: float) -> str:
    """`22 November 2026, 19:40 UTC`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%-d %B %Y, %H:%M UTC")


def model_of(record: RunRecord | None) -> str:
    """The model that was asked; empty where it is not known."""
    session = record.configuration.get("session") if record else None
    return str(session.get("model", "")) if isinstance(session, dict) else ""


def _flat(values: Mapping[str, JsonValue], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        path = f"{prefix}.{name}" if prefix and prefix != "session" else name
        if isinstance(value, dict) and value and prefix != "tools":
            yield from _flat(value, path)
        elif isinstance(value, str):
            yield path, value
        else:
            yield path, json.dumps(value, ensure_ascii=False, indent=2 if isinstance(value, dict | list) else None)


def _row(name: str, value: str) -> dict[str, Any]:
    long = len(value) > LONGEST_ROW or "\n" in value
    brief = " ".join(value[: _BRIEF * 4].split())
    return {"name": name, "value": value, "long": long, "brief": brief if len(brief) < _BRIEF else brief[:_BRIEF] + "…"}
