"""Scores, intervals and p-values as text, and the plain tables that they stand in, at most 80 columns wide.

The rule here: what is not known is a dash. Names come from users' files and are never taken for markup.
"""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from agent_core.evaluation.statistics.intervals import Interval
from drivers.evaluating.showing import UNKNOWN

WIDTH = 80
MOST_WIDTH = 500
LONGEST_NAME = 22
MOST_GROUPS = 20


def number(value: float | None, *, sign: bool = False) -> str:
    """`0.812`, `12.35`, `1.2e+06`; `+0.041` with its sign."""
    if value is None:
        return UNKNOWN
    plus = "+" if sign else ""
    size = abs(value)
    if size >= 100_000 or 0 < size < 0.0005:
        return f"{value:{plus}.1e}"
    return f"{value:{plus}.{3 if size < 10 else 2 if size < 1000 else 0}f}"


def interval(found: Interval | None, *, sign: bool = False) -> str:
    """`[0.780, 0.840]`."""
    return UNKNOWN if found is None else f"[{number(found.low, sign=sign)}, {number(found.high, sign=sign)}]"


def p_value(p: float | None) -> str:
    """`0.031`, or `<0.001`."""
    if p is None:
        return UNKNOWN
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def shortened(name: str, longest: int = LONGEST_NAME) -> str:
    """The name on one line, cut where it is too long."""
    name = " ".join(name.split())
    return name if len(name) <= longest else name[: longest - 1] + "…"


def console_of() -> Console:
    """Standard output, no wider than a table may be."""
    console = Console(file=sys.stdout, highlight=False)
    console.width = min(WIDTH, console.width)
    return console


def table_of(*columns: str) -> Table:
    """A table without rules, its first column to the left and the others to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for place, name in enumerate(columns):
        table.add_column(Text(name), justify="right" if place else "left", no_wrap=True)
    return table


def show_table(console: Console, head: Sequence[str], rows: Sequence[Sequence[str]], spare: Sequence[str] = ()) -> None:
    """Print a table; where it is too wide, without the columns that are `spare`, the first of them first."""
    left_out: list[str] = []
    while True:
        places = [place for place, name in enumerate(head) if name not in left_out]
        table = table_of(*(head[place] for place in places))
        for row in rows:
            add_row(table, *(row[place] for place in places))
        wide = Measurement.get(console, console.options.update(width=MOST_WIDTH), table).maximum > console.width
        if not wide or len(left_out) == len(spare):
            break
        left_out.append(spare[len(left_out)])
    console.print(table)
    if left_out:
        say(console, f"Not shown, for want of room: {', '.join(reversed(left_out))}.")


def add_row(table: Table, *cells: str) -> None:
    """A row of plain text."""
    table.add_row(*(Text(cell) for cell in cells))


def say(console: Console, text: str = "") -> None:
    """A paragraph of plain text, wrapped."""
    console.print(Text(text))


def named(names: list[str], most: int) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(shortened(name, 40) for name in names[:most])
    return shown + (f" and {len(names) - most:,} more" if len(names) > most else "")
