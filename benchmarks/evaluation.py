"""F9: what an evaluation costs: CPU a sample and a turn beyond the bare SDK's, wall with a slow model, memory.

All sides send the same requests, at least 100 of them at once, and get whole answers from a model that takes no time;
they take turns, and medians are told. Ours has the journal, the results and the `.eval` log on, a scorer judges each
answer, and every process of the runtime is counted. Starting the coordinator's process, once a run, is told apart.
A second part has a model that takes its time; a third runs `drivers.evaluate run` as a user does and looks at memory.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from actors import Runtime
from agent_core.scripted.process import ScriptedServerProcess
from benchmarks.evaluation_load import Load, checked, made_order, script
from benchmarks.evaluation_memory import memory
from benchmarks.evaluation_sides import Name, Side, Spent, session_fields
from benchmarks.figures import Figure, figure, show
from benchmarks.processes import Cpu, cpu_now

RAY = "ours on Ray"
SIDES: tuple[Name, ...] = ("ours, one process", "bare SDK", "bare SDK on aiohttp")
PARTS = ("cpu", "latency", "memory")
_BEYOND_SAMPLE, _BEYOND_TURN = "<= 2", "<= 0.5"


@dataclass(slots=True)
class OnRay:
    """Our side on a cluster: workers beside the sessions. `without` are processes that are not ours."""

    runtime: Runtime
    directory: Path
    url: str
    without: list[int] = field(default_factory=list[int])
    last: Cpu = field(default_factory=lambda: Cpu({}, 0.0))
    starting: list[float] = field(default_factory=list[float])

    async def perform(self, load: Load) -> Spent:
        """Perform the load. `last` is what it took by kinds of processes, `starting` grows by what its start took."""
        opened = await self.runtime.opening(**session_fields(self.url, self.directory / "key"))
        began = time.process_time()
        order = made_order(self.directory, load, opened, homes=self.runtime.homes)
        preparing = time.process_time() - began
        before = cpu_now(self.without)
        wall = time.perf_counter()
        running = await self.runtime.evaluate(order)
        started = cpu_now(self.without)
        ended = await running.ended()
        wall = time.perf_counter() - wall
        self.last = cpu_now(self.without).since(started)
        # A process that was none of ours before brings along what it took to be there.
        self.starting.append(sum(started.ours.values()) - sum(before.ours.values()))
        checked(ended, order)
        self.last.ours["client"] += preparing
        return Spent(self.last.total, wall)


async def on_ray(stack: AsyncExitStack, server: ScriptedServerProcess, load: Load, actors: int = 0) -> OnRay:
    """A runtime on a Ray of its own with so many session actors; with 0 as many as `evaluate run` has by default."""
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rayconteur-benchmark-")))
    (directory / "key").write_text("none")
    runtime = await stack.enter_async_context(
        Runtime(
            "local",
            dashboard=False,
            data_dir=directory,
            session_actors=actors or None,
            sessions_at_once=load.at_once,
            sessions_per_actor=max(2, load.at_once),
            max_concurrent_requests=load.at_once,
        )
    )
    return OnRay(runtime, directory, server.url, [server.pid])


@dataclass(slots=True)
class Told:
    """What the sides spent on one load, round by round."""

    spent: dict[str, list[Spent]] = field(default_factory=dict[str, list[Spent]])
    kinds: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def add(self, side: str, spent: Spent) -> None:
        """One round of one side."""
        self.spent.setdefault(side, []).append(spent)

    def cpu_ms(self, side: str, samples: int) -> list[float]:
        """Milliseconds of CPU a sample, of each round."""
        return [one.cpu * 1e3 / samples for one in self.spent[side]]


async def cpu(loads: Sequence[Load], rounds: int) -> list[Figure]:
    """CPU of the loads, which differ in their turns: one, then more."""
    told = {load.turns: Told() for load in loads}
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(ScriptedServerProcess(script()))
        ray = await on_ray(stack, server, loads[0])
        sides = [await stack.enter_async_context(Side(name, server.url)) for name in SIDES]
        ray.without += [side.pid for side in sides]
        for number in range(rounds + 1):
            for load in loads:
                found = {RAY: await ray.perform(load), **{side.name: await side.perform(load) for side in sides}}
                if not number:
                    continue
                for name, spent in found.items():
                    told[load.turns].add(name, spent)
                for kind, seconds in {**ray.last.ours, "Ray's daemons": ray.last.daemons}.items():
                    told[load.turns].kinds.setdefault(kind, []).append(seconds * 1e3 / load.samples)
    starting = statistics.median(ray.starting[len(loads) :])
    return [*_of_cpu(loads, told), figure("F9", "to start the coordinator, CPU once a run", starting, "s")]


def _of_cpu(loads: Sequence[Load], told: Mapping[int, Told]) -> list[Figure]:
    one, more = loads
    found: list[Figure] = []
    for side in (RAY, *SIDES):
        single = told[one.turns].cpu_ms(side, one.samples)
        several = told[more.turns].cpu_ms(side, more.samples)
        further = [(b - a) / (more.turns - one.turns) for a, b in zip(single, several, strict=True)]
        if side.startswith("ours"):
            bare = told[one.turns].cpu_ms("bare SDK", one.samples)
            bare_several = told[more.turns].cpu_ms("bare SDK", more.samples)
            bare_further = [(b - a) / (more.turns - one.turns) for a, b in zip(bare, bare_several, strict=True)]
            found += [
                _median(f"{side}: a sample of one turn, beyond the bare SDK", _less(single, bare), _BEYOND_SAMPLE),
                _median(f"{side}: a further turn, beyond the bare SDK", _less(further, bare_further), _BEYOND_TURN),
            ]
        found += [_median(f"{side}: a sample of one turn", single), _median(f"{side}: a further turn", further)]
        walls = [one.samples / spent.wall for spent in told[one.turns].spent[side]]
        found.append(figure("F9", f"{side}: samples a second", statistics.median(walls), "/s"))
    for load in loads:
        for kind, spent in sorted(told[load.turns].kinds.items()):
            what = "a sample of one turn" if load.turns == 1 else f"a sample of {load.turns} turns"
            found.append(_median(f"{RAY}, {kind}: {what}", spent))
    return found


def _less(values: Sequence[float], others: Sequence[float]) -> list[float]:
    return [value - other for value, other in zip(values, others, strict=True)]


def _median(name: str, values: Sequence[float], goal: str = "") -> Figure:
    return figure("F9", name, statistics.median(values), "ms", goal)


async def latency(load: Load, seconds: float, actors: int) -> list[Figure]:
    """Wall of a load that is all under way at once, with a model that takes `seconds` for an answer.

    On Ray the start of the coordinator's process is part of it.
    """
    ideal, walls = load.turns * seconds, dict[str, Spent]()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(ScriptedServerProcess(script(seconds)))
        ray = await on_ray(stack, server, load, actors)
        side = await stack.enter_async_context(Side("ours, one process", server.url))
        ray.without.append(side.pid)
        warm = Load(load.at_once // 10 + 1, 1, load.at_once)
        for one in (ray, side):
            await one.perform(warm)
        for name, one in ((RAY, ray), (side.name, side)):
            walls[name] = await one.perform(load)
    what = f"{load.samples:,} samples at once, {load.turns} turns of {seconds:g} s"
    goal = f"<= {ideal * 1.25:g}"
    found = [
        row
        for name, spent in walls.items()
        for row in (
            figure("F9", f"{name}: {what}", spent.wall, "s", goal),
            figure("F9", f"{name}: {what}, CPU", spent.cpu, "s"),
        )
    ]
    return [*found, figure("F9", f"{what}: ideal", ideal, "s"), figure("F9", "session actors there", actors, "")]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large each part is. `memory` are the samples between which memory is compared."""

    samples: int
    turns: int
    at_once: int
    rounds: int
    open: int
    seconds: float
    actors: int
    memory: tuple[int, int]


