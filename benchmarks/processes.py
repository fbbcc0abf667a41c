"""CPU time and memory of the processes of a runtime: this one, the actors, the tools' children, and Ray's own daemons apart.

The rule here: the model server is never counted, and Ray's daemons are shown beside the sum, never in it.
"""

from collections.abc import Collection
from dataclasses import dataclass

import psutil

_DAEMONS = (
    "raylet",
    "gcs_server",
    "dashboard",
    "log_monitor",
    "monitor.py",
    "runtime_env",
    "ray::IDLE",
    "setup_worker",
)


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU seconds so far: of our processes, by kind, and of Ray's daemons."""

    ours: dict[str, float]
    daemons: float

    @property
    def total(self) -> float:
        return sum(self.ours.values())

    def since(self, earlier: "Cpu") -> "Cpu":
        """What was spent after `earlier`."""
        ours = {kind: spent - earlier.ours.get(kind, 0.0) for kind, spent in self.ours.items()}
        return Cpu(ours, self.daemons - earlier.daemons)


def cpu_now(without: Collection[int] = ()) -> Cpu:
    """The CPU seconds of this process and of all below it, but for the processes in `without` and what is below them."""
    me = psutil.Process()
    ours: dict[str, float] = {"client": _seconds(me)}
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
    return Cpu(ours, daemons)


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
        ("ToolExecutor", "tool executor"),
        ("agent_core.tools.child", "tool children"),
    ):
        if mark in words:
            return kind
    return "session actor" if words.startswith("ray::") else "daemon"
