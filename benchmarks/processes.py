"""CPU time and memory of a runtime's processes: this one, the actors, the tools' children, and Ray's own daemons.

The rule here: the model server is never counted, and Ray's daemons are shown beside the sum, never in it.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass

import psutil

_DAEMONS = (
    "raylet",
    "gcs_server",
    "dashboard",
    "ray::DashboardAgent",
    "ray::RuntimeEnvAgent",
    "log_monitor",
    "monitor.py",
    "runtime_env",
    "ray::IDLE",
    "setup_worker",
)


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU seconds so far: of our processes, by kind, and of Ray's daemons.

    `client_after` is what this process had used when all others had been asked, which costs something too.
    """

    ours: dict[str, float]
    daemons: float
    client_after: float = 0.0

    @property
    def total(self) -> float:
        return sum(self.ours.values())

    def since(self, earlier: "Cpu") -> "Cpu":
        """What was spent after `earlier`, the asking left out."""
        before = earlier.ours | {"client": earlier.client_after}
        ours = {kind: spent - before.get(kind, 0.0) for kind, spent in self.ours.items()}
        return Cpu(ours, self.daemons - earlier.daemons)


def cpu_now(without: Collection[int] = ()) -> Cpu:
    """The CPU seconds of this process and of all below it, but for the processes in `without`."""
    me = psutil.Process()
    # The kernel tells of other processes in hundredths of a second; of one's own it tells exactly.
    ours: dict[str, float] = {"client": time.process_time()}
    daemons = 0.0
    for process in me.children(recursive=True):
        try:
            if process.pid in without:
                continue
            kind, spent = _kind(process), _seconds(process)
        except psutil.Error:
            continue
        if kind == "daemon":
            daemons += spent
        else:
            ours[kind] = ours.get(kind, 0.0) + spent
    return Cpu(ours, daemons, time.process_time())


def found(kind: str) -> list[psutil.Process]:
    """The processes of one kind below this one, by the names that `Cpu.ours` has."""
    processes: list[psutil.Process] = []
    for process in psutil.Process().children(recursive=True):
        try:
            if _kind(process) == kind:
                processes.append(process)
        except psutil.Error:
            continue
    return processes


def unshared_bytes(process: psutil.Process) -> int:
    """The memory that would be free if the process ended."""
    return int(process.memory_full_info().uss)


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _kind(process: psutil.Process) -> str:
    words = " ".join(process.cmdline()[:6])
    if any(name in words for name in _DAEMONS):
        return "daemon"
    for mark, kind in (
        ("Session", "session actor"),
        ("Journal", "journal"),
        ("Router", "router"),
        ("Evaluation", "coordinator"),
        ("ToolExecutor", "tool executor"),
        ("agent_core.tools.child", "tool children"),
    ):
        if mark in words:
            return kind
    return "other actors" if words.startswith("ray::") else "daemon"
