"""The model server as a user runs it: its address, its script, its end, its mistakes."""

import asyncio
import json
import socket
import sys
from pathlib import Path

import aiohttp
import pytest

from agent_core.scripted import Match, Reply, Rule, Script
from agent_core.scripted.process import ScriptedServerProcess

ROOT = Path(__file__).resolve().parents[2]
BODY = {"model": "m", "input": "hello"}


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "drivers.model_server", *arguments),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def fails(*arguments: str) -> tuple[int | None, str]:
    process = await start(*arguments)
    _, said = await process.communicate()
    return process.returncode, said.decode()


async def test_the_first_line_is_the_address_and_ctrl_c_ends_it_with_130() -> None:
    process = await start("--port", "0")
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()
    async with aiohttp.ClientSession() as session, session.post(f"{url}/v1/responses", json=BODY) as answer:
        assert (await answer.json())["output"][0]["content"][0]["text"] == "You said: hello"
    process.send_signal(2)
    _, said = await process.communicate()
    assert (process.returncode, said) == (130, b"interrupted\n")


async def test_a_term_signal_ends_it_cleanly() -> None:
    process = await start("--port", "0")
    assert process.stdout is not None
    await process.stdout.readline()
    process.terminate()
    _, said = await process.communicate()
    assert (process.returncode, said) == (0, b"")


async def test_a_process_of_its_own_answers_from_its_script_and_ends_with_its_context() -> None:
    script = Script(rules=(Rule(match=Match(text="hello"), replies=(Reply(text="from the script"),)),))
    async with ScriptedServerProcess(script) as server, aiohttp.ClientSession() as session:
        async with session.post(f"{server.url}/v1/responses", json=BODY) as answer:
            assert (await answer.json())["output"][0]["content"][0]["text"] == "from the script"
        url = server.url
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(f"{url}/health")


async def test_a_script_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text(json.dumps({"rules": [{"replies": [{"text": "filed"}]}]}))
    process = await start("--port", "0", "--script", str(path))
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()
    async with aiohttp.ClientSession() as session, session.post(f"{url}/v1/responses", json=BODY) as answer:
        assert (await answer.json())["output"][0]["content"][0]["text"] == "filed"
    process.terminate()
    await process.communicate()


async def test_a_bad_script_is_told_in_one_line_with_code_2(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text('{"rulez": []}')
    code, said = await fails("--port", "0", "--script", str(path))
    assert code == 2
    assert said == f"error: {path}: rulez: Extra inputs are not permitted. Mend that field.\n"


async def test_a_port_in_use_is_told_with_code_2() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, said = await fails("--port", str(port))
        assert code == 2
        assert f"Cannot listen on 127.0.0.1:{port}" in said
        assert "Choose another --port" in said
        with pytest.raises(RuntimeError, match="did not start: error: Cannot listen"):
            await ScriptedServerProcess(port=port).__aenter__()
