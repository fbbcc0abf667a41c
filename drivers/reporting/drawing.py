"""Drawing: a matplotlib figure as SVG that takes its colours and its letters from the page it stands in.

The rule here: a figure is 400 units wide whatever it shows, so that its letters are as large as the page's on a small
screen and on a large one. Colours are roles, such as `accent`, to which the page's style sheet gives a value in each
theme.
"""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

WIDTH = 400.0
LETTERS = 12.0

# Roles in the place of colours: matplotlib draws with the number, the page reads the name.
_ROLES = (
    "ink", "muted", "rule", "accent", "accent-soft", "scored", "completed", "unscored", "model_failed",
    "infrastructure_failed", "limit_hit", "cancelled", "missing",
)  # fmt: skip
ROLES: dict[str, str] = {role: f"#fe{number:02x}ef" for number, role in enumerate(_ROLES)}
_SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    # What a dollar or a brace means in the name of a group is itself.
    "text.parse_math": False,
    "font.size": LETTERS,
    "font.family": ["DejaVu Sans"],
    "axes.linewidth": 0.8,
    "path.simplify": True,
}


@contextmanager
def drawing(height: float, margins: tuple[float, float, float, float]) -> Iterator[tuple[Axes, list[Markup]]]:
    """One plot, `height` units high, inside margins (left, right, top, bottom); its SVG is in the list afterwards."""
    left, right, top, bottom = margins
    made: list[Markup] = []
    with mpl.rc_context(_SETTINGS), warnings.catch_warnings():
        # Letters are the browser's: that the font which measures them lacks one is of no consequence.
        warnings.filterwarnings("ignore", message="Glyph")
        figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
        frame = (left / WIDTH, bottom / height, (WIDTH - left - right) / WIDTH, (height - top - bottom) / height)
        axes = figure.add_axes(frame)
        _plain(axes)
        yield axes, made
        made.append(_svg(figure))


def colour(role: str) -> str:
    """The number that stands for a role."""
    return ROLES[role]


def shortened(label: str, letters: int = 24) -> str:
    """A label for an axis: on one line, its middle left out if it is long."""
    line = " ".join(label.split()) or "(empty)"
    if len(line) <= letters:
        return line
    return f"{line[: letters - 8]}…{line[-7:]}"


def _plain(axes: Axes) -> None:
    axes.patch.set_visible(False)
    axes.figure.patch.set_visible(False)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(colour("rule"))
    axes.tick_params(colors=colour("muted"), length=0, pad=5, which="both")
    axes.set_axisbelow(True)


def _svg(figure: Figure) -> Markup:
    target = io.StringIO()
    FigureCanvasSVG(figure).print_svg(target, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = target.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    opening = r'<svg viewBox="\1" aria-hidden="true" focusable="false">'
    text = re.sub(r'<svg[^>]*viewBox="([^"]*)"[^>]*>', opening, text, count=1)
    text = text.replace(" font-family: 'DejaVu Sans';", "")
    for role, number in ROLES.items():
        text = text.replace(number, f"var(--{role.replace('_', '-')})")
    # matplotlib has escaped every text that it was given.
    return Markup(re.sub(r"\n\s*", "\n", text))  # noqa: S704
