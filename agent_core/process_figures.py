"""What a process takes of its machine, as it says itself.

The rule here: it imports next to nothing, for it is asked of every process of a cluster.
"""

from agent_core.frozen import Frozen


class ProcessFigures(Frozen):
    """A process, and the machine that it is on. Memory is in bytes, times in seconds; `cpu_seconds` only grow."""

    pid: int = 0
    memory: int = 0
    cpu_seconds: float = 0.0
    node_memory_used: int = 0
    node_memory: int = 0
    node_load: float = 0.0


def process_figures(_asked: object = None) -> ProcessFigures:
    """What this process takes at the moment. An argument says nothing: Ray gives an actor to what it has it call."""
    import psutil

    process = psutil.Process()
    with process.oneshot():
        memory, cpu = process.memory_info().rss, process.cpu_times()
    machine = psutil.virtual_memory()
    return ProcessFigures(
        pid=process.pid,
        memory=memory,
        cpu_seconds=cpu.user + cpu.system,
        node_memory_used=machine.total - machine.available,
        node_memory=machine.total,
        node_load=psutil.getloadavg()[0],
    )
