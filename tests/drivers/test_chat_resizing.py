"""A terminal that gets narrower while an answer grows: what was drawn goes, what was said stays."""

import asyncio
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prompt_toolkit.data_structures import Point
from prompt_toolkit.layout import Window
from prompt_toolkit.layout.screen import Char, Screen

from agent_core.scripted import Knobs, Match, Reply, Rule, Script
from agent_core.scripted.server import ScriptedServer
from drivers.chatting.resizing import rewraps, rows_added
from tests.drivers.chat_fakes import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parents[2]
WORDS = "These words are longer than the terminal will be wide, and they end with a stop which never comes"
SCRIPT = Script(
    rules=(Rule(match=Match(text="^stall"), replies=(Reply(text=f"{WORDS} at all", fault="stall"),)),),
    knobs=Knobs(chunk_chars=len(WORDS), stall_after_deltas=1),
)


def drawn(*rows: str, cursor: int) -> Screen:
    screen = Screen()
    for number, row in enumerate(rows):
        for column, char in enumerate(row):
            screen.data_buffer[number][column] = Char(char)
    screen.set_cursor_position(Window(), Point(x=cursor, y=len(rows) - 1))
    return screen


def test_rows_are_added_for_what_no_longer_fits_and_only_above_the_cursor() -> None:
    screen = drawn("x" * 100, "", "y" * 40 + " " * 60, "z" * 81, "> ", cursor=2)
    assert rows_added(screen, 100) == 0
    assert rows_added(screen, 80) == 2
    assert rows_added(screen, 40) == 4
    assert rows_added(drawn("> " + "x" * 50, cursor=50), 40) == 1
    assert rows_added(Screen(), 40) == 0


def test_only_terminals_that_are_known_to_wrap_anew_are_taken_to() -> None:
    assert rewraps({"TMUX": "/tmp/socket,1,0"})
    assert rewraps({"TERM_PROGRAM": "iTerm.app"})
    assert not rewraps({"TERM": "xterm-256color", "XTERM_VERSION": "XTerm(379)"})


class Tmux:
    """A server of its own, with one window."""

    def __init__(self, directory: Path) -> None:
        self._socket = str(directory / "tmux")

    def __call__(self, *arguments: str) -> str:
        command = ["tmux", "-S", self._socket, "-f", os.devnull, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    def text(self) -> str:
        """The screen and what was scrolled out of it."""
        return self("capture-pane", "-p", "-S", "-").rstrip()

    async def shows(self, wanted: str) -> str:
        until = time.monotonic() + PATIENCE_SECONDS * 2
        while wanted not in (text := self.text()):
            if time.monotonic() > until:
                pytest.fail(f"this is all that the terminal shows:\n{text}")
            # tmux tells nobody that its screen has changed.
            await asyncio.sleep(0.05)
        return text


@pytest.fixture
async def tmux(tmp_path: Path) -> AsyncIterator[Tmux]:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    tmux = Tmux(tmp_path)
    async with ScriptedServer(SCRIPT) as server:
        environment = {"PYTHONPATH": str(ROOT), "ANTHROPIC_API_KEY": "test-key"}
        given = " ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())
        options = f"--in-process --model anthropic/claude-test --context-limit 100000 --base-url {server.url}"
        command = f"cd {shlex.quote(str(tmp_path))} && {given} {sys.executable} -m drivers.chat {options}"
        tmux("new-session", "-d", "-x", "120", "-y", "24", command)
        try:
            yield tmux
        finally:
            tmux("kill-server")


async def test_in_a_terminal_that_wraps_anew_nothing_stands_twice(tmux: Tmux) -> None:
    await tmux.shows("new session")
    tmux("send-keys", "stall", "Enter")
    await tmux.shows("These words")
    tmux("resize-window", "-x", "30")
    text = await tmux.shows("These words are longer than\nthe terminal")
    assert text.count("These words") == 1
    assert text.count("› stall") == 1
    assert text.splitlines()[-1].startswith("  claude-test · answering")
