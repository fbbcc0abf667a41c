"""The journal actor through its handle: the contract, batching, and nothing lost or doubled when it is killed."""

import asyncio
import os
import pickle
import signal
import sqlite3
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import ray

from actors.journal import JournalActor, JournalHandle, Patience, spawn
from agent_core.errors import Fenced, JournalError
from agent_core.journals.schema import METADATA
from agent_core.journals.sqlite import SqliteJournal
from agent_core.journals.sqlite_file import FileOptions
from agent_core.messages import SessionId
from tests.core.journals.contract import JournalContract
from tests.core.journals.making import OPENED, FullJournal, append, said, told

NAMESPACE = "test-journal"
S = SessionId("s")

Start = Callable[..., JournalHandle]


@pytest.fixture
def start(cluster: None) -> Iterator[Start]:
    """Starts journal actors on the path given, and ends them after the test."""
    names: list[str] = []

    def begin(path: Path, options: FileOptions | None = None) -> JournalHandle:
        names.append(f"journal-{uuid.uuid4().hex}")
        return spawn(names[-1], NAMESPACE, str(path), options)

    yield begin
    for name in names:
        ray.kill(ray.get_actor(name, NAMESPACE))


@pytest.fixture(scope="module")
def shared(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[JournalHandle, Path]]:
    """One actor for the whole contract."""
    path = tmp_path_factory.mktemp("journal") / "journal.sqlite"
    handle = spawn(f"journal-{uuid.uuid4().hex}", NAMESPACE, str(path))
    yield handle, path
    ray.kill(ray.get_actor(handle.name, NAMESPACE))


class TestJournalHandle(JournalContract):
    @pytest.fixture
    async def journal(self, shared: tuple[JournalHandle, Path]) -> AsyncIterator[FullJournal]:
        handle, path = shared
        yield JournalHandle(handle.name, NAMESPACE)
        empty(path)


def empty(path: Path) -> None:
    """Take everything out of the file, behind the actor's back."""
    with sqlite3.connect(path) as connection:
        for table in set(METADATA.tables) - {"meta"}:
            connection.execute(f"DELETE FROM {table}")
        connection.execute("DELETE FROM meta WHERE key <> 'schema'")
    connection.close()


async def test_open_tells_where_the_journal_is(start: Start, tmp_path: Path) -> None:
    place = await start(tmp_path / "journal.sqlite").open()
    assert place.path == str(tmp_path / "journal.sqlite")
    assert place.pid != os.getpid()
    assert place.node_id


async def test_open_says_what_is_wrong_with_the_path(start: Start, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalError) as caught:
        await start(tmp_path / "file" / "journal.sqlite").open()
    assert type(caught.value) is JournalError
    assert caught.value.kind == "unwritable"
    assert "name a path" in caught.value.message


