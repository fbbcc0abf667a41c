"""The figures of one run as tables for people, in at most 80 columns.

The rule here: every mean stands beside what it rests on.
"""

from rich.console import Console

from agent_core.evaluation.statistics.estimates import Coverage, Estimate
from agent_core.evaluation.statistics.figures import PassFigures, RunFigures, ScorerFigures
from drivers.evaluating.figures_text import MOST_GROUPS, console_of, interval, number, say, shortened, show_table
from drivers.evaluating.showing import NAMES, UNKNOWN

MOST_PASSES = 8
COLUMNS = ("samples", "mean", "± error", "95 % interval", "scored", "bounds")
# What a narrow terminal has no room for, in this order.
SPARE = ("bounds", "± error", "samples")
ABOUT = (
    "95 % intervals: Wilson's for scores of 0 and 1, else BCa bootstrap. Bounds: the mean, were every one without"
    " a score wrong, or right."
)


def show(figures: RunFigures, *, by: str) -> None:
    """Print the figures; groups are those of the metadata field `by`."""
    console = console_of()
    outcomes = ", ".join(f"{count:,} {NAMES[outcome]}" for outcome, count in figures.outcomes.items() if count)
    epochs = f" in {figures.epochs} epochs each" if figures.epochs > 1 else ""
    say(console, f"{figures.name}: {figures.samples:,} samples{epochs}, {figures.planned:,} planned ({outcomes})")
    if not figures.scorers:
        say(console, "Nothing scored these answers, so there are no figures of them.")
        return
    say(console)
    rows = [(shortened(name, 20), *_cells(one.estimate, one.coverage)) for name, one in figures.scorers.items()]
    show_table(console, ("scorer", *COLUMNS), rows, SPARE)
    first = next(iter(figures.scorers.values()))
    reduced = f" Epochs: {first.reducer}." if first.reducer != "mean" else ""
    say(console, ABOUT + reduced)
    for one in figures.scorers.values():
        _show_epochs(console, one)
        _show_groups(console, one, by)


def _cells(estimate: Estimate, coverage: Coverage) -> list[str]:
    known = coverage.if_wrong is not None and coverage.if_right is not None
    return [
        f"{estimate.samples:,}",
        number(estimate.mean),
        number(estimate.standard_error),
        interval(estimate.interval),
        _share(coverage),
        f"{number(coverage.if_wrong)}-{number(coverage.if_right)}" if known else UNKNOWN,
    ]


def _share(coverage: Coverage) -> str:
    """`100 %` only where all have a score."""
    if coverage.scored == coverage.planned:
        return "100 %"
    return f"{min(99.9, 100 * coverage.share):.1f} %"


def _show_epochs(console: Console, one: ScorerFigures) -> None:
    if one.passes:
        say(console)
        rows: list[tuple[str, ...]] = []
        for passes in _some(one.passes):
            at, hat = passes.pass_at_k, passes.pass_hat_k
            cells = (number(at.mean), interval(at.interval), number(hat.mean), interval(hat.interval))
            rows.append((f"  k = {passes.k}", *cells, f"{at.samples:,}"))
        head = (shortened(one.scorer), "pass@k", "95 % interval", "pass^k", "95 % interval", "samples")
        show_table(console, head, rows, ("samples",))
    if one.reduced:
        others = [f"{name} {number(found.mean)}" for name, found in one.reduced.items() if name != one.reducer]
        say(console, f"{shortened(one.scorer)} with its epochs reduced: {', '.join(others[:12])}")


def _some(passes: tuple[PassFigures, ...]) -> list[PassFigures]:
    """All, or of many those for powers of two and the last."""
    if len(passes) <= MOST_PASSES:
        return list(passes)
    return [one for one in passes if one.k & (one.k - 1) == 0 or one.k == len(passes)]


def _show_groups(console: Console, one: ScorerFigures, by: str) -> None:
    if not one.groups:
        return
    say(console)
    say(console, f"{shortened(one.scorer)} by {shortened(by)}")
    shown = list(one.groups.items())[:MOST_GROUPS]
    rows = [(shortened(label, 20), *_cells(group.estimate, group.coverage)) for label, group in shown]
    show_table(console, ("group", *COLUMNS), rows, SPARE)
    if len(one.groups) > MOST_GROUPS:
        say(console, f"{len(one.groups) - MOST_GROUPS:,} smaller groups are in --json.")
