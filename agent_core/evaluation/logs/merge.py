"""Merging: of the results of several runs or shards of one task, which one counts for each sample and epoch.

The rule here: each counts exactly once. Of two that differ a final one beats one that is not, then the later one wins,
and both are told. Only the heads of results are looked at, and they are kept on disk.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self

from pydantic import ValidationError

from agent_core.errors import ConfigError
from agent_core.evaluation.configuration import RunRecord, differences
from agent_core.evaluation.logs.log_file import LogFile, LoggedSample
from agent_core.evaluation.logs.messages import Json
from agent_core.evaluation.logs.names import log_id, member_name
from agent_core.evaluation.logs.sample import uuid_of
from agent_core.evaluation.result import FINAL, ResultHead, decode_head

# So many conflicts, missing samples and changed settings are told by name; all of them are counted.
TOLD, SHOWN = 1000, 5
_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -4000;
CREATE TABLE sample (id TEXT PRIMARY KEY, digest TEXT, source INTEGER) WITHOUT ROWID;
CREATE TABLE result (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL, epoch INTEGER NOT NULL, source INTEGER NOT NULL, at INTEGER NOT NULL,
    length INTEGER NOT NULL, final INTEGER NOT NULL, ended REAL NOT NULL, uuid TEXT NOT NULL, UNIQUE (id, epoch)
);
"""


@dataclass(slots=True)
class MergeSource:
    """One run or shard. `results` is the file with its results; `made` if they were made from the samples of `log`."""

    name: str
    results: Path
    log: LogFile | None = None
    record: RunRecord | None = None
    made: bool = False
    read: int = 0
    repeated: int = 0
    overruled: int = 0
    configurations: Counter[str] = field(default_factory=Counter[str])


class Chosen(NamedTuple):
    """A result that counts: its line, and the sample of its source's log that holds the same."""

    line: bytes
    source: MergeSource
    logged: LoggedSample | None


class Coverage(NamedTuple):
    """How much of what was asked for there is. `planned` counts samples times epochs."""

    samples: int
    epochs: int
    present: int

    @property
    def planned(self) -> int:
        """How many results there are when nothing is missing."""
        return self.samples * self.epochs


