"""A journal that is only looked at: beside a writer, after one was killed, and where nothing may be written."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from agent_core.config import SessionConfig
from agent_core.entries import Accepted, Configured, Entry, Opened, Settings, TurnStarted
from agent_core.errors import JournalError
from agent_core.journals.overviews import Overview
from agent_core.journals.sqlite import SqliteJournal
from agent_core.journals.sqlite_reader import SqliteReader
from agent_core.messages import SessionId, TurnId
from agent_core.payloads import UserInput
from agent_core.ports import Append, Record

ID = SessionId("s")
OPENED = Opened(config=SessionConfig(model="openai/gpt-4o"), labels={"team": "red"})
ENTRIES: tuple[Entry, ...] = (
    OPENED,
    Configured(changes=Settings(fields={"max_tokens": 7})),
    Accepted(turn_id=TurnId("u1"), payload=UserInput.of("How does it begin?")),
    TurnStarted(turn_id=TurnId("u1")),
    Configured(changes=Settings(fields={"model": "openai/gpt-5"})),
    Accepted(turn_id=TurnId("u2"), payload=UserInput.of("And then?")),
    TurnStarted(turn_id=TurnId("u2")),
)


async def write(journal: SqliteJournal, session_id: SessionId = ID, entries: tuple[Entry, ...] = ENTRIES) -> None:
    claim = await journal.claim(session_id, "writer")
    records = [Record(seq, claim.epoch, float(seq), entry) for seq, entry in enumerate(entries, start=1)]
    assert await journal.append([Append(session_id, claim.epoch, records)]) == [None]


async def test_what_is_committed_is_read_while_a_writer_holds_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with SqliteJournal(path) as journal:
        await write(journal)
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        async with SqliteReader(path) as reader:
            assert [record.entry for record in await reader.read(ID)] == list(ENTRIES)
            holder.execute("ROLLBACK")
            holder.close()
            await write(journal, SessionId("later"))
            listed = await reader.list_sessions()
            assert [info.session_id for info in listed] == ["later", "s"]
            assert await reader.list_sessions(labels={"team": "blue"}) == []
        await write(journal, SessionId("latest"))


async def test_a_reader_leaves_the_directory_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with SqliteJournal(path) as journal:
        await write(journal)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    async with SqliteReader(path) as reader:
        assert await reader.exists(ID)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from agent_core.journals.sqlite import SqliteJournal
from tests.core.journals.test_sqlite_reader import write

async def main():
    async with SqliteJournal(Path(sys.argv[1])) as journal:
        await write(journal)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.mark.parametrize("writable", [True, False])
async def test_what_a_killed_writer_left_in_its_log_is_read(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch, writable: bool
) -> None:
    path = tmp_path / "journal.db"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=repository, check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.with_name("journal.db-wal").stat().st_size
    monkeypatch.setattr(os, "access", lambda *_, **__: writable)
    async with SqliteReader(path) as reader:
        assert [record.entry for record in await reader.read(ID)] == list(ENTRIES)


async def test_a_file_that_may_not_be_written_is_read_and_nothing_is_made_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal with ?.db"
    async with SqliteJournal(path) as journal:
        await write(journal)
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    async with SqliteReader(path) as reader:
        assert await reader.exists(ID)
        assert [file.name for file in tmp_path.iterdir()] == [path.name]


async def test_an_overview_says_how_long_a_session_is_and_what_it_is_about(tmp_path: Path) -> None:
    async with SqliteJournal(tmp_path / "journal.db") as journal:
        await write(journal)
        await write(journal, SessionId("empty"), (OPENED,))
        long = Accepted(turn_id=TurnId("u1"), payload=UserInput.of("long " * 100_000))
        await write(journal, SessionId("long"), (OPENED, long))
        async with SqliteReader(journal.path) as reader:
            found = await reader.overviews([ID, SessionId("empty"), SessionId("long"), SessionId("none")])
    assert found == {
        "s": Overview(turns=2, model="openai/gpt-5", first="How does it begin?"),
        "empty": Overview(turns=0, model="openai/gpt-4o", first=""),
        "long": Overview(turns=0, model="openai/gpt-4o", first="long " * 40),
    }


async def test_whatever_writes_is_refused(tmp_path: Path) -> None:
    async with SqliteJournal(tmp_path / "journal.db") as journal:
        await write(journal)
        async with SqliteReader(journal.path) as reader:
            with pytest.raises(JournalError, match="opened to be read"):
                await reader.delete(ID)
            with pytest.raises(JournalError, match="opened to be read"):
                await reader.claim(ID, "somebody")
            assert await reader.exists(ID)


@pytest.mark.parametrize(
    ("content", "kind"),
    [(None, "missing"), (b"", "not_a_journal"), (b"no database at all " * 300, "corrupt")],
    ids=["missing", "empty", "other"],
)
async def test_what_is_no_journal_is_refused_and_left_alone(tmp_path: Path, content: bytes | None, kind: str) -> None:
    path = tmp_path / "nowhere" / "journal.db"
    if content is not None:
        path.parent.mkdir()
        path.write_bytes(content)
    with pytest.raises(JournalError) as refused:
        async with SqliteReader(path):
            pass
    assert refused.value.kind == kind
    assert str(path) in str(refused.value)
    assert [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()] == (
        [] if content is None else [content]
    )


async def test_another_programs_database_and_a_newer_journal_are_refused(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE t (x)")
    other.close()
    path = tmp_path / "journal.db"
    async with SqliteJournal(path) as journal:
        await write(journal)
    newer = sqlite3.connect(path)
    newer.execute("UPDATE meta SET value = '99' WHERE key = 'schema'")
    newer.commit()
    newer.close()
    for name, kind in (("other.db", "not_a_journal"), ("journal.db", "newer_schema")):
        with pytest.raises(JournalError) as refused:
            async with SqliteReader(tmp_path / name):
                pass
        assert refused.value.kind == kind


# What makes version 1 of version 2.
VERSION_1 = """
    DROP TABLE snapshots; DROP TABLE labels; DROP TABLE published; DROP TABLE uses;
    ALTER TABLE sessions DROP COLUMN snapshot_seq;
    UPDATE meta SET value = '1' WHERE key = 'schema';
"""


async def test_an_older_journal_is_brought_up_to_date_and_read(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with SqliteJournal(path) as journal:
        await write(journal)
    older = sqlite3.connect(path)
    older.executescript(VERSION_1)
    older.close()
    async with SqliteReader(path) as reader:
        assert [info.session_id for info in await reader.list_sessions(labels={"team": "red"})] == ["s"]
