"""Entries per second, latency and CPU of the journal, with 1 to 1,000 sessions.

SQLite in this process and through the actor, PostgreSQL on a server of its own that flushes to its disk.

The rule here: every append is answered before its session makes the next one, as sessions do, and CPU is that of all
processes that take part. Claims and the start of the actor are not counted.
"""

import asyncio
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import psutil
import typer
from rich.console import Console
from rich.table import Table

from agent_core.content import TextBlock
from agent_core.entries import Complete
from agent_core.journals.postgres import PostgresJournal
from agent_core.journals.postgres_options import PostgresOptions
from agent_core.journals.sqlite import SqliteJournal
from agent_core.journals.sqlite_file import Durability, FileOptions
from agent_core.messages import AssistantMessage, SessionId, TurnId, Usage
from agent_core.ports import Append, Journal, Record
from tests.postgres import binaries, running

Place = Literal["in process", "actor", "postgres"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One row. Times are in milliseconds of wall or CPU, `written_bytes` what the disk was given for each entry.

    `written_bytes` counts log and file together, as the kernel does, and is 0 where the path is no disk (tmpfs).
    """

    place: Place
    durability: Durability
    sessions: int
    entries_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_ms_per_append: float
    written_bytes: float


@dataclass(slots=True)
class Rig:
    """A journal that is ready, and the processes whose CPU counts; the last one writes, with its children."""

    journal: Journal
    processes: list[psutil.Process]

    def cpu(self) -> float:
        """CPU seconds so far."""
        return sum(sum(process.cpu_times()[:2]) for process in [*self.processes, *self._children()])

    def written(self) -> int:
        """Bytes that the processes of the journal gave to their disk so far."""
        return sum(process.io_counters().write_bytes for process in [self.processes[-1], *self._children()])

    def _children(self) -> list[psutil.Process]:
        # Only a PostgreSQL server has any, which live as long as it does.
        return self.processes[-1].children() if len(self.processes) > 1 else []


def answer(size: int) -> Complete:
    """An answer of the model with `size` characters of text."""
    message = AssistantMessage(
        id="m1",
        session_id=SessionId("session-000000"),
        turn_id=TurnId("turn-1"),
        created_at=1.7e9,
        completed_at=1.7e9,
        provider="anthropic",
        model="claude-sonnet-5-5",
        usage=Usage(input_tokens=1000, output_tokens=150),
        finish_reason="end_turn",
        content=(TextBlock(text="lorem ipsum "[: max(1, size)] * (size // 12 + 1)),),
    )
    return Complete(turn_id=TurnId("turn-1"), message=message, stop_reason="end_turn")


@asynccontextmanager
async def in_process(path: Path, durability: Durability) -> AsyncIterator[Rig]:
    """The journal in this process."""
    async with SqliteJournal(path, FileOptions(durability=durability)) as journal:
        yield Rig(journal, [psutil.Process()])


@asynccontextmanager
async def in_actor(path: Path, durability: Durability) -> AsyncIterator[Rig]:
    """The journal behind its actor."""
    import ray

    from actors.journal import spawn

    handle = spawn(f"journal-{path.stem}", "benchmark", str(path), FileOptions(durability=durability))
    place = await handle.open()
    yield Rig(handle, [psutil.Process(), psutil.Process(place.pid)])
    await handle.close()
    ray.kill(ray.get_actor(handle.name, "benchmark"))


@asynccontextmanager
async def in_postgres(_: Path, durability: Durability) -> AsyncIterator[Rig]:
    """The journal in a PostgreSQL server that is started for it."""
    with running(sync=True) as server:
        if server.process is None:
            raise RuntimeError("the server is not there")
        address = server.owner_dsn(server.create_database())
        async with PostgresJournal(address, PostgresOptions(durability=durability)) as journal:
            yield Rig(journal, [psutil.Process(), psutil.Process(server.process.pid)])


async def measure(rig: Rig, sessions: int, seconds: float, entry: Complete) -> tuple[list[float], float, float]:
    """Have every session append one entry after the other. Returns the latencies, and wall and CPU seconds in all."""
    names = [SessionId(f"{sessions}-session-{number:06}") for number in range(sessions)]
    await asyncio.gather(*(rig.journal.claim(name, "benchmark") for name in names))
    latencies: list[float] = []
    begun, cpu = time.perf_counter(), rig.cpu()

    async def talk(name: SessionId) -> None:
        seq = 0
        while (sent := time.perf_counter()) < begun + seconds:
            seq += 1
            outcomes = await rig.journal.append([Append(name, 1, [Record(seq, 1, 1.7e9, entry)])])
            if outcomes != [None]:
                raise outcomes[0] or RuntimeError("no outcome")
            latencies.append(time.perf_counter() - sent)

    await asyncio.gather(*map(talk, names))
    return latencies, time.perf_counter() - begun, rig.cpu() - cpu


PLACES: dict[Place, Callable[[Path, Durability], AbstractAsyncContextManager[Rig]]] = {
    "in process": in_process,
    "actor": in_actor,
    "postgres": in_postgres,
}


async def figures(places: list[Place], counts: list[int], seconds: float, size: int) -> AsyncIterator[Figure]:
    """Every combination, each on a file of its own."""
    with tempfile.TemporaryDirectory(prefix="journal-benchmark-") as directory:
        for place in places:
            # On one server they are the same: PostgreSQL has no commit that survives a kill and is not flushed.
            durabilities: tuple[Durability, ...] = ("power",) if place == "postgres" else ("process", "power")
            for durability in durabilities:
                path = Path(directory, f"{place.replace(' ', '-')}-{durability}.sqlite")
                async with PLACES[place](path, durability) as rig:
                    for count in counts:
                        before = rig.written()
                        latencies, wall, cpu = await measure(rig, count, seconds, answer(size))
                        yield _figure((place, durability, count), latencies, (wall, cpu, rig.written() - before))


def _figure(case: tuple[Place, Durability, int], latencies: list[float], totals: tuple[float, float, float]) -> Figure:
    wall, cpu, written = totals
    cuts = statistics.quantiles(latencies, n=100) if len(latencies) > 1 else [latencies[0]] * 99
    return Figure(
        *case,
        entries_per_second=round(len(latencies) / wall, 1),
        p50_ms=round(cuts[49] * 1e3, 3),
        p99_ms=round(cuts[98] * 1e3, 3),
        cpu_ms_per_append=round(cpu / len(latencies) * 1e3, 4),
        written_bytes=round(written / len(latencies)),
    )


def table(rows: list[Figure]) -> Table:
    """The figures for people."""
    shown = Table(title=f"Journal: one entry an append ({os.cpu_count()} cores)")
    for heading in (
        "journal",
        "durability",
        "sessions",
        "entries/s",
        "p50 ms",
        "p99 ms",
        "CPU ms/append",
        "bytes/entry",
    ):
        shown.add_column(heading, justify="left" if heading in {"journal", "durability"} else "right")
    for row in rows:
        shown.add_row(*_cells(row))
    return shown


def _cells(row: Figure) -> Iterator[str]:
    yield row.place
    yield row.durability
    yield f"{row.sessions:,}"
    yield f"{row.entries_per_second:,.0f}"
    yield f"{row.p50_ms:.2f}"
    yield f"{row.p99_ms:.2f}"
    yield f"{row.cpu_ms_per_append:.3f}"
    yield f"{row.written_bytes:,.0f}"


def main(
    seconds: Annotated[float, typer.Option(help="How long each row is measured.")] = 1.5,
    size: Annotated[int, typer.Option(help="Characters of text in each entry.")] = 600,
    sessions: Annotated[str, typer.Option(help="How many sessions at once, separated by commas.")] = "1,16,100,1000",
    places: Annotated[
        str, typer.Option(help="Which journals, separated by commas; the actor starts a local Ray.")
    ] = "in process,actor,postgres",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,  # noqa: FBT002
) -> None:
    """Measure the journal."""
    counts = [int(count) for count in sessions.split(",")]
    asked = places.split(",")
    chosen: list[Place] = [place for place in PLACES if place in asked]
    if "postgres" in chosen and binaries() is None:
        print("PostgreSQL is not installed, and left out.", file=sys.stderr)
        chosen.remove("postgres")
    if "actor" in chosen:
        import ray

        os.environ.setdefault("PYTHONPATH", str(Path(__file__).resolve().parent.parent))
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)

    async def collect() -> list[Figure]:
        return [figure async for figure in figures(chosen, counts, seconds, size)]

    rows = asyncio.run(collect())
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        Console().print(table(rows))


if __name__ == "__main__":
    typer.run(main)
