"""F4: the time to open a session on a warm actor, first entry durable, and to re-activate one of 100 entries.

One session at a time, as its caller sees it: from the call of `runtime.session` until it has returned. Those that are
re-activated were written to the journal by an earlier runtime, in this process, so the actor has to read every one. A
second pass, over sessions that the actor holds by then, is shown beside as the price of the way there and back.
"""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Annotated

import typer

from agent_core.local_runtime import LocalRuntime
from agent_core.messages import SessionId
from agent_core.scripted import Reply, Rule, Script
from agent_core.scripted.process import ScriptedServerProcess
from benchmarks.figures import Figure, figure, quantile, show
from benchmarks.rig import config_of, rig

SCRIPT = Script(rules=(Rule(replies=(Reply(text="This is an answer of some length, as answers are. " * 4),)),))
_AT_ONCE = 20
_ENTRIES_A_TURN = 4
"""Accepted, started, complete, ended."""


async def fill(data_dir: Path, sessions: int, entries: int) -> list[SessionId]:
    """Write that many sessions with about that many entries each into the journal of a directory."""
    turns = max(1, entries // _ENTRIES_A_TURN)
    limit = asyncio.Semaphore(_AT_ONCE)
    async with ScriptedServerProcess(SCRIPT) as server, LocalRuntime(data_dir=data_dir) as runtime:
        config = config_of(server, data_dir)

        async def one() -> SessionId:
            async with limit:
                session = await runtime.session(**config)
                for number in range(turns):
                    await session.ask(f"This is question {number}.")
                return session.id

        return await asyncio.gather(*(one() for _ in range(sessions)))


async def timed(calls: Iterable[Callable[[], Awaitable[object]]]) -> list[float]:
    """Milliseconds of each call, one behind the other."""
    taken: list[float] = []
    for call in calls:
        start = time.perf_counter()
        await call()
        taken.append((time.perf_counter() - start) * 1000)
    return taken


async def measure(sessions: int, entries: int) -> list[Figure]:
    """Open new sessions and re-activate old ones, in turns, so that both see the same machine."""
    with tempfile.TemporaryDirectory(prefix="rayconteur-benchmark-") as directory:
        old = await fill(Path(directory), sessions, entries)
        async with rig(SCRIPT, data_dir=Path(directory)) as stand:
            runtime, config = stand.runtime, stand.config
            for session in await stand.sessions(20):
                await session.ask("Is everything warm?")
            opened: list[float] = []
            activated: list[float] = []
            for id in old:
                opened += await timed([lambda: runtime.session(**config)])
                activated += await timed([lambda id=id: runtime.session(id)])
            held = await timed(lambda id=id: runtime.session(id) for id in old)
            found = (await (await runtime.session(old[0])).status()).last_seq
    return [
        figure("F4", "open, median", quantile(opened, 0.5), "ms", "<= 4"),
        figure("F4", "open, p99", quantile(opened, 0.99), "ms", "<= 15"),
        figure("F4", f"re-activate {found} entries, median", quantile(activated, 0.5), "ms"),
        figure("F4", f"re-activate {found} entries, p99", quantile(activated, 0.99), "ms", "<= 20"),
        figure("F4", "find one that is active, median", quantile(held, 0.5), "ms"),
        figure("F4", "find one that is active, p99", quantile(held, 0.99), "ms"),
    ]


def main(
    sessions: Annotated[int, typer.Option(help="Sessions of either kind.")] = 300,
    entries: Annotated[int, typer.Option(help="Entries of a session that is re-activated.")] = 100,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure how long opening a session takes."""
    show("Opening a session, one at a time", asyncio.run(measure(sessions, entries)), as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
