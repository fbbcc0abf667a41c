"""What is shown while samples run: a bar on a terminal, otherwise a plain line now and then.

The rule here: showing costs the same however fast samples end. It looks at the tally a few times a second and is never
told of a single sample.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from agent_core.evaluation.result import OUTCOMES
from agent_core.evaluation.run import Running
from agent_core.evaluation.standing import RunStatus
from agent_core.evaluation.summary import Summary
from drivers.evaluating.showing import NAMES, count, dollars, duration, rate, short

REFRESH_SECONDS = 0.2
PLAIN_SECONDS = 10.0
LOOKS = 10
# How often a line is printed while nothing ends.
STILL_SECONDS = 60.0
# Samples under way for so long are told of, so many of them.
SLOW_SECONDS = 10.0
SHOWN_SLOWEST = 3
SHOWN_SCORES = 2
BAR_WIDTH, SMALLEST_BAR = 24, 4
BETWEEN = " · "
# The rate is taken over this long, so that it follows a change and does not jump.
WINDOW_SECONDS = 30.0
STYLES = {
    "scored": "green",
    "completed": "green",
    "unscored": "yellow",
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
    per_second: float | None
    left: float | None
    status: RunStatus


class Meter:
    """Measures how fast a run gets on, by the newest `status` that was heard of it."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.status: RunStatus | None = None
        self._now = now
        self._past: deque[tuple[float, int]] = deque()

    @property
    def summary(self) -> Summary | None:
        """What came of it so far."""
        return self.status.summary if self.status else None

    def read(self) -> Moment | None:
        """The present moment; None while nothing has been heard."""
        if self.status is None:
            return None
        now, summary = self._now(), self.status.summary
        done = summary.done
        if not done and not self.status.open:
            # Nothing has begun: that says nothing of how fast it goes.
            self._past.clear()
        self._past.append((now, done))
        while len(self._past) > 2 and self._past[0][0] < now - WINDOW_SECONDS:
            self._past.popleft()
        since, before = self._past[0]
        per_second = (done - before) / (now - since) if done > before and now > since else None
        left = (summary.planned - done) / per_second if per_second else None
        return Moment(now, done, per_second, left, self.status)


async def follow(running: Running, meter: Meter) -> None:
    """Have the meter know where the run stands, until cancelled."""
    while True:
        if (status := await running.status()) is not None:
            meter.status = status
        await asyncio.sleep(REFRESH_SECONDS)


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
            if (moment := meter.read()) is not None:
                live.update(bar_of(moment), refresh=True)
            await asyncio.sleep(REFRESH_SECONDS)


async def _lines(meter: Meter, console: Console) -> None:
    said, at, looked = 0, -STILL_SECONDS, 0
    while True:
        # Also in between, so that the first line knows how fast it goes.
        await asyncio.sleep(PLAIN_SECONDS / LOOKS)
        moment, looked = meter.read(), looked + 1
        if moment is None or looked % LOOKS or (moment.done == said and moment.at < at + STILL_SECONDS):
            continue
        said, at = moment.done, moment.at
        # A reader that went away must not end the run.
        with contextlib.suppress(OSError):
            console.print(line_of(moment), markup=False, highlight=False, soft_wrap=True)


def bar_of(moment: Moment) -> RenderableType:
    """How far and how fast, what came of it, and what takes the longest."""
    return Group(_Bar(moment), _Flowing(_parts(moment)), *_slowest(moment.status), *_waiting(moment.status))


class _Bar:
    """How far, how fast and how long yet; the bar takes what room is left beside the figures."""

    def __init__(self, moment: Moment) -> None:
        self._done, self._planned = moment.done, moment.status.summary.planned
        self._cells = [f"{self._done:,}/{self._planned:,}", f"{100 * self._done // self._planned} %"]
        if moment.per_second is not None and moment.left is not None:
            self._cells += [rate(moment.per_second), f"{duration(moment.left)} left"]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = options.max_width - sum(len(cell) + 2 for cell in self._cells)
        if room < SMALLEST_BAR:
            yield Text("  ".join(self._cells))
            return
        line = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=self._planned, completed=self._done, width=min(BAR_WIDTH, room))
        line.add_row(self._cells[0], bar, *self._cells[1:])
        yield line


class _Flowing:
    """Pieces of text one after another; a line ends between two of them."""

    def __init__(self, pieces: list[tuple[str, str]]) -> None:
        self._pieces = pieces

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        line = Text()
        for piece, style in self._pieces:
            if line and len(line) + len(BETWEEN) + len(piece) > options.max_width:
                yield line
                line = Text()
            line += Text(BETWEEN if line else "") + Text(piece, style=style)
        yield line


def line_of(moment: Moment) -> str:
    """The same on one plain line."""
    parts = [f"{moment.done:,}/{moment.status.summary.planned:,} done"]
    if moment.per_second is not None:
        parts.append(rate(moment.per_second))
    if moment.left is not None:
        parts.append(f"{duration(moment.left)} left")
    parts += [part for part, _ in _parts(moment)]
    if moment.status.waits_for:
        parts.append(f"waits: {moment.status.waits_for}")
    return BETWEEN.join(parts)


def _waiting(status: RunStatus) -> list[Text]:
    return [Text(f"waits: {status.waits_for}", style="yellow")] if status.waits_for else []


def _slowest(status: RunStatus) -> list[Text]:
    slow = [sample for sample in status.slowest if sample.seconds >= SLOW_SECONDS][:SHOWN_SLOWEST]
    if not slow:
        return []
    said = ", ".join(f"{short(sample.id)} {duration(sample.seconds)}" for sample in slow)
    return [Text(f"slowest: {said}", style="dim", no_wrap=True, overflow="ellipsis")]


def _parts(moment: Moment) -> list[tuple[str, str]]:
    status, summary = moment.status, moment.status.summary
    parts = [
        (f"{number:,} {NAMES[outcome]}", STYLES.get(outcome, ""))
        for outcome in OUTCOMES
        if (number := summary.outcomes.get(outcome)) and outcome != "missing"
    ]
    for name, score in list(summary.scores.items())[:SHOWN_SCORES]:
        if score.mean is not None:
            around = f" ±{(score.high - score.low) / 2:.2g}" if score.low is not None and score.high is not None else ""
            parts.append((f"{name} {score.mean:.3g}{around}", "cyan"))
    if status.state != "running":
        parts.insert(0, (status.state, "yellow"))
    parts.append((f"{status.open} open", "dim"))
    parts.append((f"{count(summary.usage.context_tokens)} tokens", "dim"))
    if summary.cost:
        parts.append((dollars(summary.cost), "dim"))
    if status.rate_limited:
        parts.append((f"{status.rate_limited:,} × 429", "yellow"))
    return parts
