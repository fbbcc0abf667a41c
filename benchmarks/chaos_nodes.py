"""A local Ray of several nodes, in a process of its own, whose nodes can be killed and replaced one by one.

The rule here: the head stays; it has the journal's file and the program's own connection. What else is started here
ends with `Nodes`, by process id, however the program ends.
"""

import asyncio
import json
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

import psutil

from actors.cluster import ROOT, be_quiet
from actors.spawning import ROLE_LABEL

ROLES = ("sessions", "tools")
_START_S = 120.0
_STOP_S = 30.0
_PROGRAM = "from benchmarks.chaos_nodes import serve; serve()"


def serve() -> None:
    """The program: a head, then one node more for every line on its input, which is the node's role.

    Every answer is a line of JSON: the head's address, or the process id of the new node's raylet.
    """
    from ray.cluster_utils import Cluster

    be_quiet()
    cluster = Cluster()
    cluster.add_node(num_cpus=1, labels={ROLE_LABEL: "head"}, include_dashboard=False)
    _answer({"address": str(cluster.address)})
    for line in sys.stdin:
        node: Any = cluster.add_node(num_cpus=1, labels={ROLE_LABEL: line.strip()})
        _answer({"raylet": node.all_processes["raylet"][0].process.pid})


def _answer(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


@dataclass(slots=True)
class Node:
    """A node other than the head, by the process of its raylet, of which all its others are children."""

    role: str
    raylet: psutil.Process

    def kill(self) -> int:
        """Kill -9 the raylet and all its workers at once. Returns how many processes that were."""
        family = [self.raylet, *self.raylet.children(recursive=True)]
        return sum(_killed(process) for process in family)


class Nodes:
    """The cluster. `directory` is where Ray keeps its files: a path short enough for its sockets."""

    def __init__(self, directory: Path, count: int) -> None:
        self._directory, self._count = directory, count
        self._process: asyncio.subprocess.Process | None = None
        self._log: IO[bytes] | None = None
        self._turn = asyncio.Lock()
        self.address = ""
        self.alive: list[Node] = []

    async def __aenter__(self) -> Self:
        self._log = (self._directory / "nodes.log").open("wb")
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _PROGRAM),
            cwd=ROOT,
            env={**os.environ, "RAY_TMPDIR": str(self._directory), "PYTHONPATH": str(ROOT)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._log,
        )
        try:
            self.address = (await self._answered())["address"]
            for index in range(self._count - 1):
                await self.add(ROLES[index % len(ROLES)])
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    async def add(self, role: str) -> None:
        """Have a node join. Returns when the cluster knows it."""
        async with self._turn:
            process = self._running()
            if process.stdin is None:
                raise RuntimeError("The cluster's process has no pipes. Start it through `async with`.")
            process.stdin.write(f"{role}\n".encode())
            await process.stdin.drain()
            raylet = (await self._answered())["raylet"]
            self.alive.append(Node(role, psutil.Process(raylet)))

    def kill(self, node: Node) -> int:
        """Kill a node with all that runs on it. Returns how many processes that were."""
        self.alive.remove(node)
        return node.kill()

    def processes(self) -> list[psutil.Process]:
        """Everything that runs on the cluster."""
        return psutil.Process(self._running().pid).children(recursive=True)

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise RuntimeError("The cluster does not run. Start it through `async with`.")
        return self._process

    async def _answered(self) -> dict[str, Any]:
        process = self._running()
        if process.stdout is None:
            raise RuntimeError("The cluster's process has no pipes. Start it through `async with`.")
        async with asyncio.timeout(_START_S):
            while line := await process.stdout.readline():
                # Ray may have its own say.
                with suppress(ValueError):
                    return json.loads(line)
        raise RuntimeError(f"The cluster did not start. See {self._directory / 'nodes.log'}.")

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        family: list[psutil.Process] = []
        with suppress(psutil.Error):
            family = psutil.Process(process.pid).children(recursive=True)
        if process.stdin is not None:
            process.stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S):
                await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()
        for one in family:
            _killed(one)
        if self._log is not None:
            self._log.close()


def _killed(process: psutil.Process) -> bool:
    """Kill -9; whether it was still there."""
    try:
        process.kill()
    except psutil.Error:
        return False
    return True
