"""`python -m drivers.chat` at a real terminal: a pseudo-terminal whose screen is read, against a model server."""

import asyncio
import fcntl
import os
import pty
import signal
import struct
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pyte
import pytest

from agent_core.scripted import Knobs, Match, Reply, Rule, Script
from agent_core.scripted.server import ScriptedServer
from tests.drivers.chat_fakes import PATIENCE_SECONDS
from tests.drivers.forked import ForkServer

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Script(
    rules=(
        Rule(match=Match(text="^stall"), replies=(Reply(text="It **begins** and never ends", fault="stall"),)),
        Rule(match=Match(text="^many"), replies=(Reply(text="\n".join(f"- item {n}" for n in range(99))),)),
    ),
    knobs=Knobs(stall_after_deltas=1),
)
TOOLS = '''
import os, sys
from agent_core.tools import tool

@tool
async def shout(words: str) -> str:
    """Say it loudly."""
    print("a tool prints")
    os.write(2, b"2026-03-01 10:00:00,123\\\\tINFO worker.py:1832 -- Started a local Ray instance.\\\\n")
    return words.upper()
'''


class Terminal:
    """A program in a pseudo-terminal, and the screen that it draws."""

    def __init__(self, master: int, process: asyncio.subprocess.Process, columns: int, rows: int) -> None:
        self.master, self.process = master, process
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self._more = asyncio.Event()
        self._over = False
        asyncio.get_running_loop().add_reader(master, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self.master, 65536)
        except OSError:
            data = b""
        if data:
            self._stream.feed(data)
        else:
            asyncio.get_running_loop().remove_reader(self.master)
            self._over = True
        self._more.set()

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def type(self, text: str) -> None:
        os.write(self.master, text.replace("\n", "\r").encode())

    async def until(self, condition: Callable[[str], bool]) -> str:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS * 2):
                while not (self._over or condition(self.text)):
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            pass
        if not condition(self.text):
            pytest.fail(f"this is all that the terminal shows:\n{self.text}")
        return self.text

    async def shows(self, wanted: str) -> str:
        return await self.until(lambda text: wanted in text)

    def resize(self, columns: int, rows: int) -> None:
        self.screen.resize(rows, columns)
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    async def is_there(self) -> None:
        """Wait for the session."""
        await self.shows("new session")

    async def ended(self) -> int:
        return await asyncio.wait_for(self.process.wait(), PATIENCE_SECONDS * 2)


