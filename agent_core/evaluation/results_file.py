"""The results file of a run and the record beside it: who may write it, and what survives what.

The rule here: the file holds whole lines. One process writes it at a time; each line is written at once and stays
whatever happens to the process; nothing that is there is touched before everything else about the run is known to be
right.
"""

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, Self

from pydantic import ValidationError

from agent_core.errors import ConfigError
from agent_core.evaluation.configuration import RunRecord
from agent_core.evaluation.live import Live
from agent_core.evaluation.remote import copy_of, is_url, plain_url
from agent_core.evaluation.resume import Line

RESULTS_NAME = "results.jsonl"
RECORD_NAME = "run.json"
INDEX_NAME = "run.sqlite"
CHUNK = 1024 * 1024
# What a killed program left behind on a cluster ends by itself, and lets go of the file within this time.
LEFTOVER_SECONDS = 20.0
LOOK_SECONDS = 0.1
Mode = Literal["new", "resume", "overwrite", "append"]

# A path that is wrong is its user's to change; a full disk is not.
_WRONG_PATH = {
    errno.EACCES,
    errno.EEXIST,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENOENT,
    errno.ENAMETOOLONG,
    errno.ENXIO,
}


@dataclass(frozen=True, slots=True)
class Places:
    """Where a run keeps its results and its record.

    With `stdout` the results are the standard output, and whatever is said to people goes to stderr. With `url` they
    are this machine's copy of those at an address.
    """

    results: Path
    record: Path
    stdout: bool = False
    url: str = ""

    @classmethod
    def of(cls, out: str) -> Self:
        """The places that `--out` means: a directory (one that is there, or a name without an ending), or a file.

        `-` is standard output, and so is any other name of it. An address means the copy that this machine keeps.
        Raises ConfigError for what cannot be a place.
        """
        if is_url(out):
            copy = copy_of(out)
            return cls(copy / RESULTS_NAME, copy / RECORD_NAME, url=plain_url(out))
        path = Path("/dev/stdout" if out == "-" else out).expanduser()
        try:
            path.exists()
        except OSError as error:
            raise ConfigError(f"--out {out[:40]}…: {error.strerror}. Choose another place with --out.") from None
        beside = path.with_name(RECORD_NAME)
        if path.name == RESULTS_NAME and beside.is_file():
            # The results of a directory, named themselves.
            return cls(path, beside)
        if path.is_dir() or out.endswith(os.sep) or not (path.suffix or path.exists()):
            return cls(path / RESULTS_NAME, path / RECORD_NAME)
        return cls(path, path.with_name(f"{path.stem}.{RECORD_NAME}"), stdout=out == "-" or _is_stdout(path))

    def shown(self, path: Path | None = None) -> str:
        """How a file of the run, its results without one, is named to people."""
        path = path or self.results
        return f"{self.url}/{path.name}" if self.url else str(path)

    @property
    def index(self) -> Path:
        """Where the index of the run is kept."""
        return self.record.with_suffix(".sqlite")

    @property
    def log(self) -> Path:
        """Where the `.eval` log of the run is."""
        return self.results.with_suffix(".eval")

    @property
    def live(self) -> Path:
        """Where a run that is under way says how it is reached."""
        return self.record.with_suffix(".live.json")

    @property
    def kept(self) -> bool:
        """Whether the results are a file, which can be read and gone on with."""
        return not self.stdout and self.results.is_file()

    def read_record(self) -> RunRecord | None:
        """The record, if there is one. Raises ConfigError if it is none."""
        try:
            return RunRecord.model_validate_json(self.record.read_bytes())
        except FileNotFoundError:
            return None
        except (ValidationError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not the record of a run"
            raise ConfigError(
                f"{self.record} cannot be read ({reason}). Choose another --out, or replace it all with --overwrite."
            ) from None


class ResultsFile:
    """The results file, open for writing. Standard output, a pipe and a device are only written to, with no record."""

    def __init__(self, places: Places, mode: Mode) -> None:
        """Open it, or make it.

        Raises ConfigError if it may not be written, is there and `mode` is `new`, or cannot be read for `resume`.
        """
        self.places = places
        self._mode = mode
        self._replacement: BinaryIO | None = None
        self._unfinished = False
        try:
            self._made_directory = not places.results.parent.exists()
            places.results.parent.mkdir(parents=True, exist_ok=True)
            self._made = not places.stdout and not places.results.exists()
            self.regular = self._made or places.kept
            flags = os.O_APPEND | os.O_CREAT | (os.O_RDWR if self.regular else os.O_WRONLY)
            # What stdout is now: while the run is under way, descriptor 1 is somebody else's.
            self._descriptor = os.dup(1) if places.stdout else os.open(places.results, flags, 0o644)
        except OSError as error:
            raise self._refused(error) from None
        try:
            self._lock(self._descriptor)
            self._size = self._good = os.fstat(self._descriptor).st_size
            self._check_mode()
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def release(self) -> None:
        """Let go of the file, for another process to write it."""
        os.close(self._descriptor)
        self._descriptor = -1

    def __exit__(self, *exception: object) -> None:
        """Put it away; a file that was made for nothing is taken away."""
        if self._descriptor < 0:
            return
        self._discard_replacement()
        if self.regular and self._made and os.fstat(self._descriptor).st_size == 0:
            self.places.results.unlink(missing_ok=True)
            self.places.record.unlink(missing_ok=True)
            if self._made_directory:
                with suppress(OSError):
                    self.places.results.parent.rmdir()
        elif self.regular:
            os.fsync(self._descriptor)
        os.close(self._descriptor)

    def lines(self) -> Iterator[bytes]:
        """The lines that are there now, the last one perhaps torn."""
        if self.regular:
            with self.places.results.open("rb") as file:
                yield from file

    def survey(self, lines: Iterable[Line]) -> Iterator[Line]:
        """Note which lines are to stay when `begin` is called; nothing changes yet. Hands every line on."""
        self._good = 0
        for line in lines:
            if line.fate in ("kept", "foreign"):
                self._unfinished = not line.raw.endswith(b"\n")
                if self._replacement is None:
                    self._good += len(line.raw)
                else:
                    self._replacement.write(line.raw)
            elif line.fate == "dropped" and self._replacement is None:
                self._start_replacement()
            yield line

    def begin(self, record: RunRecord) -> None:
        """Make the file what the run starts from, and write the record. Raises OSError."""
        if not self.regular:
            return
        if self._mode == "overwrite":
            os.ftruncate(self._descriptor, 0)
        elif self._replacement is not None:
            self._put_replacement()
        elif self._good < self._size:
            os.ftruncate(self._descriptor, self._good)
        self._size = os.fstat(self._descriptor).st_size
        if self._unfinished and self._size:
            self.write(b"\n")
        temporary = self.places.record.with_name(self.places.record.name + ".new")
        try:
            temporary.write_bytes(record.model_dump_json(indent=2).encode() + b"\n")
            temporary.replace(self.places.record)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise OSError(error.errno, error.strerror, str(self.places.record)) from None

    def without(self, drops: Callable[[bytes], bool]) -> int:
        """Take out the lines that are to be dropped; how many there were. Raises OSError, and then nothing has changed.

        Every other line stays as it is.
        """
        path = self.places.results.with_name(self.places.results.name + ".new")
        dropped = 0
        try:
            with path.open("wb") as kept:
                for line in self.lines():
                    if drops(line):
                        dropped += 1
                    else:
                        kept.write(line)
                self._replacement = kept
                if dropped:
                    self._put_replacement()
                    self._size = os.fstat(self._descriptor).st_size
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from None
        finally:
            self._replacement = None
            path.unlink(missing_ok=True)
        return dropped

    def become(self, path: Path) -> None:
        """Be the file at `path` from now on, which takes the place of the results. Raises OSError."""
        with path.open("rb") as file:
            self._replacement = file
            self._put_replacement()
        self._size = os.fstat(self._descriptor).st_size

    def cut_torn(self) -> None:
        """Take away a last line that is not whole. Raises OSError."""
        if not self.regular or not self._size:
            return
        with self.places.results.open("rb") as file:
            whole = self._size
            while whole:
                begin = max(0, whole - CHUNK)
                file.seek(begin)
                found = file.read(whole - begin).rfind(b"\n")
                whole = begin + found + 1 if found >= 0 else begin
                if found >= 0:
                    break
        if whole < self._size:
            os.ftruncate(self._descriptor, whole)
            self._size = whole

    def write(self, line: bytes) -> None:
        """Append the line, whole or not at all. Raises OSError with the file's name."""
        try:
            written = os.write(self._descriptor, line)
            while written < len(line):
                written += os.write(self._descriptor, line[written:])
        except OSError as error:
            if self.regular:
                os.ftruncate(self._descriptor, self._size)
            raise OSError(error.errno, error.strerror, str(self.places.results)) from None
        self._size += len(line)

    def _start_replacement(self) -> None:
        path = self.places.results.with_name(self.places.results.name + ".new")
        self._replacement = path.open("wb")
        with self.places.results.open("rb") as source:
            _copy(source, self._replacement, self._good)

    def _put_replacement(self) -> None:
        file = self._replacement
        if file is None:
            return
        file.flush()
        os.fsync(file.fileno())
        descriptor = os.open(file.name, os.O_RDWR | os.O_APPEND)
        self._lock(descriptor)
        Path(file.name).replace(self.places.results)
        os.close(self._descriptor)
        file.close()
        self._descriptor, self._replacement = descriptor, None

    def _check_mode(self) -> None:
        if self._mode == "resume" and not self.regular:
            raise ConfigError(
                f"--resume: {self.places.results} cannot be read again. Name the file that holds the earlier results"
                " with --out, or leave --resume out."
            )
        if self._mode == "new" and self._size and self.regular:
            raise ConfigError(
                f"{self.places.shown()} is there already. To go on with it: --resume. To replace it: --overwrite."
                " Or choose another --out."
            )

    def _discard_replacement(self) -> None:
        if self._replacement is not None:
            self._replacement.close()
            Path(self._replacement.name).unlink(missing_ok=True)

    def _lock(self, descriptor: int) -> None:
        if not self.regular:
            return
        until = time.monotonic() + (LEFTOVER_SECONDS if self._is_left_over() else 0.0)
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < until:
                    time.sleep(LOOK_SECONDS)
                    continue
                raise ConfigError(
                    f"{self.places.shown()} is being written by another run. Wait for its end, or choose another --out."
                ) from None
            except OSError:
                pass  # a file system without locks: then nobody can be kept out
            return

    def _is_left_over(self) -> bool:
        """Whether whoever has the file may be what a killed program left behind on a cluster."""
        live = Live.read(self.places.live) if self._mode in {"resume", "append"} else None
        return live is not None and live.address is not None

    def _refused(self, error: OSError) -> Exception:
        if error.errno not in _WRONG_PATH:
            return error
        return ConfigError(
            f"The results cannot be written to {self.places.results} ({error.strerror})."
            " Choose another place with --out."
        )


def _is_stdout(path: Path) -> bool:
    """Whether this is what standard output leads to: `/dev/stdout`, or the file that the shell opened."""
    try:
        return os.path.samestat(path.stat(), os.fstat(1))
    except OSError:
        return False


def _copy(source: BinaryIO, target: BinaryIO, count: int) -> None:
    while count > 0 and (chunk := source.read(min(count, CHUNK))):
        target.write(chunk)
        count -= len(chunk)
