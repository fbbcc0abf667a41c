"""`python -m drivers.chat` on a cluster that it starts: the same chat, and not a word of Ray's."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_core.scripted.server import ScriptedServer
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


async def test_through_a_pipe_the_answer_is_all_there_is(server: ScriptedServer, tmp_path: Path) -> None:
    program = Program(server, tmp_path, where=on_cluster(tmp_path))
    assert await program.run("hi") == (0, "You said: hi\n", "")


async def test_at_a_terminal_the_prompt_waits_for_no_cluster_and_ray_says_nothing(
    server: ScriptedServer, tmp_path: Path
) -> None:
    async with Chats(server.url, tmp_path, where=on_cluster(tmp_path)).start(rows=50) as terminal:
        terminal.type("typed early\n")
        await terminal.shows("typed early  (is sent once connected)")
        await terminal.shows("You said: typed early")
        terminal.type("/status\n")
        text = await terminal.shows("started a local Ray cluster")
        assert "Ray dashboard: http" in text
        terminal.type("stall\n")
        await terminal.shows("It begins")
        terminal.type("\x03")
        await terminal.shows("! interrupted")
        terminal.type("\x04")
        assert await terminal.ended() == 0
        text = await terminal.shows("Go on with this conversation:")
        assert "│" not in text, "somebody else wrote to the terminal"
        assert "INFO" not in text


async def test_leaving_while_the_cluster_starts_leaves(server: ScriptedServer, tmp_path: Path) -> None:
    async with Chats(server.url, tmp_path, where=on_cluster(tmp_path)).start() as terminal:
        await terminal.shows("connecting…")
        terminal.type("\x04")
        assert await terminal.ended() == 0
        assert "Traceback" not in terminal.text
        assert "error" not in terminal.text
