"""A journal is copied while it is written to and taken back: what is in the copy, and who may write to it."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from agent_core.errors import Fenced
from agent_core.journals.sqlite import SqliteJournal
from agent_core.journals.sqlite_examining import quick_check
from agent_core.messages import SessionId
from tests.core.journals.making import OPENED, append, said, told

S = SessionId("s")


def vacuum_into(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as connection:
        connection.execute("VACUUM INTO ?", [str(target)])


def backup(source: Path, target: Path) -> None:
    with (
        closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as connection,
        closing(sqlite3.connect(target)) as to,
    ):
        connection.backup(to)


@pytest.mark.parametrize("copy", [vacuum_into, backup])
async def test_a_copy_made_while_a_journal_is_written_to_has_all_that_was_answered_before(
    tmp_path: Path, copy: Callable[[Path, Path], None]
) -> None:
    path, target = tmp_path / "journal.db", tmp_path / "copy.db"
    async with SqliteJournal(path) as journal:
        claim = await journal.claim(S, "me")
        await journal.append([append(S, claim.epoch, 1, OPENED)])
        stopped = False

        async def write() -> int:
            last = 1
            while not stopped:
                last += 1
                assert await journal.append([append(S, claim.epoch, last, said(str(last)))]) == [None]
            return last

        writing = asyncio.create_task(write())
        while (answered := len(await told(journal, S))) < 20:
            await asyncio.sleep(0)
        await asyncio.to_thread(copy, path, target)
        stopped = True
        last = await writing
    assert quick_check(target, 30.0) == "ok"
    async with SqliteJournal(target) as restored:
        copied = await told(restored, S)
        assert answered <= len(copied) <= last
        assert copied == ["opened", *(str(number) for number in range(2, len(copied) + 1))]
        claim = await restored.claim(S, "me, afterwards")
        assert await restored.append([append(S, claim.epoch, len(copied) + 1, said("on"))]) == [None]


async def test_an_owner_of_before_a_restore_writes_nothing_once_every_epoch_was_raised(tmp_path: Path) -> None:
    path, target = tmp_path / "journal.db", tmp_path / "copy.db"
    async with SqliteJournal(path) as journal:
        first = await journal.claim(S, "first")
        await journal.append([append(S, first.epoch, 1, OPENED)])
        backup(path, target)
        later = await journal.claim(S, "later")
    async with SqliteJournal(target) as restored:
        assert (await restored.claim(S, "new")).epoch == later.epoch, "two owners of one epoch: none may live on"
    async with SqliteJournal(target) as restored:
        assert await restored.fence() == 1
        new = await restored.claim(S, "newer")
        (refused,) = await restored.append([append(S, later.epoch, 2, said("late"))])
        assert isinstance(refused, Fenced)
        assert await restored.append([append(S, new.epoch, 2, said("in time"))]) == [None]
