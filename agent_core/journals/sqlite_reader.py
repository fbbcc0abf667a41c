"""An SQLite journal that is only read: for programs that look at it while others write, or after they are gone.

The rule here: it makes no file and takes no lock that a writer waits for. It reads what is committed; what it left
behind it is as it was. The one exception is a journal of an older version, which is brought up to date as by a writer.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn, Self, TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, Engine, NullPool, create_engine, event, inspect
from sqlalchemy.exc import SQLAlchemyError

from agent_core.journals.client import JournalClient
from agent_core.journals.failures import failure
from agent_core.journals.info import SessionInfo
from agent_core.journals.overviews import Overview, read_overviews
from agent_core.journals.reading import list_page, read_blob, read_info, read_page, read_snapshot
from agent_core.journals.schema import FIRST_TABLES, SCHEMA_VERSION, check_version
from agent_core.journals.sqlite_failures import explain
from agent_core.journals.sqlite_file import FileOptions, SqliteFile
from agent_core.journals.wire import Operation, Page
from agent_core.messages import SessionId
from agent_core.ports import Snapshot

Found = TypeVar("Found")


class SqliteReader(JournalClient):
    """The reading half of `Journal` and `SessionCatalog` on the file at `path`. Whatever writes raises JournalError.

    `busy_timeout`, in seconds, is how long a program that holds the file for itself is waited for. Every method raises
    JournalError with a `kind` of `failures.py`; `missing` if there is no file.
    """

    def __init__(self, path: Path, busy_timeout: float = 5.0) -> None:
        self.path = path.absolute()
        self._busy_timeout = busy_timeout
        self._engine: Engine | None = None

    async def __aenter__(self) -> Self:
        self._engine = await asyncio.to_thread(self._opened)
        return self

    async def __aexit__(self, *_: object) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            await asyncio.to_thread(engine.dispose)

    async def submit(self, operations: Sequence[Operation]) -> NoReturn:
        """Refuse: see the class."""
        del operations
        raise failure("read_only", f"The journal {self.path} was opened to be read: open it for writing.")

    async def read_page(self, session_id: str, after: int, upto: int | None = None) -> Page:
        """See `JournalClient.read_page`."""
        return await self._reading(lambda connection: read_page(connection, session_id, after, upto))

    async def read_snapshot(self, session_id: str) -> Snapshot | None:
        """See `JournalClient.read_snapshot`."""
        return await self._reading(lambda connection: read_snapshot(connection, session_id))

    async def exists(self, session_id: SessionId) -> bool:
        """See `Journal.exists`."""
        info = await self.session_info(session_id)
        return info is not None and info.last_seq > 0

    async def session_info(self, session_id: SessionId) -> SessionInfo | None:
        """See `SessionCatalog.session_info`."""
        return await self._reading(lambda connection: read_info(connection, session_id))

    async def list_sessions(
        self, limit: int = 100, after: SessionId | None = None, labels: Mapping[str, str] | None = None
    ) -> Sequence[SessionInfo]:
        """See `SessionCatalog.list_sessions`."""
        return await self._reading(lambda connection: list_page(connection, limit, after, labels or {}))

    async def overviews(self, ids: Sequence[SessionId]) -> Mapping[str, Overview]:
        """See `read_overviews`."""
        return await self._reading(lambda connection: read_overviews(connection, ids))

    async def get_blob(self, digest: str) -> bytes | None:
        """The bytes with this hash, or None."""
        return await self._reading(lambda connection: read_blob(connection, digest))

    async def _reading(self, query: Callable[[Connection], Found]) -> Found:
        return await asyncio.to_thread(self._ask, query)

    def _ask(self, query: Callable[[Connection], Found]) -> Found:
        if self._engine is None:
            raise failure("closed", f"The journal {self.path} is closed: open it to go on.")
        try:
            with self._engine.connect() as connection:
                return query(connection)
        except (OSError, SQLAlchemyError, ValueError, sqlite3.Error) as error:
            raise explain(self.path, error) from None

    # --- opening ------------------------------------------------------------------------------------------------------

    def _opened(self) -> Engine:
        # In this order: SQLite says of a file that is not there and of one that may not be read the same.
        try:
            with self.path.open("rb"):
                pass
        except FileNotFoundError:
            raise failure("missing", f"There is no journal {self.path}: name the directory of another.") from None
        except OSError as error:
            raise explain(self.path, error) from None
        self._engine = self._made()
        try:
            version = self._ask(self._version)
            if version < SCHEMA_VERSION:
                self._bring_up_to_date()
        except BaseException:
            self._engine.dispose()
            raise
        return self._engine

    def _version(self, connection: Connection) -> int:
        if not set(inspect(connection).get_table_names()) >= FIRST_TABLES:
            raise failure("not_a_journal", f"{self.path} holds no journal: name another one.")
        return check_version(connection, str(self.path))

    def _bring_up_to_date(self) -> None:
        file = SqliteFile(self.path, FileOptions(busy_timeout=self._busy_timeout))
        try:
            file.opened()
        finally:
            file.close()

    def _made(self) -> Engine:
        engine = create_engine("sqlite://", creator=self._connect, poolclass=NullPool, hide_parameters=True)

        def began(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN")

        event.listen(engine, "begin", began)
        return engine

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(str(self.path))}?{self._mode()}",
            uri=True,
            timeout=self._busy_timeout,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _mode(self) -> str:
        """How the file is opened.

        A connection that may write takes away what it left beside the file; one that may not leaves it there. Where
        nobody may write, there is no writer either, and without a log the file alone is all there is.
        See https://www.sqlite.org/wal.html#readonly
        """
        if os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK):
            return "mode=rw"
        log = self.path.with_name(f"{self.path.name}-wal")
        return "mode=ro" if log.exists() else "mode=ro&immutable=1"
