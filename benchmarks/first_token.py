"""F2: the time to the first token that a session adds to the bare SDK, at a steady number of streams in flight.

Turns start at a steady rate with seeded jitter, whether earlier ones have ended or not; each streams its tokens at a
fixed pace. Blocks of ours and of the bare SDK's stream helper alternate in one run, with the same starts. A time begins
with the call and ends when the first text is in the caller's hands; the starts of a block until all streams are in
flight warm connections up and are not told. The share of the machine that was busy (with everything that runs on it)
stands beside: above 60 % the times say more about the machine than about us.
"""

import asyncio
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import anthropic
import psutil
import typer

from actors import SessionHandle
from agent_core.payloads import TextChunk
from agent_core.scripted import Knobs, Reply, Rule, Script
from benchmarks.figures import Figure, figure, quantile, show
from benchmarks.rig import MODEL, Rig, rig

Turn = Callable[[], Awaitable[float]]
PROMPT: Any = "Tell me something."


@dataclass(frozen=True, slots=True)
class Load:
    """Streams in flight, tokens of each and their rate a second, the server's own latency and a block's length in s."""

    streams: int = 35
    tokens: int = 60
    rate: float = 20.0
    first_byte_s: float = 0.1
    seconds: float = 12.0

    @property
    def length(self) -> float:
        """Seconds that a stream takes."""
        return self.first_byte_s + self.tokens / self.rate

    @property
    def starts(self) -> list[float]:
        """When turns start, in seconds from the block's beginning; the first `streams` of them warm up."""
        step = self.length / self.streams
        jitter = random.Random(1)
        count = self.streams + max(1, round(self.seconds / step))
        return [(number + jitter.random()) * step for number in range(count)]

    def script(self) -> Script:
        """What the server answers: a delta a token."""
        knobs = Knobs(deltas=self.tokens, tokens_per_second=self.rate, first_byte_s=self.first_byte_s)
        return Script(rules=(Rule(replies=(Reply(text="four" * self.tokens),)),), knobs=knobs)


@dataclass(slots=True)
class Times:
    """First-token times in milliseconds, and the busy share of the machine in percent, of all blocks of one side."""

    first: list[float] = field(default_factory=list[float])
    busy: list[float] = field(default_factory=list[float])


async def our_turn(session: SessionHandle) -> float:
    """Seconds to the first text; the rest is read too."""
    start, first = time.perf_counter(), 0.0
    async for event in session.send(PROMPT):
        if not first and isinstance(event, TextChunk):
            first = time.perf_counter() - start
    return first


async def bare_turn(client: anthropic.AsyncAnthropic) -> float:
    """The same with the SDK alone."""
    start, first = time.perf_counter(), 0.0
    messages: Any = [{"role": "user", "content": PROMPT}]
    async with client.messages.stream(model=MODEL, max_tokens=4096, messages=messages) as stream:
        async for event in stream:
            if not first and event.type == "text":
                first = time.perf_counter() - start
    return first


async def block(load: Load, turns: Sequence[Turn], times: Times) -> None:
    """Start the turns when their time has come, and take down those that found all streams in flight."""
    begun = time.perf_counter()

    async def one(turn: Turn, at: float, number: int) -> None:
        await asyncio.sleep(max(0.0, begun + at - time.perf_counter()))
        first = await turn()
        if number >= load.streams:
            times.first.append(first * 1000)

    async with asyncio.TaskGroup() as group:
        for number, (turn, at) in enumerate(zip(turns, load.starts, strict=True)):
            group.create_task(one(turn, at, number))
        # The share that counts is that of the steady time, between the warming up and the last start.
        await asyncio.sleep(load.length)
        psutil.cpu_percent()
        await asyncio.sleep(max(0.0, begun + load.starts[-1] - time.perf_counter()))
        times.busy.append(psutil.cpu_percent())


async def compare(stand: Rig, load: Load, blocks: int) -> tuple[Times, Times]:
    """Ours and the bare SDK's times over `blocks` blocks of each."""
    ours, bare = Times(), Times()
    count = len(load.starts)
    async with anthropic.AsyncAnthropic(base_url=stand.server.url, api_key="none", max_retries=0) as client:
        for _ in range(blocks):
            sessions = await stand.sessions(count)
            await block(load, [lambda s=s: our_turn(s) for s in sessions], ours)
            await stand.shut_down(sessions)
            await block(load, [lambda: bare_turn(client)] * count, bare)
    return ours, bare


def beside(id: str, load: Load, ours: Times, bare: Times) -> list[Figure]:
    """What stands beside the times that are added. The model's own time is exact, so it holds where the SDK lags."""
    own = (load.first_byte_s + 1 / load.rate) * 1000
    found = [
        figure(id, "ours over the model's own time, median", quantile(ours.first, 0.5) - own, "ms"),
        figure(id, "ours over the model's own time, p95", quantile(ours.first, 0.95) - own, "ms"),
    ]
    for side, times in (("ours", ours), ("bare", bare)):
        shares = {"median": 0.5, "p95": 0.95, "p99": 0.99}
        found += [figure(id, f"{side}, {name}", quantile(times.first, share), "ms") for name, share in shares.items()]
        found.append(figure(id, f"machine busy with {side}", statistics.mean(times.busy), "%"))
    return [*found, figure(id, "turns of each", len(ours.first), "")]


def added(ours: Times, bare: Times, share: float) -> float:
    """What our quantile is above the bare one, in milliseconds."""
    return quantile(ours.first, share) - quantile(bare.first, share)


async def measure(load: Load, blocks: int) -> list[Figure]:
    """The figures of F2."""
    async with rig(load.script()) as stand:
        ours, bare = await compare(stand, load, blocks)
    return [
        figure("F2", "added to the first token, median", added(ours, bare, 0.5), "ms", "<= 5"),
        figure("F2", "added to the first token, p99", added(ours, bare, 0.99), "ms", "<= 25"),
        *beside("F2", load, ours, bare),
    ]


def main(
    streams: Annotated[int, typer.Option(help="Streams in flight.")] = 35,
    blocks: Annotated[int, typer.Option(help="Blocks of each side, alternating.")] = 4,
    seconds: Annotated[float, typer.Option(help="Length of a block.")] = 12.0,
    tokens: Annotated[int, typer.Option(help="Tokens of a stream, at 20 a second.")] = 60,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure what a session adds to the time to the first token."""
    load = Load(streams=streams, seconds=seconds, tokens=tokens)
    figures = asyncio.run(measure(load, blocks))
    show(f"Time to the first token, {streams} streams in flight", figures, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
