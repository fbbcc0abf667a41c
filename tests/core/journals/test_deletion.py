"""What is deleted is gone: from every query, and from the bytes of an SQLite file; what others need stays."""

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent_core.config import SessionConfig
from agent_core.entries import Opened
from agent_core.errors import JournalError
from agent_core.journals.memory import MemoryJournal
from agent_core.journals.postgres import PostgresJournal
from agent_core.journals.rules import PUBLISH_GRACE
from agent_core.journals.sqlite import SqliteJournal
from agent_core.journals.sqlite_file import FileOptions
from agent_core.messages import SessionId
from agent_core.ports import Record, Snapshot
from agent_core.tools.definition import ToolDefinition, ToolReference
from tests.core.journals.making import OPENED, append, said, told

MARK = "sk-planted-mark"


class Time:
    """The clock of a journal."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path, time: Time) -> AsyncIterator[Any]:
    match request.param:
        case "memory":
            yield MemoryJournal(time)
        case "sqlite":
            async with SqliteJournal(tmp_path / "journal.sqlite", now=time) as journal:
                yield journal
        case _:
            address = request.getfixturevalue("postgres").create_schema()
            async with PostgresJournal(address, now=time) as journal:
                yield journal


def tooled(digest: str) -> Record:
    """The first record of a session with a tool whose code is kept under the hash."""
    tool = ToolDefinition(name="a", description="A tool.", reference=ToolReference(pickled=digest))
    return Record(1, 1, 1.0, Opened(config=SessionConfig(model="local/smollm2"), tools=(tool,)))


async def test_code_of_a_tool_goes_with_the_last_session_that_uses_it(journal: Any, time: Time) -> None:
    digest = await journal.put_blob(b"code")
    for name in ("one", "two"):
        await journal.claim(SessionId(name), "me", tooled(digest))
    time.now += 2 * PUBLISH_GRACE
    await journal.delete(SessionId("one"))
    assert await journal.get_blob(digest) == b"code"
    await journal.delete(SessionId("two"))
    assert await journal.get_blob(digest) is None


async def test_code_that_was_just_published_stays_for_the_session_about_to_be_opened(journal: Any, time: Time) -> None:
    digest = await journal.put_blob(b"code")
    await journal.claim(SessionId("one"), "me", tooled(digest))
    time.now += 2 * PUBLISH_GRACE
    await journal.put_blob(b"code")
    await journal.delete(SessionId("one"))
    assert await journal.get_blob(digest) == b"code"
    await journal.claim(SessionId("two"), "me", tooled(digest))
    time.now += 2 * PUBLISH_GRACE
    await journal.delete(SessionId("two"))
    assert await journal.get_blob(digest) is None


async def test_large_body_that_another_session_holds_too_stays_there(journal: Any) -> None:
    text = "x" * 300_000
    for name in ("one", "two"):
        await journal.claim(SessionId(name), "me")
        await journal.append([append(name, 1, 1, OPENED, said(text))])
    await asyncio.gather(journal.delete(SessionId("one")), journal.put_blob(b"other"))
    assert await told(journal, "two") == ["opened", text]


async def test_of_a_deleted_sqlite_session_no_byte_is_left_in_any_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    chance = random.Random(1)
    async with SqliteJournal(path) as journal:
        names = [SessionId(f"{MARK}-{number}") for number in range(60)]
        for name in names:
            labels = {"label": MARK}
            await journal.claim(name, MARK, Record(1, 1, 1.0, OPENED.model_copy(update={"labels": labels})))
        for seq in range(2, 12):
            sizes = {name: chance.choice((10, 300, 2000, 9000, 300_000 if seq == 5 else 50)) for name in names}
            await asyncio.gather(
                *(journal.append([append(name, 1, seq, said(MARK * (size // 10)))]) for name, size in sizes.items())
            )
            for name in chance.sample(names, 10):
                await journal.save_snapshot(name, 1, Snapshot(seq, MARK.encode() * chance.choice((1, 200, 5000))))
        await journal.claim(SessionId("stays"), "me", Record(1, 1, 2e9, OPENED))
        assert any(MARK.encode() in file.read_bytes() for file in tmp_path.iterdir())
        chance.shuffle(names)
        for name in names[:20]:
            assert await journal.delete(name)
        while await journal.delete_idle(1e9, limit=7):
            pass
        assert await told(journal, "stays") == ["opened"]
        left = {file.name: file.read_bytes().count(MARK.encode()) for file in tmp_path.iterdir()}
        assert left == dict.fromkeys(left, 0)
        assert "journal.sqlite" in left


async def test_deletion_that_a_reader_keeps_in_the_log_says_so_and_harms_nobody_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    async with SqliteJournal(path, FileOptions(busy_timeout=0.05)) as journal:
        for name in ("gone", "stays"):
            await journal.claim(SessionId(name), "me", Record(1, 1, 1.0, OPENED))
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sessions").fetchone()
        deleted, appended = await asyncio.gather(
            journal.delete(SessionId("gone")),
            journal.append([append("stays", 1, 2, said("more"))]),
            return_exceptions=True,
        )
        assert isinstance(deleted, JournalError)
        assert deleted.kind == "locked"
        assert "another program reads" in deleted.message
        assert appended == [None]
        assert not await journal.exists(SessionId("gone"))
        reader.close()
