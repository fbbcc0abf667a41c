"""F1: CPU per streamed turn with one tool call, sessions on a cluster beside the bare SDK, interleaved, medians.

The work is the same on all sides: two requests of 16 deltas each, one tool call between them, every event read, every
turn the first of its conversation. Ours has the journal on and counts every process of the runtime; the bare loop is
one process that calls the SDK's stream helper and the tool's function, and keeps nothing. It runs on the SDK's default
transport, which is what the goals are about, and on aiohttp.

`--paced` is F1b: one request a turn and no tool, 32 tokens at one every 50 ms, starts spread over a turn's length.
"""

import asyncio
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import anthropic
import typer

from actors import SessionHandle, tool
from agent_core.entries import TurnEnded
from agent_core.scripted import Knobs, Match, Reply, Rule, Script, ToolCall
from benchmarks.figures import Figure, figure, show
from benchmarks.processes import Cpu
from benchmarks.rig import MODEL, Rig, rig

Turn = Callable[[], Awaitable[None]]
TEXT = "The quick brown fox jumps over the lazy dog again. "[:48]
PROMPT = "How is the weather in Bern?"
SETTLING = 0.3
_TOKENS = 32


@tool
async def lookup(city: str) -> str:
    """Look up the weather of a city."""
    return f"It is sunny in {city}."


@dataclass(frozen=True, slots=True)
class Work:
    """What every turn does. `spread` is the length in seconds over which starts are spread; `goals` go by width."""

    id: str
    title: str
    script: Script
    tools: tuple[Any, ...]
    spread: float
    goals: dict[int, str]


WITH_TOOL = Work(
    "F1",
    "CPU per turn (two requests, 32 deltas, one tool call)",
    Script(
        rules=(
            Rule(match=Match(has_tool_result=True), replies=(Reply(text=TEXT, knobs=Knobs(deltas=16)),)),
            Rule(
                replies=(
                    Reply(
                        text=TEXT,
                        tool_calls=(ToolCall(name="lookup", input={"city": "Bern"}),),
                        knobs=Knobs(deltas=14),
                    ),
                )
            ),
        )
    ),
    (lookup,),
    0.0,
    {16: "<= 2.0", 50: "<= 1.5"},
)


def paced(pace: float) -> Work:
    """One request, a token every `pace` seconds."""
    knobs = Knobs(deltas=_TOKENS, tokens_per_second=1 / pace)
    return Work(
        "F1b",
        f"CPU per turn (one request, {_TOKENS} tokens, one every {pace * 1000:g} ms)",
        Script(rules=(Rule(replies=(Reply(text="four" * _TOKENS),)),), knobs=knobs),
        (),
        _TOKENS * pace,
        {50: "<= 2.5"},
    )


async def bare_turn(client: anthropic.AsyncAnthropic, tools: Sequence[Any]) -> None:
    """One turn as a user of the SDK writes it."""
    wired: Any = [
        {"name": each.name, "description": each.description, "input_schema": each.input_schema}
        for each in (tool.definition for tool in tools)
    ]
    messages: list[Any] = [{"role": "user", "content": PROMPT}]
    while True:
        async with client.messages.stream(model=MODEL, max_tokens=4096, messages=messages, tools=wired) as stream:
            async for _ in stream:
                pass
            answer = await stream.get_final_message()
        messages.append({"role": "assistant", "content": answer.content})
        calls = [block for block in answer.content if block.type == "tool_use"]
        if not calls:
            return
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": await tools[0](**call.input)} for call in calls
        ]
        messages.append({"role": "user", "content": results})


async def our_turn(session: SessionHandle) -> None:
    """The same turn through a session, every event read. Raises RuntimeError if it does not complete."""
    async for event in session.send(PROMPT):
        if isinstance(event, TurnEnded) and event.outcome != "completed":
            raise RuntimeError(f"A turn ended as '{event.outcome}': {event.error}. Look at the log of its actor.")


async def in_flight(turns: Sequence[Turn], width: int, spread: float) -> float:
    """Perform the turns, `width` at a time, the first ones spread over `spread` seconds. Returns wall seconds."""
    left = iter(turns)
    offsets = random.Random(1)

    async def worker() -> None:
        await asyncio.sleep(offsets.uniform(0.0, spread))
        for turn in left:
            await turn()

    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(width):
            group.create_task(worker())
    return time.perf_counter() - start


@dataclass(slots=True)
class Spent:
    """One side of one round."""

    cpu: Cpu
    wall: float


