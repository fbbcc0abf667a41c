"""The journal that the user means: opened to look at it or to write to it, and its sessions by their ids.

The rule here: nothing is made where nothing is. Looking needs no more than the right to read; it leaves nothing behind,
and neither waits for the programs that use the journal meanwhile nor makes them wait.
"""

import difflib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import platformdirs

from agent_core.errors import ConfigError, JournalError
from agent_core.journals import JOURNAL_FILE
from agent_core.journals.catalog import FullJournal
from agent_core.journals.info import SessionInfo
from agent_core.journals.overviews import Overview
from agent_core.journals.postgres import PostgresJournal
from agent_core.journals.postgres_options import PostgresOptions
from agent_core.journals.sqlite import SqliteJournal
from agent_core.journals.sqlite_reader import SqliteReader
from agent_core.messages import SessionId
from agent_core.ports import Record
from drivers.listing.options import JournalOptions

_PAGE = 500
_NEAREST = 3
# How long a database that is away is waited for: somebody sits and waits, in seconds.
_PATIENCE = 5.0


class Catalog(Protocol):
    """The part of a journal that is looked into for sessions."""

    async def session_info(self, session_id: SessionId) -> SessionInfo | None: ...

    async def list_sessions(
        self, limit: int = 100, after: SessionId | None = None, labels: Mapping[str, str] | None = None
    ) -> Sequence[SessionInfo]: ...


class ReadableJournal(Catalog, Protocol):
    """A journal to be looked at."""

    async def read(self, session_id: SessionId, after: int = 0) -> Sequence[Record]: ...

    async def overviews(self, ids: Sequence[SessionId]) -> Mapping[str, Overview]: ...


def journal_path(place: JournalOptions) -> Path:
    """Where the journal's file is, or would be."""
    directory = place.data_dir or platformdirs.user_data_path("rayconteur")
    return directory.expanduser().absolute() / JOURNAL_FILE


@asynccontextmanager
async def reading(place: JournalOptions) -> AsyncIterator[ReadableJournal]:
    """The journal, to be looked at. Raises ConfigError if there is none, JournalError if it cannot be read."""
    place.check()
    if place.journal is not None:
        async with _database(place.journal) as journal:
            yield journal
        return
    path = journal_path(place)
    try:
        reader = await SqliteReader(path).__aenter__()
    except JournalError as error:
        if error.kind != "missing":
            raise
        raise ConfigError(
            f"There is no journal in {path.parent} ({JOURNAL_FILE}). The first session that is kept there makes it;"
            " if it is kept elsewhere, name that directory: --data-dir DIRECTORY.",
            error.kind,
        ) from None
    try:
        yield reader
    finally:
        await reader.__aexit__(None, None, None)


@asynccontextmanager
async def writing(place: JournalOptions) -> AsyncIterator[FullJournal]:
    """The journal, to be changed. Raises as `reading`."""
    if place.journal is not None:
        place.check()
        async with _database(place.journal) as database:
            yield database
        return
    async with reading(place):
        # What is there is a journal: a writer would make one of nothing.
        pass
    async with SqliteJournal(journal_path(place)) as journal:
        yield journal


def _database(address: str) -> PostgresJournal:
    try:
        return PostgresJournal(address, PostgresOptions(patience=_PATIENCE))
    except ConfigError as error:
        raise ConfigError(f"--{error.message}", error.kind) from None


async def every(journal: Catalog, labels: Mapping[str, str] | None = None) -> AsyncIterator[SessionInfo]:
    """All sessions with these labels, the newest first."""
    after: SessionId | None = None
    while page := await journal.list_sessions(_PAGE, after, labels):
        for info in page:
            yield info
        after = page[-1].session_id


async def known(journal: Catalog, ids: Sequence[str]) -> list[SessionInfo]:
    """What is known of these sessions, each once. Raises ConfigError for the first that is not there."""
    found: list[SessionInfo] = []
    for name in dict.fromkeys(ids):
        info = await journal.session_info(SessionId(name))
        if info is None or not info.last_seq:
            raise await _unknown(journal, name)
        found.append(info)
    return found


async def _unknown(journal: Catalog, name: str) -> ConfigError:
    ids = [info.session_id async for info in every(journal)]
    near = difflib.get_close_matches(name, ids, n=_NEAREST) or [known for known in ids if name and name in known]
    if near:
        meant = "Did you mean " + " or ".join(near[:_NEAREST]) + "?"
    else:
        meant = "`python -m drivers.sessions list` lists them." if ids else "There are none yet."
    return ConfigError(f"There is no session '{name}'. {meant}", "unknown_session")
