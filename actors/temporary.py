"""Where a local Ray cluster keeps its files, looked at before it is started.

The rule here: with too little room there Ray waits a minute for its own parts and then tells of their logs, so what
would keep it from starting is found first.
"""

import errno
import os
import shutil
import sys
import tempfile
from pathlib import Path

from agent_core.errors import ConfigError, PlacementError

VARIABLE = "RAY_TMPDIR"
# Logs and sockets of a cluster that has just started take about 10 MB.
ROOM_BYTES = 64 * 1024 * 1024
# The longest path of a socket on Linux, in bytes, and the one that Ray makes there.
LONGEST = 107
_SOCKET = "session_2000-01-01_00-00-00_000000_{pid}/sockets/plasma_store"


def temporary_directory() -> Path:
    """The directory that Ray keeps sessions in."""
    return _base() / "ray"


def check_room() -> None:
    """Raise ConfigError or PlacementError if a local cluster could not keep its files."""
    base = _base()
    elsewhere = f"or say another place with {VARIABLE}."
    socket = temporary_directory() / _SOCKET.format(pid=os.getpid())
    if (excess := len(os.fsencode(socket)) - LONGEST) > 0:
        raise ConfigError(
            f"{VARIABLE}: {base} is too long a path for the sockets that Ray keeps there. Name a directory whose path"
            f" is {excess} characters shorter."
        )
    try:
        temporary_directory().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=temporary_directory()):
            free = shutil.disk_usage(base).free
    except OSError as error:
        if error.errno == errno.ENOSPC:
            free = 0
        else:
            raise PlacementError(
                f"A local Ray cluster cannot be started: Ray keeps its files in {temporary_directory()}, which cannot"
                f" be written to ({error.strerror}). Make it writable, {elsewhere}",
                "no_start",
            ) from None
    if free < ROOM_BYTES:
        raise PlacementError(
            f"A local Ray cluster cannot be started: no space is left for its files in {temporary_directory()}"
            f" ({free // 1024**2} MB, {ROOM_BYTES // 1024**2} MB are needed). Free some, {elsewhere}",
            "no_start",
        )


def _base() -> Path:
    """As Ray itself decides it (`ray._common.utils.get_default_system_temp_dir`)."""
    on_linux = os.environ.get("TMPDIR") if sys.platform.startswith("linux") else None
    return Path(os.environ.get(VARIABLE) or on_linux or "/tmp")  # noqa: S108
