"""What can be told of a journal's SQLite file by looking at it, while others use it or after they are gone.

The rule here: nothing is written, not even the files that SQLite keeps beside a journal in use. Everything here blocks.
"""

import os
import sqlite3
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import NullPool, create_engine, inspect
from sqlalchemy.exc import SQLAlchemyError

from agent_core.journals.failures import FailureKind, failure
from agent_core.journals.schema import FIRST_TABLES, SCHEMA_VERSION, check_version
from agent_core.journals.sqlite_failures import explain

UNINDEXED: FailureKind = "unreadable"
"""The kind of the error of a file that cannot be looked at without making another one beside it."""

_BUSY_TIMEOUT = 1.0
# So many steps of SQLite's machine take well under a millisecond.
_STEPS_BETWEEN_LOOKS = 10_000


@dataclass(frozen=True, slots=True)
class SqliteContents:
    """`version` is that of the tables, `newest` the one that this program writes."""

    version: int
    sessions: int
    newest: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class SqliteSizes:
    """In bytes: the file, its write-ahead log (0 without one), and what its disk has left of its total."""

    file: int
    log: int
    free: int
    total: int


@dataclass(frozen=True, slots=True)
class LockHolder:
    """A process that has the file open; `writing` while it holds a lock that keeps others from writing."""

    pid: int
    name: str
    writing: bool


def log_of(path: Path) -> Path:
    """Where the write-ahead log of a journal's file is, if there is one."""
    return path.with_name(f"{path.name}-wal")


def read_contents(path: Path) -> SqliteContents:
    """Open the file as a journal. Raises JournalError with a kind of `failures.py`."""
    with _opened(path) as connection:
        engine = create_engine("sqlite://", creator=lambda: connection, poolclass=NullPool, hide_parameters=True)
        try:
            with engine.connect() as reading:
                if not set(inspect(reading).get_table_names()) >= FIRST_TABLES:
                    raise failure("not_a_journal", f"{path} holds no journal: name another one.")
                version = check_version(reading, str(path))
                sessions = reading.exec_driver_sql("SELECT count(*) FROM sessions").scalar_one()
        except (SQLAlchemyError, ValueError, sqlite3.Error) as error:
            raise explain(path, error) from None
        finally:
            engine.dispose()
    return SqliteContents(version, int(sessions))


def quick_check(path: Path, seconds: float) -> str | None:
    """What `PRAGMA quick_check` says, `ok` for a sound file; None if it takes longer than that. Raises JournalError.

    See https://www.sqlite.org/pragma.html#pragma_quick_check
    """
    until = time.monotonic() + seconds
    with _opened(path) as connection:
        connection.set_progress_handler(lambda: int(time.monotonic() > until), _STEPS_BETWEEN_LOOKS)
        try:
            (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                return None
            raise explain(path, error) from None
        except sqlite3.Error as error:
            raise explain(path, error) from None
    return str(said)


def read_sizes(path: Path) -> SqliteSizes:
    """Raises OSError."""
    disk = os.statvfs(path.parent)
    log = log_of(path)
    return SqliteSizes(
        file=path.stat().st_size,
        log=log.stat().st_size if log.exists() else 0,
        free=disk.f_bavail * disk.f_frsize,
        total=disk.f_blocks * disk.f_frsize,
    )


def holders(path: Path) -> list[LockHolder]:
    """The processes on this machine that have the file open, as far as this user may see them."""
    status = path.stat()
    writers = _write_locks(f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}")
    shared = path.with_name(f"{path.name}-shm")
    if shared.exists():
        # In WAL mode the lock of a writer is on the file that the processes share; byte 120 of it.
        # https://www.sqlite.org/walformat.html#locks
        index = shared.stat()
        writers |= _write_locks(f"{os.major(index.st_dev):02x}:{os.minor(index.st_dev):02x}:{index.st_ino}", byte=120)
    found: list[LockHolder] = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and _has_open(process, (status.st_dev, status.st_ino)):
            with suppress(OSError):
                pid = int(process.name)
                found.append(LockHolder(pid, (process / "comm").read_text().strip(), writing=pid in writers))
    return sorted(found, key=lambda holder: holder.pid)


def _has_open(process: Path, identity: tuple[int, int]) -> bool:
    try:
        descriptors = list((process / "fd").iterdir())
    except OSError:
        return False
    for descriptor in descriptors:
        with suppress(OSError):
            status = descriptor.stat()
            if (status.st_dev, status.st_ino) == identity:
                return True
    return False


def _write_locks(identity: str, byte: int | None = None) -> set[int]:
    """Who holds a lock for writing on a file, from the kernel's list: see proc(5), `/proc/locks`."""
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return set()
    found: set[int] = set()
    for line in lines:
        fields = line.split()
        if "->" in fields or len(fields) < 8 or fields[3] != "WRITE" or fields[5] != identity:
            continue
        last = int(fields[7]) if fields[7].isdigit() else None
        if byte is None or (int(fields[6]) <= byte and (last is None or byte <= last)):
            found.add(int(fields[4]))
    return found


@contextmanager
def _opened(path: Path) -> Generator[sqlite3.Connection]:
    """The file, to be read only. Raises JournalError."""
    try:
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise failure("missing", f"There is no journal {path}: name the directory of another.") from None
    except OSError as error:
        raise explain(path, error) from None
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?{_mode(path)}",
        uri=True,
        timeout=_BUSY_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        yield connection
    finally:
        connection.close()


def _mode(path: Path) -> str:
    """A connection that may only read leaves the log and its index as they are, but makes those that are missing.

    So a file without a log is read as one that nobody writes to. See https://www.sqlite.org/wal.html#readonly
    """
    if not log_of(path).exists():
        return "mode=ro&immutable=1"
    if not path.with_name(f"{path.name}-shm").exists():
        # Whoever has the file for himself keeps the index in his memory.
        if found := holders(path):
            raise failure(
                "locked",
                f"The journal {path} is locked by {found[0].name} (pid {found[0].pid}): end that program, or wait and"
                " try again.",
            )
        raise failure(
            UNINDEXED,
            f"{log_of(path).name} has no index beside it, as where the two files were copied, and to open them makes"
            " one: run `python -m drivers.sessions list` on this directory first.",
        )
    return "mode=ro"
