"""What a gate held a run against, for people, in at most 80 columns.

The rule here: every condition has its line, met or not.
"""

import shlex

from rich.table import Table
from rich.text import Text

from agent_core.evaluation.statistics.gating import Gate
from drivers.evaluating.figures_text import console_of, interval, number, say

_HOW = {
    "point": "the value itself",
    "significant": "fails only where the whole 95 % interval does",
    "proven": "passes only where the whole 95 % interval does",
}


def show(gate: Gate) -> None:
    """Print every check in at most 80 columns, then the verdict."""
    console = console_of()
    say(console, gate.run + (f" against {gate.baseline}" if gate.baseline else ""))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    for column in range(5):
        table.add_column(overflow="fold", no_wrap=column in (0, 2, 3))
    for check in gate.checks:
        verdict = Text("pass", "green") if check.passed else Text("FAIL", "bold red")
        value = f"{check.value:,.0f}" if check.counts and check.value is not None else number(check.value)
        cells = (check.condition, value, interval(check.interval) if check.interval else "", check.note)
        table.add_row(verdict, *(Text(cell) for cell in cells))
    console.print(table)
    failed = sum(1 for check in gate.checks if not check.passed)
    said = f"Failed: {failed} of {len(gate.checks)} conditions" if failed else f"Passed: {len(gate.checks)} conditions"
    say(console, f"{said} (judged by {gate.judging}: {_HOW[gate.judging]}).")
    if failed and gate.baseline is not None:
        # On one line, so that it can be copied.
        print("How they differ: python -m drivers.evaluate compare", shlex.join([gate.baseline, gate.run]))
