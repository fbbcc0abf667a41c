"""Results as a table of columns, in a Parquet file.

The rule here: one row a result, in the order of the results, written in groups of rows, so that memory does not grow.
All runs have the same columns, but for one for each scorer, `score_NAME`, empty where there is no score. Moments are in
seconds since the epoch, costs in US dollars. What has no columns of its own is JSON text. pyarrow is imported late.
"""

import importlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

from pydantic_core import from_json

from agent_core.evaluation.result import ResultHead, decode_head
from agent_core.messages import Usage

TABLE_NAME = "results.parquet"
# A group of rows ends with whichever comes first.
GROUP_ROWS, GROUP_BYTES = 5_000, 32 * 1024 * 1024

_USAGE = tuple(Usage.model_fields)
_MOMENTS = ("queued", "started", "first_token", "ended")
_TYPES: dict[str, str] = {
    "id": "string",
    "epoch": "int32",
    "outcome": "string",
    "attempts": "int32",
    "answer": "string",
    "error_boundary": "string",
    "error_kind": "string",
    "error_message": "string",
    "error_status": "int32",
    "limit": "string",
    "input": "string",
    "history": "string",
    "turns": "string",
    "choices": "string",
    "target": "string",
    "metadata": "string",
    **dict.fromkeys(_USAGE, "int64"),
    **{f"summariser_{name}": "int64" for name in _USAGE},
    "cost": "float64",
    **dict.fromkeys(_MOMENTS, "float64"),
    "latency": "float64",
    "session_id": "string",
    "configuration": "string",
    "scores": "string",
}


def scorers_of(lines: Iterable[bytes]) -> list[str]:
    """The names of all scores in these lines of a results file, sorted. Raises pydantic's ValidationError."""
    return sorted({name for line in lines for name in decode_head(line).scores})


def row_of(line: bytes, scorers: Iterable[str], *, transcript: bool) -> dict[str, Any]:
    """The row of one line of a results file. Raises pydantic's ValidationError."""
    head = decode_head(line)
    row = _row(head)
    for name in scorers:
        score = head.scores.get(name)
        row[f"score_{name}"] = None if score is None else score.value
    if transcript:
        said: Any = from_json(line).get("transcript")
        row["transcript"] = None if said is None else _text(said)
    return row


def write_table(
    lines: Iterable[bytes], file: BinaryIO, *, scorers: list[str], transcript: bool = False, about: Mapping[str, str]
) -> int:
    """Write these lines of a results file as a Parquet file; returns how many rows it has.

    `scorers` names the scores that get columns (see `scorers_of`), `about` is kept in the file's own metadata. With
    `transcript` there is a column of that name, JSON text of every message. Raises pydantic's ValidationError, OSError.
    """
    pyarrow = importlib.import_module("pyarrow")
    parquet = importlib.import_module("pyarrow.parquet")
    types = _TYPES | {f"score_{name}": "float64" for name in scorers} | ({"transcript": "string"} if transcript else {})
    fields = [(name, pyarrow.type_for_alias(kind)) for name, kind in types.items()]
    schema = pyarrow.schema(fields, metadata=dict(about))
    written = 0
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for group in _groups(lines):
            rows = [row_of(line, scorers, transcript=transcript) for line in group]
            writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))
            written += len(rows)
    return written


def _groups(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    group: list[bytes] = []
    size = 0
    for line in lines:
        group.append(line)
        size += len(line)
        if len(group) >= GROUP_ROWS or size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _row(head: ResultHead) -> dict[str, Any]:
    error, timings = head.error, head.timings
    row: dict[str, Any] = {
        "id": head.id,
        "epoch": head.epoch,
        "outcome": head.outcome,
        "attempts": head.attempts,
        "answer": head.answer,
        "limit": head.limit,
        "input": head.input,
        "history": _text([each.model_dump(mode="json") for each in head.history]) if head.history else None,
        "turns": _text(head.turns) if head.turns else None,
        "choices": _text(head.choices) if head.choices else None,
        "target": head.target if head.target is None or isinstance(head.target, str) else _text(head.target),
        "metadata": _text(head.metadata),
        "cost": head.cost,
        "latency": timings.latency,
        "session_id": head.session_id,
        "configuration": head.configuration,
        "scores": _text(
            {name: score.model_dump(mode="json", exclude_none=True) for name, score in head.scores.items()}
        ),
    }
    row |= {name: getattr(timings, name) for name in _MOMENTS}
    if error is not None:
        row |= {"error_boundary": error.boundary, "error_kind": error.kind, "error_message": error.message}
        row["error_status"] = error.status
    if head.usage is not None:
        row |= head.usage.model_dump()
    if head.summariser is not None:
        row |= {f"summariser_{name}": value for name, value in head.summariser.model_dump().items()}
    return row


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
