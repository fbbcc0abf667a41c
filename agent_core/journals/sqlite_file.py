"""One SQLite file: how it is opened, kept and closed, and what its failures mean.

The rule here: `opened` and `write` are called by one thread only. After a failure of the file its connections are
dropped, so that the next operation looks afresh at what is there. A file that was taken away is noticed before it is
written to.
"""

import errno
import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from agent_core.journals.failures import DIVISIBLE, failure
from agent_core.journals.schema import prepare
from agent_core.journals.sqlite_failures import explain

Found = TypeVar("Found")
Durability = Literal["process", "power"]

# The writer checkpoints by itself only when the log has grown to this, in pages of 4 KB: it should happen beside it.
_LONGEST_LOG = 8000

_CONNECTION_SURVIVES = DIVISIBLE | {"locked"}


@dataclass(frozen=True, slots=True)
class FileOptions:
    """How the file is used. `busy_timeout`, in seconds, is how long another writer is waited for.

    `max_bytes` bounds the file: appends that would need more are refused as if the disk were full.
    """

    durability: Durability = "process"
    busy_timeout: float = 5.0
    max_bytes: int | None = None


@dataclass(slots=True)
class _Open:
    writer: Connection
    checkpointer: sqlite3.Connection
    readers: Engine
    identity: tuple[int, int]

    def close(self) -> None:
        self.checkpointer.close()
        with suppress(SQLAlchemyError):
            self.writer.close()
        self.writer.engine.dispose()
        self.readers.dispose()


class SqliteFile:
    """A file with the journal's tables in it."""

    def __init__(self, path: Path, options: FileOptions) -> None:
        self.path = path.absolute()
        self._options = options
        self._open: _Open | None = None

    def is_current(self) -> bool:
        """Whether the file is open and still the one at its path. Any thread may ask."""
        return self._open is not None and self._open.identity == self._identity()

    def opened(self) -> Connection:
        """The writing connection. Raises JournalError.

        Another file at the path is not opened: the write-ahead log beside it belongs to the one that was there.
        """
        if self._open is not None:
            if self.is_current():
                return self._open.writer
            raise failure(
                "missing",
                f"The journal {self.path} was taken away or replaced while in use: put the same file back and the work"
                " goes on; or end the program, and remove the -wal and -shm files if another file is to be used.",
            )
        try:
            self._open = self._connect()
        except (OSError, SQLAlchemyError) as error:
            raise explain(self.path, error) from None
        return self._open.writer

    def write(self, action: Callable[[Connection], Found]) -> Found:
        """Run the action in one transaction that holds the write lock, and commit it. Raises JournalError."""
        connection = self.opened()
        try:
            with connection.begin():
                return action(connection)
        except (SQLAlchemyError, ValueError, OverflowError, sqlite3.Error) as error:
            reason = explain(self.path, error)
            if reason.kind not in _CONNECTION_SURVIVES:
                self.close()
            raise reason from None

    def read(self, query: Callable[[Connection], Found]) -> Found:
        """Run the query on a connection of its own. Any thread may call. Raises JournalError."""
        current = self._open
        if current is None:
            raise failure("io", f"The journal {self.path} has just failed: try again.")
        try:
            with current.readers.connect() as connection:
                return query(connection)
        except (SQLAlchemyError, ValueError, sqlite3.Error) as error:
            raise explain(self.path, error) from None

    def checkpoint(self) -> None:
        """Copy the write-ahead log into the file while the writer goes on. One thread at a time may call.

        Never raises: a log that stays long costs speed and no data, and the next append tells what is wrong.
        """
        current = self._open
        if current is not None:
            with suppress(sqlite3.Error):
                current.checkpointer.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def forget(self) -> None:
        """Empty the write-ahead log, which holds what was deleted. Called by the thread that writes.

        Raises JournalError (`locked`) if a reader of another program keeps it: what was deleted is then still in the
        log, for as long as the log is.
        """
        current = self._open
        if current is None:
            return
        try:
            connection = current.writer.connection.dbapi_connection
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] if connection else 0
        except sqlite3.Error as error:
            raise explain(self.path, error) from None
        if busy:
            raise failure(
                "locked",
                f"The sessions are deleted, but another program reads {self.path} and keeps its log, where their bytes"
                " still are: end that program and delete any session, or wait until it is written to again.",
            )

    def close(self) -> None:
        """Close every connection. Called by the thread that writes."""
        current, self._open = self._open, None
        if current is not None:
            current.close()

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _connect(self) -> _Open:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and not os.access(
            self.path, os.W_OK, effective_ids=os.access in os.supports_effective_ids
        ):
            # SQLite would open it for reading and leave files beside it that cannot be written either.
            raise PermissionError(errno.EROFS, "the file may not be written", str(self.path))
        engine = self._engine(1, "BEGIN IMMEDIATE", self._set_up_writer)
        try:
            writer = engine.connect()
            with writer.begin():
                prepare(writer, str(self.path))
            checkpointer = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        except BaseException:
            engine.dispose()
            raise
        identity = self._identity()
        if identity is None:
            engine.dispose()
            raise FileNotFoundError(f"{self.path} vanished while it was opened")
        readers = self._engine(4, "BEGIN", lambda cursor: cursor.execute("PRAGMA query_only = ON"))
        return _Open(writer, checkpointer, readers, identity)

    def _engine(self, connections: int, begin: str, set_up: Callable[[sqlite3.Cursor], object]) -> Engine:
        """An engine whose transactions begin with the statement given; sqlite3 itself begins none."""
        engine = create_engine(
            URL.create("sqlite", database=str(self.path)),
            poolclass=QueuePool,
            pool_size=connections,
            max_overflow=0,
            hide_parameters=True,
            connect_args={
                "timeout": self._options.busy_timeout,
                "isolation_level": None,
                "check_same_thread": False,
            },
        )

        def connected(connection: sqlite3.Connection, _: Any) -> None:
            cursor = connection.cursor()
            set_up(cursor)
            cursor.close()

        def began(connection: Connection) -> None:
            connection.exec_driver_sql(begin)

        event.listen(engine, "connect", connected)
        event.listen(engine, "begin", began)
        return engine

    def _set_up_writer(self, cursor: sqlite3.Cursor) -> None:
        cursor.execute("PRAGMA journal_mode = WAL")
        # What is deleted, and a snapshot that is replaced, must not stay in free pages.
        cursor.execute("PRAGMA secure_delete = ON")
        cursor.execute(f"PRAGMA synchronous = {'FULL' if self._options.durability == 'power' else 'NORMAL'}")
        cursor.execute(f"PRAGMA wal_autocheckpoint = {_LONGEST_LOG}")
        if self._options.max_bytes is not None:
            page_size = cursor.execute("PRAGMA page_size").fetchone()[0]
            cursor.execute(f"PRAGMA max_page_count = {max(1, self._options.max_bytes // page_size)}")
