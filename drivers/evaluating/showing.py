"""How figures are written for people, on one line and in a table of at most 80 columns.

The rule here: pure text of what it is given; what is not known is a dash or is left out.
"""

from agent_core.evaluation.result import OUTCOMES, SampleOutcome
from agent_core.evaluation.summary import Failure, RunningScore, Summary
from agent_core.messages import Usage

NAMES: dict[SampleOutcome, str] = {outcome: outcome.replace("_", " ") for outcome in OUTCOMES}
UNKNOWN = "-"
LONGEST_ID = 40


def count(number: float) -> str:
    """`1,234`, `45.6k`, `7.8M`: exact below ten thousand."""
    if number < 10_000:
        return f"{number:,.0f}"
    for unit, size in (("k", 1e3), ("M", 1e6), ("G", 1e9)):
        if number < size * 999.5:
            return f"{number / size:.{0 if number >= size * 99.95 else 1}f}{unit}"
    return f"{number:.3g}"


def duration(seconds: float | None) -> str:
    """`0.42 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds is None:
        return UNKNOWN
    if seconds < 9.95:
        return f"{seconds:.2g} s" if seconds < 1 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def dollars(cost: float | None) -> str:
    """`$1.23`, with more digits below ten cents; a dash when no price is known."""
    if cost is None:
        return UNKNOWN
    return f"${cost:,.2f}" if cost >= 0.1 or cost == 0 else f"${cost:.4f}"


def rate(per_second: float | None) -> str:
    """`3.4/s`, or per minute when slower than one in two seconds."""
    if per_second is None:
        return UNKNOWN
    return f"{per_second:.3g}/s" if per_second >= 0.5 else f"{per_second * 60:.2g}/min"


def tokens(usage: Usage) -> str:
    """`1,234 in, 56 out (1,000 read from cache), 500 saved`: read by the provider, or given again without it."""
    cached = usage.cache_read_tokens + usage.cache_write_tokens
    said = f"{count(usage.input_tokens + cached)} in, {count(usage.output_tokens)} out"
    said += f" ({count(usage.cache_read_tokens)} read from cache)" if cached else ""
    return said + (f", {count(usage.saved_tokens)} saved" if usage.saved_tokens else "")


def rows_of(summary: Summary) -> list[tuple[str, str]]:
    """The summary as names and figures, outcomes that did not happen left out."""
    rows: list[tuple[str, str]] = []
    for outcome, number in summary.outcomes.items():
        if number or (outcome == "completed" and not summary.outcomes.get("scored")):
            rows.append((NAMES[outcome], f"{number:,} of {summary.planned:,}" if not rows else f"{number:,}"))
    rows += [(f"{name}", score_text(score)) for name, score in summary.scores.items()]
    if summary.earlier:
        rows.append(("kept from earlier", f"{summary.earlier:,}"))
    if summary.retried:
        rows.append(("tried more than once", f"{summary.retried:,}"))
    rows.append(("tokens", tokens(summary.usage)))
    if summary.summariser != Usage():
        rows.append(("for summaries", tokens(summary.summariser)))
    unpriced = f" without {summary.unpriced:,} whose price is unknown" if summary.unpriced else ""
    rows.append(("cost", dollars(summary.cost) + (unpriced if summary.cost is not None else "")))
    if summary.cache_saving:
        rows.append(("saved by the cache", dollars(summary.cache_saving)))
    rows.append(("latency", f"p50 {duration(summary.latency_p50)}, p95 {duration(summary.latency_p95)}"))
    if summary.first_token_p50 is not None:
        rows.append(("first token", f"p50 {duration(summary.first_token_p50)}"))
    rows.append(("time", f"{duration(summary.seconds)}, {rate(summary.samples_per_second)}"))
    if summary.other_lines:
        rows.append(("other lines", f"{summary.other_lines:,} of samples that were not asked for"))
    return rows


def score_text(score: RunningScore) -> str:
    """`0.83 (0.78 to 0.87) of 240`, with what no scorer could say."""
    if score.mean is None:
        return f"{UNKNOWN}, {score.unscored:,} not scored"
    interval = f" ({score.low:.3g} to {score.high:.3g})" if score.low is not None and score.high is not None else ""
    unscored = f", {score.unscored:,} not scored" if score.unscored else ""
    return f"{score.mean:.3g}{interval} of {score.count:,}{unscored}"


def short(sample_id: str) -> str:
    """The id, cut if it is long."""
    return sample_id if len(sample_id) <= LONGEST_ID else sample_id[:LONGEST_ID] + "…"


def failure_line(failure: Failure) -> str:
    """One failed sample on one line: which, what, and the beginning of why."""
    name = short(failure.id)
    epoch = f" (epoch {failure.epoch})" if failure.epoch > 1 else ""
    why = " ".join(failure.message.split())
    return f"{name}{epoch}: {NAMES[failure.outcome]}, {failure.kind}" + (f": {why}" if why else "")
