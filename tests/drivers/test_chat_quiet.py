"""Nobody but the program writes to its terminal or its pipe, and no real error is lost on the way."""

import subprocess
import sys
from pathlib import Path

import pytest

from drivers.chatting.quiet import LineFilter, is_log_line

LOG_LINES = (
    "2026-03-01 10:00:00,123\tINFO worker.py:1832 -- Started a local Ray instance. See 127.0.0.1:8265",
    "2026-03-01 10:00:00,123 ERROR services.py:1350 -- Failed to start the dashboard",
    "[2026-03-01 10:00:00,123 W 4711 4711] global_state_accessor.cc:429: Retrying to get node",
    "\x1b[36m(SessionActor pid=4711)\x1b[0m hello",
    "(raylet) A worker died or was killed",
    "(raylet, ip=10.0.0.2) [2026-03-01 10:00:00,123 E 1 1] x.cc:1: y",
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "E0000 00:00:1700000000.1 4711 init.cc:229] grpc_wait_for_shutdown_with_timeout() timed out.",
    "I1203 10:00:00.123456 4711 init.cc:229] x",
    "*** SIGTERM received at time=1700000000 on cpu 1 ***",
    "PC: @     0x7f0c  (unknown)  epoll_wait",
    "    @     0x7f0c  (unknown)",
    "/x/site-packages/ray/_private/worker.py:2062: FutureWarning: Tip",
)
REAL_LINES = (
    "Traceback (most recent call last):",
    "ValueError: no such city",
    "error: disk full",
    "ray of light",
    "(see the manual)",
    "2026-03-01 is a date",
)


@pytest.mark.parametrize("line", LOG_LINES)
def test_what_ray_says_about_itself_is_dropped(line: str) -> None:
    assert is_log_line(line)
    assert not LineFilter().passes(line)


@pytest.mark.parametrize("line", REAL_LINES)
def test_what_anybody_else_says_is_handed_on(line: str) -> None:
    assert LineFilter().passes(line)


def test_lines_that_hang_on_a_log_line_go_with_it_and_the_next_one_does_not() -> None:
    lines = LineFilter()
    said = [line for line in (LOG_LINES[0], "    more of it", "", "mine", "  indented and mine") if lines.passes(line)]
    assert said == ["mine", "  indented and mine"]


PROGRAM = """
import os, subprocess, sys
from drivers.chatting.quiet import Quiet
lines = []
with Quiet(lines.append, everything={everything}) as quiet:
    quiet.stdout.write("answer\\n")
    quiet.stderr.write("note\\n")
    print("a tool prints")
    os.write(2, b"2026-03-01 10:00:00,123\\tINFO worker.py:1832 -- Started\\n")
    os.write(1, b"raw, without an end")
    child = subprocess.Popen(["sh", "-c", "echo from a child >&2; read line"], stdin=subprocess.PIPE)
    while not any("child" in line for line in lines):
        pass
print("after")
print(sorted(lines), file=sys.stderr)
child.communicate(b"\\n")
"""


@pytest.mark.parametrize("everything", [False, True])
def test_descriptors_are_guarded_and_given_back_while_children_still_hold_them(
    everything: bool, repository: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(everything=everything)],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "answer\nafter\n"
    assert done.stderr.startswith("note\n")
    assert "a tool prints" in done.stderr
    assert "raw, without an end" in done.stderr
    assert "from a child" in done.stderr
    assert ("INFO worker.py" in done.stderr) is everything
