"""Embedding: which results a report lists and whose transcripts it holds, packed so that a browser unpacks a few.

The rule here: what went wrong comes first and is left out last, and what was left out is counted. Transcripts pass one
by one from the results file into packed chunks on disk; memory holds the list alone.
"""

import base64
import json
import re
import tempfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any, NamedTuple

from agent_core.evaluation.result import Result, decode
from agent_core.evaluation.summary import Failure
from drivers.reporting.marks import STANDINGS, Mark, Standing, standing, unit_scorers
from drivers.reporting.options import ReportOptions
from drivers.reporting.projecting import record_of
from drivers.reporting.reading import Reading

# Bytes of JSON in a chunk: small enough to be unpacked without a pause, large enough to be packed well.
CHUNK = 384 * 1024
LONGEST_LINE = 160
NOTABLE = 10
EXAMPLES = 8


class Held(NamedTuple):
    """How many results of a standing there are, how many of them are listed, how many have their transcript here."""

    standing: Standing
    total: int
    listed: int
    embedded: int


@dataclass(slots=True)
class Row:
    """One line of the list. `chunk` and `line` say where its transcript is; -1 where it was left out."""

    mark: Mark
    standing: Standing
    input: str = ""
    answer: str = ""
    chunk: int = -1
    line: int = -1


@dataclass(slots=True)
class Embedded:
    """The list, the chunks, and what is shown of failures before any script runs. Close it when the page is written."""

    index: str
    held: list[Held]
    slowest: list[Row]
    costliest: list[Row]
    examples: dict[tuple[str, str], list[Failure]]
    _chunks: IO[bytes] = field(repr=False)

    def chunks(self) -> Iterator[str]:
        """The chunks in their order, each deflated (zlib) and in base64."""
        self._chunks.seek(0)
        for line in self._chunks:
            yield line.decode().rstrip("\n")

    def close(self) -> None:
        """Let the chunks go."""
        self._chunks.close()


def embed(reading: Reading, options: ReportOptions) -> Embedded:
    """List the results of the run and pack transcripts within the bounds of `options`. Raises OSError."""
    units = unit_scorers(reading.marks)
    ranked: dict[Standing, list[Row]] = {name: [] for name in STANDINGS}
    for mark in reading.marks:
        name = standing(mark, units)
        ranked[name].append(Row(mark, name))
    slowest, costliest = _notable(ranked)
    wanted = _wanted(ranked, slowest + costliest, options)
    listed = _listed(ranked, wanted, options.listed)
    packed = _Packer(tempfile.TemporaryFile(), int(options.megabytes * 1e6))  # noqa: SIM115 - Embedded closes it
    examples: defaultdict[tuple[str, str], list[Failure]] = defaultdict(list)
    try:
        with reading.path.open("rb") as file:
            for row in wanted:
                result = _filled(row, file)
                _note_failure(examples, result, row)
                packed.add(row, result)
            packed.flush()
            for row in listed:
                if row.chunk < 0 and not row.input:
                    _note_failure(examples, _filled(row, file), row)
    except BaseException:
        packed.file.close()
        raise
    listed.sort(key=lambda row: (_natural(row.mark.id), row.mark.epoch))
    here = Counter(row.standing for row in listed)
    held = [
        Held(name, len(ranked[name]), here[name], sum(row.chunk >= 0 for row in ranked[name])) for name in STANDINGS
    ]
    return Embedded(pack(_columns(listed, reading)), held, slowest, costliest, dict(examples), packed.file)


def pack(value: object) -> str:
    """A value as JSON, deflated (zlib), in base64: text that means nothing to an HTML parser."""
    return _packed(_json(value))


def _notable(ranked: dict[Standing, list[Row]]) -> tuple[list[Row], list[Row]]:
    rows = [row for rows in ranked.values() for row in rows]
    slow = sorted(rows, key=lambda row: row.mark.seconds, reverse=True)[:NOTABLE]
    priced = [row for row in rows if row.mark.cost]
    return slow, sorted(priced, key=lambda row: row.mark.cost or 0.0, reverse=True)[:NOTABLE]


