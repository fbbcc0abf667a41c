"""Datasets: samples read one by one from a JSONL, CSV, TSV or Parquet file.

The rule here: a line that cannot be a sample is refused with its number, what is wrong and what to do; nothing is
guessed, nothing skipped but blank lines. Lines come in as bytes and are held one at a time.
"""

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, cast

from agent_core.errors import ConfigError
from agent_core.evaluation.rows import SAME_NAMES, FieldNames, RowReader, kind_of
from agent_core.evaluation.sample import Sample

DatasetFormat = Literal["jsonl", "csv", "tsv", "parquet"]
SUFFIXES: dict[str, DatasetFormat] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}

# One cell this long is a quote that was never closed rather than a prompt.
LONGEST_CELL = 16 * 1024 * 1024
EXCERPT = 60


@dataclass(frozen=True, slots=True)
class Dataset:
    """How a file is to be read. `name` is what its errors call it."""

    name: str
    format: DatasetFormat = "jsonl"
    fields: FieldNames = SAME_NAMES

    def samples(self, lines: Iterable[bytes]) -> Iterator[Sample]:
        """The samples in the file's order, each made from its own line (or lines, in CSV; or row, in Parquet).

        Parquet wants the open file itself. A sample without an id is called after its line, `line-7`. Fields that mean
        nothing here go into its metadata. Raises ConfigError at the first line that is no sample. Ids are not compared:
        see `RunIndex.add_sample`.
        """
        reader = self._reader
        for number, row in self._rows(lines):
            yield reader.sample(number, row)

    @property
    def _reader(self) -> RowReader:
        place = "row" if self.format == "parquet" else "line"
        return RowReader(self.name, place, self.fields, cells=self.format in {"csv", "tsv"})

    def _rows(self, lines: Iterable[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
        match self.format:
            case "jsonl":
                return self._json_rows(lines)
            case "csv" | "tsv":
                return self._table_rows(lines)
            case "parquet":
                from agent_core.evaluation.parquet import parquet_rows

                return parquet_rows(cast("BinaryIO", lines), self._reader)

    def _json_rows(self, lines: Iterable[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, line in enumerate(lines, start=1):
            text = self._text(number, line).strip()
            if not text:
                continue
            try:
                row = json.loads(text)
                if "\\ud" in text or "\\uD" in text:
                    json.dumps(row, ensure_ascii=False).encode()
            except UnicodeEncodeError:
                raise self._wrong(number, "holds half of a surrogate pair (\\ud8xx), which is no character") from None
            except RecursionError:
                raise self._wrong(number, "is nested too deeply to be read") from None
            except ValueError as error:
                reason = str(error).split(": line ")[0]
                column = getattr(error, "colno", 1)
                raise self._wrong(
                    number, f"is not valid JSON: {reason} at column {column}, near {_excerpt(text, column)}"
                ) from None
            if not isinstance(row, dict):
                raise self._wrong(number, f"holds {kind_of(row)} where an object with a field 'input' is wanted")
            yield number, cast("dict[str, Any]", row)

    def _table_rows(self, lines: Iterable[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
        csv.field_size_limit(LONGEST_CELL)
        texts = (self._text(number, line) for number, line in enumerate(lines, start=1))
        reader = csv.reader(texts, delimiter="\t" if self.format == "tsv" else ",", strict=True)
        header: list[str] | None = None
        while True:
            number = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise self._wrong(
                    number, f"is not valid {self.format.upper()}: {error} (is a quote left open?)"
                ) from None
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = self._header(number, cells)
            elif len(cells) != len(header):
                raise self._wrong(number, f"has {len(cells)} cells where the header has {len(header)} columns")
            else:
                yield number, dict(zip(header, cells, strict=True))

    def _header(self, number: int, cells: list[str]) -> list[str]:
        header = [cell.strip() for cell in cells]
        for name in header:
            if header.count(name) > 1:
                raise self._wrong(number, f"names the column '{name}' twice; give each its own name")
        return header

    def _text(self, number: int, line: bytes) -> str:
        try:
            return line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise self._wrong(number, f"is not UTF-8 at byte {error.start + 1}; save the file as UTF-8") from None

    def _wrong(self, number: int, what: str) -> ConfigError:
        return self._reader.wrong(number, what)


def _excerpt(text: str, column: int) -> str:
    start = max(0, min(column - 1, len(text)) - EXCERPT // 2)
    part = text[start : start + EXCERPT]
    return repr(("…" if start else "") + part + ("…" if start + EXCERPT < len(text) else ""))
