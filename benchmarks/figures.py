"""Figures: what a benchmark found, beside the goal that it has, for people and as JSON.

The rule here: every program ends in one list of these, so that whoever compares two runs compares like with like.
"""

import json
import math
import operator
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table

_BOUNDS = {"<=": operator.le, ">=": operator.ge}


@dataclass(frozen=True, slots=True)
class Figure:
    """One number. `goal` is `<= N` or `>= N` in the same unit, empty for what is only shown."""

    id: str
    name: str
    value: float
    unit: str
    goal: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached, None without one."""
        if not self.goal:
            return None
        bound, _, limit = self.goal.partition(" ")
        return bool(_BOUNDS[bound](self.value, float(limit)))


def figure(id: str, name: str, value: float, unit: str, goal: str = "") -> Figure:
    """A figure whose value is rounded to what can be told: four digits."""
    return Figure(id, name, float(f"{value:.4g}"), unit, goal)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of all do not exceed. Raises ValueError for no values."""
    if not values:
        raise ValueError("Nothing was measured. Give the benchmark more rounds or more time.")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def show(title: str, figures: Sequence[Figure], *, as_json: bool) -> None:
    """Print the figures, as a table or as a JSON list of objects."""
    if as_json:
        print(json.dumps([asdict(each) | {"met": each.met} for each in figures], indent=2))
        return
    table = Table(title=title)
    for heading in ("", "figure", "value", "unit", "goal", "met"):
        table.add_column(heading, justify="right" if heading == "value" else "left")
    for each in figures:
        met = {True: "yes", False: "no", None: ""}[each.met]
        table.add_row(each.id, each.name, f"{each.value:,.7g}", each.unit, each.goal, met)
    Console().print(table)
