"""What a report says of effort: time, tokens and money, in sum, as distributions, and the samples that took most.

The rule here: what is not known is left out. Time is that of the last attempt; money is in US dollars.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from agent_core.messages import Usage
from drivers.evaluating.showing import NAMES, UNKNOWN, count, dollars, duration, rate, tokens
from drivers.reporting import plots
from drivers.reporting.embedding import Row
from drivers.reporting.reading import Reading
from drivers.reporting.scoring import Plot


def facts(reading: Reading) -> list[dict[str, str]]:
    """The run in a few figures."""
    summary = reading.summary
    used = summary.usage
    found = [
        _fact("Time", duration(summary.seconds or None), rate(summary.samples_per_second)),
        _fact(
            "Latency, median",
            duration(reading.latency.quantile(0.5)),
            f"p95 {duration(reading.latency.quantile(0.95))}",
        ),
        _fact("Tokens in", count(used.context_tokens - used.output_tokens), _cached(used)),
        _fact("Tokens out", count(used.output_tokens)),
        _fact("Cost", dollars(summary.cost), f"{summary.unpriced:,} without a known price" if summary.unpriced else ""),
    ]
    if reading.first_token.count:
        found.insert(2, _fact("First token, median", duration(reading.first_token.quantile(0.5))))
    if reading.grading != Usage() or reading.grading_cost is not None:
        found.append(_fact("Grading", dollars(reading.grading_cost), tokens(reading.grading)))
    if summary.summariser != Usage():
        found.append(_fact("Summaries", tokens(summary.summariser)))
    if summary.retried:
        found.append(_fact("Tried again", f"{summary.retried:,}", "results that took more than one attempt"))
    return [fact for fact in found if fact["value"] != UNKNOWN]


def effort_plots(reading: Reading) -> list[Plot]:
    """How latency, tokens and cost are distributed."""
    found = [_latency(reading), _tokens(reading), _cost(reading)]
    return [plot for plot in found if plot is not None]


def notable(rows: Sequence[Row], figure: str, epochs: int) -> list[dict[str, str]]:
    """The rows of a table of samples that took most: `figure` is `seconds` or `cost`."""
    shown: list[dict[str, str]] = []
    for row in rows:
        mark = row.mark
        value = duration(mark.seconds) if figure == "seconds" else dollars(mark.cost)
        said = mark.kind.replace("_", " ") if row.standing == "failed" else row.standing
        outcome = {"passing": NAMES[mark.outcome], "wrong": "wrong"}.get(row.standing, said)
        shown.append({**named(mark.id, mark.epoch, epochs), "outcome": outcome, "figure": value})
    return shown


def named(id: str, epoch: int, epochs: int) -> dict[str, str]:
    """A sample's id and epoch as they are shown, and the link that opens it. The epoch is empty where there is one."""
    return {"id": id, "epoch": f"epoch {epoch}" if epochs > 1 else "", "link": f"#sample/{quote(id, safe='')}/{epoch}"}


def _fact(name: str, value: str, note: str = "") -> dict[str, str]:
    return {"name": name, "value": value, "note": note}


def _cached(usage: Usage) -> str:
    return f"{count(usage.cache_read_tokens)} read from cache" if usage.cache_read_tokens else ""


def _round_duration(seconds: float) -> str:
    """A duration on an axis: `5 s`, not `5.0 s`."""
    return duration(seconds).replace(".0 s", " s")


def _latency(reading: Reading) -> Plot | None:
    answered = [mark.seconds for mark in reading.marks if mark.answered]
    others = [mark.seconds for mark in reading.marks if not mark.answered and mark.outcome != "missing"]
    parts = [plots.Part("answered", answered, "accent"), plots.Part("no answer", others, "model_failed")]
    parts = [part for part in parts if part.values]
    if not parts:
        return None
    half, most = reading.latency.quantile(0.5), reading.latency.quantile(0.95)
    lines = [
        plots.Line(f"{name} {duration(value)}", value) for name, value in (("p95", most), ("median", half)) if value
    ]
    told = f"Latency of {len(answered):,} answers: half within {duration(half)}, 95 % within {duration(most)}"
    return Plot("Latency", plots.histogram(parts, _round_duration, lines), told, "per result", legend=_legend(parts))


def _tokens(reading: Reading) -> Plot | None:
    into = [mark.tokens_in for mark in reading.marks if mark.tokens_in]
    out = [mark.tokens_out for mark in reading.marks if mark.tokens_out]
    parts = [plots.Part("in", into, "accent-soft"), plots.Part("out", out, "accent")]
    parts = [part for part in parts if part.values]
    if not parts:
        return None
    told = f"Tokens of a result: {_reach(into)} in, {_reach(out)} out"
    return Plot("Tokens", plots.histogram(parts, count, stacked=False), told, "per result", legend=_legend(parts))


def _cost(reading: Reading) -> Plot | None:
    costs = [mark.cost for mark in reading.marks if mark.cost]
    if not costs:
        return None
    mean = sum(costs) / len(costs)
    lines = [plots.Line(f"mean {dollars(mean)}", mean)]
    told = f"Cost of {len(costs):,} results: {dollars(min(costs))} to {dollars(max(costs))}, mean {dollars(mean)}"
    return Plot("Cost", plots.histogram([plots.Part("", costs, "accent")], dollars, lines), told, "per result")


def _reach(values: Sequence[int]) -> str:
    return f"{min(values):,} to {max(values):,}" if values else "not known"


def _legend(parts: Sequence[plots.Part]) -> tuple[tuple[str, Any], ...]:
    return tuple((part.label, part.role.replace("_", "-")) for part in parts) if len(parts) > 1 else ()