async def test_failure_of_the_file_reaches_every_caller_as_its_own_error(start: Start, tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_text("no database at all, but long enough to be read as one" * 20)
    handle = start(tmp_path / "journal.sqlite")
    answers = await asyncio.gather(
        *(handle.claim(SessionId(f"s{number}"), "me") for number in range(3)), return_exceptions=True
    )
    assert [answer.kind for answer in answers if isinstance(answer, JournalError)] == ["corrupt"] * 3


async def test_spawning_the_same_name_joins_the_actor_that_is_there(start: Start, tmp_path: Path) -> None:
    one = start(tmp_path / "journal.sqlite")
    two = spawn(one.name, NAMESPACE, str(tmp_path / "other.sqlite"))
    assert (await one.open()) == (await two.open())


async def test_handle_can_be_sent_to_another_process(start: Start, tmp_path: Path) -> None:
    handle = start(tmp_path / "journal.sqlite")

    @ray.remote(num_cpus=0)
    def write(sent: JournalHandle) -> str:
        async def main() -> str:
            await sent.claim(S, "other process")
            await sent.append([append(S, 1, 1, OPENED)])
            return "written"

        return asyncio.run(main())

    assert await write.remote(handle) == "written"
    assert await told(handle, S) == ["opened"]
    assert pickle.loads(pickle.dumps(handle)).name == handle.name


async def test_what_many_sessions_append_at_once_travels_in_few_envelopes(start: Start, tmp_path: Path) -> None:
    handle = start(tmp_path / "journal.sqlite")
    names = [f"s{number}" for number in range(200)]
    await asyncio.gather(*(handle.claim(SessionId(name), "me") for name in names))
    before = handle.envelopes
    await asyncio.gather(*(handle.append([append(name, 1, 1, OPENED)]) for name in names))
    assert handle.envelopes - before <= 2


async def test_kill_of_the_actor_loses_and_doubles_nothing_and_completes_what_waits(
    start: Start, tmp_path: Path
) -> None:
    path = tmp_path / "journal.sqlite"
    handle = start(path)
    pid = (await handle.open()).pid
    sessions, length, kills = 20, 60, 3
    answered = 0
    quarter = [asyncio.Event() for _ in range(kills)]

    async def talk(name: str) -> None:
        nonlocal answered
        claim = await handle.claim(SessionId(name), "me")
        for seq in range(1, length + 1):
            assert await handle.append([append(name, claim.epoch, seq, said(f"{name} {seq}"))]) == [None]
            answered += 1
            for place, event in enumerate(quarter, start=1):
                if answered >= place * sessions * length // (kills + 1):
                    event.set()

    async def kill() -> None:
        nonlocal pid
        for event in quarter:
            await event.wait()
            os.kill(pid, signal.SIGKILL)
            pid = (await handle.open()).pid

    names = [f"s{number}" for number in range(sessions)]
    async with asyncio.TaskGroup() as group:
        group.create_task(kill())
        for name in names:
            group.create_task(talk(name))
    async with SqliteJournal(path) as journal:
        for name in names:
            assert await told(journal, name) == [f"{name} {seq}" for seq in range(1, length + 1)]


async def test_envelope_that_was_written_but_not_answered_is_sent_again_without_harm(
    start: Start, tmp_path: Path
) -> None:
    handle = start(tmp_path / "journal.sqlite")
    await handle.claim(S, "me")
    sent = append(S, 1, 1, OPENED, said("a"))
    await handle.append([sent])
    os.kill((await handle.open()).pid, signal.SIGKILL)
    assert await handle.append([sent]) == [None]
    assert await told(handle, S) == ["opened", "a"]


async def test_old_owner_is_fenced_through_another_handle(start: Start, tmp_path: Path) -> None:
    one = start(tmp_path / "journal.sqlite")
    two = JournalHandle(one.name, NAMESPACE)
    await one.claim(S, "one")
    await two.claim(S, "two")
    [refusal] = await one.append([append(S, 1, 1, OPENED)])
    assert isinstance(refusal, Fenced)


async def test_actor_that_is_not_there_is_an_error_after_the_deadline(cluster: None) -> None:
    handle = JournalHandle("nobody", NAMESPACE, Patience(deadline=0.3))
    with pytest.raises(JournalError) as caught:
        await handle.append([append(S, 1, 1, OPENED)])
    assert caught.value.kind == "unreachable"
    assert "'nobody'" in caught.value.message


async def test_frozen_actor_is_an_error_after_the_deadline_and_the_append_may_be_repeated(
    start: Start, tmp_path: Path
) -> None:
    handle = start(tmp_path / "journal.sqlite")
    await handle.claim(S, "me")
    pid = (await handle.open()).pid
    hasty = JournalHandle(handle.name, NAMESPACE, Patience(deadline=0.5))
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(JournalError) as caught:
            await hasty.append([append(S, 1, 1, OPENED)])
        assert caught.value.kind == "unreachable"
    finally:
        os.kill(pid, signal.SIGCONT)
    assert await handle.append([append(S, 1, 1, OPENED)]) == [None]
    assert await told(handle, S) == ["opened"]


async def test_closed_journal_says_so(start: Start, tmp_path: Path) -> None:
    handle = start(tmp_path / "journal.sqlite")
    await handle.claim(S, "me")
    await handle.close()
    with pytest.raises(JournalError) as caught:
        await handle.append([append(S, 1, 1, OPENED)])
    assert caught.value.kind == "closed"


def test_actor_shows_its_file_by_its_name(tmp_path: Path) -> None:
    assert repr(JournalActor(str(tmp_path / "journal.sqlite"))) == f"Journal({tmp_path}/journal.sqlite)"
