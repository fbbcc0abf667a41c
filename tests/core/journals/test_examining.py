"""What is told of a journal by looking at it, and that looking leaves it as it was."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent_core.errors import JournalError
from agent_core.journals.address import PostgresAddress
from agent_core.journals.postgres import PostgresJournal
from agent_core.journals.postgres_examining import read_facts
from agent_core.journals.schema import SCHEMA_VERSION
from agent_core.journals.sqlite import SqliteJournal
from agent_core.journals.sqlite_examining import UNINDEXED, holders, log_of, quick_check, read_contents, read_sizes
from tests.core.journals.test_sqlite_reader import KILLED, write
from tests.postgres import PASSWORD, USER, PostgresCluster, free_port


@contextmanager
def untouched(directory: Path) -> Iterator[None]:
    """Nothing in it is made, changed or removed meanwhile, but for SQLite's own marks in the shared index of a log."""

    def files() -> dict[str, bytes]:
        found = {file.name: file.read_bytes() for file in directory.iterdir()}
        return {name: b"" if name.endswith("-shm") else data for name, data in found.items()}

    before = files()
    yield
    assert files() == before


async def closed(path: Path) -> None:
    """A journal with one session that nobody has open."""
    async with SqliteJournal(path) as journal:
        await write(journal)


def kind_of(action: Callable[[], object]) -> str:
    with pytest.raises(JournalError) as caught:
        action()
    return caught.value.kind


async def test_a_journal_at_rest_is_looked_at_and_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    await closed(path)
    with untouched(tmp_path):
        contents = read_contents(path)
        assert (contents.version, contents.newest, contents.sessions) == (SCHEMA_VERSION, SCHEMA_VERSION, 1)
        assert quick_check(path, 5.0) == "ok"
        assert holders(path) == []
        sizes = read_sizes(path)
    assert (sizes.file, sizes.log) == (path.stat().st_size, 0)
    assert 0 < sizes.free <= sizes.total


async def test_a_journal_in_use_is_read_as_committed_and_its_holders_are_told(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with SqliteJournal(path) as journal:
        await write(journal)
        with untouched(tmp_path):
            assert read_contents(path).sessions == 1
            assert quick_check(path, 5.0) == "ok"
            (holder,) = holders(path)
        assert (holder.pid, holder.writing) == (os.getpid(), False)
        assert read_sizes(path).log > 0
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert [holder.writing for holder in holders(path)] == [True]
        assert read_contents(path).sessions == 1
        other.close()
        assert [holder.writing for holder in holders(path)] == [False]


async def test_a_journal_whose_writer_was_killed_is_read_with_its_log_left_in_place(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert log_of(path).stat().st_size > 0
    with untouched(tmp_path):
        assert read_contents(path).sessions == 1
        assert quick_check(path, 5.0) == "ok"
    path.with_name("journal.db-shm").unlink()
    with untouched(tmp_path):
        assert kind_of(lambda: read_contents(path)) == UNINDEXED


async def test_what_is_no_sound_journal_of_this_version_is_told_by_kind(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    assert kind_of(lambda: read_contents(path)) == "missing"
    await closed(path)
    sound = path.read_bytes()
    path.write_bytes(sound[: len(sound) // 2])
    assert kind_of(lambda: quick_check(path, 5.0)) == "corrupt"
    path.write_bytes(b"no database at all, but long enough to look at" * 100)
    assert kind_of(lambda: read_contents(path)) == "corrupt"
    path.write_bytes(sound)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema'")
    connection.close()
    assert kind_of(lambda: read_contents(path)) == "newer_schema"
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()
    assert kind_of(lambda: read_contents(path)) == "not_a_journal"


async def test_a_check_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)"
            " INSERT INTO t SELECT i FROM n"
        )
    connection.close()
    assert quick_check(path, 0.0) is None
    assert quick_check(path, 30.0) == "ok"


async def test_a_database_is_asked_without_anything_being_made_in_it(postgres: PostgresCluster, database: str) -> None:
    address = PostgresAddress.of(postgres.owner_dsn(database))
    empty = read_facts(address)
    assert (empty.version, empty.foreign, empty.may_create) == (None, False, True)
    assert (empty.standby, empty.encrypted, empty.by_socket) == (False, False, True)
    assert empty.settings["fsync"] == "off"
    assert 0 < empty.connections < empty.max_connections == 60
    assert 0 < empty.latency < 5
    assert postgres.ask("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", database) == [(0,)]
    async with PostgresJournal(str(address)):
        pass
    assert read_facts(address).version == str(SCHEMA_VERSION)
    postgres.ask("UPDATE meta SET value = '99'", database)
    assert read_facts(address).version == "99"


def test_tables_of_another_program_are_told_as_such(postgres: PostgresCluster, database: str) -> None:
    postgres.ask("CREATE TABLE recipes (name text)", database)
    assert read_facts(PostgresAddress.of(postgres.owner_dsn(database))).foreign


def test_why_a_database_cannot_be_asked_is_told_without_its_password(
    postgres: PostgresCluster, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = PostgresAddress.of(f"postgresql://{USER}@127.0.0.1:{free_port()}/{database}")
    assert kind_of(lambda: read_facts(away)) == "unreachable"
    monkeypatch.setenv("PGPASSWORD", f"not-{PASSWORD}")
    with pytest.raises(JournalError) as caught:
        read_facts(PostgresAddress.of(postgres.dsn(database)))
    assert caught.value.kind == "denied"
    assert PASSWORD not in caught.value.message
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    assert not read_facts(PostgresAddress.of(postgres.dsn(database))).by_socket
    monkeypatch.setenv("A_DSN", f"postgresql://{USER}:{PASSWORD}@127.0.0.1/x?nonsense=1")
    with pytest.raises(JournalError) as caught:
        read_facts(PostgresAddress.of("env:A_DSN"))
    assert PASSWORD not in caught.value.message
