"""Signals that end a program, at each stage of it: its own exit code, not a word that is none of its own, no process.

What is here runs on a cluster that the program starts; `test_chat_terminal.py` and `test_evaluate_endings.py` have the
same without one.
"""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from agent_core.scripted.server import ScriptedServer
from tests.drivers.evaluate_world import world
from tests.drivers.forked import ForkServer
from tests.drivers.test_chat import TOOLS, Program
from tests.drivers.test_chat_cluster import on_cluster, started_by, still_alive
from tests.drivers.test_chat_terminal import SCRIPT, Chats

pytestmark = pytest.mark.timeout(180)

# One of a cluster that has only begun to start.
FIRST = "gcs_server"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ScriptedServer]:
    (tmp_path / "my_tools.py").write_text(TOOLS)
    async with ScriptedServer(SCRIPT) as server:
        yield server


async def send(process: asyncio.subprocess.Process, text: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(text)
    process.stdin.close()


async def family(process: asyncio.subprocess.Process) -> list[psutil.Process]:
    return await asyncio.wait_for(started_by(process.pid, FIRST), 60)


async def nothing_is_left(processes: list[psutil.Process]) -> None:
    assert await asyncio.to_thread(still_alive, processes) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_while_the_cluster_starts_is_the_exit_code_of_a_piped_chat(
    server: ScriptedServer, tmp_path: Path, forks: ForkServer, number: signal.Signals
) -> None:
    process = await Program(server, tmp_path, forks, where=on_cluster(tmp_path)).start()
    await send(process, b"hi")
    processes = await family(process)
    process.send_signal(number)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, out, err) == (128 + number, b"", b"")
    await nothing_is_left(processes)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_in_the_middle_of_an_answer_keeps_what_was_said(
    server: ScriptedServer, tmp_path: Path, forks: ForkServer, number: signal.Signals
) -> None:
    process = await Program(server, tmp_path, forks, where=on_cluster(tmp_path)).start()
    await send(process, b"stall")
    assert process.stdout is not None
    begun = await asyncio.wait_for(process.stdout.read(1), 60)
    processes = await family(process)
    process.send_signal(number)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 128 + number
    assert (begun + out).startswith(b"It ")
    assert err == (b"interrupted\n" if number == signal.SIGINT else b"")
    await nothing_is_left(processes)


@pytest.mark.parametrize("connected", [False, True])
async def test_a_term_signal_at_the_prompt_gives_the_terminal_back(
    server: ScriptedServer, tmp_path: Path, forks: ForkServer, *, connected: bool
) -> None:
    async with Chats(server.url, tmp_path, forks, where=on_cluster(tmp_path)).start() as terminal:
        if connected:
            await terminal.is_there()
        processes = await family(terminal.process)
        terminal.process.send_signal(signal.SIGTERM)
        assert await terminal.ended() == 128 + signal.SIGTERM
        assert "Traceback" not in terminal.text
    await nothing_is_left(processes)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_evaluation_whose_cluster_was_starting_is_run_again_as_if_it_never_had(
    forks: ForkServer, tmp_path: Path, number: signal.Signals
) -> None:
    async with world(forks, tmp_path) as this:
        this.ask(3)
        on_ray = [one for one in this.arguments(*on_cluster(tmp_path)) if one != "--in-process"]
        process = await this.start(on_ray)
        processes = await family(process)
        process.send_signal(number)
        done = await asyncio.wait_for(this.ended(process), 60)
        assert done.code == 128 + number, done.err
        assert done.out == ""
        assert "Traceback" not in done.err
        await nothing_is_left(processes)
        again = await this.run("--json")
        assert again.code == 0, again.err
        assert json.loads(again.out)["outcomes"]["completed"] == 3
