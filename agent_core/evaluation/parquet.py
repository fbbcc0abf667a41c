"""Rows of a Parquet file, read batch by batch.

The rule here: only the columns that are wanted are read, and no more than a batch of them is held. pyarrow is imported
when a file is read, and not before.
"""

from collections.abc import Iterator
from importlib import import_module
from typing import Any, BinaryIO

from agent_core.errors import ConfigError
from agent_core.evaluation.rows import INPUT_FIELDS, FieldNames, RowReader, plain

BATCH = 512


def parquet_rows(file: BinaryIO, reader: RowReader) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of an open file, numbered from 1, with values as JSON has them.

    Raises ConfigError for a file that is no Parquet, or a value that JSON cannot hold.
    """
    arrow: Any = import_module("pyarrow")
    number = 0
    try:
        source = import_module("pyarrow.parquet").ParquetFile(file)
        for batch in source.iter_batches(batch_size=BATCH, columns=_wanted(reader.fields, source.schema_arrow.names)):
            for row in batch.to_pylist():
                number += 1
                yield number, {name: _value(reader, number, name, value) for name, value in row.items()}
    except arrow.ArrowException as error:
        reason = str(error).split("\n", maxsplit=1)[0].rstrip(".")
        raise ConfigError(
            f"{reader.name} cannot be read as Parquet after row {number}: {reason}. Write it anew, or say what it is"
            " with --format.",
            kind="dataset",
        ) from None


def _wanted(fields: FieldNames, columns: list[str]) -> list[str] | None:
    """The columns that are read; None for all of them."""
    if fields.metadata is None:
        return None
    named = [fields.choices or "choices", fields.turns or "turns"]
    names = {name for entry in named for name in ((entry,) if isinstance(entry, str) else entry)}
    names |= {fields.id or "id", fields.target or "target", fields.history or "history", *fields.metadata}
    names |= {fields.input} if fields.input is not None else set(INPUT_FIELDS)
    return [column for column in columns if column in names]


def _value(reader: RowReader, number: int, name: str, value: Any) -> Any:
    def refused(kind: str) -> ConfigError:
        return reader.wrong(
            number,
            f"has {kind} in its column '{name}', which JSON cannot hold; name the columns to keep with"
            " --metadata-fields",
        )

    return plain(value, refused)
