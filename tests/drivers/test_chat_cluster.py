"""`python -m drivers.chat` on a cluster that it starts: the same chat, and not a word of Ray's."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from agent_core.scripted.server import ScriptedServer
from tests.drivers.forked import ForkServer
from tests.drivers.test_chat import TOOLS, Program
from tests.drivers.test_chat_terminal import SCRIPT, Chats

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ScriptedServer]:
    (tmp_path / "my_tools.py").write_text(TOOLS)
    async with ScriptedServer(SCRIPT) as server:
        yield server


def on_cluster(tmp_path: Path) -> tuple[str, ...]:
    return ("--address", "local", "--data-dir", str(tmp_path / "data"))


async def test_through_a_pipe_the_answer_is_all_there_is(
    server: ScriptedServer, tmp_path: Path, forks: ForkServer
) -> None:
    program = Program(server, tmp_path, forks, where=on_cluster(tmp_path))
    assert await program.run("hi") == (0, "You said: hi\n", "")


async def test_at_a_terminal_the_prompt_waits_for_no_cluster_and_ray_says_nothing(
    server: ScriptedServer, tmp_path: Path, forks: ForkServer
) -> None:
    async with Chats(server.url, tmp_path, forks, where=on_cluster(tmp_path)).start(rows=50) as terminal:
        terminal.type("typed early\n")
        await terminal.shows("typed early  (is sent once connected)")
        await terminal.shows("You said: typed early")
        terminal.type("/status\n")
        text = await terminal.shows("started a local Ray cluster")
        assert "Ray dashboard: http" in text
        terminal.type("and then they went on " * 50 + "\n")
        await terminal.shows("You said: and then")
        terminal.type("few\n")
        await terminal.shows("You said: few")
        terminal.type("/pin last\n")
        await terminal.shows("is kept word for word (you: few)")
        terminal.type("/compact the items\n")
        await terminal.shows("2 turns summarised in")
        terminal.type("stall\n")
        await terminal.shows("It begins")
        terminal.type("\x03")
        await terminal.shows("! interrupted")
        terminal.type("\x04")
        assert await terminal.ended() == 0
        text = await terminal.shows("Go on with this conversation:")
        assert "│" not in text, "somebody else wrote to the terminal"
        assert "INFO" not in text


async def started_by(pid: int, name: str) -> list[psutil.Process]:
    """The processes that came of a process, once one of this name is among them."""
    while True:
        found = psutil.Process(pid).children(recursive=True)
        for process in found:
            with contextlib.suppress(psutil.Error):
                if name in process.name():
                    return found
        # The system tells nobody of the children of another process.
        await asyncio.sleep(0.05)


def still_alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that run on. One that is dead and was not waited for by whoever inherited it counts as ended."""
    until, alive = time.monotonic() + 10, processes
    while alive and time.monotonic() < until:
        _, left = psutil.wait_procs(alive, timeout=0.1)
        alive = [process for process in left if not _is_dead(process)]
    return alive


def _is_dead(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_leaving_while_the_cluster_starts_leaves_at_once_and_leaves_nothing_behind(
    server: ScriptedServer, tmp_path: Path, forks: ForkServer
) -> None:
    async with Chats(server.url, tmp_path, forks, where=on_cluster(tmp_path)).start() as terminal:
        processes = await asyncio.wait_for(started_by(terminal.process.pid, "gcs_server"), 60)
        assert "connecting…" in terminal.text
        terminal.type("\x04")
        assert await terminal.ended() == 0
        assert "Traceback" not in terminal.text
        assert "error" not in terminal.text
    assert await asyncio.to_thread(still_alive, processes) == []


async def test_ctrl_c_while_the_cluster_starts_ends_a_piped_chat_and_what_it_started(
    server: ScriptedServer, tmp_path: Path, forks: ForkServer
) -> None:
    process = await Program(server, tmp_path, forks, where=on_cluster(tmp_path)).start()
    assert process.stdin is not None
    process.stdin.write(b"hi")
    process.stdin.close()
    processes = await asyncio.wait_for(started_by(process.pid, "gcs_server"), 60)
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, out, err) == (130, b"", b"interrupted\n")
    assert await asyncio.to_thread(still_alive, processes) == []
