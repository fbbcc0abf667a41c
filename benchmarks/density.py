"""Many turns in flight at once in one actor, read by one process: that all complete, and what it takes.

The model takes its time over every answer, as real ones do, so that all turns are open together; how many requests it
had at once is told by its own counters. CPU is that of all our processes; memory is what the actor's process gained, at
its highest.
"""

import asyncio
import time
from typing import Annotated

import psutil
import typer

from actors import SessionHandle
from agent_core.entries import TurnEnded
from agent_core.payloads import TextChunk
from agent_core.scripted import Knobs, Reply, Rule, Script
from benchmarks.figures import Figure, figure, quantile, show
from benchmarks.processes import unshared_bytes
from benchmarks.rig import rig

_LOOKS = 0.5


def script(tokens: int, rate: float) -> Script:
    """Answers that begin after 2 seconds and then have `rate` tokens a second."""
    knobs = Knobs(deltas=tokens, tokens_per_second=rate, first_byte_s=2.0)
    return Script(rules=(Rule(replies=(Reply(text="four" * tokens),)),), knobs=knobs)


async def turn(session: SessionHandle, tokens: int) -> tuple[bool, float]:
    """Whether a turn completed with its whole text, and its seconds."""
    start, text, completed = time.perf_counter(), "", False
    async for event in session.send("Take your time."):
        if isinstance(event, TextChunk):
            text += event.text
        elif isinstance(event, TurnEnded):
            completed = event.outcome == "completed"
    return completed and text == "four" * tokens, time.perf_counter() - start


async def watch(actor: psutil.Process, highest: list[int]) -> None:
    """Keep the most memory that the actor had, until cancelled."""
    while True:
        highest[0] = max(highest[0], unshared_bytes(actor))
        await asyncio.sleep(_LOOKS)


async def measure(turns: int, tokens: int, rate: float) -> list[Figure]:
    """Have all turns at once."""
    async with rig(script(tokens, rate), max_concurrent_requests=turns) as stand:
        await turn((await stand.sessions(1))[0], tokens)
        sessions = await stand.sessions(turns)
        actor = stand.session_actor()
        resting = unshared_bytes(actor)
        highest = [resting]
        watching = asyncio.create_task(watch(actor, highest))
        before, start = stand.cpu(), time.perf_counter()
        ended = await asyncio.gather(*(turn(session, tokens) for session in sessions))
        wall, cpu = time.perf_counter() - start, stand.cpu().since(before)
        watching.cancel()
        at_once = (await stand.server_stats())["max_concurrent"]
    lengths = [length for _, length in ended]
    return [
        figure("density", "turns at once", turns, ""),
        figure("density", "completed with their whole text", sum(whole for whole, _ in ended), "", f">= {turns}"),
        figure("density", "requests that the model had at once", at_once, "", f">= {turns}"),
        figure("density", "wall", wall, "s"),
        figure("density", "a turn by the model's own pace", 2.0 + tokens / rate, "s"),
        figure("density", "a turn, median", quantile(lengths, 0.5), "s"),
        figure("density", "a turn, p99", quantile(lengths, 0.99), "s"),
        figure("density", "CPU a turn", cpu.total / turns * 1000, "ms"),
        *(
            figure("density", f"CPU a turn, {kind}", spent / turns * 1000, "ms")
            for kind, spent in sorted(cpu.ours.items())
        ),
        figure("density", "memory of the actor, sessions resting", resting / 1e6, "MB"),
        figure("density", "memory of a turn in flight", (highest[0] - resting) / turns / 1000, "KB"),
    ]


def main(
    turns: Annotated[int, typer.Option(help="Turns at once.")] = 1_000,
    tokens: Annotated[int, typer.Option(help="Tokens of each answer.")] = 24,
    rate: Annotated[float, typer.Option(help="Tokens a second of each answer.")] = 3.0,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show that many turns at once work."""
    show(f"{turns:,} turns in flight at once", asyncio.run(measure(turns, tokens, rate)), as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
