"""Ends a process whose event loop stands still.

The rule here: only for processes that someone replaces. A tool that blocks the loop would otherwise hold up every other
one for ever, and nothing inside the process can stop it.
"""

import asyncio
import faulthandler
from typing import IO

BEATS = 4
"""How often within the time limit the loop has to show that it runs."""


class Watchdog:
    """While it runs, an event loop that stalls for `limit` seconds ends the process with exit code 1.

    The stacks of all threads are written to `file` first (standard error without one), to show which tool it was. The
    clock runs in a thread of the interpreter's own (`faulthandler.dump_traceback_later`, of which a process has one)
    that works even while a tool holds the interpreter's lock.
    """

    def __init__(self, limit: float, file: IO[str] | None = None) -> None:
        self._limit = limit
        self._file = file
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Watch the running loop."""
        self._beat()

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            faulthandler.cancel_dump_traceback_later()

    def _beat(self) -> None:
        if self._file is None:
            faulthandler.dump_traceback_later(self._limit, exit=True)
        else:
            faulthandler.dump_traceback_later(self._limit, exit=True, file=self._file)
        self._timer = asyncio.get_running_loop().call_later(self._limit / BEATS, self._beat)
