"""The address of a PostgreSQL journal holds no password, and neither does anything that is said of it."""

import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent_core.errors import ConfigError, JournalError
from agent_core.journals.address import PostgresAddress
from agent_core.journals.postgres import PostgresJournal
from agent_core.journals.postgres_options import PostgresOptions
from agent_core.messages import SessionId
from tests.core.journals.making import OPENED, append
from tests.postgres import PASSWORD, USER, PostgresCluster

S = SessionId("s")
HASTY = PostgresOptions(patience=0.1)
SECRET = "hunter2"


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://user@host/db",
        "postgres://user@host:5432/db?sslmode=require",
        "postgresql:///db?host=/var/run/postgresql",
        "postgresql://one:5432,two:5433/db?target_session_attrs=read-write",
        "postgresql://user@[::1]:5432/db",
        "env:DATABASE_URL",
        "file:~/secrets/dsn",
    ],
)
def test_address_without_a_password_is_kept_as_it_was_given(text: str) -> None:
    assert str(PostgresAddress.of(text)) == text


def test_path_of_a_reference_does_not_depend_on_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    address = PostgresAddress.of("file:dsn")
    assert str(address) == f"file:{tmp_path}/dsn"
    (tmp_path / "dsn").write_text(f"postgresql://user:{SECRET}@host/db\n")
    monkeypatch.chdir("/")
    assert address.resolve() == f"postgresql://user:{SECRET}@host/db"


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://user:{SECRET}@host/db",
        f"postgresql://user:@{SECRET}/db",
        f"postgresql://user:{SECRET}@host:5432,other/db",
        f"postgresql://user@host/db?password={SECRET}",
        f"postgresql://user@host/db?sslmode=require&password={SECRET}",
        f"postgresql://user@host/db?sslpassword={SECRET}",
        f"postgresql://user@host/db?p%61ssword={SECRET}",
    ],
)
def test_literal_password_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PostgresAddress.of(text)
    assert caught.value.kind == "literal_password"
    assert SECRET not in caught.value.message
    assert "env:NAME" in caught.value.message
    assert "PGPASSWORD" in caught.value.message


MALFORMED = [
    f"postgresql://user:{SECRET}",
    f"postgresql://user:12@{SECRET}@host/db",
    f"postgresql://user:12/{SECRET}@host/db",
    f"postgresql://user:12?{SECRET}@host/db",
    f"postgresql://user:{SECRET}/12@host/db",
    f"postgresql://user:a {SECRET}@host/db",
    f"host=h user=u password={SECRET}",
    f"mysql://user:{SECRET}@host/db",
    SECRET,
]


@pytest.mark.parametrize("text", MALFORMED)
def test_text_that_is_no_address_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PostgresAddress.of(text)
    assert SECRET not in caught.value.message
    assert "postgresql://user@host:5432/database" in caught.value.message


@pytest.mark.parametrize("text", MALFORMED)
async def test_reference_to_what_is_no_address_is_named_without_repeating_it(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOURNAL_DSN", text)
    journal = PostgresJournal("env:JOURNAL_DSN", HASTY)
    error = await fails(journal.open)
    assert error.kind == "denied"
    assert "JOURNAL_DSN" in error.message
    assert "percent-encoded" in error.message
    assert SECRET not in shown(error, journal)
    await journal.close()


@pytest.mark.parametrize(
    ("text", "mend"),
    [("env:NOT_SET_ANYWHERE", "NOT_SET_ANYWHERE is not set"), ("file:/not/there", "/not/there cannot be read")],
)
async def test_reference_that_leads_nowhere_says_what_to_put_where(text: str, mend: str) -> None:
    journal = PostgresJournal(text, HASTY)
    error = await fails(journal.open)
    assert error.kind == "denied"
    assert mend in error.message
    await journal.close()


@pytest.fixture(params=["env", "file", "PGPASSWORD", "pgpass"])
def address(
    request: pytest.FixtureRequest,
    postgres: PostgresCluster,
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str], str]:
    """Gives the address of the same database with a password that is to be had in one of the ways there are."""

    def with_password(password: str) -> str:
        whole = postgres.dsn(database).replace(f"{USER}@", f"{USER}:{password}@")
        match request.param:
            case "env":
                monkeypatch.setenv("JOURNAL_DSN", whole)
                return "env:JOURNAL_DSN"
            case "file":
                (tmp_path / "dsn").write_text(whole)
                return f"file:{tmp_path}/dsn"
            case "PGPASSWORD":
                monkeypatch.setenv("PGPASSWORD", password)
            case _:
                (tmp_path / "pgpass").write_text(f"*:*:*:*:{password}\n")
                (tmp_path / "pgpass").chmod(0o600)
                monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))
        return postgres.dsn(database)

    return with_password


async def test_password_is_found_where_the_address_says_or_where_the_client_library_looks(
    address: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with PostgresJournal(address(PASSWORD)) as journal:
        await journal.claim(S, "me")
        assert await journal.append([append(S, 1, 1, OPENED)]) == [None]
        assert journal._server is not None
        said = [
            repr(journal),
            repr(journal._server),
            str(vars(journal)),
            repr(journal._server._prepared()),
            caplog.text,
        ]
        said += [str(journal.address), journal._server.where, str(journal.__reduce__())]
    assert PASSWORD not in " ".join(said)


async def test_wrong_password_is_refused_without_repeating_it_and_the_right_one_taken_afterwards(
    address: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = "wr0ng-planted-password"
    journal = PostgresJournal(address(wrong), HASTY)
    for action in (journal.open, lambda: journal.claim(S, "me"), lambda: journal.read(S)):
        error = await fails(action)
        assert error.kind == "denied"
        assert "check the user and the password" in error.message
        assert wrong not in shown(error, journal)
    assert wrong not in caplog.text
    address(PASSWORD)
    assert (await journal.claim(S, "me")).epoch == 1
    await journal.close()


async def fails(action: Callable[[], Any]) -> JournalError:
    with pytest.raises(JournalError) as caught:
        await action()
    return caught.value


def shown(error: JournalError, journal: PostgresJournal) -> str:
    """Everything that a program may print of the error."""
    lines = "".join(traceback.format_exception(error))
    return f"{error!r} {error.info()!r} {lines} {journal!r} {journal._server!r}"
