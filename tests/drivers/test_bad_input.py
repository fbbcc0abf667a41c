"""What a user who does everything wrong is told: one screen that says what to do, and the right exit code.

Each case runs a program as a user runs it. Nothing heavy is started before a mistake is found: most take well under a
second.
"""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from agent_core.scripted.server import ScriptedServer
from drivers.errors import MAX_LINES, MAX_USAGE_LINES
from tests.drivers.forked import ForkServer

MODEL = ("--model", "anthropic/claude-sonnet-5-5")
NOWHERE = ("--base-url", "http://127.0.0.1:9")
LOCAL = (*MODEL, *NOWHERE, "--in-process")


@dataclass
class Done:
    """A program that has ended."""

    code: int
    out: str
    err: str


@dataclass
class User:
    """Somebody in a directory, with a key in the environment."""

    here: Path
    root: Path
    forks: ForkServer

    async def run(self, *arguments: str, given: bytes = b"hi", shell: str = "", **environment: str) -> Done:
        """Run `python -m` with these arguments, `given` on stdin. An empty variable is not set."""
        settings = {**os.environ, "ANTHROPIC_API_KEY": "made-up", "COLUMNS": "80", "PYTHONPATH": str(self.here)}
        settings = {name: value for name, value in (settings | environment).items() if value}
        if shell:
            process = await asyncio.create_subprocess_exec(
                *("bash", "-c", shell, "sh", sys.executable, "-m", *arguments),
                cwd=self.root,
                env=settings,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        else:
            process = await self.forks.start(*arguments, cwd=self.root, env=settings)
        out, err = await process.communicate(given)
        return Done(process.returncode or 0, out.decode(), err.decode())

    async def refused(self, *arguments: str, code: int = 2, **more: str) -> str:
        """What is said of a mistake; it fits on a screen, is no traceback, and nothing of it is on stdout."""
        done = await self.run(*arguments, **more)  # type: ignore[arg-type]
        assert (done.code, done.out) == (code, ""), done
        assert done.err.startswith("error: ")
        assert "Traceback" not in done.err
        assert len(done.err.splitlines()) <= MAX_LINES
        return done.err

    def write(self, name: str, content: str | bytes) -> str:
        """A file of the user's, and its path."""
        path = self.here / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)


@pytest.fixture
def user(tmp_path: Path, repository: Path, forks: ForkServer) -> User:
    return User(tmp_path, repository, forks)


