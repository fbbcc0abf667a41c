"""What the failures of an SQLite file mean, and what to do about each.

The rule here: a text names the file, what failed and the mend, and never holds a value that was to be written.
"""

import errno
import sqlite3
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from agent_core.errors import JournalError
from agent_core.journals.failures import FailureKind, failure

_LOCKED = "another program holds it locked: end that program, or wait and try again"
_ELSEWHERE = "name a path in a directory that this user may write to"

# Primary result codes: https://www.sqlite.org/rescode.html
_MEANINGS: dict[int, tuple[FailureKind, str]] = {
    sqlite3.SQLITE_BUSY: ("locked", _LOCKED),
    sqlite3.SQLITE_LOCKED: ("locked", _LOCKED),
    sqlite3.SQLITE_FULL: ("disk_full", "no space is left: free some, then try again"),
    sqlite3.SQLITE_READONLY: ("read_only", "it may not be written: make the file and its directory writable"),
    sqlite3.SQLITE_CANTOPEN: ("unwritable", f"it cannot be opened: {_ELSEWHERE}"),
    sqlite3.SQLITE_PERM: ("unwritable", f"access was denied: {_ELSEWHERE}"),
    sqlite3.SQLITE_NOTADB: ("corrupt", "it is no SQLite file: restore it from a backup, or name another path"),
    sqlite3.SQLITE_CORRUPT: ("corrupt", "it is damaged: restore a backup, or rescue it with `sqlite3 FILE .recover`"),
    sqlite3.SQLITE_TOOBIG: ("too_big", "one entry is larger than SQLite stores (1 GB): send less at once"),
    sqlite3.SQLITE_IOERR: ("io", "the disk failed: check it, and keep the file on a local disk"),
}
_UNKNOWN: tuple[FailureKind, str] = ("io", "check the file, its disk and the program that last wrote to it")

_SYSTEM: dict[int, tuple[FailureKind, str]] = {
    errno.ENOSPC: ("disk_full", "no space is left: free some, then try again"),
    errno.EROFS: ("read_only", f"make the file and its directory writable, or {_ELSEWHERE}"),
}


def explain(path: Path, error: Exception) -> JournalError:
    """The error of opening, reading or writing the file at `path` as a JournalError with a kind of `failures.py`."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        # An error without a code was raised by the sqlite3 module itself, about what it was given.
        code = getattr(cause, "sqlite_errorcode", None)
        if code is not None:
            kind, advice = _MEANINGS.get(code & 0xFF, _UNKNOWN)
            return failure(kind, f"The journal {path} failed ({cause}): {advice}.")
    if isinstance(cause, OSError):
        kind, advice = _SYSTEM.get(cause.errno or 0, ("unwritable", _ELSEWHERE))
        return failure(kind, f"The journal {path} cannot be used ({cause.strerror or cause}): {advice}.")
    return failure(
        "bad_append",
        f"What was given to the journal cannot be stored ({type(cause).__name__}): use valid Unicode text.",
    )
