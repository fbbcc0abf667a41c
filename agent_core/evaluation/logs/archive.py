"""A ZIP file that grows, and that a reader finds whole whenever its writer is killed.

The rule here: the directory that readers know stays whole until a newer one is. While members are added over the place
of the last directory, a copy of it stands behind them, past the room that they may take; publishing puts the new
directory after the members and cuts the copy off. So a reader sees what was published last, and whoever opens the file
again finds every member that was written, published or not. What a torn copy or a lost disk block left behind is cut
off. No member is ever moved. Memory does not grow with the number of members.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

from agent_core.errors import ConfigError
from agent_core.evaluation.logs import members, zipped
from agent_core.evaluation.logs.zipped import DEFLATED, Compressed, Directory, Entry

# Room for members between two publications. The file is as long as that, but takes no more of the disk than it holds.
ROOM = 16 * 1024 * 1024
PAGE = 4096
_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -4000;
CREATE TABLE member (name TEXT PRIMARY KEY, offset INTEGER NOT NULL, record BLOB NOT NULL, mark INTEGER NOT NULL);
CREATE INDEX by_offset ON member (offset);
"""


class Raw(NamedTuple):
    """Data that is compressed already and may be too long to hold: `entry` describes it, its offset means nothing."""

    entry: Entry
    chunks: Iterable[bytes]


