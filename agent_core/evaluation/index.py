"""The index of a run: its samples, what is known of each, and what is under way, on disk so that memory stays flat.

The rule here: a sample id stands for one line of the dataset, a pair of id and epoch for one result. The results file
is the truth; an index can be made again from it and the dataset.
"""

import errno
import sqlite3
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self

from agent_core.evaluation.result import ResultHead, SampleOutcome
from agent_core.evaluation.sample import Assignment, Sample

_PRIVATE = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -4000;"
# A process that is killed loses nothing; what power loss takes can be made again.
_KEPT = "PRAGMA journal_mode = PERSIST; PRAGMA synchronous = OFF; PRAGMA cache_size = -4000;"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS sample (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, line INTEGER NOT NULL, body BLOB
);
CREATE TABLE IF NOT EXISTS result (
    id TEXT NOT NULL, epoch INTEGER NOT NULL, outcome TEXT NOT NULL, attempts INTEGER NOT NULL, kept INTEGER NOT NULL,
    configuration TEXT NOT NULL, sample_digest TEXT NOT NULL, PRIMARY KEY (id, epoch)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS open (
    id TEXT NOT NULL, epoch INTEGER NOT NULL, attempt INTEGER NOT NULL, home INTEGER, PRIMARY KEY (id, epoch)
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
    """An SQLite database: at `path`, or a private one among temporary files, gone when it is closed. For one thread.

    Everything may raise OSError, where there is no room for it.
    """

    def __init__(self, path: Path | None = None) -> None:
        # An empty name is a database of this connection alone, which spills to disk past its cache.
        self._name = str(path or tempfile.gettempdir())
        try:
            self._database = sqlite3.connect(path or "", isolation_level=None)
            self._database.executescript((_KEPT if path else _PRIVATE) + _SCHEMA)
        except sqlite3.OperationalError as error:
            raise self._unwritable(error) from None

    def _execute(self, statement: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        try:
            return self._database.execute(statement, values)
        except sqlite3.OperationalError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: sqlite3.Error) -> OSError:
        # SQLite does not hand on what the system said.
        return OSError(errno.EIO, f"the run's index cannot be kept ({error}); is the disk full?", self._name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file. What reads or writes it comes before."""
        self._database.close()

    @contextmanager
    def together(self) -> Generator[None]:
        """Write what is written meanwhile as one."""
        self._execute("BEGIN")
        try:
            yield
        except BaseException:
            self._execute("ROLLBACK")
            raise
        self._execute("COMMIT")

    # --- samples ----------------------------------------------------------------------------------------------------

    def add_sample(self, sample: Sample) -> int | None:
        """Take the sample in. Returns None, or, for an id that is taken, the line that has it."""
        # Without what is left at its default, messages would lose the kind by which they are read again.
        body = sample.model_dump_json(exclude_defaults=not sample.history, exclude_none=True).encode()
        added = self._execute(
            "INSERT OR IGNORE INTO sample (id, line, body) VALUES (?, ?, ?)", (sample.id, sample.line, body)
        )
        return None if added.rowcount else self.line_of(sample.id)

    def line_of(self, sample_id: str) -> int | None:
        """Where the dataset has the sample, if it does."""
        row = self._execute("SELECT line FROM sample WHERE id = ?", (sample_id,)).fetchone()
        return row and int(row[0])

    def number_of(self, sample_id: str) -> int:
        """Which sample it is in the order of `stored`, from 1; 0 for none."""
        row = self._execute("SELECT number FROM sample WHERE id = ?", (sample_id,)).fetchone()
        return int(row[0]) if row else 0

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return int(self._execute("SELECT count(*) FROM sample").fetchone()[0])

    def stored(self) -> Iterator[Sample]:
        """The samples, in the order in which they were taken in."""
        number = 0
        while row := self._execute(
            "SELECT number, body FROM sample WHERE number > ? ORDER BY number LIMIT 1", (number,)
        ).fetchone():
            number = row[0]
            yield Sample.model_validate_json(row[1])

    def sample(self, sample_id: str) -> Sample | None:
        """The sample of that id."""
        row = self._execute("SELECT body FROM sample WHERE id = ?", (sample_id,)).fetchone()
        return row and Sample.model_validate_json(row[0])

    # --- results ----------------------------------------------------------------------------------------------------

    def add_result(self, head: ResultHead, *, kept: bool) -> None:
        """Take in what a results file says. A result that stands is not replaced; another one is, by any later one."""
        values = (head.id, head.epoch, head.outcome, head.attempts, kept, head.configuration, head.sample_digest)
        self._execute(
            "INSERT INTO result VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id, epoch) DO UPDATE SET"
            " outcome = excluded.outcome, attempts = max(attempts, excluded.attempts), kept = excluded.kept,"
            " configuration = excluded.configuration, sample_digest = excluded.sample_digest WHERE kept = 0",
            values,
        )
        self._execute("DELETE FROM open WHERE id = ? AND epoch = ?", (head.id, head.epoch))

    def known(self, sample_id: str, epoch: int) -> Known | None:
        """What is on record of this sample and epoch."""
        row = self._execute(
            "SELECT outcome, attempts, kept, configuration, sample_digest FROM result WHERE id = ? AND epoch = ?",
            (sample_id, epoch),
        ).fetchone()
        return row and Known(row[0], row[1], bool(row[2]), row[3], row[4])

    def forget(self, sample_id: str, epoch: int) -> None:
        """The result does not stand any more; only how often it was tried stays known."""
        self._execute("UPDATE result SET kept = 0 WHERE id = ? AND epoch = ?", (sample_id, epoch))

    # --- what is under way ------------------------------------------------------------------------------------------

    def begin(self, assignment: Assignment) -> None:
        """Note that the assignment was handed out: should it be lost, it is handed out again as it was."""
        self._execute(
            "INSERT OR REPLACE INTO open VALUES (?, ?, ?, ?)",
            (assignment.sample.id, assignment.epoch, assignment.attempt, assignment.home),
        )

    def begun(self, sample_id: str, epoch: int) -> tuple[int, int | None] | None:
        """The attempt and home of an assignment that was handed out and has no result yet."""
        row = self._execute("SELECT attempt, home FROM open WHERE id = ? AND epoch = ?", (sample_id, epoch)).fetchone()
        return row and (int(row[0]), row[1])

    def take_over(self, earlier: Path) -> None:
        """Take what was under way from the index of an earlier run of the same job, if it can be read."""
        try:
            self._execute("ATTACH DATABASE ? AS earlier", (str(earlier),))
            self._execute("INSERT OR IGNORE INTO open SELECT * FROM earlier.open")
        except (sqlite3.Error, OSError):
            return
        self._execute("DETACH DATABASE earlier")