class Merge:
    """The results of several sources, one for each sample and epoch. Use it as a context manager."""

    def __init__(self, *, force: bool = False) -> None:
        """With `force` results of other configurations, and of samples that were changed, are merged all the same."""
        self.sources: list[MergeSource] = []
        self.conflicts: list[Json] = []
        self.conflicting = 0
        self._force = force
        self._index = sqlite3.connect("", isolation_level=None)
        self._index.executescript(_SCHEMA)
        self._epochs = 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._index.close()

    def expect(self, sample_ids: Iterator[str]) -> None:
        """Say that there ought to be results for these samples."""
        self._index.executemany("INSERT OR IGNORE INTO sample VALUES (?, NULL, NULL)", ((each,) for each in sample_ids))

    def add(self, source: MergeSource) -> None:
        """Take in what a source has. Raises ConfigError if it does not belong to what was taken in before, OSError."""
        number = len(self.sources)
        self.sources.append(source)
        if source.record is not None:
            self._epochs = max(self._epochs, source.record.epochs)
        with source.results.open("rb") as file:
            at = 0
            for line in file:
                head = _head(line, source, at)
                if head is not None and (source.record is None or source.record.counts(head.id, head.epoch)):
                    self._add(head, number, at, len(line))
                at += len(line)
        self._refuse_configurations(source)

    @property
    def coverage(self) -> Coverage:
        """What there is of what there ought to be, as far as the sources say it."""
        (samples,) = self._index.execute("SELECT count(*) FROM sample").fetchone()
        (present,) = self._index.execute("SELECT count(*) FROM result").fetchone()
        planned = max((each.record.samples for each in self.sources if each.record is not None), default=0)
        return Coverage(max(int(samples), planned), self._epochs, int(present))

    def missing(self) -> Iterator[tuple[str, int]]:
        """Samples and epochs without a result, of samples whose id is known."""
        sql = "SELECT id FROM sample WHERE id NOT IN (SELECT id FROM result WHERE epoch = ?) ORDER BY id"
        for epoch in range(1, self._epochs + 1):
            for (sample_id,) in self._index.execute(sql, (epoch,)):
                yield str(sample_id), epoch

    def chosen(self) -> Iterator[Chosen]:
        """The results that count, in the order in which their samples first came."""
        files = [source.results.open("rb") for source in self.sources]
        try:
            sql = "SELECT id, epoch, source, at, length, uuid FROM result ORDER BY seq"
            for sample_id, epoch, number, at, length, uuid in self._index.execute(sql):
                source, file = self.sources[int(number)], files[int(number)]
                file.seek(at)
                line = file.read(length)
                logged = _logged(source, member_name(log_id(sample_id), epoch), uuid)
                yield Chosen(line if line.endswith(b"\n") else line + b"\n", source, logged)
        finally:
            for file in files:
                file.close()

    def taken(self, number: int) -> int:
        """How many results of the source with this number, from 0, count."""
        return int(self._index.execute("SELECT count(*) FROM result WHERE source = ?", (number,)).fetchone()[0])

    def _add(self, head: ResultHead, number: int, at: int, length: int) -> None:
        source = self.sources[number]
        source.read += 1
        source.configurations[head.configuration] += 1
        self._epochs = max(self._epochs, head.epoch)
        self._refuse_other_sample(head, number)
        uuid, final, ended = uuid_of(head), head.outcome in FINAL, head.timings.ended
        values = (number, at, length, final, ended, uuid, head.id, head.epoch)
        row = self._index.execute(
            "SELECT source, final, ended, uuid FROM result WHERE id = ? AND epoch = ?", (head.id, head.epoch)
        ).fetchone()
        if row is None:
            self._index.execute(
                "INSERT INTO result (source, at, length, final, ended, uuid, id, epoch) VALUES (?,?,?,?,?,?,?,?)",
                values,
            )
            return
        if row[3] == uuid:
            source.repeated += 1
            return
        wins = (final, ended) >= (bool(row[1]), row[2])
        other = self.sources[int(row[0])]
        winner, loser = (source, other) if wins else (other, source)
        loser.overruled += 1
        self._tell(head, winner, loser, "final" if final != bool(row[1]) else "later")
        if wins:
            sql = "UPDATE result SET source=?, at=?, length=?, final=?, ended=?, uuid=? WHERE id=? AND epoch=?"
            self._index.execute(sql, values)

    def _tell(self, head: ResultHead, winner: MergeSource, loser: MergeSource, why: str) -> None:
        self.conflicting += 1
        if len(self.conflicts) < TOLD:
            told = {"taken": winner.name, "left": loser.name, "because": why}
            self.conflicts.append({"id": head.id, "epoch": head.epoch, **told})

    def _refuse_other_sample(self, head: ResultHead, number: int) -> None:
        row = self._index.execute("SELECT digest, source FROM sample WHERE id = ?", (head.id,)).fetchone()
        digest = head.sample_digest
        if row is None or row[0] is None:
            self._index.execute("INSERT OR REPLACE INTO sample VALUES (?, ?, ?)", (head.id, digest, number))
        elif row[0] != digest and not self._force:
            where = f"{self.sources[int(row[1])].name} and in {self.sources[number].name}"
            raise ConfigError(
                f"Sample '{head.id}' is not the same in {where}."
                " Merge runs of one dataset, or have the results stand side by side all the same: --force."
            )

    def _refuse_configurations(self, source: MergeSource) -> None:
        """Refuse what was asked with other settings than the first source."""
        first = self.sources[0]
        known = set(first.configurations)
        other = set(source.configurations) - known
        if self._force or not known or (not other and len(known) == 1):
            return
        said = [f"{first.name} with {', '.join(sorted(known))}"]
        said += [f"{source.name} with {', '.join(sorted(other))}"] if other else []
        if first.record is not None and source.record is not None:
            changes = differences(first.record.configuration, source.record.configuration)
            said += [f"  {change}" for change in changes[:SHOWN]]
        raise ConfigError(
            "The runs were asked with different configurations:\n"
            + "\n".join(said)
            + "\nMerge runs of one configuration, or have their results stand side by side all the same: --force."
        )


def _head(line: bytes, source: MergeSource, at: int) -> ResultHead | None:
    """The result in this line; None for a last line that was torn."""
    try:
        return decode_head(line)
    except ValidationError:
        if not line.endswith(b"\n"):
            return None
        raise ConfigError(
            f"{source.results}, at byte {at}, holds no result, so this is another kind of file. Name a run.",
            kind="results",
        ) from None


def _logged(source: MergeSource, name: str, uuid: str) -> LoggedSample | None:
    """The sample of the source's log that holds this very result."""
    found = None if source.log is None else source.log.find(name)
    if found is None or source.made:
        return found
    return found if found.summary is not None and f'"uuid":"{uuid}"'.encode() in found.summary else None