def _wanted(ranked: dict[Standing, list[Row]], notable: list[Row], options: ReportOptions) -> list[Row]:
    """The rows whose transcripts are embedded while there is room, in the order in which they take it."""
    passing = ranked["passing"]
    # The first to end are the quick ones, so those that are shown are taken from all over the run.
    step = max(1.0, len(passing) / options.passing) if options.passing else 0.0
    some = [passing[int(number * step)] for number in range(min(options.passing, len(passing)))]
    ordered = [*ranked["failed"], *notable, *ranked["unscored"], *ranked["wrong"], *some]
    return list({id(row): row for row in ordered}.values())


def _listed(ranked: dict[Standing, list[Row]], wanted: list[Row], most: int) -> list[Row]:
    if sum(map(len, ranked.values())) <= most:
        return [row for rows in ranked.values() for row in rows]
    rest = [row for rows in ranked.values() for row in rows]
    return list({id(row): row for row in [*wanted, *rest]}.values())[:most]


def _filled(row: Row, file: IO[bytes]) -> Result:
    file.seek(row.mark.offset)
    result = decode(file.readline())
    row.input = one_line(result.input) or "(empty)"
    row.answer = one_line(result.answer or (result.error.message if result.error else ""))
    return result


def _note_failure(examples: dict[tuple[str, str], list[Failure]], result: Result, row: Row) -> None:
    if row.standing != "failed" or len(kept := examples[row.mark.outcome, row.mark.kind]) >= EXAMPLES:
        return
    kept.append(
        Failure(id=result.id, epoch=result.epoch, outcome=result.outcome, kind=row.mark.kind, message=row.answer)
    )


class _Packer:
    """Packs records into chunks in `file`, one base64 line each, until `room` bytes are taken."""

    def __init__(self, file: IO[bytes], room: int) -> None:
        self.file = file
        self._room = room
        self._lines: list[bytes] = []
        self._size = 0
        self._number = 0

    def add(self, row: Row, result: Result) -> None:
        """Take the record in, if there is room."""
        if self._room <= 0:
            return
        line = _json(record_of(result))
        row.chunk, row.line = self._number, len(self._lines)
        self._lines.append(line)
        self._size += len(line)
        if self._size >= CHUNK:
            self.flush()

    def flush(self) -> None:
        """Write the chunk that is open."""
        if self._lines:
            self._room -= self.file.write(_packed(b"\n".join(self._lines)).encode() + b"\n")
            self._number += 1
            self._lines, self._size = [], 0


def _columns(rows: list[Row], reading: Reading) -> dict[str, Any]:
    """The list, column by column, which packs to less than row by row."""
    marks = [row.mark for row in rows]
    return {
        "id": [mark.id for mark in marks],
        "epoch": [mark.epoch for mark in marks],
        "epochs": reading.collected.epochs,
        "outcome": [mark.outcome for mark in marks],
        "standing": [row.standing for row in rows],
        "kind": [mark.kind for mark in marks],
        "input": [row.input for row in rows],
        "answer": [row.answer for row in rows],
        "seconds": [round(mark.seconds, 4) for mark in marks],
        "tokens": [mark.tokens for mark in marks],
        "cost": [mark.cost for mark in marks],
        "scores": {name: [mark.scores.get(name) for mark in marks] for name in reading.scorers},
        "unscored": {name: _failed_to_score(marks, name) for name in reading.scorers},
        "groups": {name: [mark.groups.get(name, ()) for mark in marks] for name in reading.fields},
        "chunk": [row.chunk for row in rows],
        "line": [row.line for row in rows],
    }


def _failed_to_score(marks: Iterable[Mark], name: str) -> list[int]:
    """Which of the rows this scorer failed on, which is something else than not having been asked."""
    return [number for number, mark in enumerate(marks) if name in mark.scores and mark.scores[name] is None]


def one_line(text: str) -> str:
    """The beginning of a text on one line."""
    # A long text is cut before its words are parted, which is slow.
    line = " ".join(text[: LONGEST_LINE * 8].split())
    return line if len(line) <= LONGEST_LINE else line[:LONGEST_LINE] + "…"


def _natural(text: str) -> list[tuple[int, int | str]]:
    """A key that sorts q9 before q10."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d{1,18})", text) if part]


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 6)).decode()
