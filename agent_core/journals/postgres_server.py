"""One PostgreSQL database: how it is connected to, prepared and asked, and what is tried again.

The rule here: a transaction that may have failed of something that passes is tried again, for a bounded time. That is
safe when it was committed and only the answer is lost: all that it holds may be repeated (`rules.py`). Everything here
blocks; threads call it.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import ProgrammingError, SQLAlchemyError

from agent_core.errors import ConfigError, JournalError
from agent_core.journals import reading
from agent_core.journals.address import PostgresAddress
from agent_core.journals.failures import failure
from agent_core.journals.info import SessionInfo
from agent_core.journals.overviews import Overview, read_overviews
from agent_core.journals.postgres_failures import RETRIED, explain
from agent_core.journals.postgres_options import PostgresOptions
from agent_core.journals.schema import SCHEMA_VERSION, check_version, prepare
from agent_core.journals.store import Group
from agent_core.journals.wire import Answer, Operation, Page
from agent_core.ports import Snapshot

Found = TypeVar("Found")

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0
# Kinds after which the next attempt has to look afresh: another server, other rights, other tables.
_NEEDS_NEW_CONNECTIONS = frozenset({"read_only", "denied", "missing", "io"})
# Held while tables are made or migrated, so that one process does it. Chosen at random.
_PREPARE_LOCK = 4_972_130_388


@dataclass(slots=True)
class _Pool:
    engine: Engine
    ready: bool = False


class PostgresServer:
    """A database with the journal's tables in it. `connections` is how many threads use it at once."""

    def __init__(self, address: PostgresAddress, options: PostgresOptions, connections: int) -> None:
        self.where = str(address)
        self._address, self._options, self._connections = address, options, connections
        self._pool: _Pool | None = None
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._away_since: float | None = None
        self._secrets: tuple[str, ...] = ()

    def prepare(self) -> None:
        """Connect now and look at the tables, once. Raises JournalError."""
        self._try(self._prepared)

    def perform(self, operations: Sequence[Operation], now: float) -> list[Answer]:
        """Perform the operations in one transaction, at the time `now`. Raises JournalError."""

        def once() -> list[Answer]:
            with self._prepared().begin() as connection:
                return Group(connection, now).perform(operations)

        return self._patiently(once)

    def read_page(self, session_id: str, after: int, upto: int | None) -> Page:
        """See `reading.read_page`; every one of these raises JournalError."""
        return self._read(lambda connection: reading.read_page(connection, session_id, after, upto))

    def read_snapshot(self, session_id: str) -> Snapshot | None:
        return self._read(lambda connection: reading.read_snapshot(connection, session_id))

    def read_info(self, session_id: str) -> SessionInfo | None:
        return self._read(lambda connection: reading.read_info(connection, session_id))

    def list_page(self, limit: int, after: str | None, labels: Mapping[str, str]) -> list[SessionInfo]:
        return self._read(lambda connection: reading.list_page(connection, limit, after, labels))

    def read_overviews(self, ids: Sequence[str]) -> dict[str, Overview]:
        return self._read(lambda connection: read_overviews(connection, ids))

    def read_blob(self, digest: str) -> bytes | None:
        return self._read(lambda connection: reading.read_blob(connection, digest))

    def stop(self) -> None:
        """Wait for nothing any more: what is under way fails at its next failure. Any thread may call."""
        self._stopping.set()

    def close(self) -> None:
        """Close every connection that is not in use."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.engine.dispose()

    def _read(self, query: Callable[[Connection], Found]) -> Found:
        """Run the query, again as long as it may be of use."""

        def once() -> Found:
            with self._prepared().connect() as connection:
                return query(connection.execution_options(isolation_level="AUTOCOMMIT"))

        return self._patiently(once)

    def _patiently(self, once: Callable[[], Found]) -> Found:
        began = time.monotonic()
        pause = _FIRST_PAUSE
        looked_afresh = False
        while True:
            try:
                found = self._try(once)
            except JournalError as error:
                if error.kind in _NEEDS_NEW_CONNECTIONS and not looked_afresh:
                    looked_afresh = True
                    continue
                if error.kind not in RETRIED:
                    raise
                # Whoever comes while the server has been away for long waits no more than a moment.
                self._away_since = self._away_since or began
                if time.monotonic() + pause >= self._away_since + self._options.patience or self._stopping.wait(pause):
                    raise
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                self._away_since = None
                return found

    def _try(self, once: Callable[[], Found]) -> Found:
        try:
            return once()
        except (SQLAlchemyError, psycopg.Error, ValueError, OverflowError) as error:
            reason = explain(self.where, error, self._secrets)
        except ConfigError as error:
            reason = failure("denied", error.message)
        if reason.kind in _NEEDS_NEW_CONNECTIONS:
            self.close()
        raise reason from None

    def _prepared(self) -> Engine:
        with self._lock:
            pool = self._pool = self._pool or _Pool(self._engine())
            if not pool.ready:
                self._prepare(pool.engine)
                pool.ready = True
            return pool.engine

    def _prepare(self, engine: Engine) -> None:
        try:
            with engine.connect() as connection:
                if check_version(connection, self.where) == SCHEMA_VERSION:
                    return
        except ProgrammingError as error:
            if not isinstance(error.orig, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
                raise
        with engine.begin() as connection:
            # As long as it takes, for a migration is as long as the journal.
            connection.execute(text("SELECT set_config('statement_timeout', '0', true)"))
            connection.execute(text("SELECT set_config('lock_timeout', '0', true)"))
            connection.execute(text("SELECT CAST(pg_advisory_xact_lock(:key) AS text)"), {"key": _PREPARE_LOCK})
            prepare(connection, self.where)

    def _engine(self) -> Engine:
        return create_engine(
            "postgresql+psycopg://",
            # The client library reads the DSN, so that it means here what it means everywhere.
            creator=self._connect,
            # One is kept, the others live for as long as they are in use.
            pool_size=1,
            max_overflow=self._connections,
            pool_use_lifo=True,
            hide_parameters=True,
            isolation_level="READ COMMITTED",
        )

    def _connect(self) -> "psycopg.Connection[Any]":
        dsn = self._address.resolve()
        try:
            given = conninfo_to_dict(dsn)
        except psycopg.Error:
            # The library repeats what it did not understand, which may be the password.
            raise ConfigError(f"journal: the DSN of {self.where} cannot be understood: check its parameters.") from None
        self._secrets = tuple(filter(None, (str(given.get("password") or ""), os.environ.get("PGPASSWORD", ""))))
        chosen = {name: value for name, value in _PARAMETERS.items() if name not in given}
        connection = psycopg.connect(dsn, autocommit=True, **chosen)
        try:
            connection.execute(_SET_UP, self._settings())
            connection.autocommit = False
        except BaseException:
            connection.close()
            raise
        return connection

    def _settings(self) -> dict[str, str]:
        options = self._options
        return {
            # Nothing less than `local` survives a kill -9 in the server: see `PostgresOptions`.
            "commit": "on" if options.durability == "power" else "local",
            "statement": str(int(options.statement_timeout * 1000)),
            "lock": str(int(options.lock_timeout * 1000)),
            "idle": str(int(options.statement_timeout * 1000)),
        }


# https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS; seconds, tcp_user_timeout in ms.
_PARAMETERS: dict[str, Any] = {
    "connect_timeout": 5,
    "fallback_application_name": "rayconteur journal",
    "client_encoding": "utf8",
    # A server that vanished without a word is noticed in half a minute, not in a quarter of an hour.
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
_SET_UP = (
    "SELECT set_config('synchronous_commit', %(commit)s, false), set_config('statement_timeout', %(statement)s, false),"
    " set_config('lock_timeout', %(lock)s, false),"
    " set_config('idle_in_transaction_session_timeout', %(idle)s, false)"
)
