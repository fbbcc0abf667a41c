"""A log that is read: what it says of its run, and its samples with their summaries.

The rule here: any log will do, ours or Inspect's, finished, under way or torn. Memory does not grow with its length,
unless it was rewritten so that all of its summaries are one member.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

from agent_core.errors import ConfigError
from agent_core.evaluation.logs import members, names
from agent_core.evaluation.logs.archive import Raw
from agent_core.evaluation.logs.encoding import as_json
from agent_core.evaluation.logs.messages import Json
from agent_core.evaluation.logs.names import journal_number, member_name
from agent_core.evaluation.logs.summaries import summary_of
from agent_core.evaluation.logs.zipped import Entry

_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -4000;
CREATE TABLE member (
    name TEXT PRIMARY KEY, method INTEGER, crc INTEGER, packed INTEGER, size INTEGER, offset INTEGER, summary BLOB
) WITHOUT ROWID;
CREATE INDEX by_offset ON member (offset);
"""
_COLUMNS = "name, method, crc, packed, size, offset"


class LoggedSample(NamedTuple):
    """A sample of a log: where it is, and its summary as JSON (None if no batch has one)."""

    entry: Entry
    summary: bytes | None


class LogFile:
    """One log, open for reading. Use it as a context manager."""

    def __init__(self, path: Path) -> None:
        """Read its directory. Raises ConfigError if it is no log, OSError."""
        self.path = path
        self._index = sqlite3.connect("", isolation_level=None)
        self._index.executescript(_SCHEMA)
        self._file: BinaryIO = path.open("rb")
        try:
            self._load()
            start = self._json(names.START)
            self.header = self._json(names.HEADER)
            self.start = _start(start or self.header)
        except ConfigError as error:
            self.close()
            raise ConfigError(f"{path} is no log that can be read. {error} Leave it out.", kind="results") from None
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
        self._index.close()

    @property
    def status(self) -> str:
        """How the run ended: `success`, `cancelled` or `error`; `started` while it has not."""
        return "started" if self.header is None else str(self.header.get("status", "started"))

    def samples(self) -> Iterator[LoggedSample]:
        """The samples, in the order in which they were written."""
        sql = f"SELECT {_COLUMNS}, summary FROM member WHERE substr(name, 1, ?) = ? ORDER BY offset"  # noqa: S608
        for *fields, summary in self._index.execute(sql, (len(names.SAMPLES), names.SAMPLES)):
            yield LoggedSample(Entry(*fields), summary)

    def find(self, name: str) -> LoggedSample | None:
        """The sample that is the member `name`."""
        sql = f"SELECT {_COLUMNS}, summary FROM member WHERE name = ?"  # noqa: S608
        row = self._index.execute(sql, (name,)).fetchone()
        return None if row is None else LoggedSample(Entry(*row[:-1]), row[-1])

    def content(self, sample: LoggedSample) -> bytes:
        """The sample as JSON. Raises ConfigError if it is spoilt."""
        return members.content(self._file, sample.entry)

    def raw(self, sample: LoggedSample) -> Raw:
        """The sample as it lies there, for another log."""
        return Raw(sample.entry, members.packed_chunks(self._file, sample.entry))

    def summary(self, sample: LoggedSample) -> bytes:
        """The sample's summary as JSON, made anew if the log has none. Raises ConfigError if the sample is spoilt."""
        if sample.summary is not None:
            return sample.summary
        return as_json(summary_of(json.loads(self.content(sample))))

    def _load(self) -> None:
        whole = members.directory_of(self._file) is not None
        found = members.entries(self._file) if whole else members.whole_members(self._file, 0)
        sql = "INSERT OR REPLACE INTO member VALUES (?, ?, ?, ?, ?, ?, NULL)"
        self._index.executemany(sql, found)
        journals = (name for (name,) in self._index.execute("SELECT name FROM member WHERE name LIKE '_journal/%'"))
        numbers = {number: name for name in journals if (number := journal_number(name)) is not None}
        batches = [numbers[number] for number in sorted(numbers)] or [names.SUMMARIES]
        for name in batches:
            self._take_summaries(name)

    def _take_summaries(self, name: str) -> None:
        told: Any = self._json(name)
        rows: list[tuple[bytes, str]] = []
        # A summary that is none is made anew from its sample.
        with suppress(TypeError, KeyError):
            rows += [(as_json(each), member_name(str(each["id"]), each["epoch"])) for each in told or ()]
        self._index.executemany("UPDATE member SET summary = ? WHERE name = ?", rows)

    def _json(self, name: str) -> Json | None:
        found = self.find(name)
        if found is None:
            return None
        try:
            return json.loads(self.content(found))
        except ValueError:
            raise ConfigError(f"Its member {name} is no JSON.", kind="results") from None


def _start(told: Json | None) -> Json:
    """The beginning of a log, from the member that tells it. Raises ConfigError without one."""
    if told is None or not isinstance(told.get("eval"), dict):
        raise ConfigError("It does not say what it is the log of.", kind="results")
    return {name: told[name] for name in ("version", "eval", "plan") if name in told}
