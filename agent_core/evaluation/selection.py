"""Which samples of a dataset are run, and in which order.

The rule here: the same dataset and selection give the same samples in the same order, on any machine. Ids and range
choose by what stands in the dataset, then the rest is shuffled, then the first of it are taken.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from itertools import islice

from pydantic import Field

from agent_core.errors import ConfigError
from agent_core.evaluation.sample import Sample
from agent_core.frozen import Frozen

SHOWN = 5


class Selection(Frozen):
    """Some samples of a dataset. None: all of them, in their order.

    `start` and `stop` count the samples of the dataset as a Python slice does, from 0 and without the last. `shuffle`
    is the seed of an order that depends on it and on the ids alone, so samples that are added part no others.
    """

    ids: frozenset[str] | None = None
    start: int = Field(default=0, ge=0)
    stop: int | None = Field(default=None, ge=0)
    shuffle: int | None = None
    limit: int | None = Field(default=None, ge=1)

    def of(self, samples: Callable[[], Iterator[Sample]]) -> Iterator[Sample]:
        """The samples that are selected. Raises ConfigError if one of the ids is not there."""
        selected = islice(samples(), self.start, self.stop)
        if self.ids is not None:
            selected = _with_ids(selected, self.ids)
        if self.shuffle is not None:
            selected = _shuffled(selected, self.shuffle)
        return islice(selected, self.limit)


ALL = Selection()


def _with_ids(samples: Iterator[Sample], ids: frozenset[str]) -> Iterator[Sample]:
    missing = set(ids)
    for sample in samples:
        if sample.id in ids:
            missing.discard(sample.id)
            yield sample
    if missing:
        named = sorted(missing)
        more = f" and {len(named) - SHOWN} more" if len(named) > SHOWN else ""
        raise ConfigError(
            f"--ids: the samples have none with the id {', '.join(map(repr, named[:SHOWN]))}{more}. Mend it or leave it"
            " out.",
            kind="dataset",
        )


def _shuffled(samples: Iterator[Sample], seed: int) -> Iterator[Sample]:
    """The samples in an order made from the seed and their ids.

    They are kept in a private SQLite database meanwhile, which spills to disk past its cache.
    """
    # An iterator may be made in one thread and read in another, though by one of them at a time.
    database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    try:
        database.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -4000;"
            " CREATE TABLE shuffled (place BLOB, number INTEGER, sample TEXT, PRIMARY KEY (place, number))"
            " WITHOUT ROWID; BEGIN"
        )
        rows = (
            (hashlib.blake2b(f"{seed}:{sample.id}".encode(), digest_size=12).digest(), number, sample.model_dump_json())
            for number, sample in enumerate(samples)
        )
        database.executemany("INSERT INTO shuffled VALUES (?, ?, ?)", rows)
        for (text,) in database.execute("SELECT sample FROM shuffled ORDER BY place, number"):
            yield Sample.model_validate_json(text)
    finally:
        database.close()
