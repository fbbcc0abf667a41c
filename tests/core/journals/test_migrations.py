"""A journal of an older version is brought up to date as it is opened, on every database, once."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from agent_core.errors import JournalError
from agent_core.journals.migrations import STEPS
from agent_core.journals.postgres import PostgresJournal
from agent_core.journals.schema import METADATA, SCHEMA_VERSION
from agent_core.journals.sqlite import SqliteJournal
from agent_core.messages import SessionId
from agent_core.ports import Snapshot
from tests.core.journals.making import append, said, told
from tests.core.journals.version_one import CODE, LATER_CODE, LONG, ORPHAN, digest, lay_out
from tests.postgres import PostgresCluster

Open = Callable[[], Any]
PLAIN = SessionId("plain")


@pytest.fixture(params=["sqlite", "postgres"])
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Makes journals, not yet open, on one database of version 1; the clock is far beyond everything in it."""
    if request.param == "sqlite":
        with sqlite3.connect(tmp_path / "journal.sqlite") as connection:
            lay_out(connection.execute, "BLOB")
        connection.close()
        return lambda: SqliteJournal(tmp_path / "journal.sqlite", now=lambda: 1e6)
    address = request.getfixturevalue("postgres").create_schema()
    with psycopg.connect(address) as postgres:
        lay_out(lambda text, values: postgres.execute(text.replace("?", "%s").encode(), values), "BYTEA")
    return lambda: PostgresJournal(address, now=lambda: 1e6)


def look(journal: Any, query: Callable[[Connection], Any]) -> Any:
    """What the query finds in the open journal's tables."""
    if isinstance(journal, SqliteJournal):
        return journal._file.read(query)
    return journal._server._read(query)


def test_every_version_but_the_first_has_a_step_that_makes_it() -> None:
    assert len(STEPS) == SCHEMA_VERSION - 1


async def test_older_journal_has_everything_that_it_had_and_all_that_is_new(opening: Open) -> None:
    async with opening() as journal:
        assert await told(journal, "plain") == ["opened", "hello", LONG]
        assert [info.session_id for info in await journal.list_sessions(labels={"odd '": "ü"})] == ["tooled"]
        assert [info.session_id for info in await journal.list_sessions(labels={"team": "red"})] == ["plain"]
        claim = await journal.claim(PLAIN, "new")
        assert (claim.epoch, len(claim.records), claim.snapshot) == (4, 3, None)
        assert await journal.append([append("plain", 4, 4, said("more"))]) == [None]
        await journal.save_snapshot(PLAIN, 4, Snapshot(4, b"state"))
    async with opening() as journal:
        assert (await journal.claim(PLAIN, "next")).snapshot == Snapshot(4, b"state")


async def test_older_journal_knows_which_session_needs_which_code(opening: Open) -> None:
    async with opening() as journal:
        assert await journal.delete(PLAIN)
        assert await journal.get_blob(digest(CODE)) == CODE
        assert await journal.get_blob(digest(LATER_CODE)) == LATER_CODE
        assert await journal.get_blob(digest(ORPHAN)) is None
        assert await journal.delete(SessionId("tooled"))
        assert await journal.get_blob(digest(CODE)) is None
        assert look(journal, lambda connection: connection.execute(text("SELECT count(*) FROM blobs")).scalar()) == 0


async def test_migrated_tables_are_those_of_a_new_journal(opening: Open) -> None:
    async with opening() as journal:
        found = look(journal, lambda one: compare_metadata(MigrationContext.configure(one), METADATA))
    assert found == []


async def test_journal_that_several_open_at_once_is_migrated_once(opening: Open) -> None:
    journals = [opening() for _ in range(3)]
    await asyncio.gather(*(journal.open() for journal in journals))
    for journal in journals:
        assert await told(journal, "plain") == ["opened", "hello", LONG]
        await journal.close()


async def test_migration_that_fails_leaves_the_older_journal_as_it_was(
    opening: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError("the machine is on fire")

    with monkeypatch.context() as patched:
        patched.setattr("agent_core.journals.migrations._published", fails)
        journal = opening()
        with pytest.raises((JournalError, OSError)):
            await journal.open()
        await journal.close()
    async with opening() as journal:
        assert await told(journal, "plain") == ["opened", "hello", LONG]


@pytest.mark.parametrize("journal", ["SqliteJournal", "PostgresJournal"])
def test_library_of_migrations_stays_away_from_a_journal_that_needs_none(
    postgres: PostgresCluster, tmp_path: Path, journal: str
) -> None:
    place = postgres.create_schema() if journal == "PostgresJournal" else str(tmp_path / "journal.sqlite")
    module = journal.removesuffix("Journal").lower()
    program = (
        f"import asyncio, sys\nfrom agent_core.journals.{module} import {journal}\n"
        f"async def main():\n    async with {journal}({place!r}) as journal: await journal.claim('s', 'me')\n"
        "asyncio.run(main()); asyncio.run(main()); print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
