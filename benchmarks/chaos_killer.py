"""The killer of the chaos soak: kill -9 of one thing after the other, and new nodes for those that are gone.

The rule here: what is struck and when is drawn from the seed alone; which process that is, is asked of the cluster.
The head is spared, and no node is killed before the last one that was has been replaced.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from random import Random

import psutil

from actors import Runtime
from actors.finding import names_in
from agent_core.errors import PlacementError
from benchmarks.chaos_nodes import Nodes

ACTORS = {
    "session actor": "sessions/",
    "dedicated session actor": "session/",
    "tool executor": "tools/",
    "compactor": "compactor/",
    "router": "router/",
    "journal actor": "journal",
}
"""What the names of actors begin with."""

WORKERS = {"child process of a tool": "agent_core.tools.child", "idle worker": "ray::IDLE"}
"""What the command lines of other processes hold."""

NODE = "node"
_WEIGHTS = {
    "session actor": 6, "dedicated session actor": 3, "tool executor": 5, "compactor": 3, "router": 3,
    "journal actor": 3, "child process of a tool": 2, "idle worker": 1, NODE: 2,
}  # fmt: skip
_ABSENCE = (2.0, 10.0)
"""Seconds that a node is away for before another joins, at least and at most."""


class Killer:
    """Kills until it is told to stop. `struck` counts by kind, `aboard` the named actors that died with their node."""

    def __init__(self, runtime: Runtime, nodes: Nodes, random: Random, tell: Callable[[str], None]) -> None:
        self._runtime, self._nodes, self._random, self._tell = runtime, nodes, random, tell
        self._first = list(_WEIGHTS)
        random.shuffle(self._first)
        self._joining: asyncio.Task[None] | None = None
        self.struck: Counter[str] = Counter()
        self.aboard = 0

    async def run(self, stop: asyncio.Event, pause: float) -> None:
        """Strike every `pause` seconds on average until `stop`, and return when no node is missing any more.

        Every kind has its turn first; then they are drawn, the more important ones more often.
        """
        while not stop.is_set():
            seconds = min(4 * pause, self._random.expovariate(1 / pause))
            kind = self._first.pop() if self._first else self._random.choices(*_weighted())[0]
            draw = self._random.random()
            if await _stopped(stop, seconds):
                break
            if (where := await self._strike(kind, draw)) is not None:
                self.struck[kind] += 1
                self._tell(f"killed {kind}: {where}")
        if self._joining is not None:
            await self._joining

    async def _strike(self, kind: str, draw: float) -> str | None:
        """Kill one of that kind: what it was, None if there was none. `draw` (0 to 1) chooses among them."""
        if kind == NODE:
            return await self._strike_node(draw)
        if kind in WORKERS:
            found = [process for process in self._nodes.processes() if WORKERS[kind] in _command(process)]
            return _killed(found[int(draw * len(found))]) if found else None
        names = await self._names(ACTORS[kind])
        if not names:
            return None
        name = names[int(draw * len(names))]
        process = await self._process(name)
        return f"{name}, {_killed(process)}" if process is not None else None

    async def _strike_node(self, draw: float) -> str | None:
        if self._joining is not None and not self._joining.done():
            return None
        if self._joining is not None:
            self._joining.result()
        node = self._nodes.alive[int(draw * len(self._nodes.alive))]
        there = {process.pid for process in node.raylet.children(recursive=True)}
        names = [name for name in await self._names("") if getattr(await self._process(name), "pid", 0) in there]
        self.aboard += len(names)
        processes = self._nodes.kill(node)
        self._joining = asyncio.get_running_loop().create_task(self._replace(node.role, draw))
        return f"for {node.role}, {processes} processes, with {', '.join(sorted(names)) or 'no actor'}"

    async def _replace(self, role: str, draw: float) -> None:
        least, most = _ABSENCE
        await asyncio.sleep(least + draw * (most - least))
        await self._nodes.add(role)
        self._tell(f"joined node for {role}")

    async def _names(self, prefix: str) -> list[str]:
        return sorted(name for name in await names_in(self._runtime.settings.namespace) if name.startswith(prefix))

    async def _process(self, name: str) -> psutil.Process | None:
        """The process of an actor, None while it has none."""
        try:
            process = psutil.Process(await self._runtime.process_of(name))
            # The number that the cluster knows may be another's by now.
            return process if _command(process).startswith("ray::") else None
        except (PlacementError, psutil.Error, ValueError, TypeError):
            return None


def _weighted() -> tuple[list[str], list[int]]:
    return list(_WEIGHTS), list(_WEIGHTS.values())


async def _stopped(stop: asyncio.Event, seconds: float) -> bool:
    """Wait for so long, or until told to stop: whether that was so."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return True


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _killed(process: psutil.Process) -> str | None:
    """Kill -9: which process it was, None if it ended before."""
    try:
        process.kill()
    except psutil.Error:
        return None
    return f"process {process.pid}"
