"""CPU per streamed turn with one tool call: sessions on a cluster beside the bare SDK, interleaved, medians.

The work is the same on both sides: two requests of 16 deltas each, one tool call between them, every event read. Ours has the
journal on and counts every process of the runtime; the bare loop is one process that calls the SDK's stream helper and the
tool's function, and keeps nothing. Run as `python -m benchmarks.turns`.
"""

import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import anthropic
import typer
from rich.console import Console
from rich.table import Table

from actors import Runtime, SessionHandle, tool
from agent_core.scripted import Knobs, Match, Reply, Rule, Script, ToolCall
from agent_core.scripted.process import ScriptedServerProcess
from benchmarks.processes import Cpu, cpu_now

MODEL = "claude-sonnet-4-5"
TEXT = "The quick brown fox jumps over the lazy dog again. "[:48]


@tool
async def lookup(city: str) -> str:
    """Look up the weather of a city."""
    return f"It is sunny in {city}."


SCRIPT = Script(
    rules=(
        Rule(match=Match(has_tool_result=True), replies=(Reply(text=TEXT, knobs=Knobs(deltas=16)),)),
        Rule(
            replies=(
                Reply(text=TEXT, tool_calls=(ToolCall(name="lookup", input={"city": "Bern"}),), knobs=Knobs(deltas=14)),
            )
        ),
    )
)


async def bare_turn(client: anthropic.AsyncAnthropic) -> None:
    """One turn as a user of the SDK writes it."""
    definition = lookup.definition
    tools: Any = [{"name": "lookup", "description": definition.description, "input_schema": definition.input_schema}]
    messages: list[Any] = [{"role": "user", "content": "How is the weather in Bern?"}]
    while True:
        async with client.messages.stream(model=MODEL, max_tokens=1024, messages=messages, tools=tools) as stream:
            async for _ in stream:
                pass
            answer = await stream.get_final_message()
        messages.append({"role": "assistant", "content": answer.content})
        calls = [block for block in answer.content if block.type == "tool_use"]
        if not calls:
            return
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": await lookup(**call.input)}  # type: ignore[arg-type]
            for call in calls
        ]
        messages.append({"role": "user", "content": results})


async def our_turn(session: SessionHandle) -> None:
    """The same turn through a session, every event read; then the conversation is emptied, as the bare loop's is."""
    async for _ in session.send("How is the weather in Bern?"):
        pass


async def in_flight(work: list[Callable[[], Awaitable[None]]], turns: int) -> float:
    """Run `turns` turns, each worker taking the next as soon as it is done. Returns wall seconds."""
    left = iter(range(turns))

    async def worker(turn: Callable[[], Awaitable[None]]) -> None:
        for _ in left:
            await turn()

    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for turn in work:
            group.create_task(worker(turn))
    return time.perf_counter() - start


async def measure(width: int, turns: int, rounds: int) -> dict[str, Any]:
    """Medians over interleaved rounds at `width` turns in flight: milliseconds of CPU a turn, and their ratio."""
    os.environ["RAYCONTEUR_BENCH_KEY"] = "none"
    with tempfile.TemporaryDirectory() as directory:
        async with (
            ScriptedServerProcess(SCRIPT) as server,
            Runtime("local", dashboard=False, data_dir=directory, sessions_per_actor=1000, session_actors=1) as runtime,
            anthropic.AsyncAnthropic(base_url=server.url, api_key="none", max_retries=0) as client,
        ):
            config = {"model": f"anthropic/{MODEL}", "base_url": server.url, "api_key": "env:RAYCONTEUR_BENCH_KEY"}

            async def ours() -> tuple[Cpu, float]:
                sessions = [await runtime.session(tools=[lookup], max_tokens=1024, **config) for _ in range(width)]
                await asyncio.sleep(0.3)
                before = cpu_now([server.pid])
                wall = await in_flight([lambda s=s: our_turn(s) for s in sessions], turns)
                spent = cpu_now([server.pid]).since(before)
                for session in sessions:
                    await session.shutdown()
                return spent, wall

            async def bare() -> tuple[Cpu, float]:
                before = cpu_now([server.pid])
                wall = await in_flight([lambda: bare_turn(client)] * width, turns)
                return cpu_now([server.pid]).since(before), wall

            await ours(), await bare()
            pairs = [(await ours(), await bare()) for _ in range(rounds)]
    return _summary(width, turns, pairs)


def _summary(width: int, turns: int, pairs: list[Any]) -> dict[str, Any]:
    def median(values: list[float]) -> float:
        return round(statistics.median(values) * 1000 / turns, 2)

    kinds = sorted({kind for (ours, _), _ in pairs for kind in ours.ours})
    return {
        "in_flight": width,
        "turns": turns,
        "ours_ms": median([ours.total for (ours, _), _ in pairs]),
        "bare_ms": median([bare.ours["client"] for _, (bare, _) in pairs]),
        "ratio": round(statistics.median(ours.total / bare.ours["client"] for (ours, _), (bare, _) in pairs), 2),
        "by_process_ms": {kind: median([ours.ours.get(kind, 0.0) for (ours, _), _ in pairs]) for kind in kinds},
        "ray_daemons_ms": median([ours.daemons for (ours, _), _ in pairs]),
        "turns_per_second": round(statistics.median(turns / wall for (_, wall), _ in pairs), 1),
        "bare_turns_per_second": round(statistics.median(turns / wall for _, (_, wall) in pairs), 1),
    }


def main(
    width: Annotated[list[int] | None, typer.Option(help="Turns in flight; may be given several times.")] = None,
    turns: Annotated[int, typer.Option(help="Turns a round.")] = 300,
    rounds: Annotated[int, typer.Option(help="Interleaved rounds, of which medians are taken.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure CPU per turn against the bare SDK."""
    found = [asyncio.run(measure(each, turns, rounds)) for each in width or [1, 16, 50]]
    if as_json:
        print(json.dumps(found, indent=2))
        return
    table = Table(title="CPU per turn (two requests, 32 deltas, one tool call)")
    for heading in ("in flight", "ours ms", "bare SDK ms", "ratio", "turns/s", "where (ms)"):
        table.add_column(heading, justify="right" if heading != "where (ms)" else "left")
    for row in found:
        where = ", ".join(f"{kind} {spent}" for kind, spent in row["by_process_ms"].items())
        table.add_row(
            str(row["in_flight"]), str(row["ours_ms"]), str(row["bare_ms"]), f"{row['ratio']}x",
            str(row["turns_per_second"]), where,
        )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
