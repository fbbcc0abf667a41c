"""The SQLite journal keeps the contract, over reopening and beside another process's journal too."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_core.errors import Fenced, JournalError
from agent_core.journals.blobs import JournalBlobs
from agent_core.journals.sqlite import SqliteJournal
from agent_core.journals.sqlite_file import FileOptions
from agent_core.messages import SessionId
from tests.core.journals.contract import JournalContract
from tests.core.journals.making import OPENED, FullJournal, append, said, told

S = SessionId("s")


class TestSqliteJournal(JournalContract):
    @pytest.fixture
    async def journal(self, tmp_path: Path) -> AsyncIterator[FullJournal]:
        async with SqliteJournal(tmp_path / "journal.sqlite") as journal:
            yield journal


async def test_directories_of_the_path_are_made(tmp_path: Path) -> None:
    path = tmp_path / "not" / "there" / "journal.sqlite"
    async with SqliteJournal(path) as journal:
        await journal.claim(S, "me")
    assert path.exists()


async def test_what_was_answered_is_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    async with SqliteJournal(path) as journal:
        await journal.claim(S, "me")
        await journal.append([append(S, 1, 1, OPENED, said("a"))])
        digest = await journal.put_blob(b"code")
    async with SqliteJournal(path) as journal:
        claim = await journal.claim(S, "next")
        assert (claim.epoch, len(claim.records)) == (2, 2)
        assert await JournalBlobs(journal).get(digest) == b"code"


@pytest.mark.parametrize(("durability", "level"), [("process", 1), ("power", 2)])
async def test_durability_is_the_synchronous_level_of_a_write_ahead_log(
    tmp_path: Path, durability: str, level: int
) -> None:
    async with SqliteJournal(tmp_path / "journal.sqlite", FileOptions(durability=durability)) as journal:  # type: ignore[arg-type]
        connection = journal._file.opened()
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
        connection.rollback()
    assert found == ["wal", level]


async def test_two_journals_on_one_file_fence_each_other(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    async with SqliteJournal(path) as one, SqliteJournal(path) as two:
        assert (await one.claim(S, "one")).epoch == 1
        assert await one.append([append(S, 1, 1, OPENED)]) == [None]
        assert (await two.claim(S, "two")).epoch == 2
        [refusal] = await one.append([append(S, 1, 2, said("late"))])
        assert isinstance(refusal, Fenced)
        assert await two.append([append(S, 2, 2, said("mine"))]) == [None]
        assert await told(one, S) == ["opened", "mine"]


async def test_two_journals_on_one_file_write_at_the_same_time_without_loss(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"

    async def talk(journal: SqliteJournal, name: str) -> None:
        await journal.claim(SessionId(name), "me")
        for seq in range(1, 21):
            assert await journal.append([append(name, 1, seq, said(f"{seq}"))]) == [None]

    async with SqliteJournal(path) as one, SqliteJournal(path) as two:
        await asyncio.gather(
            *(talk(journal, f"{place} {n}") for place, journal in enumerate((one, two)) for n in range(5))
        )
        for place in range(2):
            for number in range(5):
                assert await told(one, f"{place} {number}") == [str(seq) for seq in range(1, 21)]


async def test_large_bodies_are_stored_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    entry = said("z" * 300_000)
    async with SqliteJournal(path) as journal:
        for name in ("a", "b", "c"):
            await journal.claim(SessionId(name), "me")
            await journal.append([append(name, 1, 1, entry, said("small"))])
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM blobs").fetchone() == (1,)
        assert connection.execute("SELECT count(*), count(body), count(blob) FROM entries").fetchone() == (6, 3, 3)
    connection.close()


async def test_page_of_records_is_bounded_in_bytes(tmp_path: Path) -> None:
    async with SqliteJournal(tmp_path / "journal.sqlite") as journal:
        await journal.claim(S, "me")
        texts = ["x" * 1_000_000] * 12
        await journal.append([append(S, 1, 1, *map(said, texts))])
        first = await journal.read_page(S, 0)
        assert (len(first.records), first.last) == (4, False)
        assert await told(journal, S) == texts


async def test_file_grows_with_what_happened_and_not_with_history(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    async with SqliteJournal(path) as journal:
        await journal.claim(S, "me")
        for seq in range(1, 101):
            await journal.append([append(S, 1, seq, said("r" * 5000))])
    assert path.stat().st_size < 1_000_000


async def test_submitted_appends_are_finished_before_the_journal_closes(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = await SqliteJournal(path).open()
    await journal.claim(S, "me")
    pending = asyncio.ensure_future(journal.append([append(S, 1, 1, OPENED)]))
    await asyncio.sleep(0)
    await journal.close()
    assert await pending == [None]
    await journal.close()


async def test_closed_journal_says_so(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    await journal.close()
    for action in (journal.open(), journal.claim(S, "me"), journal.read(S)):
        with pytest.raises(JournalError) as caught:
            await action
        assert caught.value.kind == "closed"


async def test_caller_that_is_cancelled_does_not_hurt_the_group(tmp_path: Path) -> None:
    async with SqliteJournal(tmp_path / "journal.sqlite") as journal:
        await asyncio.gather(*(journal.claim(SessionId(name), "me") for name in ("a", "b")))
        gone = asyncio.ensure_future(journal.append([append("a", 1, 1, OPENED)]))
        stays = asyncio.ensure_future(journal.append([append("b", 1, 1, OPENED)]))
        await asyncio.sleep(0)
        gone.cancel()
        assert await stays == [None]
        assert await told(journal, "a") == ["opened"]
