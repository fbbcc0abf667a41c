"""Sessions as lines of JSON, on stdout or in a file.

The rule here: a file is whole or not there, and one that is there already is never written over.
"""

import asyncio
import errno
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from agent_core import archive
from agent_core.errors import ConfigError
from agent_core.journals.info import SessionInfo
from drivers.listing.journals import ReadableJournal, every, known

STDOUT = "-"


async def chosen(
    journal: ReadableJournal, ids: Sequence[str], labels: dict[str, str], *, everything: bool
) -> AsyncIterator[SessionInfo]:
    """The sessions that are named, or all with these labels. Raises ConfigError for one that is not there."""
    if everything:
        async for info in every(journal, labels):
            yield info
    for info in await known(journal, ids):
        yield info


def check(ids: Sequence[str], labels: dict[str, str], out: str, *, everything: bool) -> None:
    """Raise ConfigError for words that do not fit together, and for a file that is there."""
    if everything and ids:
        raise ConfigError("--all and ids exclude each other: name the sessions, or take them all.")
    if labels and not everything:
        raise ConfigError("--label chooses among all sessions: write it with --all, and without ids.")
    if not everything and not ids:
        raise ConfigError("Say which sessions: their ids, or --all. `python -m drivers.sessions list` lists them.")
    if out != STDOUT and Path(out).exists():
        raise ConfigError(f"--out {out}: it is there already. Name another file, or move that one away.")


async def export(journal: ReadableJournal, sessions: AsyncIterator[SessionInfo], out: str) -> int:
    """Write the sessions out, one after the other, and return how many they were."""
    number = 0
    with opened(out) as file:
        async for info in sessions:
            for line in archive.lines(info.session_id, await journal.read(info.session_id)):
                file.write(f"{line}\n".encode())
            number += 1
            # Ctrl-C is heard between two sessions.
            await asyncio.sleep(0)
    return number


@contextmanager
def opened(out: str) -> Iterator[IO[bytes]]:
    """Stdout, or the file, which has its name once it is whole."""
    if out == STDOUT:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(out).expanduser()
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            _put(file.name, path)
        finally:
            Path(file.name).unlink(missing_ok=True)


def _put(written: str, path: Path) -> None:
    """Give the file its name, unless another has it by now."""
    try:
        os.link(written, path)
    except FileExistsError:
        raise ConfigError(f"--out {path}: somebody else has made it meanwhile. Name another file.") from None
    except OSError as error:
        # Some file systems know no links.
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        Path(written).replace(path)
