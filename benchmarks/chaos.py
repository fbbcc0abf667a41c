"""The chaos soak: sessions at work on several nodes while a seeded killer kills -9 whatever they stand on.

Every session has a user who writes, with idempotency keys, and a reader who goes on from cursors; the model refuses,
fails and cuts streams now and then, and its window is so small that conversations are compacted. When the time is up
the killing stops, everything comes to rest, and what was seen from outside is checked: the journal's file, the tools'
ledger, the model server's counters, what users were answered and readers were shown. The exit code is 1 if anything is
not as it must be.
"""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Annotated, Any

import aiohttp
import typer
from rich.console import Console

from actors import Runtime
from agent_core.compaction.settings import LLMCompaction
from agent_core.entries import Compacted, ToolSettled
from agent_core.journals import JOURNAL_FILE
from agent_core.journals.sqlite_reader import SqliteReader
from agent_core.messages import SessionId
from agent_core.ports import Record
from agent_core.scripted import Fault, Knobs, Script, SummaryKnobs
from agent_core.scripted.process import ScriptedServerProcess
from benchmarks.chaos_check import Evidence, check
from benchmarks.chaos_clients import Client, Habits, Seen
from benchmarks.chaos_killer import Killer
from benchmarks.chaos_nodes import Nodes
from benchmarks.chaos_tools import TOOLS, runs_in
from benchmarks.figures import Figure, figure, show
from benchmarks.rig import config_of

SCRIPT = Script(
    knobs=Knobs(
        first_byte_s=0.3,
        first_byte_sigma=0.5,
        tokens_per_second=60,
        retry_after_s=1.0,
        cut_after_deltas=3,
        error_after_deltas=2,
        faults={
            "rate_limited": Fault(probability=0.03),
            "overloaded": Fault(probability=0.02),
            "server_error": Fault(probability=0.02),
            "dropped": Fault(probability=0.01),
            "cut": Fault(probability=0.02),
            "stream_error": Fault(probability=0.01),
            "malformed_tool_json": Fault(probability=0.005),
        },
        summaries=SummaryKnobs(
            first_byte_s=1.0,
            first_byte_sigma=0.5,
            tokens_per_second=200,
            faults={"server_error": Fault(probability=0.05), "cut": Fault(probability=0.03)},
        ),
    )
)
FIELDS: dict[str, Any] = {
    "context_limit": 2_000,
    "max_tokens": 500,
    "timeout": 120.0,
    "compaction": LLMCompaction(keep_recent_turns=1, keep_tokens=400, deadline=60.0, max_summary_tokens=300),
}
_AT_ONCE = 20
_REST_S = 300.0
_READ_S = 60.0
_LOOK_S = 1.0
_STILL = 5
_MOST = 1_000_000
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything. Times are in seconds."""

    seconds: float
    seed: int
    sessions: int
    dedicated: int
    nodes: int
    kill_every: float
    turn_every: float


@dataclass(slots=True)
class Found:
    """What came of it."""

    evidence: Evidence
    seen: Seen
    killer: Killer
    stats: dict[str, Any]
    findings: dict[str, list[str]] = field(default_factory=dict[str, list[str]])


async def soak(size: Size, directory: Path) -> Found:
    """Run it, with all that it makes in `directory`."""
    began = time.perf_counter()
    console = Console(stderr=True)

    def tell(text: str) -> None:
        console.print(f"{time.perf_counter() - began:6.1f} s  {text}", highlight=False, markup=False, soft_wrap=True)

    chosen: dict[str, Any] = {
        "sessions_per_actor": max(100, size.sessions * 2),
        "session_actors": 2,
        "executors": 2,
        "max_actors": size.dedicated + 2,
        "put_away_after": 30.0,
    }
    script = SCRIPT.model_copy(update={"seed": size.seed})
    async with ScriptedServerProcess(script) as server, Nodes(directory, size.nodes) as nodes:
        tell(f"{size.nodes} nodes are up")
        async with Runtime(nodes.address, data_dir=directory, **chosen) as runtime:
            seen = Seen(tell)
            config = config_of(server, directory) | FIELDS
            clients = await _clients(runtime, config, size, Habits(str(directory / "ledger"), size.turn_every), seen)
            tell(f"{len(clients)} sessions are open")
            killer = Killer(runtime, nodes, Random(size.seed), tell)
            evidence = await _stress(clients, killer, size, directory / JOURNAL_FILE, tell)
            stats = await _stats(server)
    evidence.answered, evidence.runs = seen.answered, list(runs_in(directory / "ledger"))
    evidence.invalid = stats["invalid"]
    return Found(evidence, seen, killer, stats, check(evidence))


async def _clients(runtime: Runtime, config: dict[str, Any], size: Size, habits: Habits, seen: Seen) -> list[Client]:
    """A client of every session, opened some at a time. The first ones have an actor of their own."""
    busy = asyncio.Semaphore(_AT_ONCE)

    async def made(number: int) -> Client:
        alone = number < size.dedicated
        async with busy:
            session = await runtime.session(
                f"{'alone' if alone else 'packed'}-{number}",
                tools=TOOLS,
                sessions_per_actor=1 if alone else None,
                **config,
            )
        return Client(session, habits, seen, Random(f"{size.seed} {number}"))

    return await asyncio.gather(*map(made, range(size.dedicated + size.sessions)))


async def _stress(clients: list[Client], killer: Killer, size: Size, journal: Path, tell: Any) -> Evidence:
    """Let them work under fire, then without, until all is quiet. What the journal and the readers have then."""
    stop = asyncio.Event()
    readers = [asyncio.create_task(client.read()) for client in clients]
    writers = [asyncio.create_task(client.write(stop)) for client in clients]
    killing = asyncio.create_task(killer.run(stop, size.kill_every))
    try:
        await asyncio.wait([killing, *readers, *writers], timeout=size.seconds, return_when=asyncio.FIRST_EXCEPTION)
        stop.set()
        tell("the killing has stopped")
        await killing
        await asyncio.wait(writers, timeout=_REST_S)
        silent = {client.id: client.doing for client, task in zip(clients, writers, strict=True) if not task.done()}
        tell(f"{len(silent)} of {len(clients)} sessions did not come to rest")
        logs = await _at_rest(journal)
        await _read_up(clients, logs)
    finally:
        tasks = [killing, *readers, *writers]
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            raise error
    return Evidence(logs=logs, readings={client.id: client.reading for client in clients}, silent=silent)


async def _at_rest(journal: Path) -> dict[SessionId, Sequence[Record]]:
    """Wait until nothing is written any more, as after the last compaction; then what the journal holds."""
    async with SqliteReader(journal) as reader:
        infos = await reader.list_sessions(_MOST)
        still = 0
        while still < _STILL:
            await asyncio.sleep(_LOOK_S)
            before, infos = infos, await reader.list_sessions(_MOST)
            still = still + 1 if infos == before else 0
        return {info.session_id: await reader.read(info.session_id) for info in infos}


async def _read_up(clients: list[Client], logs: dict[SessionId, Sequence[Record]]) -> None:
    """Give readers the time to come to the end of what is there."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_READ_S):
            await asyncio.gather(*(client.has_read(len(logs.get(client.id, ()))) for client in clients))


