"""The journal in an SQLite file: write-ahead log, one writing thread, group commit over sessions.

Readers and the checkpoint of the log have threads of their own, so that neither keeps an append waiting.

The rule here: an append is answered after its transaction is committed. `durability="process"` survives the death of
any process (synchronous=NORMAL), `"power"` also that of the machine (FULL: the log is flushed at each commit).
A failure leaves the journal usable: the file is opened again by the next operation. What is deleted is overwritten in
the file and cut off its log before the deletion is answered.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self, TypeVar

from sqlalchemy import Connection

from agent_core.errors import JournalError
from agent_core.journals.batching import Batcher
from agent_core.journals.client import JournalClient
from agent_core.journals.failures import failure
from agent_core.journals.info import SessionInfo
from agent_core.journals.isolation import write_apart
from agent_core.journals.reading import list_page, read_blob, read_info, read_page, read_snapshot
from agent_core.journals.sqlite_file import FileOptions, SqliteFile
from agent_core.journals.store import Group
from agent_core.journals.wire import Answer, Deleted, Operation, Page, weigh
from agent_core.messages import SessionId
from agent_core.ports import Snapshot

Found = TypeVar("Found")

_THREADS = 3

# About how many bytes of appends, each with a page of its own counted, are written between two checkpoints.
_CHECKPOINT_AFTER = 4_000_000
_PAGE = 4096


class SqliteJournal(JournalClient):
    """Implements `Journal` on the file at `path`, which is made if it is not there. Belongs to one event loop.

    `now` gives the time of a claim, in seconds since the epoch. Every method raises JournalError when the file fails,
    with a `kind` of `failures.py`.
    """

    def __init__(
        self, path: str | Path, options: FileOptions | None = None, now: Callable[[], float] = time.time
    ) -> None:
        self._file = SqliteFile(Path(path), options or FileOptions())
        self._now = now
        self._batcher = Batcher[Operation, Answer](self._commit, weigh)
        self._writer = ThreadPoolExecutor(1, "journal-writer")
        self._readers = ThreadPoolExecutor(_THREADS, "journal-reader")
        self._checkpoint: asyncio.Future[None] | None = None
        self._unsaved = 0
        self._closed = False

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self._file.path

    async def open(self) -> Self:
        """Open the file now, to learn at once whether it can be used. Every operation does so by itself too."""
        self._check_open()
        await asyncio.get_running_loop().run_in_executor(self._writer, self._file.opened)
        return self

    async def close(self) -> None:
        """Finish what was submitted and close the file. Harmless if repeated."""
        if self._closed:
            return
        self._closed = True
        await self._batcher.drain()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._readers.shutdown)
        await loop.run_in_executor(self._writer, self._file.close)
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
        return await self._reading(lambda connection: read_page(connection, session_id, after, upto))

    async def exists(self, session_id: SessionId) -> bool:
        """See `Journal.exists`."""
        info = await self.session_info(session_id)
        return info is not None and info.last_seq > 0

    async def session_info(self, session_id: SessionId) -> SessionInfo | None:
        """What is known of a session; None if it was never claimed."""
        return await self._reading(lambda connection: read_info(connection, session_id))

    async def read_snapshot(self, session_id: str) -> Snapshot | None:
        """See `JournalClient.read_snapshot`."""
        return await self._reading(lambda connection: read_snapshot(connection, session_id))

    async def list_sessions(
        self, limit: int = 100, after: SessionId | None = None, labels: Mapping[str, str] | None = None
    ) -> Sequence[SessionInfo]:
        """See `SessionCatalog.list_sessions`."""
        return await self._reading(lambda connection: list_page(connection, limit, after, labels or {}))

    async def get_blob(self, digest: str) -> bytes | None:
        """The bytes with this hash, or None."""
        return await self._reading(lambda connection: read_blob(connection, digest))

    def _check_open(self) -> None:
        if self._closed:
            raise failure("closed", f"The journal {self.path} is closed: make a new one to go on.")

    async def _reading(self, query: Callable[[Connection], Found]) -> Found:
        self._check_open()
        loop = asyncio.get_running_loop()
        if not self._file.is_current():
            await loop.run_in_executor(self._writer, self._file.opened)
        return await loop.run_in_executor(self._readers, self._file.read, query)

    async def _commit(self, operations: Sequence[Operation]) -> Sequence[Answer]:
        loop = asyncio.get_running_loop()
        answers = await loop.run_in_executor(self._writer, write_apart, self._write, operations)
        if any(isinstance(answer, Deleted) and answer.ids for answer in answers):
            answers = await self._forget(answers)
        self._unsaved += sum(map(weigh, operations)) + _PAGE * len(operations)
        if self._unsaved > _CHECKPOINT_AFTER and (self._checkpoint is None or self._checkpoint.done()):
            self._unsaved = 0
            self._checkpoint = loop.run_in_executor(self._readers, self._file.checkpoint)
        return answers

    async def _forget(self, answers: Sequence[Answer]) -> Sequence[Answer]:
        """The answers, once nothing is left of what was deleted; a deletion that left its bytes behind has failed."""
        if self._checkpoint is not None:
            await asyncio.wait([self._checkpoint])
        try:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._file.forget)
        except JournalError as error:
            return [error if isinstance(answer, Deleted) else answer for answer in answers]
        return answers

    def _write(self, operations: Sequence[Operation]) -> list[Answer]:
        return self._file.write(lambda connection: Group(connection, self._now()).perform(operations))
