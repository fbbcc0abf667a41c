"""What the SQLite journal says when its file fails, and that it goes on with all it accepted once the cause is gone."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent_core.errors import JournalError
from agent_core.journals.failures import is_temporary
from agent_core.journals.sqlite import SqliteJournal
from agent_core.journals.sqlite_file import FileOptions
from agent_core.messages import SessionId
from agent_core.ports import Claim
from tests.core.journals.making import CLOSED, OPENED, append, said, told

S = SessionId("s")
NOBODY = 65534
ROOT = os.geteuid() == 0


@contextmanager
def plain_user() -> Iterator[None]:
    """Permissions count: as root they would not."""
    if not ROOT:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def permit(path: Path, mode: int) -> None:
    path.chmod(mode)


def mount(disk: Path) -> None:
    """A disk of 400 KB at the path; skips the test where that is not allowed."""
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", disk]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("this container may not mount")


def unmount(disk: Path) -> None:
    subprocess.run(["umount", disk], check=True)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that a plain user may enter."""
    directory = Path(tempfile.mkdtemp(prefix="journal-"))
    directory.chmod(0o777)
    yield directory
    directory.chmod(0o777)
    shutil.rmtree(directory)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[SqliteJournal]:
    """A journal whose session `s` holds one record."""
    async with SqliteJournal(tmp_path / "journal.sqlite", FileOptions(busy_timeout=0.05)) as journal:
        await journal.claim(S, "me")
        await journal.append([append(S, 1, 1, OPENED)])
        yield journal


async def failing(action: Any) -> JournalError:
    with pytest.raises(JournalError) as caught:
        await action
    assert type(caught.value) is JournalError
    return caught.value


async def goes_on(journal: SqliteJournal) -> None:
    """The one accepted record is there, and the next one can be written."""
    assert await journal.append([append(S, 1, 2, said("after"))]) == [None]
    assert await told(journal, S) == ["opened", "after"]


async def test_path_below_a_file_is_refused_until_the_file_is_gone(tmp_path: Path) -> None:
    blocking = tmp_path / "file"
    blocking.write_text("in the way")
    journal = SqliteJournal(blocking / "journal.sqlite")
    error = await failing(journal.open())
    assert error.kind == "unwritable"
    assert str(blocking) in error.message
    assert "name a path" in error.message
    blocking.unlink()
    await journal.open()
    assert (await journal.claim(S, "me")).epoch == 1
    await journal.close()


async def test_directory_that_may_not_be_written_is_refused_by_its_path(open_directory: Path) -> None:
    permit(open_directory, 0o555)
    journal = SqliteJournal(open_directory / "journal.sqlite")
    with plain_user():
        error = await failing(journal.claim(S, "me"))
    assert error.kind in {"unwritable", "read_only"}
    assert str(open_directory) in error.message
    assert is_temporary(error)
    permit(open_directory, 0o777)
    with plain_user():
        assert (await journal.claim(S, "me")).epoch == 1
        await journal.close()


async def test_file_that_may_not_be_written_refuses_appends_and_loses_nothing(open_directory: Path) -> None:
    path = open_directory / "journal.sqlite"
    async with SqliteJournal(path) as journal:
        await journal.claim(S, "me")
        await journal.append([append(S, 1, 1, OPENED)])
    permit(path, 0o444)
    journal = SqliteJournal(path)
    with plain_user():
        error = await failing(journal.append([append(S, 1, 2, said("after"))]))
    assert error.kind == "read_only"
    assert "writable" in error.message
    permit(path, 0o666)
    with plain_user():
        await goes_on(journal)
        await journal.close()


async def test_full_file_refuses_appends_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    async with SqliteJournal(path, FileOptions(max_bytes=200_000)) as journal:
        await journal.claim(S, "me")
        await journal.append([append(S, 1, 1, OPENED)])
        error = await failing(journal.append([append(S, 1, 2, said("x" * 250_000))]))
        assert error.kind == "disk_full"
        assert "free some" in error.message
        assert is_temporary(error)
        await goes_on(journal)
    async with SqliteJournal(path) as journal:
        assert await journal.append([append(S, 1, 3, said("x" * 250_000))]) == [None]


async def test_append_that_does_not_fit_does_not_hurt_those_that_commit_with_it(tmp_path: Path) -> None:
    async with SqliteJournal(tmp_path / "journal.sqlite", FileOptions(max_bytes=400_000)) as journal:
        names = [f"s{number}" for number in range(20)]
        await asyncio.gather(*(journal.claim(SessionId(name), "me") for name in names))
        texts = {name: "x" * (450_000 if name == "s7" else 100) for name in names}
        answers = await asyncio.gather(
            *(journal.append([append(name, 1, 1, said(text))]) for name, text in texts.items()),
            journal.append([append("s7", 1, 2, CLOSED)]),
            return_exceptions=True,
        )
        failed = {place for place, answer in enumerate(answers) if isinstance(answer, JournalError)}
        assert failed == {7, 20}, "the large one, and the one that follows it in the same session"
        assert {getattr(answers[place], "kind", None) for place in failed} == {"disk_full"}
        assert await told(journal, "s19") == ["x" * 100]


