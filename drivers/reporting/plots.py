"""The plots of a report: estimates with their intervals, distributions, counts.

The rule here: a plot says its numbers itself, beside its marks. It shows what it is given and computes nothing but the
bounds of its bins.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from matplotlib.transforms import blended_transform_factory

from drivers.reporting.drawing import LETTERS, colour, drawing, shortened

ROW = 26.0
BINS = 32
# Values that reach over more than this factor are shown on a logarithmic axis.
WIDE = 8.0
MOST_TICKS = 13


class Interval(NamedTuple):
    """An estimate with its interval, both in the unit of the axis, and its value as it is written beside it."""

    label: str
    value: float
    low: float
    high: float
    text: str


class Bar(NamedTuple):
    """A count with the role of its colour."""

    label: str
    number: int
    role: str
    text: str


class Part(NamedTuple):
    """Values that share a histogram with others, and the role of their colour."""

    label: str
    values: Sequence[float]
    role: str


class Line(NamedTuple):
    """A value that is marked on the axis of a histogram."""

    label: str
    value: float


def intervals(rows: Sequence[Interval], domain: tuple[float, float], form: Callable[[float], str],
              reference: float | None = None) -> Markup:  # fmt: skip
    """Estimates one under another as dots on their intervals; `reference` is marked across all of them."""
    left = 14.0 + 6.7 * max(len(shortened(row.label)) for row in rows)
    right = 12.0 + 6.8 * max(len(row.text) for row in rows)
    height = ROW * len(rows) + 34.0
    with drawing(height, (left, right, 6.0, 26.0)) as (axes, made):
        axes.set_xlim(*domain)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        _name(axes, [row.label for row in rows])
        axes.xaxis.set_major_locator(MaxNLocator(3 if right > 120 else 4))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: form(value)))
        axes.grid(axis="x", color=colour("rule"), linewidth=0.8)
        if reference is not None:
            axes.axvline(reference, color=colour("muted"), linewidth=0.9, dashes=(3, 3))
        beside = blended_transform_factory(axes.transAxes, axes.transData)
        for place, row in enumerate(rows):
            axes.plot([row.low, row.high], [place, place], color=colour("accent-soft"), linewidth=7.0,
                      solid_capstyle="round", zorder=2)  # fmt: skip
            axes.plot([row.value], [place], "o", color=colour("accent"), markersize=6.5, markeredgewidth=0, zorder=3)
            axes.text(
                1.03, place, row.text, transform=beside, va="center_baseline", fontsize=LETTERS, color=colour("ink")
            )
    return made[0]


def _name(axes: Axes, labels: Sequence[str]) -> None:
    """Write the name of each row at the left edge, where the title of the plot begins."""
    axes.yaxis.set_major_locator(NullLocator())
    figure = axes.get_figure(root=True)
    assert figure is not None
    edge = blended_transform_factory(figure.transFigure, axes.transData)
    for place, label in enumerate(labels):
        axes.text(0.0, place, shortened(label), transform=edge, va="center_baseline", color=colour("ink"))


def bars(rows: Sequence[Bar]) -> Markup:
    """Counts as bars, each with its number at its end."""
    left = 14.0 + 6.7 * max(len(shortened(row.label)) for row in rows)
    most = max(row.number for row in rows) or 1
    right = 12.0 + 7.0 * max(len(row.text) for row in rows)
    with drawing(ROW * len(rows) + 8.0, (left, right, 4.0, 4.0)) as (axes, made):
        axes.set_xlim(0, most)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.spines["bottom"].set_visible(False)
        axes.xaxis.set_major_locator(NullLocator())
        _name(axes, [row.label for row in rows])
        for place, row in enumerate(rows):
            axes.barh(place, row.number, height=0.52, color=colour(row.role))
            axes.annotate(row.text, (row.number, place), xytext=(6, 0), textcoords="offset points",
                          va="center_baseline", fontsize=LETTERS, color=colour("ink"),
                          annotation_clip=False)  # fmt: skip
    return made[0]


def histogram(parts: Sequence[Part], form: Callable[[float], str], lines: Sequence[Line] = (), *,
              stacked: bool = True) -> Markup:  # fmt: skip
    """How values are distributed. Parts are stacked, or stand behind each other; `lines` are marked and named."""
    values = np.concatenate([np.asarray(part.values, dtype=float) for part in parts])
    bins, wide = _bins(values)
    top = 14.0 + 14.0 * len(lines)
    with drawing(196.0, (8.0, 8.0, top, 26.0)) as (axes, made):
        if wide:
            axes.set_xscale("log")
        kind = "barstacked" if stacked else "stepfilled"
        clipped = [np.clip(np.asarray(part.values, dtype=float), bins[0], bins[-1]) for part in parts]
        colours = [colour(part.role) for part in parts]
        if stacked:
            axes.hist(clipped, bins=bins.tolist(), histtype=kind, color=colours, rwidth=0.88, linewidth=0)
        else:
            for data, shade in zip(clipped, colours, strict=True):
                axes.hist(data, bins=bins.tolist(), histtype=kind, color=shade, alpha=0.75, linewidth=0)
        axes.set_xlim(bins[0], bins[-1])
        axes.yaxis.set_major_locator(NullLocator())
        _ticks(axes, bins, form, wide=wide)
        _mark(axes, lines, top)
    return made[0]


def _bins(values: np.ndarray) -> tuple[np.ndarray, bool]:
    """The bounds of the bins, and whether they grow with the value."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        reach = abs(low) * 0.5 or 0.5
        return np.linspace(low - reach, high + reach, BINS + 1), False
    if (step := _step(values)) is not None:
        return np.arange(low - step / 2, high + step, step), False
    positive = values[values > 0]
    if low >= 0 and len(positive) and high / float(np.quantile(positive, 0.02)) > WIDE:
        start = max(float(np.quantile(positive, 0.005)), high / 1e6)
        return np.geomspace(start * 0.98, high * 1.02, BINS + 1), True
    return np.linspace(low, high, BINS + 1), False