class Bench:
    """Measures rounds of one kind of work on one rig."""

    def __init__(self, rig: Rig, work: Work, clients: Sequence[anthropic.AsyncAnthropic]) -> None:
        self._rig, self._work, self._clients = rig, work, clients

    async def rounds(self, width: int, turns: int, rounds: int) -> list[list[Spent]]:
        """Of each round, what we spent, then what the bare loops did. The first round warms up and is not told."""
        found: list[list[Spent]] = []
        for _ in range(rounds + 1):
            one = [await self._ours(width, turns)]
            for client in self._clients:
                work = [lambda client=client: bare_turn(client, self._work.tools)] * turns
                one.append(await self._spent(work, width))
            found.append(one)
        return found[1:]

    async def _ours(self, width: int, turns: int) -> Spent:
        sessions = await self._rig.sessions(turns, tools=self._work.tools)
        await asyncio.sleep(SETTLING)
        spent = await self._spent([lambda s=s: our_turn(s) for s in sessions], width)
        await self._rig.shut_down(sessions)
        return spent

    async def _spent(self, turns: Sequence[Turn], width: int) -> Spent:
        before = self._rig.cpu()
        wall = await in_flight(turns, width, self._work.spread)
        return Spent(self._rig.cpu().since(before), wall)


def summary(work: Work, width: int, turns: int, rounds: list[list[Spent]]) -> list[Figure]:
    """Medians over the rounds: ratios of the same round, and CPU milliseconds a turn."""

    def ratio(side: int) -> float:
        return statistics.median(one[0].cpu.total / one[side].cpu.ours["client"] for one in rounds)

    def cpu_ms(side: int, *kinds: str) -> float:
        spent = [sum(one[side].cpu.ours.get(kind, 0.0) for kind in kinds) for one in rounds]
        return statistics.median(spent) * 1000 / turns

    kinds = sorted({kind for one in rounds for kind in one[0].cpu.ours})
    rate = statistics.median(turns / one[0].wall for one in rounds)
    rows = [
        ("over the stream helper", ratio(1), "x", work.goals.get(width, "")),
        ("over the stream helper on aiohttp", ratio(2), "x", ""),
        ("ours", cpu_ms(0, *kinds), "ms", ""),
        *((f"ours, {kind}", cpu_ms(0, kind), "ms", "") for kind in kinds),
        ("Ray's daemons (not in ours)", statistics.median(o[0].cpu.daemons for o in rounds) * 1000 / turns, "ms", ""),
        ("bare, stream helper", cpu_ms(1, "client"), "ms", ""),
        ("bare, stream helper on aiohttp", cpu_ms(2, "client"), "ms", ""),
        ("turns a second", rate, "/s", ""),
    ]
    return [figure(work.id, f"{width} in flight: {name}", value, unit, goal) for name, value, unit, goal in rows]


async def measure(work: Work, widths: Sequence[int], turns: int, rounds: int) -> list[Figure]:
    """The figures for every width, on one rig."""
    figures: list[Figure] = []
    async with rig(work.script) as stand:
        url = stand.server.url
        aio = anthropic.DefaultAioHttpClient()
        async with (
            anthropic.AsyncAnthropic(base_url=url, api_key="none", max_retries=0) as default,
            anthropic.AsyncAnthropic(base_url=url, api_key="none", max_retries=0, http_client=aio) as aiohttp,
        ):
            bench = Bench(stand, work, (default, aiohttp))
            for width in widths:
                figures += summary(work, width, turns, await bench.rounds(width, turns, rounds))
    return figures


def main(  # noqa: PLR0913 - a program's options
    width: Annotated[list[int] | None, typer.Option(help="Turns in flight; may be given several times.")] = None,
    turns: Annotated[int, typer.Option(help="Turns a round.")] = 200,
    rounds: Annotated[int, typer.Option(help="Interleaved rounds, of which medians are taken.")] = 5,
    *,
    is_paced: Annotated[bool, typer.Option("--paced", help="F1b: no tool, tokens at a pace.")] = False,
    pace: Annotated[float, typer.Option(help="Seconds between the tokens of --paced.")] = 0.05,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure CPU per turn against the bare SDK."""
    work = paced(pace) if is_paced else WITH_TOOL
    widths = width or ([50] if is_paced else [1, 16, 50])
    show(work.title, asyncio.run(measure(work, widths, turns, rounds)), as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
