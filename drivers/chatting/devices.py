"""The terminal as an input and an output, and the messages that were typed at it before.

The rule here: what is typed reaches the chat as it was meant, and what is drawn reaches the terminal whole.
"""

import os
import sys
from typing import TextIO

from platformdirs import user_state_path
from prompt_toolkit.data_structures import Size
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.key_binding.key_processor import KeyPress
from prompt_toolkit.keys import Keys
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.output.vt100 import Vt100_Output


class SteadyOutput(Vt100_Output):
    """Gathers what is written while it is held, so that erasing, printing and drawing again are one write."""

    held = False

    def flush(self) -> None:
        if not self.held:
            super().flush()

    def erase_down(self) -> None:
        # This line, then those below: some terminals take erasing from the first place of the screen on for clearing
        # it, and put what was erased into their scrollback.
        self.write_raw("\x1b7\x1b[K\x1b[B\x1b[J\x1b8")


class TypedAheadInput(Vt100Input):
    """Takes Enter for Enter, even where the terminal made a newline of it before the program had taken it over."""

    _first = True

    def read_keys(self) -> list[KeyPress]:
        keys = super().read_keys()
        if self._first and keys:
            self._first = False
            return [KeyPress(Keys.ControlM, "\r") if press.key == Keys.ControlJ else press for press in keys]
        return keys


def terminal_input() -> Input:
    """The keyboard of the terminal that this program was started in."""
    return TypedAheadInput(sys.stdin)


def terminal_output(stream: TextIO) -> SteadyOutput:
    """The output for a terminal. It is never asked where the cursor is: the answer would look like typing."""

    def size() -> Size:
        try:
            columns, rows = os.get_terminal_size(stream.fileno())
        except OSError:
            columns, rows = 0, 0
        return Size(rows=rows or 24, columns=columns or 80)

    plain = "NO_COLOR" in os.environ
    depth = ColorDepth.DEPTH_1_BIT if plain else ColorDepth.from_env()
    return SteadyOutput(stream, size, term=os.environ.get("TERM"), default_color_depth=depth, enable_cpr=False)


def message_history() -> History:
    """The messages typed before, kept in the user's state directory; in memory where that cannot be written."""
    try:
        directory = user_state_path("rayconteur", ensure_exists=True)
        path = directory / "chat_history"
        path.touch(mode=0o600, exist_ok=True)
        with path.open("ab"):
            return FileHistory(path)
    except OSError:
        return InMemoryHistory()
