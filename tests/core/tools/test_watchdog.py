"""A loop that stands still ends its process, whatever holds it up, and says what did."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, re, sys, time
from agent_core.tools.watchdog import Watchdog

def hold_the_lock():
    re.match(r"(a+)+$", "a" * 60 + "b")

async def main():
    watchdog = Watchdog(0.4)
    watchdog.start()
    await asyncio.sleep(0.8)
    print("ran on", flush=True)
    if sys.argv[1] == "stopped":
        watchdog.stop()
        time.sleep(0.8)
    elif sys.argv[1] == "blocked":
        time.sleep(600)
    else:
        hold_the_lock()

asyncio.run(main())
"""


def outcome(repository: Path, how: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, how], cwd=repository, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(("how", "culprit"), [("blocked", "in main"), ("locked", "in hold_the_lock")])
def test_a_stalled_loop_ends_its_process_and_shows_the_stack(repository: Path, how: str, culprit: str) -> None:
    ended = outcome(repository, how)
    assert ended.returncode == 1
    assert ended.stdout == "ran on\n"
    assert culprit in ended.stderr


def test_a_watchdog_that_was_stopped_ends_nothing(repository: Path) -> None:
    assert outcome(repository, "stopped").returncode == 0
