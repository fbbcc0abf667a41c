"""The CPU of a sample as a picture: each side of `evaluation_inspect.py` a bar, one panel for each number of turns.

The rule here: a bar is the median of the rounds, and the rounds themselves are dots on it; every axis begins at zero.
"""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

_OURS, _OTHER, _BARE, _TEXT, _GRID = "#4c78a8", "#d1495b", "#b8b8b8", "#333333", "#e3e3e3"
_NAMES = {
    "Inspect": "Inspect AI",
    "ours on Ray": "Rayconteur on Ray, all processes",
    "ours, one process": "Rayconteur, one process",
    "bare SDK": "the SDK alone: no log, no score",
}


def draw(rounds: Mapping[int, Mapping[str, Sequence[float]]], path: Path) -> None:
    """Draw milliseconds of CPU a sample, by turns and side, into a PNG file."""
    figure, grid = plt.subplots(len(rounds), 1, squeeze=False, figsize=(9, 2.3 * len(rounds)), dpi=110)
    panels: list[Axes] = list(grid[:, 0])
    for panel, (turns, sides) in zip(panels, rounds.items(), strict=True):
        _panel(panel, f"a sample of {turns} turn{'' if turns == 1 else 's'}", sides)
    panels[-1].set_xlabel("CPU a sample, ms", color=_TEXT)
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)


def _panel(panel: Axes, title: str, sides: Mapping[str, Sequence[float]]) -> None:
    names = list(sides)
    medians = [statistics.median(sides[name]) for name in names]
    colours = [_OURS if name.startswith("ours") else _OTHER if name == "Inspect" else _BARE for name in names]
    panel.barh(range(len(names)), medians, color=colours, height=0.6)
    for row, name in enumerate(names):
        panel.scatter(sides[name], [row] * len(sides[name]), s=10, color=_TEXT, alpha=0.6, linewidths=0, zorder=3)
        note = f"  {medians[row]:.1f} ms, {1e3 / medians[row]:,.0f} a second of CPU"
        panel.text(max(sides[name]), row, note, va="center", fontsize=9, color=_TEXT)
    panel.set_yticks(range(len(names)), [_NAMES.get(name, name) for name in names])
    panel.invert_yaxis()
    panel.set_title(title, loc="left", fontsize=11, color=_TEXT)
    panel.set_xlim(0, max(map(max, sides.values())) * 1.45)
    panel.grid(axis="x", color=_GRID, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.tick_params(colors=_TEXT, length=0)
    for side in ("top", "right", "bottom"):
        panel.spines[side].set_visible(False)