class Chats:
    """Starts chats against one model server."""

    def __init__(
        self, url: str, directory: Path, forks: ForkServer, where: tuple[str, ...] = ("--in-process",)
    ) -> None:
        self._directory, self._forks = directory, forks
        model = ("--model", "anthropic/claude-test", "--context-limit", "100000", "--base-url", url)
        self._options = (*where, *model)

    @asynccontextmanager
    async def start(self, *options: str, columns: int = 80, rows: int = 24) -> AsyncIterator[Terminal]:
        master, slave = pty.openpty()
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        before = termios.tcgetattr(slave)
        environment = {
            **{name: value for name, value in os.environ.items() if name not in ("TMUX", "NO_COLOR", "TERM_PROGRAM")},
            "PYTHONPATH": f"{ROOT}:{self._directory}",
            "ANTHROPIC_API_KEY": "test-key",
            "TERM": "xterm-256color",
        }
        process = await self._forks.start(
            *("drivers.chat", *self._options, *options),
            cwd=self._directory,
            env=environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        terminal = Terminal(master, process, columns, rows)
        try:
            yield terminal
            assert termios.tcgetattr(slave) == before, "the terminal was not given back as it was"
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            asyncio.get_running_loop().remove_reader(master)
            os.close(slave)
            os.close(master)


@pytest.fixture
async def chats(tmp_path: Path, forks: ForkServer) -> AsyncIterator[Chats]:
    (tmp_path / "my_tools.py").write_text(TOOLS.replace("\\\\", "\\"))
    async with ScriptedServer(SCRIPT) as server:
        yield Chats(server.url, tmp_path, forks)


async def test_a_message_typed_before_even_the_prompt_is_there_is_answered(chats: Chats) -> None:
    async with chats.start() as terminal:
        terminal.type("hello there\n")
        text = await terminal.shows("You said: hello there")
        assert "› hello there" in text
        await terminal.shows("claude-test · idle · ↑")
        terminal.type("\x04")
        assert await terminal.ended() == 0
        await terminal.shows("It was kept in memory only; --data-dir DIRECTORY keeps the next conversation.")


async def test_ctrl_c_interrupts_the_turn_and_twice_leaves_with_130(chats: Chats) -> None:
    async with chats.start() as terminal:
        terminal.type("stall\n")
        await terminal.shows("It begins")
        terminal.type("\x03")
        await terminal.shows("! interrupted")
        terminal.type("go on\n")
        await terminal.shows("You said: go on")
        terminal.type("\x03")
        await terminal.shows("Ctrl-C again leaves")
        terminal.type("\x03")
        assert await terminal.ended() == 130


async def test_ctrl_c_twice_leaves_while_a_turn_is_open(chats: Chats) -> None:
    async with chats.start() as terminal:
        terminal.type("stall\n")
        await terminal.shows("It begins")
        terminal.type("\x03\x03")
        assert await terminal.ended() == 130


async def test_several_lines_are_one_message(chats: Chats) -> None:
    async with chats.start() as terminal:
        terminal.type("one\\\ntwo\x1b\r\x1b[200~three\nfour\x1b[201~\n")
        text = await terminal.shows("You said: one two three four")
        assert "› one\n  two\n  three\n  four\n" in text
        terminal.type("\x04")
        assert await terminal.ended() == 0


@pytest.mark.parametrize("columns", [80, 40])
async def test_a_resized_terminal_is_drawn_anew(chats: Chats, columns: int) -> None:
    async with chats.start(columns=120, rows=30) as terminal:
        terminal.type("stall\n")
        await terminal.shows("It begins")
        terminal.resize(columns, 30)
        narrow = "claude-test · answering" if columns == 40 else "of 100k · s-"
        text = await terminal.until(lambda text: "It begins" in text and narrow in text.splitlines()[-1])
        assert text.count("It begins") == 1
        terminal.type("/interrupt\n")
        await terminal.shows("! interrupted")
        terminal.type("many\n")
        text = await terminal.until(lambda text: "item 98" in text and "idle" in text)
        lines = text.splitlines()
        assert "claude-test · idle" in lines[-1]
        assert lines[-2] == "›"
        assert lines[-3] == ""
        assert [line for line in lines if line.startswith(" • item")] == [f" • item {n}" for n in range(99)][
            -len(lines) + 3 :
        ]
        terminal.type("\x04")
        assert await terminal.ended() == 0


async def test_an_answer_longer_than_the_screen_is_in_the_scrollback_whole_and_once(chats: Chats) -> None:
    async with chats.start(rows=150) as terminal:
        terminal.type("many\n")
        text = await terminal.until(lambda text: "item 98" in text and "idle" in text)
        assert [line.strip() for line in text.splitlines() if "item" in line] == [f"• item {n}" for n in range(99)]
        terminal.type("\x04")
        assert await terminal.ended() == 0


async def test_what_a_tool_prints_stands_above_the_prompt_and_log_lines_of_ray_nowhere(chats: Chats) -> None:
    async with chats.start("--tools", "my_tools") as terminal:
        terminal.type('call shout {"words": "hi"}\n')
        # What is printed comes by a way of its own.
        text = await terminal.until(lambda text: "shout returned: HI" in text and "│ a tool prints" in text)
        assert '● shout(words="hi")' in text
        assert "⎿ HI" in text
        assert "worker.py" not in text
        terminal.type("/quit\n")
        assert await terminal.ended() == 0


async def test_a_conversation_that_is_kept_says_how_to_go_on_and_goes_on(chats: Chats, tmp_path: Path) -> None:
    kept = ("--data-dir", str(tmp_path / "data"), "--session", "s-kept")
    async with chats.start(*kept, columns=200) as terminal:
        await terminal.shows("new session s-kept")
        terminal.type("remember me\n")
        await terminal.shows("You said: remember me")
        terminal.type("\x04")
        assert await terminal.ended() == 0
        await terminal.shows(f"python -m drivers.chat --session s-kept --in-process --data-dir {tmp_path / 'data'}")
    async with chats.start(*kept) as terminal:
        text = await terminal.shows("You said: remember me")
        assert "new session" not in text
        assert "› remember me" in text
        terminal.type("\x04")
        assert await terminal.ended() == 0


async def test_a_term_signal_gives_the_terminal_back(chats: Chats) -> None:
    async with chats.start() as terminal:
        await terminal.shows("new session")
        terminal.process.send_signal(signal.SIGTERM)
        assert await terminal.ended() == 128 + signal.SIGTERM


async def test_a_connection_that_fails_is_said_where_the_prompt_was(chats: Chats, tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_text("no database, and too long for an empty one" * 100)
    async with chats.start("--data-dir", str(tmp_path)) as terminal:
        text = await terminal.shows("error:")
        assert await terminal.ended() == 1
        assert "Traceback" not in text
