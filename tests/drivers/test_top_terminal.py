"""While the screen has the terminal nothing else is written to it, and it is given back however the screen ends."""

import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest

PROGRAM = """
import os, shutil, sys, termios, tty
from drivers.watching import terminal
terminal.check()
try:
    with terminal.ours():
        os.write(1, b"from a thread of Ray's")
        os.write(2, b"from its core")
        print("from a library")
        tty.setraw(0)
        sys.__stderr__.write("drawn " + str(shutil.get_terminal_size().columns))
        sys.__stderr__.flush()
        {end}
except ValueError:
    pass
print(" afterwards", flush=True)
print(" and said", file=sys.stderr, flush=True)
"""


@pytest.mark.parametrize(("end", "given_back"), [("pass", False), ("raise ValueError", True)])
def test_the_screen_has_the_terminal_alone_and_gives_it_back(end: str, given_back: bool, repository: Path) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 93))
    before = termios.tcgetattr(theirs)
    environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
    subprocess.run(
        [sys.executable, "-c", PROGRAM.format(end=end)],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=repository, env={**environment, "TERM": "xterm"},
        check=True, timeout=60,
    )  # fmt: skip
    shown = os.read(ours, 10_000).decode()
    assert shown.startswith("drawn 93")
    assert shown.replace("\r\n", "\n").endswith(" afterwards\n and said\n")
    assert "Ray" not in shown
    assert "core" not in shown
    assert ("\x1b[?1049l" in shown) == given_back
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)
