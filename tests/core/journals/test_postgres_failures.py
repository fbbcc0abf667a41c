"""What the PostgreSQL journal says when its server fails, and that it goes on with all it accepted afterwards."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from agent_core.errors import JournalError
from agent_core.journals.failures import is_temporary
from agent_core.journals.postgres import PostgresJournal
from agent_core.journals.postgres_options import PostgresOptions
from agent_core.messages import SessionId
from tests.core.journals.making import CLOSED, OPENED, append, said, told
from tests.postgres import USER, PostgresCluster, free_port

S = SessionId("s")
HASTY = PostgresOptions(patience=0.2, lock_timeout=0.2, statement_timeout=5.0)
PATIENT = PostgresOptions(patience=60.0)


@pytest.fixture
async def journal(postgres: PostgresCluster, database: str) -> AsyncIterator[PostgresJournal]:
    """A journal whose session `s` holds one record, and which does not wait for long."""
    async with PostgresJournal(postgres.owner_dsn(database), HASTY) as journal:
        await journal.claim(S, "me")
        await journal.append([append(S, 1, 1, OPENED)])
        yield journal


@pytest.fixture
def restored(postgres: PostgresCluster) -> Iterator[PostgresCluster]:
    """The server, which runs again afterwards."""
    yield postgres
    if postgres.process is None:
        postgres.start()
    postgres.wait()


async def failing(action: Any) -> JournalError:
    with pytest.raises(JournalError) as caught:
        await action
    assert type(caught.value) is JournalError
    return caught.value


async def goes_on(journal: PostgresJournal) -> None:
    """Nothing that was accepted is lost, and more is taken."""
    before = await told(journal, S)
    assert await journal.append([append(S, 1, len(before) + 1, said("after"))]) == [None]
    assert await told(journal, S) == [*before, "after"]


async def test_server_that_is_not_there_is_named_with_what_to_do(database: str) -> None:
    port = free_port()
    journal = PostgresJournal(f"postgresql://{USER}@127.0.0.1:{port}/{database}", HASTY)
    for action in (journal.open(), journal.claim(S, "me"), journal.read(S)):
        error = await failing(action)
        assert error.kind == "unreachable"
        assert f"127.0.0.1:{port}" in error.message
        assert "see whether the server is up" in error.message
        assert is_temporary(error)
    await journal.close()


async def test_open_does_not_wait_for_a_server_that_is_not_there(database: str) -> None:
    journal = PostgresJournal(f"postgresql://{USER}@127.0.0.1:{free_port()}/{database}", PATIENT)
    async with asyncio.timeout(30):
        await failing(journal.open())
    await journal.close()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
async def test_appends_wait_while_the_server_is_away_and_nothing_is_lost_or_there_twice(
    restored: PostgresCluster, database: str, how: signal.Signals
) -> None:
    journal = await PostgresJournal(restored.owner_dsn(database), PATIENT).open()
    names = [SessionId(f"s{number}") for number in range(8)]
    answered = dict.fromkeys(names, 0)
    enough, again = asyncio.Event(), asyncio.Event()

    async def talk(name: SessionId) -> None:
        epoch = (await journal.claim(name, "me")).epoch
        while not (again.is_set() and answered[name] >= 12):
            seq = answered[name] + 1
            assert await journal.append([append(name, epoch, seq, said(f"{name} {seq}"))]) == [None]
            answered[name] = seq
            if min(answered.values()) >= 5:
                enough.set()

    async def fail() -> None:
        await enough.wait()
        await asyncio.to_thread(restored.stop, how)
        assert not any(task.done() for task in talking)
        await asyncio.to_thread(restored.start)
        again.set()

    async with asyncio.TaskGroup() as group:
        talking = [group.create_task(talk(name)) for name in names]
        group.create_task(fail())
    for name in names:
        assert await told(journal, name) == [f"{name} {seq}" for seq in range(1, answered[name] + 1)]
    await journal.close()


async def test_server_process_that_is_killed_takes_nothing_with_it_that_was_answered(
    restored: PostgresCluster, database: str
) -> None:
    async with PostgresJournal(restored.owner_dsn(database), PATIENT) as journal:
        answered = 0
        await journal.claim(S, "me")
        for _ in range(3):
            for _ in range(10):
                assert await journal.append([append(S, 1, answered + 1, said(str(answered + 1)))]) == [None]
                answered += 1
            query = "SELECT pid FROM pg_stat_activity WHERE datname = %(name)s AND pid <> pg_backend_pid()"
            [(pid,)] = restored.ask(query, name=database)
            os.kill(pid, signal.SIGKILL)
        assert await told(journal, S) == [str(seq) for seq in range(1, answered + 1)]


async def test_server_that_stays_away_is_given_up_and_later_callers_wait_no_longer(
    journal: PostgresJournal, restored: PostgresCluster
) -> None:
    await asyncio.to_thread(restored.stop)
    assert (await failing(journal.append([append(S, 1, 2, said("lost"))]))).kind == "unreachable"
    journal._server._options = PostgresOptions(patience=3600.0)  # type: ignore[union-attr]
    journal._server._away_since = time.monotonic() - 3600.0  # type: ignore[union-attr]
    async with asyncio.timeout(30):
        assert (await failing(journal.append([append(S, 1, 2, said("lost"))]))).kind == "unreachable"
        assert (await failing(journal.read(S))).kind == "unreachable"
    await asyncio.to_thread(restored.start)
    await goes_on(journal)


async def test_close_does_not_wait_for_a_server_that_is_away(restored: PostgresCluster, database: str) -> None:
    journal = await PostgresJournal(restored.owner_dsn(database), PATIENT).open()
    await journal.claim(S, "me")
    await asyncio.to_thread(restored.stop)
    pending = asyncio.ensure_future(journal.append([append(S, 1, 1, OPENED)]))
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await journal.close()
    assert (await failing(pending)).kind == "unreachable"


async def test_connections_cut_while_idle_are_made_again_unnoticed(
    journal: PostgresJournal, postgres: PostgresCluster, database: str
) -> None:
    assert postgres.cut(database) == 1
    await goes_on(journal)
    assert postgres.cut(database) >= 1
    assert await journal.exists(S)


async def test_server_without_free_connections_is_waited_for_and_then_says_so(
    journal: PostgresJournal, postgres: PostgresCluster, database: str
) -> None:
    postgres.ask("CREATE ROLE guest LOGIN")
    postgres.ask(f"ALTER DATABASE {database} CONNECTION LIMIT 1")
    postgres.ask("GRANT ALL ON ALL TABLES IN SCHEMA public TO guest; ALTER ROLE guest CONNECTION LIMIT 1", database)
    dsn = postgres.owner_dsn(database).replace(USER, "guest")
    with psycopg.connect(postgres.owner_dsn("postgres").replace(USER, "guest")):
        error = await failing(PostgresJournal(dsn, HASTY).claim(S, "crowd"))
    assert error.kind == "unreachable"
    assert "max_connections" in error.message
    await goes_on(journal)
    postgres.ask(f"ALTER DATABASE {database} CONNECTION LIMIT -1")
    later = PostgresJournal(dsn, PATIENT)
    assert (await later.claim(S, "later")).epoch == 2
    await later.close()


async def test_read_only_database_refuses_appends_and_is_read(
    journal: PostgresJournal, postgres: PostgresCluster, database: str
) -> None:
    postgres.ask(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    postgres.cut(database)
    error = await failing(journal.append([append(S, 1, 2, said("after"))]))
    assert error.kind == "read_only"
    assert "primary" in error.message
    assert is_temporary(error)
    assert await told(journal, S) == ["opened"]
    postgres.ask(f"ALTER DATABASE {database} SET default_transaction_read_only = off")
    await goes_on(journal)


async def test_full_disk_fails_what_does_not_fit_and_nothing_beside_it(
    journal: PostgresJournal, postgres: PostgresCluster, database: str
) -> None:
    # The server's own answer to a full disk, given for large rows only.
    postgres.ask(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF length(NEW.body) > 1000 THEN RAISE EXCEPTION 'could not extend file: No space left on device'"
        " USING ERRCODE = '53100'; END IF; RETURN NEW; END $$",
        database,
    )
    trigger = "CREATE TRIGGER full_disk BEFORE INSERT ON entries FOR EACH ROW EXECUTE FUNCTION full_disk()"
    postgres.ask(trigger, database)
    await journal.claim(SessionId("large"), "me")
    large, small = await asyncio.gather(
        journal.append([append("large", 1, 1, said("x" * 2000))]),
        journal.append([append(S, 1, 2, said("small"))]),
        return_exceptions=True,
    )
    assert isinstance(large, JournalError)
    assert large.kind == "disk_full"
    assert "free some" in large.message
    assert "xxx" not in large.message
    assert small == [None]
    postgres.ask("DROP TRIGGER full_disk ON entries", database)
    assert await journal.append([append("large", 1, 1, said("x" * 2000))]) == [None]
    await goes_on(journal)


async def test_newer_schema_is_refused_for_ever_and_left_as_it_is(postgres: PostgresCluster, database: str) -> None:
    async with PostgresJournal(postgres.owner_dsn(database)) as journal:
        await journal.claim(S, "me")
    postgres.ask("UPDATE meta SET value = '99' WHERE key = 'schema'", database)
    journal = PostgresJournal(postgres.owner_dsn(database))
    error = await failing(journal.append([append(S, 1, 1, OPENED)]))
    assert error.kind == "newer_schema"
    assert "update this program" in error.message
    assert not is_temporary(error)
    await journal.close()
    assert postgres.ask("SELECT value FROM meta", database) == [("99",)]


@pytest.mark.parametrize("statement", ["CREATE TABLE customers (name text)", "CREATE TABLE meta (key text)"])
async def test_database_of_another_program_is_refused_and_left_as_it_is(
    postgres: PostgresCluster, database: str, statement: str
) -> None:
    postgres.ask(statement, database)
    journal = PostgresJournal(postgres.owner_dsn(database))
    error = await failing(journal.open())
    assert error.kind == "not_a_journal"
    await journal.close()
    assert len(postgres.ask("SELECT 1 FROM pg_tables WHERE schemaname = 'public'", database)) == 1


async def test_user_without_rights_is_told_which_to_ask_for(postgres: PostgresCluster, database: str) -> None:
    postgres.ask("CREATE ROLE stranger LOGIN")
    journal = PostgresJournal(postgres.owner_dsn(database).replace(USER, "stranger"), HASTY)
    error = await failing(journal.open())
    assert error.kind == "denied"
    assert "GRANT USAGE, CREATE ON SCHEMA" in error.message
    postgres.ask("GRANT CREATE ON SCHEMA public TO stranger", database)
    assert (await journal.claim(S, "me")).epoch == 1
    await journal.close()


async def test_database_that_is_not_there_is_used_once_it_is(postgres: PostgresCluster) -> None:
    journal = PostgresJournal(postgres.owner_dsn("to_come"), HASTY)
    error = await failing(journal.claim(S, "me"))
    assert error.kind == "missing"
    assert "createdb" in error.message
    postgres.ask("CREATE DATABASE to_come")
    assert (await journal.claim(S, "me")).epoch == 1
    await journal.close()


async def test_tables_that_were_taken_away_are_not_made_anew_behind_the_sessions_backs(
    journal: PostgresJournal, postgres: PostgresCluster, database: str
) -> None:
    postgres.ask("ALTER TABLE entries RENAME TO entries_away", database)
    error = await failing(journal.append([append(S, 1, 2, said("lost?"))]))
    assert error.kind == "missing"
    assert "backup" in error.message
    postgres.ask("ALTER TABLE entries_away RENAME TO entries", database)
    await goes_on(journal)


async def test_rows_that_another_program_locks_are_waited_for_and_then_said_to_be(
    journal: PostgresJournal, postgres: PostgresCluster, database: str
) -> None:
    with psycopg.connect(postgres.owner_dsn(database)) as other:
        other.execute("SELECT * FROM sessions FOR UPDATE")
        error = await failing(journal.append([append(S, 1, 2, said("after"))]))
        assert error.kind == "locked"
        assert is_temporary(error)
        assert await told(journal, S) == ["opened"], "reading goes on"
    await goes_on(journal)


async def test_statement_that_takes_too_long_is_ended_by_the_server(postgres: PostgresCluster, database: str) -> None:
    options = PostgresOptions(patience=0.2, lock_timeout=9.0, statement_timeout=0.2)
    async with PostgresJournal(postgres.owner_dsn(database), options) as journal:
        await journal.claim(S, "me")
        await journal.append([append(S, 1, 1, OPENED)])
        with psycopg.connect(postgres.owner_dsn(database)) as other:
            other.execute("SELECT * FROM sessions FOR UPDATE")
            error = await failing(journal.append([append(S, 1, 2, said("after"))]))
        assert error.kind == "timeout"
        await goes_on(journal)


@pytest.mark.parametrize("name", ["s\ud800-sk-secret", "s\x00-sk-secret"])
async def test_text_that_cannot_be_stored_fails_alone_and_is_not_repeated_in_the_error(
    journal: PostgresJournal, name: str
) -> None:
    answers = await asyncio.gather(
        journal.claim(SessionId(name), "me"), journal.claim(SessionId("t"), "me"), return_exceptions=True
    )
    assert isinstance(answers[0], JournalError)
    assert answers[0].kind == "bad_append"
    assert "sk-secret" not in answers[0].message
    assert not isinstance(answers[1], BaseException)
    await goes_on(journal)


async def test_two_transactions_that_wait_for_each_other_are_both_done_in_the_end(
    postgres: PostgresCluster, database: str
) -> None:
    """A lock taken by hand in the other order, as a future program may: the server ends one, which is tried again."""
    async with PostgresJournal(postgres.owner_dsn(database)) as journal:
        await asyncio.gather(*(journal.claim(SessionId(name), "me") for name in ("a", "b")))
        with ExitStack() as stack:
            other = stack.enter_context(psycopg.connect(postgres.owner_dsn(database)))
            other.execute("SET deadlock_timeout = '60s'")
            other.execute("SELECT * FROM sessions WHERE id = 'b' FOR UPDATE")
            pending = asyncio.ensure_future(
                journal.append([append("a", 1, 1, OPENED), append("b", 1, 1, OPENED, CLOSED)])
            )
            query = "SELECT 1 FROM pg_stat_activity WHERE datname = %(name)s AND wait_event_type = 'Lock'"
            while not await asyncio.to_thread(postgres.ask, query, name=database):
                await asyncio.sleep(0.01)
            await asyncio.to_thread(other.execute, "UPDATE sessions SET owner = owner WHERE id = 'a'")
            other.commit()
        assert await pending == [None, None]
        assert await told(journal, "b") == ["opened", "closed"]
