"""F9: a node of session actors is killed in the middle of an evaluation: what is asked again, and what is missing.

The head has the coordinator and the journal; two more nodes are for session actors. When a third of the results are
there, one that has any is killed with `kill -9`, all its processes at once, and another joins. Every sample must have
one result, and for each session that was open on the lost node the model may be asked once more than without the loss:
for the turn that was open. The model server counts the requests; answers take times that differ, so that sessions are
at all their turns.
"""

import asyncio
import sqlite3
import tempfile
import time
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import typer

from actors import Runtime
from agent_core.evaluation.result import decode_head
from agent_core.evaluation.run import RunOrder
from agent_core.scripted.process import ScriptedServerProcess
from benchmarks.chaos_nodes import Node, Nodes
from benchmarks.evaluation_load import Load, checked, made_order, script
from benchmarks.evaluation_sides import session_fields
from benchmarks.figures import Figure, figure, show

ACTORS = 2
# The head, one for tools, and those with a session actor each: roles alternate, sessions first.
NODES = 4
_LOOK_S = 0.02
_SPREAD = 0.5
_LONGEST_S = 300.0


@dataclass(slots=True)
class Found:
    """What came of it. `lost` are the sessions that were open on the node, `processes` what ran on it."""

    lost: int
    done: int
    processes: int
    requests: int
    results: Counter[tuple[str, str]]
    logged: int
    wall: float


async def run(load: Load, seconds: float, directory: Path) -> Found:
    """Run the load with a model that takes `seconds` for an answer, and kill a node on the way."""
    async with ScriptedServerProcess(script(seconds, _SPREAD)) as server, Nodes(directory, NODES) as nodes:
        (directory / "key").write_text("none")
        sizes: dict[str, Any] = {"session_actors": ACTORS, "sessions_per_actor": load.at_once + 1}
        async with Runtime(nodes.address, data_dir=directory, max_concurrent_requests=load.at_once, **sizes) as runtime:
            opened = await runtime.opening(**session_fields(server.url, directory / "key"))
            warm = made_order(directory, Load(load.at_once, 1, load.at_once), opened, homes=runtime.homes)
            await (await runtime.evaluate(warm)).ended()
            before = await _requests(server)
            order, began = made_order(directory, load, opened, homes=runtime.homes), time.perf_counter()
            running = await runtime.evaluate(order)
            await _has_results(order, load.samples // 3)
            node, homes = await _with_sessions(runtime, nodes)
            lost, done = _open_on(order, homes), _lines(order)
            processes = nodes.kill(node)
            joining = asyncio.create_task(nodes.add(node.role))
            async with asyncio.timeout(_LONGEST_S):
                ended = await running.ended()
            wall = time.perf_counter() - began
            await joining
            requests = await _requests(server) - before
            checked(ended, order)
    with order.results.open("rb") as lines:
        results = Counter((head.id, head.outcome) for head in map(decode_head, lines))
    with zipfile.ZipFile(order.log or "") as log:
        logged = sum(name.startswith("samples/") for name in set(log.namelist()))
    return Found(lost, done, processes, requests, results, logged, wall)


async def _has_results(order: RunOrder, count: int) -> None:
    async with asyncio.timeout(_LONGEST_S):
        # The file is another process's.
        while _lines(order) < count:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)


async def _with_sessions(runtime: Runtime, nodes: Nodes) -> tuple[Node, list[int]]:
    """A node with a session actor, and the numbers of those that it has. Raises RuntimeError if there is none."""
    pids = {home: await runtime.process_of(f"sessions/{home}") for home in range(ACTORS)}
    for node in nodes.alive:
        there = {process.pid for process in node.raylet.children(recursive=True)}
        if homes := [home for home, pid in pids.items() if pid in there]:
            return node, homes
    raise RuntimeError("No node but the head has a session actor. Look at the labels of the nodes.")


def _open_on(order: RunOrder, homes: list[int]) -> int:
    """How many samples are under way in these actors, by the run's own index."""
    with sqlite3.connect(f"file:{order.index}?mode=ro", uri=True, timeout=10) as index:
        return sum(index.execute("SELECT count(*) FROM open WHERE home = ?", (home,)).fetchone()[0] for home in homes)


def _lines(order: RunOrder) -> int:
    return order.results.read_bytes().count(b"\n") if order.results.exists() else 0


async def _requests(server: ScriptedServerProcess) -> int:
    async with aiohttp.ClientSession() as client, client.get(f"{server.url}/scripted/stats") as answer:
        return (await answer.json())["requests"]


def figures_of(load: Load, found: Found) -> list[Figure]:
    """What was lost, what it cost, and whether all is there."""
    extra = found.requests - load.calls
    samples = len({id for id, _ in found.results})
    rows = [
        ("results when the node was killed", found.done, "", ""),
        ("processes killed with it", found.processes, "", ">= 1"),
        ("sessions open on it", found.lost, "", ">= 1"),
        ("model calls beyond one for each turn", extra, "", f"<= {found.lost}"),
        ("the same, for each lost session", extra / max(1, found.lost), "", "<= 1"),
        ("samples with a result", samples, "", f">= {load.samples}"),
        ("results too many", found.results.total() - samples, "", "<= 0"),
        ("samples in the log", found.logged, "", f">= {load.samples}"),
        ("wall", found.wall, "s", ""),
    ]
    return [figure("F9", f"node killed: {name}", value, unit, goal) for name, value, unit, goal in rows]


def main(
    samples: Annotated[int, typer.Option(help="Samples.")] = 600,
    turns: Annotated[int, typer.Option(help="Turns of each.")] = 6,
    at_once: Annotated[int, typer.Option(help="Samples under way.")] = 200,
    seconds: Annotated[float, typer.Option(help="What the model takes for an answer.")] = 0.5,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Kill a node in the middle of an evaluation."""
    load = Load(samples, turns, at_once)
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as directory:
        found = asyncio.run(run(load, seconds, Path(directory)))
    figures = figures_of(load, found)
    show(f"an evaluation of {samples:,} samples that loses a node", figures, as_json=as_json)
    if any(each.met is False for each in figures):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
