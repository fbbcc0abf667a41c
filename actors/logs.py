"""What the actors of a runtime log, and how: lines on stderr, which Ray keeps as the log of each actor.

The rule here: a line says when, how grave and of which part; those of a session its ids. Whoever has Ray configure
logging in its workers (`ray.init(logging_config=...)`) gets the same lines in that form, and no others.
"""

import logging
import sys
import time

from actors.settings import RuntimeSettings

_LINES = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s"
_TIMES = "%Y-%m-%dT%H:%M:%S"


def log_lines(settings: RuntimeSettings | None, *, busy: bool = False) -> None:
    """Have this process log. At the runtime's level, or else at INFO; a `busy` one then writes warnings alone.

    A line takes about as long as a hundredth of a turn, and a turn has about ten of them.
    """
    chosen = settings.log_level if settings else None
    level = chosen or ("warning" if busy else "info")
    ours = logging.getLogger("rayconteur")
    ours.setLevel(level.upper())
    if not ours.handlers and not logging.getLogger().handlers:
        handler = logging.StreamHandler(sys.stderr)
        lines = logging.Formatter(_LINES, _TIMES)
        lines.converter = time.gmtime
        handler.setFormatter(lines)
        ours.addHandler(handler)