@asynccontextmanager
async def answering(status: int, body: str, kind: str) -> AsyncIterator[str]:
    """The address of a server that answers everything alike."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=body, content_type=kind)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", "mystery/x"), "provider/name"),
        (("--model", ""), "provider/name"),
        (("--model", "anthropic/unheard-of"), "--context-limit"),
        ((*MODEL, "--api-key", "env:NOT_SET_ANYWHERE"), "$NOT_SET_ANYWHERE is not set"),
        ((*MODEL, "--api-key", "file:/nowhere/key"), "/nowhere/key cannot be read"),
        ((*MODEL, "--api-key", "sk-ant-literal"), "a literal key is refused"),
        ((*MODEL, "--base-url", "localhost:8000"), "http://localhost:8000/v1"),
        ((*MODEL, "--base-url", "http://host:99999"), "Port out of range"),
        ((*MODEL, "--system", "@/nowhere/prompt"), "No such file or directory"),
        ((*MODEL, "--session", "a b"), "cannot be a session's id"),
        ((*MODEL, "--in-process", "--address", "auto"), "exclude each other"),
        ((*MODEL, "--in-process", "--data-dir", "/dev/null/x"), "--data-dir /dev/null/x"),
        (("--modle", "x"), "--model"),
        (("hello",), "--help"),
    ],
    ids=lambda value: " ".join(value)[-40:] if isinstance(value, tuple) else None,
)
async def test_chat_refuses_a_wrong_option_and_says_what_to_write(
    user: User, arguments: tuple[str, ...], said: str
) -> None:
    assert said in await user.refused("drivers.chat", *arguments)


async def test_a_key_with_a_line_break_is_refused_before_it_is_sent(user: User) -> None:
    said = await user.refused("drivers.chat", *LOCAL, ANTHROPIC_API_KEY="sk-ant-secret\nsecond-line")
    assert "ANTHROPIC_API_KEY holds has a line break" in said
    assert "secret" not in said


async def test_a_password_in_the_base_url_is_refused_and_not_repeated(user: User) -> None:
    said = await user.refused("drivers.chat", *MODEL, "--base-url", "http://me:hunter2@host/v1")
    assert "may not hold a name or password" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def f(:\n", "bad_tools.py:1: def f(:"),
        ("import no_such_dependency\n", "No module named 'no_such_dependency'"),
        ("raise SystemExit(0)\n", "SystemExit"),
        ("from actors import tool\n\n@tool\ndef f(x):\n    return x\n", "parameter 'x' has no type hint"),
        ("x = 3\n", "no function decorated with @tool"),
    ],
    ids=["syntax", "dependency", "exits", "no type hint", "no tool"],
)
async def test_a_tools_module_that_is_wrong_is_told_with_its_line(user: User, source: str, said: str) -> None:
    user.write("bad_tools.py", source)
    assert said in await user.refused("drivers.chat", *LOCAL, "--tools", "bad_tools")


async def test_what_a_tools_module_prints_is_kept_off_the_answer(user: User) -> None:
    source = 'from agent_core.tools import tool\n\n@tool\ndef f(x: int) -> int:\n    """F."""\n    return x\n'
    user.write("loud_tools.py", f'print("loud")\n{source}')
    twice = ("--tools", "loud_tools", "--tools", "loud_tools:f")
    done = await user.run("drivers.chat", *LOCAL, *twice)
    assert (done.code, done.out) == (2, "")
    assert "loud\n" in done.err
    assert "two tools are named 'f'" in done.err
    async with ScriptedServer() as server:
        answered = await user.run(
            "drivers.chat", *MODEL, "--base-url", server.url, "--in-process", "--tools", "loud_tools"
        )
    assert (answered.code, answered.out) == (0, "You said: hi\n")


@pytest.mark.parametrize("tools", ["./loud_tools.py:f", "no_such_module", "os:nothing_there", ":f"])
async def test_a_tool_that_is_named_wrongly_is_refused(user: User, tools: str) -> None:
    assert "tools: " in await user.refused("drivers.chat", *LOCAL, "--tools", tools)


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (404, "<!DOCTYPE html><title>404 Not Found</title>" + "<p>x" * 200, "text/html", "a web page (404 Not Found)"),
        (200, "<html><body>Welcome</body></html>", "text/html", "Check that base_url leads to a server"),
        (401, '{"error": {"type": "authentication_error", "message": "invalid x-api-key"}}', "application/json", "key"),
    ],
    ids=["html 404", "html 200", "wrong key"],
)
async def test_a_server_that_is_not_the_right_one_is_told_at_once(
    user: User, status: int, body: str, kind: str, said: str
) -> None:
    async with answering(status, body, kind) as url:
        done = await user.run("drivers.chat", *MODEL, "--base-url", url, "--in-process")
    assert (done.code, done.out) == (1, "")
    assert said in done.err
    assert len(done.err) < 300
    assert "made-up" not in done.err


async def test_a_run_whose_model_is_not_there_ends_before_every_sample_has_failed(user: User) -> None:
    questions = user.write("questions.jsonl", "".join(f'{{"input": "question {n}"}}\n' for n in range(500)))
    async with answering(404, "{}", "application/json") as url:
        done = await user.run(
            *("drivers.evaluate", "run", questions, *MODEL, "--base-url", url, "--in-process"),
            *("--concurrency", "2", "--out", str(user.here / "out")),
        )
    assert done.code == 1
    assert "Check the model's name and base_url" in done.err.splitlines()[-1]
    assert len((user.here / "out" / "results.jsonl").read_text().splitlines()) <= 4


async def test_results_are_not_written_over_the_samples(user: User) -> None:
    questions = user.write("questions.jsonl", '{"input": "2 + 2?"}\n')
    said = await user.refused("drivers.evaluate", "run", questions, *LOCAL, "--out", questions, "--overwrite")
    assert "holds the samples" in said
    assert Path(questions).read_text() == '{"input": "2 + 2?"}\n'


@pytest.mark.parametrize(
    ("out", "code", "said"),
    [
        ("x" * 300, 2, "File name too long"),
        ("/dev/null/x/", 2, "Choose another place with --out"),
        ("/dev/full", 1, "No space left on device"),
    ],
)
async def test_a_place_that_cannot_hold_the_results_is_told(user: User, out: str, code: int, said: str) -> None:
    questions = user.write("questions.jsonl", '{"input": "2 + 2?"}\n')
    async with ScriptedServer() as server:
        done = await user.run(
            "drivers.evaluate", "run", questions, *MODEL, "--base-url", server.url, "--in-process", "--out", out
        )
    assert done.code == code
    assert said in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b"\xff\xfe{\x00", "line 1 is not UTF-8"),
        ("a.jsonl", '\ufeff{"input": "a"}\r\n{"input": broken\r\n', "line 2 is not valid JSON"),
        ("a.jsonl", '[{"input": "a"}]\n', "line 1 holds a list"),
        ("a.csv", "id;input\n1;a\n", "line 2 has no field 'input' or 'prompt' (it has: id;input)"),
        ("a.csv", 'id,input\n1,"open\n', "is a quote left open?"),
        ("a.txt", "What?\n", "--format"),
    ],
    ids=["utf-16", "bom and crlf", "array", "semicolons", "open quote", "plain text"],
)
async def test_a_malformed_prompts_file_is_told_with_its_line(
    user: User, name: str, content: str | bytes, said: str
) -> None:
    out = user.here / "out"
    path = user.write(name, content)
    assert said in await user.refused("drivers.evaluate", "run", path, *LOCAL, "--out", str(out))
    assert not out.exists()


@pytest.mark.parametrize(
    ("program", "arguments", "shell", "code", "said"),
    [
        ("drivers.chat", LOCAL, 'exec "$@" <&-', 2, "stdin is closed"),
        ("drivers.evaluate", ("run", "-", *LOCAL), 'exec "$@" <&-', 2, "stdin is closed"),
        ("drivers.chat", LOCAL, 'exec "$@" </bin/sh', 2, "not UTF-8"),
        ("drivers.chat", ("--help",), 'exec "$@" >/dev/full', 1, "No space left"),
        ("drivers.chat", ("--model", "é/x"), 'LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 exec "$@"', 2, "LC_ALL"),
    ],
    ids=["chat stdin closed", "evaluate stdin closed", "stdin binary", "stdout full", "no locale"],
)
async def test_streams_that_are_not_as_they_should_be_are_told(
    user: User, program: str, arguments: tuple[str, ...], shell: str, code: int, said: str
) -> None:
    done = await user.run(program, *arguments, given=b"", shell=shell)
    assert done.code == code
    assert said in done.err
    assert done.err.startswith("error: ")


async def test_a_closed_stdout_harms_nothing_that_is_opened_next(user: User) -> None:
    questions = user.write("questions.jsonl", '{"input": "2 + 2?"}\n')
    out = user.here / "out.jsonl"
    async with ScriptedServer() as server:
        place = (*MODEL, "--base-url", server.url, "--in-process", "--out", str(out))
        done = await user.run("drivers.evaluate", "run", questions, *place, shell='exec "$@" >&-')
    assert done.code == 0, done.err
    assert out.read_text().startswith('{"id":"line-1"')


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("drivers.evaluate",), "Usage: "),
        (("drivers.evaluate", "bogus"), "No such command 'bogus'"),
        (("drivers.evaluate", "status", "/nowhere"), "Name the directory or file"),
        (("drivers.evaluate", "status", "/bin/sh"), "line 1 is no result"),
        (("drivers.model_server", "--port", "70000"), "--port"),
        (("drivers.model_server", "--host", "203.0.113.7", "--port", "0"), "--host"),
        (("drivers.model_server", "--script", "/nowhere"), "/nowhere"),
        (("agent_core.simulation", "--schedules", "0"), "give 1 or more"),
        (("examples.streaming_tool", "a", "b", "c"), "[MODEL [QUESTION]]"),
    ],
    ids=" ".join,
)
async def test_every_program_says_how_it_is_used(user: User, arguments: tuple[str, ...], said: str) -> None:
    done = await user.run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert "Traceback" not in done.err
    assert len(done.err.splitlines()) <= (MAX_USAGE_LINES if said == "Usage: " else MAX_LINES)
    assert "more was said" not in done.err


async def test_a_name_that_is_no_program_lists_those_that_are(user: User) -> None:
    done = await user.run("drivers")
    assert done.code == 1
    for program in ("chat", "doctor", "evaluate", "model_server", "sessions"):
        assert f"python -m drivers.{program}" in done.err


@pytest.mark.parametrize(
    ("address", "code", "said"),
    [
        ("nowhere", 2, "no address of a cluster"),
        ("http://127.0.0.1:8265", 2, "no address of a cluster"),
        ("ray://127.0.0.1:10001", 2, "Ray Client address"),
        ("127.0.0.1:99999", 2, "no address of a cluster"),
        ("127.0.0.1:1", 1, "nothing listens there"),
    ],
)
async def test_an_address_without_a_cluster_is_told_before_ray_goes_there(
    user: User, address: str, code: int, said: str
) -> None:
    assert said in await user.refused("drivers.chat", *MODEL, *NOWHERE, "--address", address, code=code)


async def test_a_wrong_ray_address_is_named_as_the_variable_that_it_is(user: User) -> None:
    said = await user.refused("drivers.chat", *MODEL, *NOWHERE, RAY_ADDRESS="nowhere")
    assert said.startswith("error: RAY_ADDRESS: 'nowhere'")
    said = await user.refused("drivers.chat", *MODEL, *NOWHERE, code=1, RAY_ADDRESS="127.0.0.1:1")
    assert "unset RAY_ADDRESS" in said


async def test_what_is_not_ray_is_told_apart_from_ray(user: User) -> None:
    async with answering(200, "hello", "text/plain") as url:
        address = url.removeprefix("http://")
        said = await user.refused("drivers.chat", *MODEL, *NOWHERE, "--address", address, code=1)
    assert "is not the head of a Ray cluster" in said


async def test_a_temporary_directory_that_ray_cannot_use_is_told_before_ray_starts(user: User) -> None:
    local = ("drivers.chat", *MODEL, *NOWHERE, "--address", "local")
    said = await user.refused(*local, code=1, RAY_TMPDIR="/dev/null")
    assert "/dev/null/ray, which cannot be written to" in said
    said = await user.refused(*local, RAY_TMPDIR=f"/tmp/{'x' * 90}")
    assert "too long a path" in said


@pytest.mark.parametrize("program", ["chat", "evaluate", "model_server", "sessions"])
@pytest.mark.parametrize("where", [".", "drivers"])
async def test_a_program_that_is_run_as_a_file_says_how_to_run_it(repository: Path, program: str, where: str) -> None:
    file = os.path.relpath(repository / "drivers" / f"{program}.py", repository / where)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, file, "--help"),
        cwd=repository / where,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert (process.returncode, out) == (2, b"")
    assert err.decode().startswith(f"error: run it as: python -m drivers.{program} (")
    assert err.count(b"\n") == 1


async def test_a_port_in_use_is_told_by_the_model_server(user: User) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        said = await user.refused("drivers.model_server", "--port", str(taken.getsockname()[1]))
    assert "Address already in use" in said
