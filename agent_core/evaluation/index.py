"""The index of a run: which samples there are and what is known of each, on disk so that memory stays flat.

The rule here: a sample id stands for one line of the dataset, a pair of id and epoch for one result.
"""

import sqlite3
from typing import NamedTuple, Self

from agent_core.evaluation.result import ResultHead, SampleOutcome

_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -4000;
CREATE TABLE sample (id TEXT PRIMARY KEY, line INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE result (
    id TEXT NOT NULL, epoch INTEGER NOT NULL, outcome TEXT NOT NULL, attempts INTEGER NOT NULL, kept INTEGER NOT NULL,
    configuration TEXT NOT NULL, sample_digest TEXT NOT NULL, PRIMARY KEY (id, epoch)
) WITHOUT ROWID;
"""


class Known(NamedTuple):
    """What is on record of a sample and epoch. `kept`: the result stands and the sample is not run again."""

    outcome: SampleOutcome
    attempts: int
    kept: bool
    configuration: str
    sample_digest: str


class RunIndex:
    """A private SQLite database in the directory for temporary files, gone when it is closed. For one thread."""

    def __init__(self) -> None:
        # An empty name is a database of this connection alone, which spills to disk past its cache.
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(_SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._database.close()

    def add_sample(self, sample_id: str, line: int) -> int | None:
        """Take the sample in. Returns None, or, for an id that is taken, the line that has it."""
        added = self._database.execute("INSERT OR IGNORE INTO sample VALUES (?, ?)", (sample_id, line))
        return None if added.rowcount else self.line_of(sample_id)

    def line_of(self, sample_id: str) -> int | None:
        """Where the dataset has the sample, if it does."""
        row = self._database.execute("SELECT line FROM sample WHERE id = ?", (sample_id,)).fetchone()
        return row and int(row[0])

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return int(self._database.execute("SELECT count(*) FROM sample").fetchone()[0])

    def add_result(self, head: ResultHead, *, kept: bool) -> None:
        """Take in what a results file says. A result that stands is not replaced; another one is, by any later one."""
        values = (head.id, head.epoch, head.outcome, head.attempts, kept, head.configuration, head.sample_digest)
        self._database.execute(
            "INSERT INTO result VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id, epoch) DO UPDATE SET"
            " outcome = excluded.outcome, attempts = max(attempts, excluded.attempts), kept = excluded.kept,"
            " configuration = excluded.configuration, sample_digest = excluded.sample_digest WHERE kept = 0",
            values,
        )

    def known(self, sample_id: str, epoch: int) -> Known | None:
        """What is on record of this sample and epoch."""
        row = self._database.execute(
            "SELECT outcome, attempts, kept, configuration, sample_digest FROM result WHERE id = ? AND epoch = ?",
            (sample_id, epoch),
        ).fetchone()
        return row and Known(row[0], row[1], bool(row[2]), row[3], row[4])
