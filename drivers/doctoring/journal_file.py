"""Checks of a journal in a file.

The rule here: the file is opened to be read and in no other way, beside whoever uses it.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from agent_core.errors import JournalError
from drivers.doctoring.checks import Check, blocking
from drivers.doctoring.findings import Finding, NotChecked, ok, problem, size, skipped, warning
from drivers.doctoring.subject import Subject

Found = TypeVar("Found")
Given = ParamSpec("Given")

# A log that is as long as this was not copied into the file for long: the writer itself does it at 32 MB.
LONG_LOG = 256 * 1024 * 1024
# Nobody waits longer for a doctor.
CHECK_SECONDS = 5.0
LOOKS = 6
PAUSE = 0.15
# On these the locks or the shared memory of SQLite's log are not to be relied on: https://www.sqlite.org/wal.html
SHARED_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "lustre", "glusterfs", "fuse.sshfs", "ceph"})


async def contents(subject: Subject) -> Finding:
    """Whether it opens, and is a journal of a version that this program knows."""
    from agent_core.journals.sqlite_examining import read_contents
    from drivers.chatting.figures import several

    path = subject.journal_file
    if not path.exists():
        return ok(f"none yet in {path.parent}; the first session makes it")
    found = await _examined(read_contents, path)
    return judge_version(found.version, found.newest, f"{path}, {several(found.sessions, 'session')}")


def judge_version(version: int, newest: int, told: str) -> Finding:
    """Whether the tables are those that this program writes; newer ones were refused already."""
    if version < newest:
        return warning(
            f"{told}, of version {version}",
            f"The next program that opens it makes version {newest} of it, which older ones refuse: back it up first.",
        )
    return ok(f"{told}, version {version}")


async def integrity(subject: Subject) -> Finding:
    """Whether SQLite finds the file sound, as far as it comes in a few seconds."""
    from agent_core.journals.sqlite_examining import quick_check

    path = _present(subject)
    return judge_integrity(await _examined(quick_check, path, CHECK_SECONDS), path)


def judge_integrity(said: str | None, path: Path) -> Finding:
    """What `quick_check` said; None if it did not end in time."""
    if said is None:
        return skipped(
            f"no end after {CHECK_SECONDS:.0f} s", f"Take your time: sqlite3 -readonly {path} 'PRAGMA quick_check'"
        )
    if said != "ok":
        what = " ".join(said.removeprefix("*** in database main ***").split())
        return problem(f"it is damaged: {what[:80]}", f"Restore a backup, or rescue it: sqlite3 {path} .recover")
    return ok("quick_check finds nothing")


async def log(subject: Subject) -> Finding:
    """The size of the file and of the log beside it."""
    from agent_core.journals.sqlite_examining import read_sizes

    path = _present(subject)
    sizes = await blocking(read_sizes, path)
    return judge_log(sizes.file, sizes.log)


def judge_log(file: int, log: int) -> Finding:
    """Whether the log comes to an end: readers that never finish keep it."""
    told = f"{size(file)}, write-ahead log {size(log)}"
    if log > LONG_LOG:
        return warning(told, "A program keeps reading it and so keeps the log: end the oldest one, see `holders`.")
    return ok(told)


async def disk(subject: Subject) -> Finding:
    """The kind of disk that it lies on."""
    path = subject.journal_file
    return judge_system(await blocking(_system_of, path.parent))


def _system_of(directory: Path) -> str:
    import psutil

    nearest = next(place for place in (directory, *directory.parents) if place.exists()).resolve()
    mounts = {part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)}
    return next((mounts[str(place)] for place in (nearest, *nearest.parents) if str(place) in mounts), "")


def judge_system(name: str) -> Finding:
    """Whether SQLite's log works on that kind of file system."""
    if name in SHARED_SYSTEMS:
        return problem(
            f"it lies on {name}, where SQLite's locks do not hold",
            "Keep it on a local disk (--data-dir), or in PostgreSQL (--journal).",
        )
    return ok(f"on a local disk ({name})" if name else "the kind of its disk is not known")


async def holders(subject: Subject) -> Finding:
    """Who has it open, and whether one of them keeps the others from writing."""
    from agent_core.journals.sqlite_examining import holders as find

    path = _present(subject)
    looks = [await blocking(find, path)]
    for _ in range(LOOKS - 1):
        if not any(holder.writing for holder in looks[-1]):
            break
        await asyncio.sleep(PAUSE)
        looks.append(await blocking(find, path))
    writing = set.intersection(*({holder.pid for holder in look if holder.writing} for look in looks))
    return judge_holders([(holder.pid, holder.name) for holder in looks[0]], writing)


def judge_holders(open_in: list[tuple[int, str]], writing: set[int]) -> Finding:
    """`writing` held the lock at every look."""
    told = ", ".join(f"{name} (pid {pid})" for pid, name in open_in)
    for pid, name in open_in:
        if pid in writing:
            return warning(
                f"{name} (pid {pid}) holds the write lock all the time",
                "Appends wait meanwhile. If it is no journal actor with much to write, end it.",
            )
    return ok(f"open in {told}" if told else "nobody has it open")


def _present(subject: Subject) -> Path:
    path = subject.journal_file
    if not path.exists():
        raise NotChecked("there is none yet")
    return path


async def _examined(look: Callable[Given, Found], *given: Given.args, **named: Given.kwargs) -> Found:
    from agent_core.journals.sqlite_examining import UNINDEXED

    try:
        return await blocking(look, *given, **named)
    except JournalError as error:
        if error.kind == UNINDEXED:
            raise NotChecked(error.message) from None
        raise


CHECKS = (
    Check("journal", "file", contents),
    Check("journal", "integrity", integrity, CHECK_SECONDS + 10),
    Check("journal", "size", log),
    Check("journal", "disk", disk),
    Check("journal", "holders", holders),
)