async def _stats(server: ScriptedServerProcess) -> dict[str, Any]:
    async with aiohttp.ClientSession() as client, client.get(f"{server.url}/scripted/stats") as answer:
        return await answer.json()


# --- what is told ---------------------------------------------------------------------------------------------------


def figures_of(found: Found) -> list[Figure]:
    """What was killed, what was done meanwhile, and what was found."""
    entries = [record.entry for log in found.evidence.logs.values() for record in log]
    settled = [entry.outcome for entry in entries if isinstance(entry, ToolSettled)]
    rows: list[tuple[str, float, str]] = [
        *((f"killed: {kind}", count, "") for kind, count in sorted(found.killer.struck.items())),
        ("killed in all", found.killer.struck.total(), ">= 1"),
        ("actors that died with their node", found.killer.aboard, ""),
        ("sessions", len(found.evidence.logs), ">= 1"),
        ("messages accepted", len({(each.session_id, each.key) for each in found.evidence.answered}), ">= 1"),
        *((f"turns {outcome}", count, "") for outcome, count in sorted(found.seen.outcomes.items())),
        ("runs of tools", len(found.evidence.runs), ""),
        *((f"calls settled as {outcome}", settled.count(outcome), "") for outcome in sorted(set(settled))),
        ("compactions", sum(isinstance(entry, Compacted) for entry in entries), ""),
        ("requests to the model", found.stats["requests"], ""),
        ("of them broken on purpose", sum(found.stats["faults"].values()), ""),
        ("restarts that readers were told of", found.seen.restarts, ""),
        ("returns of readers with a cursor", found.seen.returns, ""),
        ("failed turns that were tried again", found.seen.retries, ""),
        *((f"error of a client, {error}", count, "") for error, count in sorted(found.seen.errors.items())),
        *((kind, len(each), "<= 0") for kind, each in found.findings.items()),
    ]
    return [figure("chaos", name, value, "", goal) for name, value, goal in rows]


def main(  # noqa: PLR0913, PLR0917 - a program's options
    minutes: Annotated[float, typer.Option(help="Minutes under fire.")] = 3.0,
    seed: Annotated[int, typer.Option(help="What is killed and said, when, and how the model fails.")] = 1,
    sessions: Annotated[int, typer.Option(help="Sessions that share actors.")] = 200,
    dedicated: Annotated[int, typer.Option(help="Sessions with an actor of their own.")] = 4,
    nodes: Annotated[int, typer.Option(min=2, help="Nodes of the cluster, the head included.")] = 3,
    kill_every: Annotated[float, typer.Option(help="Seconds between two kills, on average.")] = 5.0,
    turn_every: Annotated[float, typer.Option(help="Seconds between two turns of a session, on average.")] = 10.0,
    directory: Annotated[Path | None, typer.Option(help="Keep journal, ledger and logs here. A short path.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show that sessions survive anything."""
    size = Size(minutes * 60, seed, sessions, dedicated, nodes, kill_every, turn_every)
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as temporary:
        place = directory or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        found = asyncio.run(soak(size, place))
    console = Console(stderr=True)
    for kind, each in found.findings.items():
        for text in each[:_SHOWN]:
            console.print(f"{kind}: {text}", style="red", highlight=False, markup=False, soft_wrap=True)
    figures = figures_of(found)
    show(f"Chaos, {minutes:g} minutes, seed {seed}", figures, as_json=as_json)
    if any(each.met is False for each in figures):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