def _step(values: np.ndarray) -> float | None:
    """How far apart values are that are few and evenly spaced, such as marks from 1 to 10: each has a bar then."""
    distinct = np.unique(values)
    if len(distinct) > BINS // 2:
        return None
    step = float(np.diff(distinct).min())
    places = (distinct - distinct[0]) / step
    return step if places[-1] <= BINS and np.allclose(places, np.round(places)) else None


def _ticks(axes: Axes, bins: np.ndarray, form: Callable[[float], str], *, wide: bool) -> None:
    axes.xaxis.set_minor_locator(NullLocator())
    if wide:
        axes.xaxis.set_major_locator(FixedLocator(_decades(float(bins[0]), float(bins[-1]))))
    elif len(bins) <= MOST_TICKS:
        axes.xaxis.set_major_locator(FixedLocator(((bins[:-1] + bins[1:]) / 2).tolist()))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: form(value)))


def _decades(low: float, high: float) -> list[float]:
    """Round values from `low` to `high`, about five of them."""
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]
        if len(ticks) <= 6:
            return ticks
    return ticks[:: len(ticks) // 5]


def _mark(axes: Axes, lines: Sequence[Line], top: float) -> None:
    """Mark each line, its name above the plot, one under another so that none covers its neighbour."""
    low, high = axes.get_xlim()
    span = blended_transform_factory(axes.transData, axes.transAxes)
    for place, line in enumerate(lines):
        if not low <= line.value <= high:
            continue
        axes.axvline(line.value, color=colour("ink"), linewidth=0.9, dashes=(2, 2), ymax=1.0)
        where = axes.transAxes.inverted().transform(axes.transData.transform((line.value, 0.0)))[0]
        side, shift = ("right", -4) if where > 0.6 else ("left", 4)
        axes.annotate(line.label, (line.value, 1.0), xycoords=span, xytext=(shift, top - 20 - 14 * place),
                      textcoords="offset points", ha=side, va="center", fontsize=LETTERS, color=colour("ink"),
                      annotation_clip=False)  # fmt: skip
