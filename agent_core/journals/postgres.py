"""The journal in a PostgreSQL database: pooled connections of this process, one writing thread, group commit.

The rule here: an append is answered after its transaction is committed; which process wrote it makes no difference, for
the rows of the sessions are locked while they are judged. A failure leaves the journal usable: the server is connected
to again by the next operation.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self, TypeVar

from agent_core.journals.address import PostgresAddress
from agent_core.journals.batching import Batcher
from agent_core.journals.client import JournalClient
from agent_core.journals.failures import failure
from agent_core.journals.info import SessionInfo
from agent_core.journals.isolation import write_apart
from agent_core.journals.postgres_options import PostgresOptions
from agent_core.journals.wire import Answer, Operation, Page, weigh
from agent_core.messages import SessionId
from agent_core.ports import Snapshot

if TYPE_CHECKING:
    from agent_core.journals.overviews import Overview
    from agent_core.journals.postgres_server import PostgresServer

Found = TypeVar("Found")

_READERS = 3


class PostgresJournal(JournalClient):
    """Implements `Journal` on the database at `address` (see `PostgresAddress`). Belongs to one event loop.

    Many processes may use one database. `now` gives the time of a claim, in seconds since the epoch. Every method
    raises JournalError when the server fails, with a `kind` of `failures.py`, those that pass after
    `options.patience`. Nothing heavy is imported and nothing connected to before the first operation. What is deleted
    is gone for every query at once; its bytes stay in the server's files until it vacuums them and reuses its logs.
    """

    def __init__(
        self,
        address: PostgresAddress | str,
        options: PostgresOptions | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.address = address if isinstance(address, PostgresAddress) else PostgresAddress.of(address)
        """Where the database is; holds no password."""
        self._options = options or PostgresOptions()
        self._now = now
        self._batcher = Batcher[Operation, Answer](self._commit, weigh)
        self._writer = ThreadPoolExecutor(1, "journal-writer")
        self._readers = ThreadPoolExecutor(_READERS, "journal-reader")
        self._server: PostgresServer | None = None
        self._closed = False

    def __reduce__(self) -> tuple[type[Self], tuple[PostgresAddress, PostgresOptions]]:
        return type(self), (self.address, self._options)

    async def open(self) -> Self:
        """Connect now, to learn at once whether the database can be used. Every operation does so by itself too."""
        self._check_open()
        server = await self._opened()
        await asyncio.get_running_loop().run_in_executor(self._writer, server.prepare)
        return self

    async def close(self) -> None:
        """Finish what was submitted and disconnect; a server that is away is not waited for. Harmless if repeated."""
        if self._closed:
            return
        self._closed = True
        if self._server is not None:
            self._server.stop()
        await self._batcher.drain()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._readers.shutdown)
        if self._server is not None:
            await loop.run_in_executor(self._writer, self._server.close)
        self._writer.shutdown()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def submit(self, operations: Sequence[Operation]) -> Sequence[Answer]:
        """See `JournalClient.submit`. Raises JournalError of kind `closed` once the journal is closed."""
        self._check_open()
        return await self._batcher.submit(operations)

    async def read_page(self, session_id: str, after: int, upto: int | None = None) -> Page:
        """See `JournalClient.read_page`."""
        return await self._reading(lambda server: server.read_page(session_id, after, upto))

    async def read_snapshot(self, session_id: str) -> Snapshot | None:
        """See `JournalClient.read_snapshot`."""
        return await self._reading(lambda server: server.read_snapshot(session_id))

    async def exists(self, session_id: SessionId) -> bool:
        """See `Journal.exists`."""
        info = await self.session_info(session_id)
        return info is not None and info.last_seq > 0

    async def session_info(self, session_id: SessionId) -> SessionInfo | None:
        """See `SessionCatalog.session_info`."""
        return await self._reading(lambda server: server.read_info(session_id))

    async def list_sessions(
        self, limit: int = 100, after: SessionId | None = None, labels: Mapping[str, str] | None = None
    ) -> Sequence[SessionInfo]:
        """See `SessionCatalog.list_sessions`."""
        return await self._reading(lambda server: server.list_page(limit, after, labels or {}))

    async def overviews(self, ids: Sequence[SessionId]) -> "Mapping[str, Overview]":
        """What a list says of each of these sessions. Raises JournalError (`unreadable`) for an unknown entry."""
        return await self._reading(lambda server: server.read_overviews(ids))

    async def get_blob(self, digest: str) -> bytes | None:
        """The bytes with this hash, or None."""
        return await self._reading(lambda server: server.read_blob(digest))

    def _check_open(self) -> None:
        if self._closed:
            raise failure("closed", f"The journal {self.address} is closed: make a new one to go on.")

    async def _opened(self) -> "PostgresServer":
        if self._server is None:
            # The first import takes a while, and the loop has better things to do.
            made = await asyncio.get_running_loop().run_in_executor(self._writer, self._made)
            self._server = self._server or made
        return self._server

    def _made(self) -> "PostgresServer":
        from agent_core.journals.postgres_server import PostgresServer

        return PostgresServer(self.address, self._options, _READERS)

    async def _reading(self, query: "Callable[[PostgresServer], Found]") -> Found:
        self._check_open()
        server = await self._opened()
        return await asyncio.get_running_loop().run_in_executor(self._readers, query, server)

    async def _commit(self, operations: Sequence[Operation]) -> Sequence[Answer]:
        server = await self._opened()

        def write(part: Sequence[Operation]) -> Sequence[Answer]:
            return server.perform(part, self._now())

        return await asyncio.get_running_loop().run_in_executor(self._writer, write_apart, write, operations)
