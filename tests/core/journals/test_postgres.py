"""The PostgreSQL journal keeps the contract, beside other processes' journals on the same database too."""

import asyncio
import pickle
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from agent_core.errors import Fenced, JournalError
from agent_core.journals.blobs import JournalBlobs
from agent_core.journals.postgres import PostgresJournal
from agent_core.journals.postgres_options import PostgresOptions
from agent_core.messages import SessionId
from tests.core.journals.contract import JournalContract
from tests.core.journals.making import OPENED, FullJournal, append, said, told
from tests.postgres import PostgresCluster

S = SessionId("s")


class TestPostgresJournal(JournalContract):
    @pytest.fixture
    async def journal(self, postgres: PostgresCluster) -> AsyncIterator[FullJournal]:
        async with PostgresJournal(postgres.create_schema()) as journal:
            yield journal


async def test_what_was_answered_is_there_for_the_next_process(postgres: PostgresCluster, database: str) -> None:
    async with PostgresJournal(postgres.owner_dsn(database)) as journal:
        await journal.claim(S, "me")
        await journal.append([append(S, 1, 1, OPENED, said("a"))])
        digest = await journal.put_blob(b"code")
    async with PostgresJournal(postgres.owner_dsn(database)) as journal:
        claim = await journal.claim(S, "next")
        assert (claim.epoch, len(claim.records)) == (2, 2)
        assert await JournalBlobs(journal).get(digest) == b"code"


@pytest.mark.parametrize(("durability", "level"), [("process", "local"), ("power", "on")])
async def test_durability_is_a_level_that_flushes_each_commit(
    postgres: PostgresCluster, database: str, durability: str, level: str
) -> None:
    options = PostgresOptions(durability=durability)  # type: ignore[arg-type]
    async with PostgresJournal(postgres.owner_dsn(database), options) as journal:
        assert journal._server is not None
        with journal._server._prepared().connect() as connection:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == level


async def test_two_journals_on_one_database_fence_each_other(postgres: PostgresCluster, database: str) -> None:
    dsn = postgres.owner_dsn(database)
    async with PostgresJournal(dsn) as one, PostgresJournal(dsn) as two:
        assert (await one.claim(S, "one")).epoch == 1
        assert await one.append([append(S, 1, 1, OPENED)]) == [None]
        assert (await two.claim(S, "two")).epoch == 2
        [refusal] = await one.append([append(S, 1, 2, said("late"))])
        assert isinstance(refusal, Fenced)
        assert await two.append([append(S, 2, 2, said("mine"))]) == [None]
        assert await told(one, S) == ["opened", "mine"]


async def test_many_owners_of_the_same_sessions_never_wait_for_each_other_in_a_circle(
    postgres: PostgresCluster, database: str
) -> None:
    names = [SessionId(f"s{number}") for number in range(12)]
    dsn = postgres.owner_dsn(database)
    journals = [await PostgresJournal(dsn).open() for _ in range(4)]

    async def fight(place: int) -> None:
        order = names[place:] + names[:place]
        for turn in range(6):
            claims = await asyncio.gather(*(journals[place].claim(name, f"{place}") for name in order))
            body = said("x" * (300_000 + turn % 2))
            await journals[place].append(
                [append(claim.session_id, claim.epoch, len(claim.records) + 1, body) for claim in reversed(claims)]
            )

    await asyncio.gather(*(fight(place) for place in range(4)))
    for name in names:
        info = await journals[0].session_info(name)
        assert info is not None
        assert info.epoch == 24
    [(deadlocks,)] = postgres.ask("SELECT deadlocks FROM pg_stat_database WHERE datname = %(name)s", name=database)
    assert deadlocks == 0
    for journal in journals:
        await journal.close()


async def test_journals_made_at_once_on_an_empty_database_make_the_tables_once(
    postgres: PostgresCluster, database: str
) -> None:
    journals = [PostgresJournal(postgres.owner_dsn(database)) for _ in range(4)]
    claims = await asyncio.gather(*(journal.claim(S, "me") for journal in journals))
    assert sorted(claim.epoch for claim in claims) == [1, 2, 3, 4]
    for journal in journals:
        await journal.close()


async def test_large_bodies_are_stored_once(postgres: PostgresCluster, database: str) -> None:
    async with PostgresJournal(postgres.owner_dsn(database)) as journal:
        for name in ("a", "b", "c"):
            await journal.claim(SessionId(name), "me")
            await journal.append([append(name, 1, 1, said("z" * 300_000), said("small"))])
    assert postgres.ask("SELECT count(*) FROM blobs", database) == [(1,)]
    assert postgres.ask("SELECT count(*), count(body), count(blob) FROM entries", database) == [(6, 3, 3)]


async def test_idle_journal_holds_one_connection(postgres: PostgresCluster, database: str) -> None:
    async with PostgresJournal(postgres.owner_dsn(database)) as journal:
        await journal.claim(S, "me")
        await asyncio.gather(*(journal.read(S) for _ in range(20)))
        query = "SELECT count(*), max(application_name) FROM pg_stat_activity WHERE datname = %(name)s"
        # A server's process ends a moment after its connection.
        while (found := await asyncio.to_thread(postgres.ask, query, name=database)) != [(1, "rayconteur journal")]:
            assert found[0][0] > 1


async def test_journal_is_pickled_by_its_address_and_imports_nothing_heavy(
    postgres: PostgresCluster, database: str
) -> None:
    sent = pickle.dumps(PostgresJournal(postgres.owner_dsn(database), PostgresOptions(patience=3.0)))
    program = (
        "import pickle, sys; journal = pickle.load(sys.stdin.buffer);"
        " print(journal.address, journal._options.patience, {'sqlalchemy', 'psycopg', 'alembic'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], input=sent, capture_output=True, check=True)
    assert done.stdout.decode().strip() == f"{postgres.owner_dsn(database)} 3.0 set()"


async def test_closed_journal_says_so(postgres: PostgresCluster, database: str) -> None:
    journal = await PostgresJournal(postgres.owner_dsn(database)).open()
    await journal.close()
    await journal.close()
    for action in (journal.open(), journal.claim(S, "me"), journal.read(S)):
        with pytest.raises(JournalError) as caught:
            await action
        assert caught.value.kind == "closed"
