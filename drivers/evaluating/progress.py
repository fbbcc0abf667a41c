"""What is shown while samples run: a bar on a terminal, otherwise a plain line now and then.

The rule here: showing costs the same however fast samples end. It looks at the tally a few times a second and is never
told of a single sample.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from agent_core.evaluation.summary import Tally
from drivers.evaluating.showing import NAMES, count, dollars, duration, rate

REFRESH_SECONDS = 0.2
PLAIN_SECONDS = 10.0
# How often a line is printed while nothing ends.
STILL_SECONDS = 60.0
# The rate is taken over this long, so that it follows a change and does not jump.
WINDOW_SECONDS = 30.0
STYLES = {
    "completed": "green",
    "model_failed": "red",
    "infrastructure_failed": "red",
    "limit_hit": "yellow",
    "cancelled": "yellow",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """How far a run is at time `at`. `per_second` and `left` (seconds) are None while nothing is known of them."""

    at: float
    done: int
    planned: int
    open: int
    per_second: float | None
    left: float | None


class Meter:
    """Measures how fast the tally grows."""

    def __init__(self, tally: Tally, under_way: Callable[[], int], now: Callable[[], float]) -> None:
        self.tally = tally
        self._under_way = under_way
        self._now = now
        self._past = deque([(now(), tally.done)])

    def read(self) -> Moment:
        """The present moment."""
        now, done = self._now(), self.tally.done
        self._past.append((now, done))
        while len(self._past) > 2 and self._past[0][0] < now - WINDOW_SECONDS:
            self._past.popleft()
        since, before = self._past[0]
        per_second = (done - before) / (now - since) if done > before and now > since else None
        left = (self.tally.planned - done) / per_second if per_second else None
        return Moment(now, done, self.tally.planned, self._under_way(), per_second, left)


@contextlib.asynccontextmanager
async def shown(meter: Meter, console: Console) -> AsyncIterator[None]:
    """Show the meter on `console` while entered."""
    task = asyncio.create_task(_bar(meter, console) if console.is_terminal else _lines(meter, console))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _bar(meter: Meter, console: Console) -> None:
    # What others print goes to its own place already.
    live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)
    with live:
        while True:
            live.update(bar_of(meter.read(), meter.tally), refresh=True)
            await asyncio.sleep(REFRESH_SECONDS)


async def _lines(meter: Meter, console: Console) -> None:
    said, at = meter.tally.done, meter.read().at
    while True:
        await asyncio.sleep(PLAIN_SECONDS)
        moment = meter.read()
        if moment.done == said and moment.at < at + STILL_SECONDS:
            continue
        said, at = moment.done, moment.at
        # A reader that went away must not end the run.
        with contextlib.suppress(OSError):
            console.print(line_of(moment, meter.tally), markup=False, highlight=False, soft_wrap=True)


def bar_of(moment: Moment, tally: Tally) -> RenderableType:
    """Two lines: how far and how fast, and what came of it."""
    line = Table.grid(padding=(0, 2))
    line.add_row(
        f"{moment.done:,}/{moment.planned:,}",
        ProgressBar(total=moment.planned, completed=moment.done, width=24),
        f"{100 * moment.done // moment.planned} %",
        rate(moment.per_second),
        f"{duration(moment.left)} left" if moment.left is not None else "",
    )
    return Group(line, Text(" · ").join(Text(part, style=style) for part, style in _parts(moment, tally)))


def line_of(moment: Moment, tally: Tally) -> str:
    """The same on one plain line."""
    parts = [f"{moment.done}/{moment.planned} done", rate(moment.per_second)]
    if moment.left is not None:
        parts.append(f"{duration(moment.left)} left")
    return " · ".join([*parts, *(part for part, _ in _parts(moment, tally))])


def _parts(moment: Moment, tally: Tally) -> list[tuple[str, str]]:
    parts = [
        (f"{number:,} {NAMES[outcome]}", STYLES.get(outcome, ""))
        for outcome, number in sorted(tally.outcomes.items())
        if number
    ]
    parts.append((f"{moment.open} open", "dim"))
    usage = tally.usage
    parts.append((f"{count(usage.context_tokens)} tokens", "dim"))
    if tally.cost:
        parts.append((dollars(tally.cost), "dim"))
    return parts
