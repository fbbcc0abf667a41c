"""What a change of the terminal's width does to what is drawn in place.

The rule here: a terminal that wraps old lines anew pushes what was drawn further up than it was drawn; the rows that
this adds are erased too. Where it is not known that a terminal does this, nothing more than what was drawn is erased,
since it would be the conversation that goes.
"""

import os
from collections.abc import Mapping

from prompt_toolkit.application import Application
from prompt_toolkit.layout.screen import Screen
from prompt_toolkit.utils import get_cwidth

# Variables by which the terminals that wrap anew are known. xterm, GNU screen and consoles cut lines instead.
_REWRAPPING = (
    "TMUX",
    "VTE_VERSION",
    "KITTY_WINDOW_ID",
    "ALACRITTY_WINDOW_ID",
    "WEZTERM_PANE",
    "WT_SESSION",
    "KONSOLE_VERSION",
    "ITERM_SESSION_ID",
)
_REWRAPPING_PROGRAMS = ("Apple_Terminal", "iTerm.app", "WezTerm", "ghostty", "vscode")


def rewraps(environment: Mapping[str, str]) -> bool:
    """Whether the terminal is known to wrap old lines anew when its width changes."""
    if any(environment.get(name) for name in _REWRAPPING):
        return True
    return environment.get("TERM_PROGRAM") in _REWRAPPING_PROGRAMS


def rows_added(drawn: Screen, columns: int) -> int:
    """How many rows more what was drawn above the cursor takes in a terminal of so many columns."""
    cursors = list(drawn.cursor_positions.values())
    if not cursors or columns < 1:
        return 0
    cursor = cursors[0]
    above = sum(max(_width(drawn, row) - 1, 0) // columns for row in range(cursor.y))
    return above + cursor.x // columns


def _width(drawn: Screen, row: int) -> int:
    """Columns up to the last visible character of a row."""
    visible = [(column, char.char) for column, char in drawn.data_buffer[row].items() if char.char.strip()]
    if not visible:
        return 0
    column, char = max(visible)
    return column + max(get_cwidth(char), 1)


class ResizingApplication(Application[int]):
    """An application that is drawn in place and stays whole when the terminal gets narrower."""

    def _on_resize(self) -> None:
        drawn = self.renderer.last_rendered_screen
        if drawn is not None and rewraps(os.environ):
            self.output.cursor_up(rows_added(drawn, self.output.get_size().columns))
        super()._on_resize()
