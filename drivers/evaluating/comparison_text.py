"""A comparison of two runs as tables for people, in at most 80 columns.

The rule here: what is not compared is counted before what is.
"""

from rich.console import Console

from agent_core.evaluation.statistics.collected import Collected
from agent_core.evaluation.statistics.comparing import Comparison, Flip, Matched, ScorerComparison
from agent_core.evaluation.statistics.paired import Difference
from drivers.evaluating.figures_text import (
    MOST_GROUPS,
    console_of,
    interval,
    named,
    number,
    p_value,
    say,
    shortened,
    show_table,
)

IDS_OF_ONE_SIDE = 5
# What a narrow terminal has no room for, in this order.
SPARE = ("MDE", "pairs", "A", "B")
SEEN = (
    "B - A with its 95 % bootstrap interval. MDE: the smallest true difference that so many pairs show at the 5 % level"
    " with 80 % power."
)


def show(comparison: Comparison, runs: tuple[Collected, Collected], *, flips: int, by: str) -> None:
    """Print the comparison in at most 80 columns. `flips` are named at most of each kind."""
    console = console_of()
    for name, run in zip("AB", runs, strict=True):
        say(console, f"{name}  {run.name} ({run.results:,} results of {run.planned:,} planned)")
    _say_matched(console, comparison.matched)
    say(console)
    _say_overall(console, comparison)
    for one in comparison.scorers.values():
        say(console)
        _say_details(console, one, flips)
        if one.groups:
            _say_groups(console, one.groups, by)
    for side, names in (("A", comparison.scorers_only_in_a), ("B", comparison.scorers_only_in_b)):
        if names:
            say(console, f"Scored in {side} only: {', '.join(shortened(name) for name in names)}")


def _say_matched(console: Console, matched: Matched) -> None:
    say(console, f"{matched.both:,} samples are in both.")
    for side, ids in (("A", matched.only_in_a), ("B", matched.only_in_b)):
        if ids:
            say(console, f"{len(ids):,} are in {side} only: {named(list(ids), IDS_OF_ONE_SIDE)}.")
    if matched.changed:
        said = f"{len(matched.changed):,} with the same id have another question or target"
        say(console, f"{said}: {named(list(matched.changed), IDS_OF_ONE_SIDE)}.")


def _say_overall(console: Console, comparison: Comparison) -> None:
    several = len(comparison.scorers) > 1
    head = ("scorer", "pairs", "A", "B", "B - A", "95 % interval", "p (Holm)" if several else "p", "MDE")
    rows = [(shortened(name, 18), *_cells(one.overall, one.holm_p)) for name, one in comparison.scorers.items()]
    show_table(console, head, rows, SPARE)
    corrected = f" p is corrected for {len(comparison.scorers)} scorers." if several else ""
    reduced = f" Epochs: {comparison.reducer}." if comparison.reducer != "mean" else ""
    say(console, SEEN + corrected + reduced)


def _cells(found: Difference, p: float | None) -> list[str]:
    return [
        f"{found.pairs:,}",
        number(found.a),
        number(found.b),
        number(found.difference, sign=True),
        interval(found.interval, sign=True),
        p_value(p),
        number(found.detectable),
    ]


def _say_details(console: Console, one: ScorerComparison, flips: int) -> None:
    found = one.overall
    tests = [f"permutation p {p_value(found.permutation_p)}"]
    if found.mcnemar is not None:
        tests.insert(0, f"McNemar exact p {p_value(found.mcnemar.p)}")
    lost = [flip for flip in one.flips if flip.after < flip.before]
    gained = sorted((flip for flip in one.flips if flip.after > flip.before), key=lambda flip: flip.before - flip.after)
    say(console, f"{shortened(one.scorer)}: {len(lost):,} lower in B, {len(gained):,} higher; {', '.join(tests)}.")
    alone = [(one.scored_in_a, "in A only"), (one.scored_in_b, "in B only"), (one.unscored, "in neither")]
    if said := ", ".join(f"{count:,} {where}" for count, where in alone if count):
        say(console, f"  Not paired, for they have a score {said}.")
    _say_flips(console, "lower ", lost, flips)
    _say_flips(console, "higher", gained, flips)


def _say_flips(console: Console, what: str, changed: list[Flip], most: int) -> None:
    if not changed or not most:
        return
    plain = all({flip.before, flip.after} == {0.0, 1.0} for flip in changed)
    names = [
        flip.id if plain else f"{flip.id} ({number(flip.before)} -> {number(flip.after)})" for flip in changed[:most]
    ]
    more = f" and {len(changed) - most:,} more" if len(changed) > most else ""
    say(console, f"  {what}: {named(names, most)}{more}")


def _say_groups(console: Console, groups: dict[str, Difference], by: str) -> None:
    head = (f"  {shortened(by, 16)}", "pairs", "A", "B", "B - A", "95 % interval", "p", "MDE")
    shown = list(groups.items())[:MOST_GROUPS]
    rows = [(f"  {shortened(label, 16)}", *_cells(found, found.p)) for label, found in shown]
    show_table(console, head, rows, SPARE)
    hidden = f" {len(groups) - MOST_GROUPS:,} smaller groups are in --json." if len(groups) > MOST_GROUPS else ""
    say(console, f"  p of a group is not corrected for their number ({len(groups)}).{hidden}")