@pytest.mark.skipif(not ROOT or shutil.which("mount") is None, reason="mounting a small disk takes root")
async def test_full_disk_refuses_appends_and_goes_on_once_space_is_free(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    mount(disk)
    try:
        async with SqliteJournal(disk / "journal.sqlite") as journal:
            await journal.claim(S, "me")
            await journal.append([append(S, 1, 1, OPENED)])
            ballast = disk / "ballast"
            with pytest.raises(OSError, match="space"):
                ballast.write_bytes(b"x" * 400_000)
            error = await failing(journal.append([append(S, 1, 2, said("x" * 50_000))]))
            assert error.kind in {"disk_full", "io"}
            ballast.unlink()
            await goes_on(journal)
    finally:
        unmount(disk)


async def test_locked_file_fails_for_the_moment(journal: SqliteJournal) -> None:
    other = sqlite3.connect(journal.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    error = await failing(journal.append([append(S, 1, 2, said("after"))]))
    assert error.kind == "locked"
    assert "another program" in error.message
    assert is_temporary(error)
    assert await told(journal, S) == ["opened"], "reading goes on"
    other.execute("ROLLBACK")
    other.close()
    await goes_on(journal)


async def test_file_taken_away_is_noticed_before_anything_is_written_and_used_again_when_it_is_back(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    away = tmp_path / "away"
    journal.path.rename(away)
    error = await failing(journal.append([append(S, 1, 2, said("lost?"))]))
    assert error.kind == "missing"
    assert "put the same file back" in error.message
    assert (await failing(journal.read(S))).kind == "missing"
    away.rename(journal.path)
    await goes_on(journal)


async def test_file_that_replaces_the_one_in_use_is_not_touched(journal: SqliteJournal, tmp_path: Path) -> None:
    copy = tmp_path / "copy.sqlite"
    async with SqliteJournal(copy) as other:
        await other.claim(S, "me")
    away = tmp_path / "away"
    journal.path.rename(away)
    copy.rename(journal.path)
    before = journal.path.read_bytes()
    error = await failing(journal.append([append(S, 1, 2, said("whose?"))]))
    assert error.kind == "missing"
    assert "-wal" in error.message
    assert journal.path.read_bytes() == before
    away.rename(journal.path)
    await goes_on(journal)


async def test_newer_schema_is_refused_for_ever_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    async with SqliteJournal(path) as journal:
        await journal.claim(S, "me")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema'")
    connection.close()
    before = path.read_bytes()
    journal = SqliteJournal(path)
    error = await failing(journal.append([append(S, 1, 1, OPENED)]))
    assert error.kind == "newer_schema"
    assert "update this program" in error.message
    assert not is_temporary(error)
    await journal.close()
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE customers (name)", "CREATE TABLE meta (key, value); CREATE TABLE sessions (a);"]
)
async def test_database_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(statement)
    connection.close()
    journal = SqliteJournal(path)
    error = await failing(journal.open())
    assert error.kind == "not_a_journal"
    assert "another program's" in error.message
    await journal.close()


async def test_file_that_is_no_database_is_refused_until_it_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_text("Dear diary, today I was no database at all. " * 50)
    journal = SqliteJournal(path)
    error = await failing(journal.claim(S, "me"))
    assert error.kind == "corrupt"
    assert "backup" in error.message
    assert not is_temporary(error)
    path.unlink()
    assert (await journal.claim(S, "me")).epoch == 1
    await journal.close()


async def test_truncated_file_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    async with SqliteJournal(path) as journal:
        await journal.claim(S, "me")
        await journal.append([append(S, 1, 1, OPENED, *(said("x" * 5000) for _ in range(50)))])
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    journal = SqliteJournal(path)
    error = await failing(journal.claim(S, "me"))
    assert error.kind == "corrupt"
    assert ".recover" in error.message
    await journal.close()


async def test_damaged_page_fails_its_own_session_only(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    async with SqliteJournal(path) as journal:
        for name in ("whole", "hurt"):
            await journal.claim(SessionId(name), "me")
            await journal.append([append(name, 1, 1, *(said(f"{name} " + "x" * 3000) for _ in range(30)))])
    content = path.read_bytes()
    place = content.index(b"hurt xxx") // 4096 * 4096
    path.write_bytes(content[:place] + b"\xff" * 4096 + content[place + 4096 :])
    async with SqliteJournal(path) as journal:
        assert (await failing(journal.read(SessionId("hurt")))).kind == "corrupt"
        assert len(await journal.read(SessionId("whole"))) == 30
        assert await journal.append([append("whole", 1, 31, CLOSED)]) == [None]


async def test_text_that_cannot_be_stored_fails_alone_and_is_not_repeated_in_the_error(journal: SqliteJournal) -> None:
    broken = SessionId("s\ud800-sk-secret")
    answers = await asyncio.gather(
        journal.claim(broken, "me"), journal.claim(SessionId("t"), "me"), return_exceptions=True
    )
    assert isinstance(answers[0], JournalError)
    assert answers[0].kind == "bad_append"
    assert "sk-secret" not in answers[0].message
    assert isinstance(answers[1], Claim)
    await goes_on(journal)


async def test_entry_of_an_unknown_form_is_refused_by_its_session_and_place(journal: SqliteJournal) -> None:
    with sqlite3.connect(journal.path) as connection:
        connection.execute(
            "UPDATE entries SET body = ? WHERE session = 's'", (b'{"kind":"teleported","key":"hidden"}',)
        )
    connection.close()
    error = await failing(journal.read(S))
    assert error.kind == "unreadable"
    assert "'s'" in error.message
    assert "hidden" not in error.message
