"""F9: samples of an evaluation for each second of CPU, ours beside Inspect AI, one turn and several.

The samples, the model server, the scorer and the numbers at once are the same; either keeps its `.eval` log, and ours
its journal and its results besides. The sides take turns. Inspect is set for speed, see `evaluation_sides`. On Ray
every process of the runtime is counted. With `--plot` the figures are drawn.
"""

import asyncio
import importlib.util
import statistics
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import typer

from agent_core.scripted.process import ScriptedServerProcess
from benchmarks.evaluation import RAY, Told, on_ray
from benchmarks.evaluation_load import Load, script
from benchmarks.evaluation_sides import Name, Side
from benchmarks.figures import Figure, figure, show

INSPECT: Name = "Inspect"
SIDES: tuple[Name, ...] = ("ours, one process", "bare SDK", INSPECT)


async def compare(loads: Sequence[Load], rounds: int, seconds: float) -> dict[int, Told]:
    """What each side spent on each load, by its turns; the model takes `seconds` for an answer."""
    told = {load.turns: Told() for load in loads}
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(ScriptedServerProcess(script(seconds)))
        ray = await on_ray(stack, server, loads[0])
        sides = [await stack.enter_async_context(Side(name, server.url)) for name in SIDES]
        ray.without += [side.pid for side in sides]
        for number in range(rounds + 1):
            for load in loads:
                for name, one in ((RAY, ray), *((side.name, side) for side in sides)):
                    spent = await one.perform(load)
                    if number:
                        told[load.turns].add(name, spent)
    return told


def figures_of(loads: Sequence[Load], told: Mapping[int, Told]) -> list[Figure]:
    """Medians over the rounds; ratios are of the same round."""
    rows: list[Figure] = []
    for load in loads:
        of = told[load.turns]
        kind = "one turn" if load.turns == 1 else f"{load.turns} turns"
        inspect = of.cpu_ms(INSPECT, load.samples)
        for side in (RAY, *SIDES):
            spent = of.cpu_ms(side, load.samples)
            if side.startswith("ours"):
                ratio = statistics.median(theirs / own for theirs, own in zip(inspect, spent, strict=True))
                rows.append(figure("F9", f"{kind}, {side}: samples a CPU second over Inspect's", ratio, "x", ">= 1"))
            walls = [load.samples / one.wall for one in of.spent[side]]
            rows += [
                figure(
                    "F9", f"{kind}, {side}: samples a CPU second", statistics.median(1e3 / ms for ms in spent), "/s"
                ),
                figure("F9", f"{kind}, {side}: CPU a sample", statistics.median(spent), "ms"),
                figure("F9", f"{kind}, {side}: samples a second", statistics.median(walls), "/s"),
            ]
    return rows


def main(  # noqa: PLR0913, PLR0917 - a program's options
    samples: Annotated[int, typer.Option(help="Samples of one turn a round; half as many of several.")] = 600,
    turns: Annotated[int, typer.Option(min=2, help="Turns of samples of several turns.")] = 6,
    at_once: Annotated[int, typer.Option(help="Samples under way, and connections of Inspect's.")] = 128,
    rounds: Annotated[int, typer.Option(help="Interleaved rounds, of which medians are taken.")] = 5,
    seconds: Annotated[float, typer.Option(help="What the model takes for an answer.")] = 0.0,
    plot: Annotated[Path | None, typer.Option(help="Draw the CPU of a sample into this PNG file.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare an evaluation with the same one in Inspect AI."""
    if importlib.util.find_spec("inspect_ai") is None:
        raise typer.BadParameter("Inspect AI is not installed. Install it: uv pip install inspect-ai")
    loads = (Load(samples, 1, at_once), Load(max(at_once, samples // 2), turns, at_once))
    told = asyncio.run(compare(loads, rounds, seconds))
    if plot is not None:
        from benchmarks.evaluation_plot import draw

        draw(
            {
                load.turns: {side: told[load.turns].cpu_ms(side, load.samples) for side in (INSPECT, RAY, *SIDES[:2])}
                for load in loads
            },
            plot,
        )
    show(f"evaluation beside Inspect, {at_once} samples at once", figures_of(loads, told), as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
