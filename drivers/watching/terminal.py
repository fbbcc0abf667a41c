"""The terminal while it is drawn on: only the screen writes to it, and afterwards it is as it was.

The rule here: what Ray's own threads print goes nowhere, and however the program ends the terminal is given back.
"""

import contextlib
import os
import sys
import termios
from collections.abc import Iterator

from agent_core.errors import ConfigError

# Leaves the other screen, shows the pointer, and gives up mouse, focus, paste and key protocols.
_BACK = (
    "".join(f"\x1b[?{mode}l" for mode in (1049, 1000, 1002, 1003, 1004, 1006, 1015, 2004)) + "\x1b[?25h\x1b[<u\x1b[0m"
)


def check() -> None:
    """Raise ConfigError if there is no terminal to draw on."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM", "dumb") == "dumb":
        raise ConfigError(
            "There is no terminal to draw on. For one snapshot as text: --once, for scripts --once --json."
        )


@contextlib.contextmanager
def ours() -> Iterator[None]:
    """Have the terminal for the screen alone: what else this process writes to stdout and stderr goes nowhere."""
    settings = termios.tcgetattr(0)
    screen = os.dup(1)
    outputs = [os.dup(1), os.dup(2)]
    before = sys.__stdout__, sys.__stderr__
    nowhere = os.open(os.devnull, os.O_WRONLY)
    sys.stdout.flush()
    with os.fdopen(screen, "w", encoding="utf-8") as drawn:
        # Textual draws on the stderr that the interpreter began with, and asks its stdout how large the terminal is.
        sys.__stdout__ = sys.__stderr__ = drawn
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        try:
            yield
        except BaseException:
            with contextlib.suppress(OSError):
                drawn.write(_BACK)
                drawn.flush()
            raise
        finally:
            sys.__stdout__, sys.__stderr__ = before
            for number, kept in zip((1, 2), outputs, strict=True):
                os.dup2(kept, number)
                os.close(kept)
            os.close(nowhere)
            with contextlib.suppress(termios.error):
                termios.tcsetattr(0, termios.TCSADRAIN, settings)
