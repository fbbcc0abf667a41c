"""F5: how long turns wait for compaction, in the background beside inline, while the summariser takes its usual 20 s.

Sessions talk in this process, on a host of its own, with as many summaries at once as are wanted; the scripted model
draws log-normal times from a seed, and the same seed serves every way to compact:

    inline       at 80 % of the window a message first waits until a summary is in place
    no grace     a job starts at 65 %; at 80 % the turn waits for what is missing
    grace        as a session does it by default: at 80 % nobody waits, at 92 % for 10 s at most
    mechanical   the same, but at 92 % nobody waits: the oldest turns are left out

The model's times are scaled down, by default with the number of sessions so that the machine keeps up, and told as if
they were not. What we compute ourselves is told as it was. What a session does in the meantime is a turn of one request
every 6 s or so, which adds 2 % of the window: 13 turns from the first mark to the last.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.compaction_load import FOR_EVER, Compaction, Load, Seen, run
from benchmarks.figures import Figure, figure, quantile, show
from benchmarks.splicing import SIZES, splices_by_history

WAYS: dict[str, dict[str, Any]] = {
    "inline": {"soft": 0.99, "trigger": 0.99, "hard": 0.99},
    "no grace": {"trigger": 0.8, "hard": 0.8, "max_wait": FOR_EVER},
    "grace": {"max_wait": 10.0},
    "mechanical": {"max_wait": 0.0},
}
"""The settings of each way to compact, beside the defaults. Inline, whoever sends a message compacts before it."""
_INLINE_AT = 0.8
DRAWN = ("inline", "grace")
_HARD = 0.92
_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "most": 1.0}
_LEAST_SCALE = 0.02


@dataclass(frozen=True, slots=True)
class Result:
    """One way to compact, under one load."""

    way: str
    load: Load
    seen: Seen

    @property
    def summaries(self) -> list[Compaction]:
        """The compactions that put a summary in place."""
        return [one for one in self.seen.compactions if one.strategy == "llm"]

    @property
    def unawaited(self) -> float:
        """The share of compactions, of any kind, that no turn waited for, in percent."""
        found = self.seen.compactions
        return 100 * sum(not one.waited for one in found) / max(len(found), 1)

    @property
    def below_hard(self) -> int:
        """How many compactions a turn waited for below the hard mark."""
        return sum(one.waited > 0 and one.before <= _HARD * one.usable for one in self.seen.compactions)

    def added(self, share: float) -> float:
        """What compaction added to a turn: its waiting, told unscaled, and the splice, in seconds."""
        return quantile([turn.waited + turn.splice for turn in self.seen.turns], share)

    def waited(self, share: float) -> float:
        """What a turn waited for a compaction, in seconds."""
        return quantile([one.waited for one in self.seen.compactions], share)

    def middle(self, value: Callable[[Compaction], float]) -> float:
        """The median over the compactions that put a summary in place."""
        return quantile([value(one) for one in self.summaries], 0.5)


async def measure(load: Load, ways: Sequence[str]) -> list[Result]:
    """Every way to compact under the same load, one after the other."""
    results: list[Result] = []
    for way in ways:
        own = replace(load, inline_at=_INLINE_AT if way == "inline" else None)
        results.append(Result(way, own, await run(own, {"kind": "llm", "deadline": FOR_EVER} | WAYS[way])))
    return results


def figures(result: Result) -> list[Figure]:
    """What one run found."""
    seen, name = result.seen, f"{result.load.sessions:,} sessions, {result.way}"
    is_ours = result.way == "grace"
    goals = {"p99": "<= 1"} if is_ours else {}
    rows = [
        *((f"added to a turn, {at}", result.added(q) * 1e3, "ms", goals.get(at, "")) for at, q in _SHARES.items()),
        *((f"a compaction waited for, {at}", result.waited(q), "s", "") for at, q in _SHARES.items()),
        ("compactions that no turn waited for", result.unawaited, "%", ""),
        ("waits below the hard mark", result.below_hard, "", "<= 0" if is_ours else ""),
        ("turns", len(seen.turns), "", ""),
        ("summaries put in place", len(result.summaries), "", ""),
        ("compactions by the last resort", len(seen.compactions) - len(result.summaries), "", ""),
        ("jobs that came to nothing", seen.failed, "", ""),
        ("requests for a summary", seen.calls, "", ""),
        ("tokens before, median", result.middle(lambda one: one.before), "", ""),
        ("tokens after, median", result.middle(lambda one: one.after), "", ""),
        ("splice, median", result.middle(lambda one: one.splice) * 1e3, "ms", ""),
        ("a turn, median", quantile([turn.took for turn in seen.turns], 0.5), "s", ""),
    ]
    return [figure("F5", f"{name}: {what}", value, unit, goal) for what, value, unit, goal in rows]


def table(load: Load, results: Sequence[Result]) -> Table:
    """The same for people: a row for each way."""
    title = (
        f"{load.sessions:,} sessions in one process, the model's times at 1/{1 / load.scale:g} and told in full;"
        f" summaries {load.summary:g} s (median)"
    )
    made = Table(title=title)
    heads = ("", "turns", "added to a turn: p50", "p95", "p99", "most", "compactions", "waited: p50", "p95", "p99")
    for heading in (*heads, "nobody waited", "last resort", "tokens", "requests", "splice"):
        made.add_column(heading, justify="right" if heading else "left")
    for result in results:
        made.add_row(
            result.way,
            f"{len(result.seen.turns):,}",
            *(_time(result.added(share)) for share in _SHARES.values()),
            f"{len(result.seen.compactions):,}",
            *(_time(result.waited(share)) for share in (0.5, 0.95, 0.99)),
            f"{result.unawaited:.1f} %",
            str(len(result.seen.compactions) - len(result.summaries)),
            f"{result.middle(lambda one: one.before):,.0f} → {result.middle(lambda one: one.after):,.0f}",
            str(result.seen.calls),
            _time(result.middle(lambda one: one.splice)),
        )
    return made


def _time(seconds: float) -> str:
    if not seconds:
        return "0"
    return f"{seconds:.1f} s" if seconds >= 0.1 else f"{seconds * 1e3:.2f} ms"


def main(  # noqa: PLR0913, PLR0917 - a program's options
    sessions: Annotated[list[int] | None, typer.Option(help="Sessions; may be given several times.")] = None,
    way: Annotated[
        list[str] | None, typer.Option(help=f"One of {', '.join(WAYS)}; may be given several times.")
    ] = None,
    scale: Annotated[float | None, typer.Option(help="The model's times are so much of the real ones.")] = None,
    seconds: Annotated[float, typer.Option(help="Length of each run.")] = 45.0,
    summary: Annotated[float, typer.Option(help="Median seconds of a summary, before scaling.")] = 20.0,
    slots: Annotated[int, typer.Option(help="Summaries at once.")] = 256,
    history: Annotated[list[int] | None, typer.Option(help="Messages behind which a splice is timed.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw turns, inline and with grace, into this PNG.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure what turns wait for compaction, and the splice against the size of the history."""
    if unknown := set(way or ()) - set(WAYS):
        raise typer.BadParameter(f"There is no way '{unknown.pop()}'. Choose among {', '.join(WAYS)}.")
    told: list[Figure] = []
    for count in sessions or [100]:
        factor = scale or max(count / 1_000, _LEAST_SCALE)
        load = Load(count, factor, seconds, summary=summary, slots=slots)
        results = asyncio.run(measure(load, way or list(WAYS)))
        for result in results:
            told += figures(result)
        if not as_json:
            Console(width=200).print(table(load, results))
        if plot is not None:
            from benchmarks.compaction_plot import draw

            draw({result.way: result.seen.turns for result in results if result.way in DRAWN}, plot)
    told += splices_by_history(history or SIZES)
    show("Compaction", told, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