class Archive:
    """One ZIP file, open for adding members. For one writer (a second one is refused), in one thread at a time."""

    def __init__(self, path: Path, *, room: int = ROOM) -> None:
        """Open the file, or make it, and cut off what is torn. Raises ConfigError if it is written by another, OSError.

        An archive that was opened has published nothing new: see `publish`.
        """
        self.path, self._room = path, room
        # An empty name is a database of this connection alone, which spills to disk past its cache.
        self._index = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._index.executescript(_SCHEMA)
        self._file: BinaryIO = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0)
        self._count = self._directory_size = self._end = 0
        self._limit: int | None = None
        self._published: Directory | None = None
        try:
            self._lock()
            self._load()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file. What was not published is found by whoever opens it again."""
        self._file.close()
        self._index.close()

    def append(self, member: Compressed, *, mark: int = 0) -> None:
        """Add the member; one of the same name is replaced. `mark` is a number to find it by. Raises OSError.

        It outlives the process at once, and readers see it once it is published.
        """
        entry = Entry(member.name, DEFLATED, member.crc, len(member.data), member.size, 0)
        self._append(Raw(entry, (member.data,)), mark)

    def append_raw(self, raw: Raw, *, mark: int = 0) -> None:
        """Add a member that is compressed, in whatever way, as it is. Raises OSError."""
        self._append(raw, mark)

    def remove(self, name: str) -> None:
        """Have the directory name this member no more, if it does."""
        row = self._index.execute("SELECT length(record) FROM member WHERE name = ?", (name,)).fetchone()
        if row is not None:
            self._count -= 1
            self._directory_size -= int(row[0])
            self._index.execute("DELETE FROM member WHERE name = ?", (name,))

    def publish(self, *, durable: bool = False) -> None:
        """Let readers see every member that was added; `durable`: also after the machine lost its power."""
        end = self._write_directory(self._end)
        if durable:
            os.fsync(self._file.fileno())
        os.ftruncate(self._file.fileno(), end)
        self._limit = None
        if durable:
            os.fsync(self._file.fileno())

    def names(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Names and marks of the members whose name begins so, in the order in which they lie in the file."""
        sql = "SELECT name, mark FROM member WHERE substr(name, 1, ?) = ? ORDER BY offset"
        for name, mark in self._index.execute(sql, (len(prefix), prefix)):
            yield str(name), int(mark)

    def mark_of(self, name: str) -> int | None:
        """The mark of the member, None if there is none of that name."""
        row = self._index.execute("SELECT mark FROM member WHERE name = ?", (name,)).fetchone()
        return None if row is None else int(row[0])

    def set_mark(self, name: str, mark: int) -> None:
        """Give the member another mark."""
        self._index.execute("UPDATE member SET mark = ? WHERE name = ?", (mark, name))

    def names_behind(self, prefix: str, last: str) -> list[str]:
        """Names of the members that begin with `prefix` and lie behind all those that begin with `last`."""
        sql = "SELECT max(offset) FROM member WHERE substr(name, 1, ?) = ?"
        (found,) = self._index.execute(sql, (len(last), last)).fetchone()
        behind = -1 if found is None else int(found)
        sql = "SELECT name FROM member WHERE substr(name, 1, ?) = ? AND offset > ? ORDER BY offset"
        return [str(name) for (name,) in self._index.execute(sql, (len(prefix), prefix, behind))]

    def read(self, name: str) -> bytes:
        """What the member holds. Raises KeyError, and ConfigError if it is spoilt."""
        row = self._index.execute("SELECT record FROM member WHERE name = ?", (name,)).fetchone()
        found = None if row is None else zipped.read_central(row[0], 0)
        if found is None:
            raise KeyError(name)
        return members.content(self._file, found[0])

    def _append(self, raw: Raw, mark: int) -> None:
        entry = raw.entry._replace(offset=self._end)
        record = zipped.central_record(entry)
        needed = entry.header_size + entry.packed
        self._make_room(needed + len(record))
        at, header = self._end, zipped.local_header(entry)
        for chunk in raw.chunks:
            at = self._write(header + chunk, at)
            header = b""
        at = self._write(header, at)
        if at - self._end != needed:
            raise ConfigError(f"The member {entry.name} is not as long as it says. Write the log anew.", kind="results")
        self._enter(entry, record, mark)
        self._end = at

    def _make_room(self, needed: int) -> None:
        """Have the last directory stand behind the room that the next members and their directory take."""
        if self._published is None:
            return
        if self._limit is not None:
            if self._end + needed + self._directory_size + zipped.LONGEST_END <= self._limit:
                return
            self.publish()
        size = max(self._room, 2 * (needed + self._directory_size + zipped.LONGEST_END))
        end = self._end + size + self._directory_size
        # An end record within a page is there or is not. It leads to the directory as it stands, then to the copy.
        end += -end % PAGE
        self._write(zipped.end_record(self._published), end)
        self._limit = end - self._directory_size
        self._write_directory(self._limit)

    def _write_directory(self, begin: int) -> int:
        """Write the directory there, then the end record behind it; returns where that ends."""
        at, held = begin, bytearray()
        for (record,) in self._index.execute("SELECT record FROM member ORDER BY offset"):
            held += record
            if len(held) >= members.CHUNK:
                at = self._write(bytes(held), at)
                held.clear()
        at = self._write(bytes(held), at)
        directory = Directory(self._count, at - begin, begin)
        end = self._write(zipped.end_record(directory), at)
        self._published = directory
        return end

    def _write(self, data: bytes, at: int) -> int:
        descriptor, rest = self._file.fileno(), memoryview(data)
        while rest:
            written = os.pwrite(descriptor, rest, at)
            rest, at = rest[written:], at + written
        return at

    def _enter(self, entry: Entry, record: bytes, mark: int) -> None:
        self.remove(entry.name)
        self._index.execute("INSERT INTO member VALUES (?, ?, ?, ?)", (entry.name, entry.offset, record, mark))
        self._count += 1
        self._directory_size += len(record)

    def _load(self) -> None:
        """Take in what is there: what the directory names, and whole members behind those that it names."""
        directory, last = members.directory_of(self._file), None
        self._published = directory
        if directory is not None:
            try:
                for entry in members.entries(self._file):
                    self._enter(entry, zipped.central_record(entry), 0)
                    last = entry if last is None or entry.offset > last.offset else last
                if last is not None:
                    self._end = members.data_at(self._file, last) + last.packed
            except ConfigError as error:
                raise ConfigError(f"{self.path} cannot be gone on with. {error} Choose another file.") from None
        for entry in members.whole_members(self._file, self._end):
            self._enter(entry, zipped.central_record(entry), 0)
            self._end = members.data_at(self._file, entry) + entry.packed
        length = members.size_of(self._file)
        if directory is None and not self._end and length:
            self._file.seek(0)
            if self._file.read(4) != zipped.LOCAL[:length]:
                raise ConfigError(f"{self.path} is no log. Choose another file.", kind="results")
        whole = directory is not None and directory.offset == self._end
        if directory is not None:
            whole = whole and length == self._end + directory.size + len(zipped.end_record(directory))
        if length and not whole:
            self.publish()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"{self.path} is being written by another run. Wait for its end.") from None
        except OSError:
            pass  # a file system without locks: then nobody can be kept out
