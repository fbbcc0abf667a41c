"""`python -m drivers.chat` through a pipe, and what it makes of a user's mistakes: as a user runs it, in a process."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest

from agent_core.entries import PAYLOAD
from agent_core.local_runtime import LocalRuntime
from agent_core.scripted import Knobs, Match, Reply, Rule, Script
from agent_core.scripted.script import HttpError
from agent_core.scripted.server import ScriptedServer
from tests.drivers.forked import ForkServer

ROOT = Path(__file__).resolve().parents[2]
REFUSAL = {"type": "error", "error": {"type": "invalid_request_error", "message": "max_tokens: too much of it"}}
SCRIPT = Script(
    rules=(
        Rule(match=Match(text="^refuse"), replies=(Reply(error=HttpError(status=400, body=REFUSAL)),)),
        Rule(match=Match(text="^cut"), replies=(Reply(text="Half of", stop_reason="max_tokens"),)),
        Rule(match=Match(text="^long"), replies=(Reply(text="a line\n" * 20_000),)),
        Rule(match=Match(text="^stall"), replies=(Reply(text="It begins and never ends", fault="stall"),)),
        Rule(match=Match(text="^escape"), replies=(Reply(text="\x1b[31mred"),)),
        Rule(match=Match(text="^blocks"), replies=(Reply(text="# One\n\n**two**\n"),)),
    ),
    knobs=Knobs(stall_after_deltas=1),
)
TOOLS = '''
from agent_core.tools import tool

@tool
def shout(words: str) -> str:
    """Say it loudly."""
    print("a tool prints")
    return words.upper()

def untyped(words):
    return words

broken = 3
'''


class Done(NamedTuple):
    code: int | None
    out: str
    err: str


class Program:
    """The chat against a model server. `run` gives it its input; without a server nothing may need one."""

    def __init__(
        self,
        server: ScriptedServer | None,
        directory: Path,
        forks: ForkServer,
        where: tuple[str, ...] = ("--in-process",),
    ) -> None:
        self.server = server
        self.forks = forks
        self.directory = directory
        self.environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{directory}", "ANTHROPIC_API_KEY": "test-key"}
        url = server.url if server else "http://127.0.0.1:1"
        model = ("--model", "anthropic/claude-test", "--context-limit", "100000", "--base-url", url)
        self.options = (*where, *model)

    async def start(self, *options: str, bare: bool = False) -> asyncio.subprocess.Process:
        words = ("drivers.chat", *(() if bare else self.options), *options)
        return await self.forks.start(*words, cwd=self.directory, env=self.environment)

    async def run(self, given: str | bytes, *options: str, bare: bool = False) -> Done:
        process = await self.start(*options, bare=bare)
        data = given.encode() if isinstance(given, str) else given
        out, err = await asyncio.wait_for(process.communicate(data), 60)
        return Done(process.returncode, out.decode(), err.decode())


@pytest.fixture
async def program(tmp_path: Path, forks: ForkServer) -> AsyncIterator[Program]:
    (tmp_path / "my_tools.py").write_text(TOOLS)
    async with ScriptedServer(SCRIPT) as server:
        yield Program(server, tmp_path, forks)


async def test_the_whole_input_is_one_message_and_the_output_is_the_answer_alone(program: Program) -> None:
    assert await program.run("two\nlines\n") == (0, "You said: two\nlines\n", "")


async def test_markdown_is_left_as_the_model_wrote_it_with_one_newline_at_the_end(program: Program) -> None:
    assert await program.run("blocks") == (0, "# One\n\n**two**\n", "")


async def test_with_lines_each_line_is_a_turn_and_is_answered_before_the_next_is_read(program: Program) -> None:
    process = await program.start("--lines")
    assert process.stdin is not None
    assert process.stdout is not None
    for line in ("one", "two"):
        process.stdin.write(f"{line}\n\n".encode())
        assert await process.stdout.readline() == f"You said: {line}\n".encode()
    process.stdin.close()
    assert await process.wait() == 0


async def test_json_prints_every_event_with_its_cursor(program: Program) -> None:
    done = await program.run("hi", "--json")
    events = [json.loads(line) for line in done.out.splitlines()]
    cursors = [event["cursor"] for event in events]
    payloads = [PAYLOAD.validate_python(event["payload"]) for event in events]
    assert done.code == 0
    assert cursors == sorted(cursors)
    assert [payload.kind for payload in payloads[:3]] == ["accepted", "turn_started", "stream_start"]
    assert "".join(payload.text for payload in payloads if payload.kind == "text_chunk") == "You said: hi"
    assert payloads[-1].kind == "turn_ended"


async def test_what_is_compacted_meanwhile_is_said_on_stderr_and_is_an_event(program: Program) -> None:
    marks = ("--context-limit", "4000", "--max-tokens", "400", "--compaction-set", "keep_recent_turns=1")
    tales = "".join(f"Tale {number}: {'and then they went on ' * 20}\n" for number in range(16))
    done = await program.run(tales, "--lines", *marks)
    assert (done.code, done.out.count("You said: Tale")) == (0, 16)
    assert "note: earlier turns summarised: " in done.err
    done = await program.run(tales, "--lines", "--json", *marks)
    kinds = [json.loads(line)["payload"]["kind"] for line in done.out.splitlines()]
    assert kinds.count("compacted") >= 1
    assert "compaction_update" in kinds


async def test_a_failed_turn_is_code_1_with_its_error_on_stderr(program: Program) -> None:
    done = await program.run("refuse")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: ")
    assert "too much of it" in done.err


async def test_of_several_lines_the_first_that_fails_is_the_last(program: Program) -> None:
    done = await program.run("one\nrefuse\nthree\n", "--lines")
    assert (done.code, done.out) == (1, "You said: one\n")


async def test_an_answer_that_was_cut_is_printed_and_said_to_be_cut(program: Program) -> None:
    done = await program.run("cut")
    assert (done.code, done.out) == (0, "Half of\n")
    assert done.err == "note: the answer was cut at the limit of tokens (--max-tokens raises it)\n"


async def test_a_reader_that_goes_away_ends_it_quietly(program: Program) -> None:
    process = await program.start()
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write(b"long")
    process.stdin.close()
    assert await process.stdout.readline() == b"a line\n"
    # The only end of the pipe that anybody reads from.
    process.stdout._transport.close()  # type: ignore[attr-defined]
    # Where the answer was over before the reader went, its end may be noted.
    said = await process.stderr.read()
    assert said == b"" or said.startswith(b"note: the answer was cut")
    assert await process.wait() == 141


async def test_ctrl_c_ends_the_turn_with_130_and_keeps_what_was_said(program: Program, tmp_path: Path) -> None:
    process = await program.start("--data-dir", str(tmp_path / "data"), "--session", "s-1")
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write(b"stall")
    process.stdin.close()
    shown = await process.stdout.readexactly(10)
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 130
    assert (await process.stderr.read()).decode().splitlines()[-1] == "interrupted"
    async with LocalRuntime(data_dir=tmp_path / "data") as runtime:
        history = await (await runtime.session("s-1")).history()
    assert history[-1].kind == "assistant"
    assert history[-1].finish_reason == "interrupted"
    assert history[-1].content[0].kind == "text"
    assert history[-1].content[0].text.startswith(shown.decode())


async def test_ctrl_c_ends_it_while_it_waits_for_a_line_that_never_comes(program: Program) -> None:
    process = await program.start("--lines")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"one\n")
    assert await process.stdout.readline() == b"You said: one\n"
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), 60) == 130


async def test_a_closed_stdin_is_a_mistake(program: Program) -> None:
    command = f"exec {sys.executable} -m drivers.chat {' '.join(program.options)} <&-"
    done = subprocess.run(
        ["bash", "-c", command], env=program.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: stdin is closed")


async def test_a_session_goes_on_where_it_was_left_and_a_new_one_says_that_it_is(
    program: Program, tmp_path: Path
) -> None:
    kept = ("--data-dir", str(tmp_path / "data"), "--session", "s-1")
    first = await program.run("one", *kept)
    assert first == (0, "You said: one\n", "note: there was no session s-1; it is new\n")
    assert await program.run("two", *kept) == (0, "You said: two\n", "")
    # The model is the session's own; it need not be said again.
    assert await program.run("three", "--in-process", *kept, bare=True) == (0, "You said: three\n", "")
    async with LocalRuntime(data_dir=tmp_path / "data") as runtime:
        assert len(await (await runtime.session("s-1")).history()) == 6


async def test_a_tool_runs_and_what_it_prints_is_not_in_the_answer(program: Program) -> None:
    done = await program.run('call shout {"words": "hi"}', "--tools", "my_tools:shout")
    assert done.out == "Calling tools.\nshout returned: HI\n"
    assert done.code == 0


async def test_a_file_gets_the_answer_as_it_is(program: Program) -> None:
    assert (await program.run("escape")).out == "\x1b[31mred\n"


MISTAKES: dict[str, tuple[str | bytes, tuple[str, ...], str]] = {
    "nothing on stdin": ("", (), "stdin was empty"),
    "only white space": (" \n\n", ("--lines",), "stdin was empty"),
    "no UTF-8": (b"caf\xe9", (), "not UTF-8"),
    "provider": ("x", ("--model", "acme/x"), "provider/name"),
    "model form": ("x", ("--model", "gpt"), "provider/name"),
    "option": ("x", ("--modle", "x"), "--modle"),
    "value": ("x", ("--temperature", "9"), "temperature"),
    "number": ("x", ("--max-tokens", "many"), "--max-tokens"),
    "literal key": ("x", ("--api-key", "sk-secret"), "env:NAME"),
    "key file": ("x", ("--api-key", "file:/no/such/file"), "/no/such/file"),
    "missing key": ("x", ("--api-key", "env:NO_SUCH_KEY"), "NO_SUCH_KEY"),
    "window": ("x", ("--model", "anthropic/unheard-of"), "--context-limit"),
    "system file": ("x", ("--system", "@/no/such/file"), "/no/such/file"),
    "session id": ("x", ("--session", "a b"), "session's id"),
    "tools module": ("x", ("--tools", "no_such_module:x"), "no_such_module"),
    "tools name": ("x", ("--tools", "my_tools:nothing"), "nothing"),
    "tool without hints": ("x", ("--tools", "my_tools:untyped"), "type hint"),
    "no tool": ("x", ("--tools", "my_tools:broken"), "int"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_a_mistake_is_code_2_and_one_screen_that_names_it(
    mistake: str, tmp_path: Path, forks: ForkServer
) -> None:
    (tmp_path / "my_tools.py").write_text(TOOLS)
    given, options, named = MISTAKES[mistake]
    program = Program(None, tmp_path, forks)
    known = () if mistake == "window" else ("--context-limit", "100000")
    model = () if "--model" in options else ("--model", "anthropic/claude-test")
    done = await program.run(given, "--in-process", *known, *model, *options, bare=True)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert named in done.err
    assert "Traceback" not in done.err
    assert "sk-secret" not in done.err
    assert len(done.err.splitlines()) <= 16


async def test_debug_shows_where_it_happened(tmp_path: Path, forks: ForkServer) -> None:
    done = await Program(None, tmp_path, forks).run("", "--debug")
    assert done.code == 2
    assert "Traceback" in done.err
    assert "error: There is nothing to say" in done.err


LOADED = """
import sys
{statement}
print(sorted(name for name in ("ray", "anthropic", "openai", "sqlalchemy", "rich.markdown") if name in sys.modules))
"""


@pytest.mark.parametrize(
    "statement",
    [
        "import drivers.chat, drivers.chatting.terminal",
        "from drivers import chat, errors; errors.run(chat.app, program='x', arguments=['--model', 'openai/gpt-test'])",
    ],
    ids=["before the prompt", "before a mistake is told"],
)
def test_nothing_heavy_is_imported(statement: str, repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(statement=statement)],
        cwd=repository,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "[]\n"
