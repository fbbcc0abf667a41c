"""The turns of a run of `compaction.py` as a picture: how long each took, for two ways to compact, one over the other.

The rule here: both panels have the same axes, so that what differs is what was measured.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.compaction_load import Turn

_PLAIN, _WAITED, _TEXT, _GRID = "#4c78a8", "#d1495b", "#333333", "#e3e3e3"
_TITLES = {
    "inline": "inline: the turn waits for its summary",
    "no grace": "in the background, and the turn waits at 80 % of the window",
    "grace": "in the background, as a session does it",
    "mechanical": "in the background, and nobody ever waits",
}


def draw(turns: Mapping[str, Sequence[Turn]], path: Path) -> None:
    """Draw the turns of two ways to compact into a PNG file."""
    ways = list(turns)
    size = (9, 2.4 * len(ways))
    figure, grid = plt.subplots(len(ways), 1, sharex=True, sharey=True, squeeze=False, figsize=size, dpi=110)
    panels: list[Axes] = list(grid[:, 0])
    for panel, way in zip(panels, ways, strict=True):
        _panel(panel, _TITLES[way], turns[way])
    panels[-1].set_xlabel("minutes since the start", color=_TEXT)
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)


def _panel(panel: Axes, title: str, turns: Sequence[Turn]) -> None:
    waited = [turn for turn in turns if turn.waited > 0]
    plain = [turn for turn in turns if not turn.waited]
    note = f"{len(waited):,} of {len(turns):,} turns waited"
    panel.scatter(*_points(plain), s=5, color=_PLAIN, alpha=0.35, linewidths=0, rasterized=True)
    panel.scatter(*_points(waited), s=12, color=_WAITED, alpha=0.9, linewidths=0, rasterized=True)
    panel.set_title(title, loc="left", fontsize=11, color=_TEXT)
    panel.set_title(note, loc="right", fontsize=10, color=_WAITED if waited else _PLAIN)
    panel.set_ylabel("a turn, s", color=_TEXT)
    panel.set_ylim(bottom=0)
    panel.margins(x=0.01)
    panel.grid(axis="y", color=_GRID, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.tick_params(colors=_TEXT, length=0)
    for side in ("top", "right", "left"):
        panel.spines[side].set_visible(False)


def _points(turns: Sequence[Turn]) -> tuple[list[float], list[float]]:
    return [turn.began / 60 for turn in turns], [turn.took for turn in turns]
