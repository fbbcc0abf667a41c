"""Checks of this machine: memory, shared memory, open files, disks, and the ports that Ray takes.

The rule here: limits are those that Ray itself warns of or stops at; each is named where it is judged.
"""

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from drivers.doctoring.checks import Check, blocking
from drivers.doctoring.findings import Finding, ok, problem, size, skipped, warning
from drivers.doctoring.subject import Subject

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Ray keeps its objects
# Ray takes so much of the memory for objects, and puts them on disk when /dev/shm has less: `ray start --help`.
OBJECTS_SHARE = 0.3
# Ray warns below the first (`ray._private.services`), and cannot go on for long below the second.
FEW_FILES = 8192
TOO_FEW_FILES = 1024
# Ray makes no more objects once a disk is as full (`RAY_local_fs_capacity_threshold`, 0.95 unless it is set).
FULL = 0.95
LITTLE_MEMORY = 2_000_000_000
TOO_LITTLE_MEMORY = 500_000_000
LITTLE_DISK = 1_000_000_000
TOO_LITTLE_DISK = 64 * 1024 * 1024
# The defaults of `ray start --head` that are not chosen at random, and what for.
PORTS = {6379: "the head", 8265: "the dashboard", 10001: "Ray's client server"}
_PORT_PATIENCE = 0.5


async def memory(_: Subject) -> Finding:
    """What is left of the memory."""
    import psutil

    found = psutil.virtual_memory()
    return judge_memory(int(found.available), int(found.total))


def judge_memory(available: int, total: int) -> Finding:
    """Whether sessions have room: a runtime counts 120 MB for a session actor."""
    told = f"{size(available)} of {size(total)} are free"
    if available < TOO_LITTLE_MEMORY:
        return problem(told, "End programs, or use a machine with more: a session actor takes 120 MB.")
    if available < LITTLE_MEMORY:
        return warning(told, "Share actors (sessions_per_actor): a session with one of its own takes 120 MB.")
    return ok(told)


async def shared_memory(_: Subject) -> Finding:
    """Where Ray keeps objects."""
    return await blocking(_shared_memory)


def _shared_memory() -> Finding:
    import psutil

    if not SHARED_MEMORY.exists():
        return skipped(f"there is no {SHARED_MEMORY} on this system")
    disk = os.statvfs(SHARED_MEMORY)
    return judge_shared_memory(disk.f_bavail * disk.f_frsize, int(psutil.virtual_memory().total))


def judge_shared_memory(free: int, memory: int) -> Finding:
    """Whether the objects that Ray makes room for fit."""
    told = f"{SHARED_MEMORY} has {size(free)}"
    if free < (wanted := int(memory * OBJECTS_SHARE)):
        return warning(
            f"{told}; Ray wants {size(wanted)}, and takes less or a disk",
            f"Enlarge it (Docker: --shm-size={max(1, wanted // 1024**3 + 1)}g), or give Ray less:"
            " ray start --object-store-memory=BYTES.",
        )
    return ok(told)


async def files(_: Subject) -> Finding:
    """How many files a process may have open."""
    import resource

    return judge_files(*resource.getrlimit(resource.RLIMIT_NOFILE))


def judge_files(soft: int, hard: int) -> Finding:
    """Whether that is enough for a head, which has a connection for each process of the cluster."""
    told = f"a process may open {soft:,} files"
    possible = "65536" if hard < 0 or hard >= 65_536 else str(hard)
    mend = f"Run `ulimit -n {possible}` before `ray start`, or raise the limit for good (limits.conf, LimitNOFILE)."
    if soft < TOO_FEW_FILES:
        return problem(told, mend)
    # What Ray starts raises its own limit to the hard one, as far as that goes.
    return warning(told, mend) if soft < FEW_FILES and hard < FEW_FILES else ok(told)


async def ray_disk(_: Subject) -> Finding:
    """Where Ray keeps logs and spills objects."""
    return await blocking(_ray_disk)


def _ray_disk() -> Finding:
    from actors.temporary import temporary_directory

    return look_at_disk(temporary_directory(), "Name another place with RAY_TMPDIR, or free some space.")


async def data_disk(subject: Subject) -> Finding:
    """Where the journal is kept."""
    subject.journal_file  # noqa: B018 - says whether it is a file at all
    mend = "Name another place with --data-dir, or free some space."
    return await blocking(look_at_disk, subject.data_dir, mend)


def look_at_disk(directory: Path, mend: str) -> Finding:
    """The disk of a directory that is there, or would be made."""
    nearest = next(place for place in (directory, *directory.parents) if place.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        return problem(f"{nearest} cannot be written to", mend)
    disk = os.statvfs(nearest)
    return judge_disk(directory, disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize, mend)


def judge_disk(directory: Path, free: int, total: int, mend: str) -> Finding:
    """Whether what is kept there has room."""
    told = f"{directory}: {size(free)} of {size(total)} are free"
    if free < TOO_LITTLE_DISK:
        return problem(told, mend)
    if free < LITTLE_DISK or free < (1 - FULL) * total:
        return warning(told, f"Ray stops making objects on a disk that is 95 % full. {mend}")
    return ok(told)


async def ports(_: Subject) -> Finding:
    """The ports that a head started here would take."""
    taken = {port: await blocking(listener, port) for port in PORTS}
    return judge_ports({port: who for port, who in taken.items() if who is not None})


def listener(port: int) -> str | None:
    """Who listens at that port of this machine: a name, `another process` if this user may not see it, or None."""
    with socket.socket() as asking:
        asking.settimeout(_PORT_PATIENCE)
        if asking.connect_ex(("127.0.0.1", port)) != 0:
            return None
    import psutil

    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            address: Any = connection.laddr
            if connection.status == psutil.CONN_LISTEN and address.port == port and connection.pid:
                name = " ".join(psutil.Process(connection.pid).cmdline()[:3]) or psutil.Process(connection.pid).name()
                return f"{'Ray' if _is_ray(name) else Path(name.split()[0]).name} (pid {connection.pid})"
    return "another process"


def _is_ray(command: str) -> bool:
    return any(mark in command for mark in ("gcs_server", "raylet", "/ray/", "ray::", "ray/dashboard"))


def judge_ports(taken: dict[int, str]) -> Finding:
    """Whether `ray start --head` finds its ports free; a cluster of Ray's that runs here may have them."""
    strangers = {port: who for port, who in taken.items() if not who.startswith("Ray ")}
    if strangers:
        told = ", ".join(f"{port} ({PORTS[port]}) by {who}" for port, who in strangers.items())
        return warning(
            f"taken: {told}",
            "`ray start --head` wants others then: --port, --dashboard-port, --ray-client-server-port.",
        )
    if taken:
        return ok(f"{', '.join(map(str, taken))}: by a Ray that runs here; the others are free")
    return ok(f"{', '.join(map(str, PORTS))} are free for `ray start --head`")


CHECKS = (
    Check("machine", "memory", memory),
    Check("machine", "shared memory", shared_memory),
    Check("machine", "open files", files),
    Check("machine", "Ray's disk", ray_disk),
    Check("machine", "data disk", data_disk),
    Check("machine", "ports", ports),
)
