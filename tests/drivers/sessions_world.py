"""What the tests of the sessions program stand in: a directory with a journal, and the program run there."""

import asyncio
import os
import pty
import re
import signal
import sys
import termios
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_core.compaction.settings import LLMCompaction
from agent_core.local_runtime import LocalRuntime
from agent_core.scripted.server import ScriptedServer
from agent_core.tools import tool
from tests.drivers.forked import ForkServer

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 30.0
_COLORS = re.compile(r"\x1b\[[0-9;]*m")


@tool
async def look(place: str) -> str:
    """Look somewhere."""
    return "\n".join(f"{place}, line {number}" for number in range(9))


@dataclass
class Done:
    """A program that has ended."""

    code: int
    out: str
    err: str


class World:
    """A directory with the sessions of a user, and the program."""

    def __init__(self, server: ScriptedServer, here: Path, forks: ForkServer) -> None:
        self.server, self.here, self._forks = server, here, forks
        self.data = here / "data"
        self.environment = {**os.environ, "TERM": "xterm", "SCRIPTED_KEY": "made-up"}
        self.environment.pop("COLUMNS", None)
        self.settings: dict[str, Any] = {
            "model": "anthropic/claude-test",
            "context_limit": 100_000,
            "base_url": server.url,
            "api_key": "env:SCRIPTED_KEY",
        }

    @asynccontextmanager
    async def runtime(self) -> AsyncIterator[LocalRuntime]:
        """A runtime on the journal; the program may run meanwhile."""
        async with LocalRuntime(data_dir=self.data) as running:
            yield running

    async def talk(self, session_id: str, *messages: str, **more: Any) -> None:
        """A session in which this was said."""
        async with self.runtime() as runtime:
            session = await runtime.session(session_id, **self.settings, **more)
            for message in messages:
                await session.ask(message)

    async def compacted(self, session_id: str) -> None:
        """A session of five turns, of which a summary stands for the first three."""
        async with self.runtime() as runtime:
            compaction = LLMCompaction(keep_recent_turns=1, mechanical=None)
            session = await runtime.session(session_id, tools=[look], compaction=compaction, **self.settings)
            for number in range(3):
                await session.ask(f"Question {number}. " + "words " * 60)
            await session.ask('call look {"place": "Paris"}')
            assert (await session.compact()).compacted
            await session.ask("Afterwards.")

    async def run(self, command: str, *arguments: str, shell: str = "") -> Done:
        """Run the program on the journal, with pipes, or with what the shell does to it."""
        words = ("drivers.sessions", command, *arguments, "--data-dir", str(self.data))
        if shell:
            pipe = asyncio.subprocess.PIPE
            process = await asyncio.create_subprocess_exec(
                *("bash", "-c", shell, "sh", sys.executable, "-m", *words),
                cwd=ROOT,
                env=self.environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=pipe,
                stderr=pipe,
            )
        else:
            process = await self._forks.start(*words, env=self.environment, stdin=asyncio.subprocess.DEVNULL)
        out, err = await process.communicate()
        return Done(process.returncode or 0, out.decode(), err.decode())

    async def refused(self, command: str, *arguments: str, code: int = 2) -> str:
        """What is said of a mistake: nothing on stdout, one error on stderr."""
        done = await self.run(command, *arguments)
        assert (done.code, done.out) == (code, ""), done
        assert done.err.startswith("error: ")
        assert "Traceback" not in done.err
        return done.err

    async def at_terminal(
        self, command: str, *arguments: str, answer: str = "", interrupt_at: str = "", columns: int = 80
    ) -> Done:
        """Run it in a terminal, type `answer` once it asks, or press Ctrl-C once `interrupt_at` is there."""
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(ours, (40, columns))
        try:
            words = ("drivers.sessions", command, *arguments, "--data-dir", str(self.data))
            process = await self._forks.start(*words, env=self.environment, stdin=theirs, stdout=theirs, stderr=theirs)
            os.close(theirs)
            text = await _typed(ours, process, answer, interrupt_at)
        finally:
            os.close(ours)
        return Done(await process.wait(), text.replace("\r\n", "\n"), "")

    def files(self) -> dict[str, bytes]:
        """Everything that is in the directory."""
        return {str(path.relative_to(self.here)): path.read_bytes() for path in self.here.rglob("*") if path.is_file()}


async def _typed(ours: int, process: asyncio.subprocess.Process, answer: str, interrupt_at: str) -> str:
    """Everything that came to the terminal, with the answer typed at the question."""
    loop = asyncio.get_running_loop()
    text = ""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                text += (await loop.run_in_executor(None, os.read, ours, 65_536)).decode(errors="replace")
            except OSError:
                # Linux says so when the last process has let go of the terminal.
                return text
            if answer and "[y/N]" in text:
                os.write(ours, f"{answer}\n".encode())
                answer = ""
            if interrupt_at and interrupt_at in text:
                process.send_signal(signal.SIGINT)
                interrupt_at = ""


def plain(text: str) -> str:
    """Text without its colours."""
    return _COLORS.sub("", text)


def lines_of(text: str) -> Sequence[str]:
    """Its lines without colours."""
    return plain(text).splitlines()
