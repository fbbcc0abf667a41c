"""How many short requests a second one core of the scripted model server answers: `python -m benchmarks.model_server`.

The rule here: what is reported is the server's own CPU time, read from the kernel, so that the load program beside
it, which shares the machine, does not count. A rate is requests over the server's CPU seconds; wall-clock rates stand
beside it.
"""

import asyncio
import os
import time
from dataclasses import dataclass
from typing import Annotated, Any

import aiohttp
import psutil
import typer

from agent_core.scripted import Knobs, Reply, Rule, Script
from agent_core.scripted.process import ScriptedServerProcess
from benchmarks.figures import Figure, figure, show

SHORT = "This is a short answer of the scripted model server, thirty-two deltas long when it is streamed to its reader."
HEADERS = {"anthropic-version": "2023-06-01"}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/messages": {"model": "m", "max_tokens": 1_000, "messages": [{"role": "user", "content": "How are you?"}]},
    "/v1/chat/completions": {"model": "m", "messages": [{"role": "user", "content": "How are you?"}]},
    "/v1/responses": {"model": "m", "input": "How are you?", "store": False},
}


@dataclass
class Size:
    """Requests in a round, connections that are open at once, rounds of every kind."""

    requests: int
    readers: int
    rounds: int


@dataclass
class Measured:
    """One run: requests, seconds on the wall, seconds of the server's CPU."""

    requests: int
    wall_s: float
    cpu_s: float

    def figures(self, name: str) -> list[Figure]:
        return [
            figure("M1", f"{name}, of one core", self.requests / self.cpu_s, "/s"),
            figure("M1", f"{name}, on the wall", self.requests / self.wall_s, "/s"),
        ]


async def load(session: aiohttp.ClientSession, path: str, body: dict[str, Any], count: int) -> None:
    """Sends `count` requests one behind the other."""
    for _ in range(count):
        async with session.post(path, json=body, headers=HEADERS) as answer:
            raw = await answer.read()
            if answer.status != 200 or not raw:
                raise RuntimeError(f"The server answered {answer.status}: {raw[:200]!r}. Run its tests first.")


async def measure(server: ScriptedServerProcess, path: str, body: dict[str, Any], size: Size) -> Measured:
    """One round of one kind of request."""
    process = psutil.Process(server.pid)
    connector = aiohttp.TCPConnector(limit=size.readers)
    async with aiohttp.ClientSession(server.url, connector=connector) as session:
        await load(session, path, body, 50)
        before = process.cpu_times()
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(size.readers):
                group.create_task(load(session, path, body, size.requests // size.readers))
        wall = time.perf_counter() - started
        after = process.cpu_times()
    # The kernel counts in ticks: a round of few requests may end within one.
    cpu = max(after.user + after.system - before.user - before.system, 1 / os.sysconf("SC_CLK_TCK"))
    return Measured(size.requests // size.readers * size.readers, wall, cpu)


async def run(size: Size) -> list[Figure]:
    """Measures each wire, streaming and not: the median round of each."""
    script = Script(rules=(Rule(replies=(Reply(text=SHORT),)),), knobs=Knobs(deltas=32))
    async with ScriptedServerProcess(script) as server:
        results: dict[str, list[Measured]] = {}
        for _ in range(size.rounds):
            for path, body in BODIES.items():
                for stream in (False, True):
                    name = f"{path}, {'32 deltas' if stream else 'whole'}"
                    asked = body | {"stream": stream}
                    measured = await measure(server, path, asked, size)
                    results.setdefault(name, []).append(measured)
    medians = {name: sorted(runs, key=lambda run: run.cpu_s)[len(runs) // 2] for name, runs in results.items()}
    return [each for name, run in medians.items() for each in run.figures(name)]


def main(
    requests: Annotated[int, typer.Option(help="Requests in each round.")] = 3_000,
    readers: Annotated[int, typer.Option(help="Connections that are open at once.")] = 32,
    rounds: Annotated[int, typer.Option(help="Rounds of every wire, interleaved.")] = 3,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure the scripted model server."""
    figures = asyncio.run(run(Size(requests, readers, rounds)))
    show(f"The scripted model server, {readers} connections", figures, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
