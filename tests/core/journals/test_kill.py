"""Accepted means durable: what was answered before a kill -9 is there afterwards, once, in order."""

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from agent_core.journals.postgres import PostgresJournal
from agent_core.journals.sqlite import SqliteJournal
from agent_core.messages import SessionId
from tests.core.journals.making import append, said, told
from tests.core.journals.writer import SESSIONS
from tests.postgres import PostgresCluster


def write_and_kill(path: Path | str, repository: Path, answers: int) -> Counter[str]:
    """Run the writer until it has printed so many answers, kill it, return the last answered number of each session."""
    command = [sys.executable, "-m", "tests.core.journals.writer", str(path)]
    with subprocess.Popen(command, cwd=repository, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(answers)]
        writer.kill()
        lines += [line for line in writer.stdout.read().splitlines(keepends=True) if line.endswith(b"\n")]
    assert writer.returncode == -signal.SIGKILL
    last: Counter[str] = Counter()
    for line in lines:
        name, seq = line.decode().split()
        last[name] = max(last[name], int(seq))
    return last


async def test_everything_answered_before_a_kill_is_there_once_and_in_order(tmp_path: Path, repository: Path) -> None:
    path = tmp_path / "journal.sqlite"
    answered: Counter[str] = Counter()
    for answers in (40, 150, 300):
        answered |= write_and_kill(path, repository, answers)
        async with SqliteJournal(path) as journal:
            for name in (f"s{number}" for number in range(SESSIONS)):
                texts = await told(journal, name)
                assert texts == [f"{name} {seq}" for seq in range(1, len(texts) + 1)]
                assert len(texts) >= answered[name], "an answered append is lost"
    assert sum(answered.values()) >= 490


async def test_everything_answered_before_a_kill_is_in_the_database_once_and_in_order(
    postgres: PostgresCluster, repository: Path
) -> None:
    address = postgres.create_schema()
    answered: Counter[str] = Counter()
    for answers in (100, 300):
        answered |= write_and_kill(address, repository, answers)
    async with PostgresJournal(address) as journal:
        for name in (f"s{number}" for number in range(SESSIONS)):
            texts = await told(journal, name)
            assert texts == [f"{name} {seq}" for seq in range(1, len(texts) + 1)]
            assert len(texts) >= answered[name], "an answered append is lost"
            info = await journal.session_info(SessionId(name))
            assert info is not None
            assert info.epoch == 2
    assert sum(answered.values()) >= 400


async def test_killed_owner_s_session_goes_on_under_a_new_epoch(tmp_path: Path, repository: Path) -> None:
    path = tmp_path / "journal.sqlite"
    write_and_kill(path, repository, 40)
    async with SqliteJournal(path) as journal:
        claim = await journal.claim(SessionId("s0"), "the next")
        assert claim.epoch == 2
        seq = len(claim.records) + 1
        assert await journal.append([append("s0", 2, seq, said("more"))]) == [None]
        assert (await told(journal, "s0"))[-1] == "more"
