"""What a node says of itself, asked by `actors/examining.py`.

The rule here: `node_facts` stands alone. It travels to nodes that have Python and Ray and perhaps nothing else, so it
imports what it needs inside itself and returns plain values.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A node, told by a process of its own there. Sizes in bytes; -1 where it could not be told.

    `packages` has the version of each distribution that was asked for, None where it is not installed; `variables` says
    whether each environment variable is set in Ray's worker processes.
    """

    now: float
    host: str
    python: str
    memory: int
    shared_memory: int
    disk_free: int
    disk_total: int
    files: int
    packages: dict[str, str | None] = field(default_factory=dict)
    variables: dict[str, bool] = field(default_factory=dict)


def node_facts(packages: Sequence[str], variables: Sequence[str]) -> dict[str, Any]:
    """The fields of `NodeFacts`, told where this runs."""
    import os
    import platform
    import resource
    import shutil
    import tempfile
    import time
    from importlib import metadata

    def version(name: str) -> str | None:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            return None

    def total(path: str) -> int:
        try:
            return shutil.disk_usage(path).total
        except OSError:
            return -1

    session = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    disk = shutil.disk_usage(session)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "now": time.time(),
        "host": platform.node(),
        "python": platform.python_version(),
        "memory": memory,
        "shared_memory": total("/dev/shm"),  # noqa: S108
        "disk_free": disk.free,
        "disk_total": disk.total,
        "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "packages": {name: version(name) for name in packages},
        "variables": {name: bool(os.environ.get(name)) for name in variables},
    }
