"""The end of a log: all summaries, the scores of each sample over its epochs, the header with the figures.

The rule here: everything is counted from the summaries that the log holds, one batch of them in memory at a time, so
that it is right however often the log was torn and gone on with. Source: `EvalLog`, `EvalResults` and
`EvalSampleReductions` of inspect_ai 0.3.285, and `value_to_float` of its scorers for scores that are letters.
"""

import math
import sqlite3
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, cast

from agent_core.evaluation.logs.archive import Raw
from agent_core.evaluation.logs.encoding import as_json
from agent_core.evaluation.logs.events import iso
from agent_core.evaluation.logs.members import CHUNK
from agent_core.evaluation.logs.messages import Json
from agent_core.evaluation.logs.spec import MOST_IDS
from agent_core.evaluation.logs.zipped import DEFLATED, Entry

Status = Literal["success", "cancelled", "error"]
_KEPT_IN_MEMORY = 4 * CHUNK
_LETTERS = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}
_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -4000;
CREATE TABLE sample (id TEXT PRIMARY KEY);
CREATE TABLE score (scorer TEXT, id TEXT, epoch INTEGER, value REAL, PRIMARY KEY (scorer, id, epoch)) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended. `error` is why, if it failed.

    `metrics` are figures by their names, for each scorer by its name. Without them a log has the mean over samples of
    the mean over epochs, and its standard error. `ended_at` is in seconds since the epoch, that of the last sample
    without it.
    """

    status: Status = "success"
    error: str | None = None
    metrics: Mapping[str, Mapping[str, float]] | None = None
    ended_at: float | None = None


class Spool:
    """A member that is written piece by piece, compressed, before its length is known. Use it as a context manager."""

    def __init__(self, name: str) -> None:
        self._name, self._crc, self._size = name, 0, 0
        self._packer = zlib.compressobj(1, zlib.DEFLATED, -15)
        self._file = tempfile.SpooledTemporaryFile(max_size=_KEPT_IN_MEMORY)  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        """Add to the content."""
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)
        self._file.write(self._packer.compress(data))

    def raw(self) -> Raw:
        """The member, complete."""
        self._file.write(self._packer.flush())
        packed = self._file.tell()
        self._file.seek(0)
        return Raw(Entry(self._name, DEFLATED, self._crc, packed, self._size, 0), iter(self._chunks()))

    def _chunks(self) -> Iterator[bytes]:
        while chunk := self._file.read(CHUNK):
            yield chunk


class Figures:
    """What a run came to, counted from one summary after another. Use it as a context manager."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.executescript(_SCHEMA)
        self._samples = self._failed = 0
        self._usage: dict[str, dict[str, Json]] = {"model_usage": {}, "role_usage": {}}
        self._started: str | None = None
        self._completed: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._database.close()

    def add(self, summary: Mapping[str, Any]) -> None:
        """Count a sample."""
        self._samples += 1
        self._database.execute("INSERT OR IGNORE INTO sample VALUES (?)", (str(summary["id"]),))
        self._failed += summary.get("error") is not None
        for kind, total in self._usage.items():
            for name, usage in _table(summary.get(kind)).items():
                _add_up(total.setdefault(name, {}), usage)
        began, ended = summary.get("started_at"), summary.get("completed_at")
        if began is not None:
            self._started = min(self._started or began, began)
        if ended is not None:
            self._completed = max(self._completed or ended, ended)
        for scorer, score in _table(summary.get("scores")).items():
            row = (scorer, str(summary["id"]), summary["epoch"], number_of(score.get("value")))
            self._database.execute("INSERT OR REPLACE INTO score VALUES (?, ?, ?, ?)", row)

    def header(self, start: Mapping[str, Any], ending: Ending) -> Json:
        """The header of the log that began with `start`."""
        spec: Mapping[str, Any] = start["eval"]
        planned = int(spec["dataset"].get("samples") or 0) * int(spec["config"].get("epochs") or 1)
        ended = self._completed if ending.ended_at is None else iso(ending.ended_at)
        header: Json = {"version": start["version"], "status": ending.status, "plan": start["plan"]}
        header["eval"] = {**spec, "dataset": {**self._ids(), **spec["dataset"]}}
        header["results"] = {
            "total_samples": max(planned, self._samples),
            "completed_samples": self._samples - self._failed,
            "logged_samples": self._samples,
            "scores": list(self._told_scores(spec, ending)),
        }
        header["stats"] = {"started_at": self._started or "", "completed_at": ended or "", **self._usage}
        if ending.error is not None:
            header["error"] = {"message": ending.error, "traceback": ending.error, "traceback_ansi": ending.error}
        return header

    def reductions(self) -> Iterator[bytes]:
        """The scores of each sample over its epochs, as pieces of JSON: an array with an object for each scorer."""
        opening = b"["
        for scorer in self._scorers():
            yield opening + b'{"scorer":' + as_json(scorer) + b',"reducer":"mean","samples":['
            between = b""
            sql = "SELECT id, avg(value) FROM score WHERE scorer = ? GROUP BY id ORDER BY id"
            for sample_id, value in self._database.execute(sql, (scorer,)):
                yield between + as_json({"value": math.nan if value is None else value, "sample_id": sample_id})
                between = b","
            yield b"]}"
            opening = b","
        yield b"]" if opening == b"," else b"[]"

    def _ids(self) -> Json:
        """The ids of the samples, in the order in which they came."""
        sql = "SELECT id FROM sample ORDER BY rowid LIMIT ?"
        ids = [str(name) for (name,) in self._database.execute(sql, (MOST_IDS + 1,))]
        return {"sample_ids": ids} if len(ids) <= MOST_IDS else {}

    def _scorers(self) -> list[str]:
        return [name for (name,) in self._database.execute("SELECT DISTINCT scorer FROM score ORDER BY scorer")]

    def _told_scores(self, spec: Mapping[str, Any], ending: Ending) -> Iterator[Json]:
        names = self._scorers()
        if ending.metrics is not None:
            names = [*ending.metrics, *(name for name in names if name not in ending.metrics)]
        for scorer in names:
            sql = "SELECT count(mean), count(*), avg(mean), avg(mean * mean) FROM ({})"
            means = "SELECT avg(value) AS mean FROM score WHERE scorer = ? GROUP BY id"
            scored, samples, mean, square = self._database.execute(sql.format(means), (scorer,)).fetchone()
            given = (ending.metrics or {}).get(scorer)
            figures = dict(given) if given is not None else _figures(scored, mean, square)
            made: Json = {"name": scorer, "scorer": scorer, "scored_samples": scored}
            made["unscored_samples"] = samples - scored
            made["metrics"] = {name: {"name": name, "value": value} for name, value in figures.items()}
            if (spec["config"].get("epochs") or 1) > 1:
                made["reducer"] = "mean"
            yield made


def _table(value: object) -> Mapping[str, Mapping[str, Any]]:
    """Objects by their names, none where there are none."""
    return cast("Mapping[str, Mapping[str, Any]]", value or {})


def number_of(value: object) -> float | None:
    """A score's value as a number; None if it is none."""
    if isinstance(value, str):
        if value in _LETTERS:
            return _LETTERS[value]
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool | int | float):
        return float(value) if math.isfinite(value) else None
    return None


def array(items: Iterable[bytes]) -> Iterator[bytes]:
    """JSON values as one array, in pieces."""
    between = b"["
    for item in items:
        yield between + item
        between = b","
    yield b"]" if between == b"," else b"[]"


def _figures(count: int, mean: float | None, square: float | None) -> dict[str, float]:
    """The mean of so many values and its standard error, from the means of them and of their squares."""
    if mean is None or square is None:
        return {}
    if count < 2:
        return {"mean": mean}
    variance = max(0.0, square - mean * mean) * count / (count - 1)
    return {"mean": mean, "stderr": math.sqrt(variance / count)}


def _add_up(total: Json, usage: Mapping[str, Any]) -> None:
    for name, value in usage.items():
        if isinstance(value, int | float):
            total[name] = total.get(name, 0) + value
