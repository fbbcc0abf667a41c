"""What a report says of scores: the headlines, the table of metrics, plots and tables by group.

The rule here: every number comes from `agent_core.evaluation.statistics`. A share of right answers is in per cent, any
other score as it is; a mean that does not exist is a dash.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from agent_core.evaluation.statistics.estimates import Estimate, estimate
from agent_core.evaluation.statistics.figures import ScorerFigures, run_figures
from agent_core.evaluation.statistics.labels import NO_GROUP
from drivers.reporting import plots
from drivers.reporting.marks import unit_scorers
from drivers.reporting.reading import MOST_GROUPS, Reading

HEADLINES = 4
GROUP_PLOTS = 3
UNKNOWN = "–"


class Plot(NamedTuple):
    """A figure of the page. `told` is what is said of it to those who do not see it, `legend` names its colours."""

    title: str
    svg: Any
    told: str
    note: str = ""
    kind: str = ""
    legend: tuple[tuple[str, str], ...] = ()


class Scored(NamedTuple):
    """A scorer with its figures. `unit`: its values lie between 0 and 1."""

    name: str
    unit: bool
    figures: ScorerFigures

    def form(self, value: float | None) -> str:
        """A value of this scorer, in per cent if it is a share."""
        return number(value, unit=self.unit)

    def interval(self, of: Estimate) -> str:
        """An interval of this scorer, a dash where there is none."""
        if of.interval is None:
            return UNKNOWN
        sign = " %" if self.unit else ""
        return (
            f"{self.form(of.interval.low).removesuffix(' %')} – {self.form(of.interval.high).removesuffix(' %')}{sign}"
        )


def number(value: float | None, *, unit: bool) -> str:
    """A score as text: `72.5 %` for a share, `7.43` for any other."""
    if value is None:
        return UNKNOWN
    if unit:
        return f"{value * 100:.1f} %"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.3g}".removesuffix(".")


def scored_by(reading: Reading) -> list[Scored]:
    """The scorers of the run with their figures."""
    units = unit_scorers(reading.marks)
    figures = run_figures(reading.collected).scorers
    return [Scored(name, name in units, figures[name]) for name in reading.scorers]


def headlines(scorers: Sequence[Scored]) -> list[dict[str, str]]:
    """The mean of each of the first few scorers, with what it rests on."""
    lines: list[dict[str, str]] = []
    for one in scorers[:HEADLINES]:
        of, cover = one.figures.estimate, one.figures.coverage
        value, sign, _ = one.form(of.mean).partition(" %")
        interval = (
            f"{one.interval(of)} (95 % interval)" if of.interval else "no interval: too few samples, or all alike"
        )
        basis = f"{cover.scored:,} of {cover.planned:,} scored, {of.samples:,} samples"
        lines.append({"name": one.name, "value": value, "sign": sign.strip(), "range": interval, "basis": basis})
    return lines


def metrics(scorers: Sequence[Scored], epochs: int) -> dict[str, Any] | None:
    """The table of all scorers; None where there is none."""
    if not scorers:
        return None
    passes = any(one.figures.passes for one in scorers)
    columns = ["Scorer", "Mean", "95 % interval", "Std. error", "Samples", "Scored", "If the rest were wrong, right"]
    columns += [f"pass@{epochs}", f"pass^{epochs}"] if passes else []
    rows: list[list[str]] = []
    for one in scorers:
        of, cover = one.figures.estimate, one.figures.coverage
        error = UNKNOWN if of.standard_error is None else one.form(of.standard_error)
        bounds = UNKNOWN
        if cover.if_wrong is not None:
            bounds = f"{one.form(cover.if_wrong)}, {one.form(cover.if_right)}"
        row = [
            one.name,
            one.form(of.mean),
            one.interval(of),
            error,
            f"{of.samples:,}",
            number(cover.share, unit=True),
            bounds,
        ]
        if passes:
            last = one.figures.passes[-1] if one.figures.passes else None
            row += [one.form(last.pass_at_k.mean), one.form(last.pass_hat_k.mean)] if last else [UNKNOWN, UNKNOWN]
        rows.append(row)
    return {"columns": columns, "rows": rows}


def score_plots(scorers: Sequence[Scored], reading: Reading) -> list[Plot]:
    """Means with intervals, those between 0 and 1 on one axis; and how the values of each lie that are not 0 and 1."""
    made: list[Plot] = []
    shares = [one for one in scorers if one.unit and one.figures.estimate.mean is not None]
    if shares:
        rows = [_interval(one, one.name, one.figures.estimate) for one in shares]
        svg = plots.intervals(rows, (0.0, 1.0), _percent)
        made.append(Plot("Mean score", svg, _told(rows), "95 % interval"))
    for one in scorers:
        values = [value for mark in reading.marks if (value := mark.scores.get(one.name)) is not None]
        if values and not set(values) <= {0.0, 1.0}:
            form = _percent if one.unit else _plain
            mean = one.figures.estimate.mean
            lines = [] if mean is None else [plots.Line(f"mean {one.form(mean)}", mean)]
            svg = plots.histogram([plots.Part("", values, "accent")], form, lines)
            told = f"{one.name}: {len(values):,} values from {one.form(min(values))} to {one.form(max(values))}"
            made.append(Plot(one.name, svg, told, f"{len(values):,} values"))
    return made


def groups(scorers: Sequence[Scored], reading: Reading) -> list[dict[str, Any]]:
    """For each field of the metadata its groups, the best first: plots of the first scorers, a table of all."""
    return [field for name in reading.fields if scorers and (field := _field(name, scorers, reading))]


def _field(name: str, scorers: Sequence[Scored], reading: Reading) -> dict[str, Any] | None:
    members = _members(name, reading)
    sizes = sorted(members, key=lambda label: (-len(members[label]), label))[:MOST_GROUPS]
    of = {
        (label, one.name): estimate(reading.collected.scores(one.name)[members[label]])
        for one in scorers
        for label in sizes
    }
    first = scorers[0].name
    labels = sorted(sizes, key=lambda label: (-(of[label, first].mean or 0.0), label))
    rows = [
        [label, f"{len(members[label]):,}"]
        + [
            f"{one.form(of[label, one.name].mean)}  ({one.interval(of[label, one.name])})"
            if of[label, one.name].mean is not None
            else UNKNOWN
            for one in scorers
        ]
        for label in labels
    ]
    note = f"the {len(sizes)} largest of {len(members)} groups" if len(members) > len(sizes) else ""
    columns = [name, "Samples", *(one.name for one in scorers)]
    drawn = [plot for one in scorers[:GROUP_PLOTS] if (plot := _group_plot(one, labels, of))]
    return {"name": name, "note": note, "plots": drawn, "columns": columns, "rows": rows} if drawn else None


def _members(field: str, reading: Reading) -> dict[str, Any]:
    """The rows of each group in the table of scores."""
    places = reading.collected.places()
    found: defaultdict[str, dict[int, None]] = defaultdict(dict)
    for mark in reading.marks:
        for label in mark.groups.get(field, (NO_GROUP,)):
            found[label].setdefault(places[mark.id])
    return {label: np.array(list(rows), dtype=np.intp) for label, rows in found.items()}


def _group_plot(one: Scored, labels: Sequence[str], of: dict[tuple[str, str], Estimate]) -> Plot | None:
    rows = [_interval(one, label, of[label, one.name]) for label in labels if of[label, one.name].mean is not None]
    if not rows:
        return None
    whole = one.figures.estimate.mean
    low, high = min(row.low for row in rows), max(row.high for row in rows)
    edge = (high - low) * 0.1 or 0.5
    domain = (0.0, 1.0) if one.unit else (low - edge, high + edge)
    svg = plots.intervals(rows, domain, _percent if one.unit else _plain, whole)
    return Plot(one.name, svg, _told(rows), "by group, 95 % interval")


def _interval(one: Scored, label: str, of: Estimate) -> plots.Interval:
    mean = of.mean or 0.0
    low, high = (of.interval.low, of.interval.high) if of.interval else (mean, mean)
    return plots.Interval(label, mean, low, high, one.form(mean))


def _told(rows: Sequence[plots.Interval]) -> str:
    return "; ".join(f"{row.label}: {row.text}" for row in rows)


def _percent(value: float) -> str:
    return f"{value * 100:.0f} %"


_plain: Callable[[float], str] = partial("{:.3g}".format)
