"""Datasets: samples read one by one from the lines of a JSONL, CSV or TSV file.

The rule here: a line that cannot be a sample is refused with its number, what is wrong and what to do; nothing is
guessed, nothing skipped but blank lines. Lines come in as bytes and are held one at a time.
"""

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast

from agent_core.errors import ConfigError
from agent_core.evaluation.sample import Sample

DatasetFormat = Literal["jsonl", "csv", "tsv"]
SUFFIXES: dict[str, DatasetFormat] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv"}

INPUT_FIELDS = ("input", "prompt")
# One cell this long is a quote that was never closed rather than a prompt.
LONGEST_CELL = 16 * 1024 * 1024
EXCERPT = 60


@dataclass(frozen=True, slots=True)
class FieldNames:
    """Which fields of a row are the sample's. None: `input` or `prompt`; `id` and `target` if they are there."""

    input: str | None = None
    id: str | None = None
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """How a file is to be read. `name` is what its errors call it."""

    name: str
    format: DatasetFormat = "jsonl"
    fields: FieldNames = FieldNames()

    def samples(self, lines: Iterable[bytes]) -> Iterator[Sample]:
        """The samples in the file's order, each made from its own line (or lines, in CSV).

        A sample without an id is called after its line, `line-7`. Fields that mean nothing here go into its metadata.
        Raises ConfigError at the first line that is no sample. Ids are not compared: see `RunIndex.add_sample`.
        """
        rows = self._json_rows(lines) if self.format == "jsonl" else self._table_rows(lines)
        for number, row in rows:
            yield self._sample(number, row)

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
                raise self._wrong(number, f"holds {_kind_of(row)} where an object with a field 'input' is wanted")
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

    def _sample(self, number: int, row: dict[str, Any]) -> Sample:
        question = self._input(number, row)
        sample_id = self._id(number, row)
        target_field = self.fields.target or "target"
        if self.fields.target is not None and target_field not in row:
            raise self._lacks(number, row, target_field, "--target-field")
        target = row.pop(target_field, None)
        metadata = self._metadata(number, row)
        return Sample.model_construct(id=sample_id, input=question, target=target, metadata=metadata, line=number)

    def _input(self, number: int, row: dict[str, Any]) -> str:
        wanted = (self.fields.input,) if self.fields.input is not None else INPUT_FIELDS
        name = next((name for name in wanted if name in row), None)
        if name is None:
            raise self._lacks(number, row, "' or '".join(wanted), "--input-field")
        value = row.pop(name)
        if not isinstance(value, str):
            raise self._wrong(number, f"has {_kind_of(value)} as its '{name}' where text is wanted")
        if not value.strip():
            raise self._wrong(number, f"has an empty '{name}'; a model cannot be asked nothing")
        return value

    def _id(self, number: int, row: dict[str, Any]) -> str:
        name = self.fields.id or "id"
        value = row.pop(name, None)
        if isinstance(value, str):
            value = value.strip()
        if value is None or value == "":
            if self.fields.id is not None:
                raise self._lacks(number, row, name, "--id-field")
            return f"line-{number}"
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise self._wrong(number, f"has {_kind_of(value)} as its '{name}' where text or a whole number is wanted")
        return str(value)

    def _metadata(self, number: int, row: dict[str, Any]) -> dict[str, Any]:
        said = row.pop("metadata", None)
        if isinstance(said, str) and self.format != "jsonl":
            try:
                said = json.loads(said) if said.strip() else None
            except ValueError:
                said = False
        if said is not None and not isinstance(said, dict):
            raise self._wrong(number, f"has a 'metadata' that is no JSON object ({_kind_of(said)})")
        return {**row, **cast("dict[str, Any]", said or {})}

    def _lacks(self, number: int, row: dict[str, Any], wanted: str, flag: str) -> ConfigError:
        has = ", ".join(row) or "nothing else"
        return self._wrong(number, f"has no field '{wanted}' (it has: {has}); name the right one with {flag}")

    def _wrong(self, number: int, what: str) -> ConfigError:
        return ConfigError(f"{self.name} line {number} {what}. Mend that line or take it out.", kind="dataset")


def _kind_of(value: object) -> str:
    """What a JSON value is, in the words of a person."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return type(value).__name__


def _excerpt(text: str, column: int) -> str:
    start = max(0, min(column - 1, len(text)) - EXCERPT // 2)
    part = text[start : start + EXCERPT]
    return repr(("…" if start else "") + part + ("…" if start + EXCERPT < len(text) else ""))