def measure(parts: Sequence[str], sizes: Sizes) -> list[Figure]:
    """The figures of the parts."""
    found: list[Figure] = []
    if "cpu" in parts:
        # About as many requests in either.
        several = max(sizes.at_once, sizes.samples // 2)
        loads = (Load(sizes.samples, 1, sizes.at_once), Load(several, sizes.turns, sizes.at_once))
        found += asyncio.run(cpu(loads, sizes.rounds))
    if "latency" in parts:
        found += asyncio.run(latency(Load(sizes.open, sizes.turns, sizes.open), sizes.seconds, sizes.actors))
    if "memory" in parts:
        found += asyncio.run(memory(*sizes.memory, sizes.at_once))
    return found


def main(  # noqa: PLR0913, PLR0917 - a program's options
    part: Annotated[list[str] | None, typer.Option(help="cpu, latency or memory; all three without it.")] = None,
    samples: Annotated[int, typer.Option(help="Samples of one turn a round.")] = 600,
    turns: Annotated[int, typer.Option(min=2, help="Turns of samples of several turns.")] = 6,
    at_once: Annotated[int, typer.Option(help="Samples under way.")] = 128,
    rounds: Annotated[int, typer.Option(help="Interleaved rounds, of which medians are taken.")] = 5,
    open_: Annotated[int, typer.Option("--open", help="Samples under way of the part latency.")] = 1_000,
    seconds: Annotated[float, typer.Option(help="What the model takes for an answer there.")] = 2.0,
    actors: Annotated[int, typer.Option(help="Session actors there.")] = 2,
    few: Annotated[int, typer.Option(help="Samples after which memory is looked at first.")] = 1_000,
    many: Annotated[int, typer.Option(help="Samples of the part memory.")] = 20_000,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure what an evaluation costs."""
    parts = part or list(PARTS)
    if unknown := set(parts) - set(PARTS):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: name {', '.join(PARTS)}.")
    sizes = Sizes(samples, turns, at_once, rounds, open_, seconds, actors, (few, many))
    show(f"evaluation, {at_once} samples at once", measure(parts, sizes), as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
