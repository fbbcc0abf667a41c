"""Keeps everybody else off the terminal and off the pipe: file descriptors 1 and 2 belong to the program alone.

The rule here: what other parts write (Ray, its processes, libraries, tools) comes line by line to one place. Log lines
that Ray writes about itself are dropped; every other line is handed on, so that no real error is lost.
"""

import contextlib
import os
import re
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

_COLOR = re.compile(r"\x1b\[[0-9;]*m")
_LOG_LINE = re.compile(
    r"""
      \d{4}-\d\d-\d\d\ \d\d:\d\d:\d\d[,.]\d+\s+[A-Z]+\s+\S+:\d+\s+--  # Ray's Python logs
    | \[\d{4}-\d\d-\d\d\ \d\d:\d\d:\d\d[,.]\d+\ [A-Z]\ \d+\ \d+\]   # Ray's C++ logs
    | [IWEF]\d{4}\ \d\d:\d\d:\d\d                                   # absl, gRPC
    | WARNING:\ All\ log\ messages\ before\ absl
    | \([^()]*(pid|ip)=[^()]*\)                                     # forwarded from a worker
    | \((raylet|gcs_server|autoscaler|dashboard)\b
    | \*\*\*\ SIG[A-Z]+\ received | PC:\ @ | @\s+0x[0-9a-f]+        # their stack traces
    | \S*/ray/\S+\.py:\d+:\ \w*Warning:
    """,
    re.VERBOSE,
)
_END = b"\x00end of output\x00\n"


def is_log_line(line: str) -> bool:
    """Whether Ray, or a library that it stands on, says this about itself."""
    return _LOG_LINE.match(_COLOR.sub("", line).lstrip()) is not None


class LineFilter:
    """Tells the lines that are somebody's from Ray's log lines, and what belongs to these (indented below them)."""

    def __init__(self) -> None:
        self._after_log_line = False

    def passes(self, line: str) -> bool:
        """Whether the line is to be handed on."""
        if is_log_line(line):
            self._after_log_line = True
            return False
        if self._after_log_line and (line.startswith((" ", "\t")) or not line.strip()):
            return False
        self._after_log_line = False
        return bool(line.strip())


class Quiet:
    """While entered: `stdout` and `stderr` are the real ones, for the program; what others write comes to `on_line`.

    `on_line` is called in a thread of its own. With `everything` log lines are handed on as well.
    """

    stdout: TextIO
    stderr: TextIO

    def __init__(self, on_line: Callable[[str], object], *, everything: bool = False) -> None:
        self._on_line = on_line
        self._everything = everything
        self._filter = LineFilter()

    def __enter__(self) -> Self:
        sys.stdout.flush()
        sys.stderr.flush()
        self._real = (os.dup(1), os.dup(2))
        self.stdout = os.fdopen(os.dup(1), "w", encoding=_encoding(), errors="replace", newline="")
        self.stderr = os.fdopen(os.dup(2), "w", encoding=_encoding(), errors="replace", newline="")
        self._reading, self._writing = os.pipe()
        os.dup2(self._writing, 1)
        os.dup2(self._writing, 2)
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        self._thread = threading.Thread(target=self._read, name="quiet", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(self._real[0], 1)
        os.dup2(self._real[1], 2)
        # Processes that were started meanwhile hold the pipe open, so its end would never come by itself.
        os.write(self._writing, _END)
        self._thread.join(timeout=5)
        for descriptor in (*self._real, self._writing):
            os.close(descriptor)
        for stream in (self.stdout, self.stderr):
            # The reader may have gone; whoever wrote to it heard of that already.
            with contextlib.suppress(OSError):
                stream.close()

    def _read(self) -> None:
        pending = b""
        while chunk := os.read(self._reading, 65536):
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                if line.endswith(_END.rstrip(b"\n")):
                    self._hand_on(line.removesuffix(_END.rstrip(b"\n")))
                    os.close(self._reading)
                    return
                self._hand_on(line)

    def _hand_on(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip("\r")
        if text.strip() and (self._everything or self._filter.passes(text)):
            self._on_line(text)


def _encoding() -> str:
    return sys.stdout.encoding or "utf-8"
