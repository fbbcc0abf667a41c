"""What the failures of a PostgreSQL server mean, and what to do about each.

The rule here: a text names the database, what failed and the mend, and holds neither a password nor a value that was to
be written: of the server's words only the first line is repeated, whose facts are names.
"""

import re
from collections.abc import Iterable

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from agent_core.errors import JournalError
from agent_core.journals.failures import FailureKind, failure

RETRIED: frozenset[str] = frozenset({"unreachable", "locked"})
"""Kinds that may be over in a moment: the same transaction is tried again for a while."""

Meaning = tuple[FailureKind, str]

_AWAY = "see whether the server is up and can be reached from here; what was accepted is safe, and may be sent again"
_CHECK_KEY = (
    "check the user and the password (in the DSN's env:NAME or file:PATH, in PGPASSWORD or in .pgpass of the process"
    " that connects) and pg_hba.conf on the server"
)
_CHECK_RIGHTS = "let this user create and use tables in the schema (GRANT USAGE, CREATE ON SCHEMA ... TO ...)"
_CROWDED: Meaning = (
    "unreachable",
    "it takes no more connections: raise max_connections on the server, or use fewer session actors",
)
_REFUSED: Meaning = ("denied", _CHECK_KEY)
_NO_DATABASE: Meaning = ("missing", "create the database (createdb NAME), or name another one")
_DENIED: Meaning = ("denied", _CHECK_RIGHTS)
_LOCKED: Meaning = ("locked", "another program holds its rows locked: end that program, or wait and try again")
_UNKNOWN: Meaning = ("io", "see the server's log")
_POOLED = (
    "prepared statements get lost on the way: connect to the server itself, not through a proxy that shares sessions"
)

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_STATES: dict[str, Meaning] = {
    "25006": ("read_only", "it may only be read: name the primary server, or let it be written to"),
    "53100": ("disk_full", "no space is left on the server: free some, then try again"),
    "53200": ("io", "the server has no memory left: give it more, or lower its load"),
    "53300": _CROWDED,
    "28000": _REFUSED,
    "28P01": _REFUSED,
    "3D000": _NO_DATABASE,
    "3F000": ("missing", "create the schema that search_path names, or leave search_path out"),
    "42501": _DENIED,
    "42P01": ("missing", "one of its tables is gone: restore the database from a backup"),
    "42703": ("missing", "one of its tables was changed: restore the database from a backup"),
    "57014": ("timeout", "a statement took too long: see what keeps the server busy"),
    "55P03": _LOCKED,
    "40P01": _LOCKED,
    "40001": _LOCKED,
    "54000": ("too_big", "one entry is larger than PostgreSQL stores (1 GB): send less at once"),
    "26000": ("io", _POOLED),
    "58030": ("io", "the server's disk failed: check it"),
    "XX001": ("corrupt", "its data is damaged: restore a backup"),
    "XX002": ("corrupt", "an index of it is damaged: REINDEX it, or restore a backup"),
}
_CLASSES: dict[str, Meaning] = {
    "08": ("unreachable", _AWAY),
    "22": ("bad_append", "use valid Unicode text, without the character of code 0 in ids, and UTF8 for the database"),
    "57": ("unreachable", _AWAY),
    "58": ("io", "the server's system failed: see its log"),
}
# While a connection is made the client library gives no code. The words are the server's, in English.
_WORDS: tuple[tuple[str, Meaning], ...] = (
    (r"password authentication failed|no password supplied|fe_sendauth|authentication failed", _REFUSED),
    (r"no pg_hba\.conf entry|role .* (does not exist|is not permitted)", _REFUSED),
    (r"database .* does not exist", _NO_DATABASE),
    (r"permission denied for database", _DENIED),
    (r"too many (clients|connections)|remaining connection slots", _CROWDED),
    (r"certificate|SSL", ("denied", "check sslmode and the certificates that the DSN names")),
    (r"read-only|read-write", ("read_only", "none of its servers may be written to: start the primary one")),
)


def explain(where: str, error: Exception, secrets: Iterable[str] = ()) -> JournalError:
    """The error of connecting or of a statement as a JournalError with a kind of `failures.py`."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, PoolTimeout):
        return failure("io", f"The journal {where} failed (every connection of this process is in use): try again.")
    if not isinstance(cause, psycopg.Error):
        return _bad_value(where, cause)
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    meaning = _meaning(cause, lost=lost)
    if meaning is None:
        return _bad_value(where, cause)
    kind, advice = meaning
    return failure(kind, f"The journal {where} failed ({_said(cause, secrets)}): {advice}.")


def _meaning(cause: psycopg.Error, *, lost: bool) -> Meaning | None:
    state = cause.sqlstate
    if state is not None:
        return _STATES.get(state) or _CLASSES.get(state[:2]) or (("unreachable", _AWAY) if lost else _UNKNOWN)
    if isinstance(cause, psycopg.DataError):
        return None
    words = str(cause)
    for pattern, meaning in _WORDS:
        if re.search(pattern, words):
            return meaning
    return ("unreachable", _AWAY) if isinstance(cause, psycopg.OperationalError) or lost else _UNKNOWN


def _bad_value(where: str, cause: BaseException | None) -> JournalError:
    return failure(
        "bad_append",
        f"What was given to the journal {where} cannot be stored ({type(cause).__name__}): use valid Unicode text,"
        " without the character of code 0 in ids.",
    )


def _said(cause: psycopg.Error, secrets: Iterable[str]) -> str:
    """The first line of the error, which names things and no values."""
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    said = lines[0] if lines else type(cause).__name__
    if cause.sqlstate is not None and cause.sqlstate[:2] == "22":
        said = type(cause).__name__
    for secret in secrets:
        if secret:
            said = said.replace(secret, "[redacted]")
    return said
