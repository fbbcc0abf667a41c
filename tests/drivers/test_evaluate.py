"""`python -m drivers.evaluate` as a user runs it: with the scripted model server, killed, interrupted, out of space."""

import asyncio
import json
import os
import shlex
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent_core.scripted.script import HttpError, Match, Reply, Rule, Script
from agent_core.scripted.server import ScriptedServer
from drivers import errors
from drivers.evaluate import PROGRAM, app

pytestmark = pytest.mark.timeout(60)

MODEL = "anthropic/scripted"


@dataclass
class Done:
    """A program that has ended."""

    code: int
    out: str
    err: str


class World:
    """A directory, a model server, and the program started there as a user would."""

    def __init__(self, root: Path, here: Path, server: ScriptedServer) -> None:
        self.root, self.here, self.server = root, here, server
        self.out = here / "out"
        self.questions = here / "questions.jsonl"

    def ask(self, count: int) -> None:
        """Write `count` questions."""
        rows = [{"id": f"q{n}", "input": f"question <{n}>", "target": n} for n in range(count)]
        self.questions.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def arguments(self, *more: str) -> list[str]:
        where = ["--base-url", self.server.url, "--context-limit", "100000", "--in-process"]
        return ["run", str(self.questions), "-m", MODEL, *where, "--out", str(self.out), *more]

    async def start(self, arguments: Sequence[str], *, shell: str = 'exec "$@"') -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            "bash", "-c", shell, "sh", sys.executable, "-m", "drivers.evaluate", *arguments,
            cwd=self.root,
            env={**os.environ, "ANTHROPIC_API_KEY": "made-up", "COLUMNS": "80", "PYTHONPATH": str(self.here)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip

    async def run(self, *more: str, shell: str = 'exec "$@"') -> Done:
        return await self.ended(await self.start(self.arguments(*more), shell=shell))

    async def ended(self, process: asyncio.subprocess.Process, given: str = "") -> Done:
        out, err = await process.communicate(given.encode())
        return Done(process.returncode or 0, out.decode(), err.decode())

    @property
    def results_path(self) -> Path:
        return self.out / "results.jsonl"

    def results(self) -> list[dict[str, Any]]:
        """The results; each line has to be whole."""
        return [json.loads(line) for line in self.results_path.read_text().splitlines()]

    def outcomes(self) -> Counter[str]:
        return Counter(result["outcome"] for result in self.results())

    def asked(self) -> Counter[int]:
        """How often the model was asked each question."""
        numbers = Counter[int]()
        for request in self.server.requests:
            text = json.dumps(request.body["messages"][0])
            numbers[int(text.partition("<")[2].partition(">")[0])] += 1
        return numbers


@asynccontextmanager
async def world(root: Path, here: Path, script: Script | None = None) -> AsyncIterator[World]:
    async with ScriptedServer(script) as server:
        yield World(root, here, server)


def stalling(pattern: str, times: int) -> Rule:
    """The first `times` requests whose text matches are never answered."""
    return Rule(match=Match(text=pattern), replies=(Reply(text="late", fault="stall"),) * times, repeat="once")


def refused(world: World, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the program says about arguments that are wrong; it has to say so before it starts anything."""
    code = errors.run(app, program=PROGRAM, arguments=world.arguments(*arguments))
    captured = capsys.readouterr()
    assert code == 2, captured.err
    assert captured.out == ""
    assert len(captured.err.splitlines()) <= errors.MAX_LINES
    return captured.err


async def test_every_sample_and_epoch_gets_one_line_and_the_figures_add_up(repository: Path, tmp_path: Path) -> None:
    async with world(repository, tmp_path) as this:
        this.ask(30)
        done = await this.run("--epochs", "2", "--concurrency", "8", "--json")
        assert done.code == 0, done.err
        results = this.results()
        assert Counter((result["id"], result["epoch"]) for result in results) == Counter(
            (f"q{n}", epoch) for n in range(30) for epoch in (1, 2)
        )
        one = results[0]
        assert one["outcome"] == "completed"
        assert one["answer"]
        assert one["transcript"][0]["content"][0]["text"] == one["input"]
        assert one["usage"]["output_tokens"] > 0
        assert one["timings"]["queued"] <= one["timings"]["started"] <= one["timings"]["ended"]
        assert len({result["session_id"] for result in results}) == 60
        summary = json.loads(done.out)
        assert summary["outcomes"]["completed"] == summary["planned"] == 60
        assert summary["usage"]["output_tokens"] == sum(result["usage"]["output_tokens"] for result in results)
        assert set(this.asked().values()) == {2}
        assert this.server.stats.max_concurrent <= 8
        assert not any(request.stream for request in this.server.requests)


async def test_without_a_terminal_nothing_but_text_is_written_and_the_table_fits(
    repository: Path, tmp_path: Path
) -> None:
    async with world(repository, tmp_path) as this:
        this.ask(3)
        done = await this.run("--limit", "2")
        assert done.code == 0, done.err
        assert "\x1b" not in done.out + done.err
        assert "2 of 2" in done.out
        assert f"results: {this.results_path}" in done.out
        assert f"Results: {this.results_path}" in done.err


async def test_a_killed_run_is_resumed_with_exact_coverage_and_no_answer_is_paid_for_twice(
    repository: Path, tmp_path: Path
) -> None:
    script = Script(rules=(stalling("<[23][0-9]>", 8),))
    async with world(repository, tmp_path, script) as this:
        this.ask(40)
        process = await this.start(this.arguments("--concurrency", "8"))
        await this.server.stalled(8)
        process.kill()
        await process.wait()
        written = {result["id"] for result in this.results()}
        assert len(written) == 20
        with this.results_path.open("ab") as file:
            file.write(this.results_path.read_bytes()[:300])
        done = await this.run("--concurrency", "8", "--resume", "--json")
        assert done.code == 0, done.err
        assert sorted(result["id"] for result in this.results()) == sorted(f"q{n}" for n in range(40))
        assert this.outcomes() == {"completed": 40}
        assert all(this.asked()[int(name[1:])] == 1 for name in written)
        summary = json.loads(done.out)
        assert (summary["earlier"], summary["outcomes"]["completed"]) == (len(written), 40)


async def test_a_killed_run_that_kept_a_journal_goes_on_in_the_sessions_that_it_had(
    repository: Path, tmp_path: Path
) -> None:
    script = Script(rules=(stalling("<[0-9]>", 3),))
    async with world(repository, tmp_path, script) as this:
        this.ask(3)
        kept = ("--concurrency", "3", "--data-dir", str(tmp_path / "data"))
        process = await this.start(this.arguments(*kept))
        await this.server.stalled(3)
        process.kill()
        await process.wait()
        done = await this.run(*kept, "--resume")
        assert done.code == 0, done.err
        assert {result["attempts"] for result in this.results()} == {1}
        assert all(len(result["transcript"]) == 2 for result in this.results())


async def test_ctrl_c_keeps_what_was_finished_and_says_how_to_go_on_and_that_works(
    repository: Path, tmp_path: Path
) -> None:
    script = Script(rules=(stalling("<[5-9]>", 3),))
    async with world(repository, tmp_path, script) as this:
        this.ask(20)
        process = await this.start(this.arguments("--concurrency", "3"))
        await this.server.stalled(3)
        process.send_signal(signal.SIGINT)
        done = await this.ended(process)
        assert done.code == 130, done.err
        assert this.outcomes() == {"completed": 5, "cancelled": 3}
        assert all(result["transcript"] for result in this.results())
        assert "5 of 20" in done.out
        command = next(line for line in done.err.splitlines() if line.strip().startswith(PROGRAM))
        again = await this.ended(await this.start(shlex.split(command.strip().removeprefix(PROGRAM))))
        assert again.code == 0, again.err
        assert sorted(result["id"] for result in this.results()) == sorted(f"q{n}" for n in range(20))
        assert this.outcomes() == {"completed": 20}


async def test_sigterm_ends_a_run_as_orderly_as_ctrl_c(repository: Path, tmp_path: Path) -> None:
    async with world(repository, tmp_path, Script(rules=(stalling("<1>", 1),))) as this:
        this.ask(3)
        process = await this.start(this.arguments("--concurrency", "1"))
        await this.server.stalled(1)
        process.terminate()
        done = await this.ended(process)
        assert done.code == 143, done.err
        assert this.outcomes() == {"completed": 1, "cancelled": 1}


LINGERING = """
import asyncio, sys
from rich.console import Console
from drivers.evaluating.running import Stopper

class Runner:
    def stop(self):
        print("stopping", flush=True)

async def main():
    stopper = Stopper(Console(file=sys.stderr))
    stopper.runner = Runner()
    stopper.install()
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_second_ctrl_c_leaves_at_once_whatever_still_hangs(repository: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LINGERING, cwd=repository,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGINT)
    assert await process.stdout.readline() == b"stopping\n"
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 130
    assert b"Left at once" in err


async def test_a_full_disk_ends_the_run_with_whole_lines_and_it_can_be_resumed(
    repository: Path, tmp_path: Path
) -> None:
    async with world(repository, tmp_path) as this:
        this.ask(60)
        done = await this.run("--concurrency", "4", shell='ulimit -f 20; exec "$@"')
        assert done.code == 1, done.err
        assert "File too large" in done.err
        assert "--resume" in done.err
        kept = len(this.results())
        assert 0 < kept < 60
        again = await this.run("--resume", "--json")
        assert again.code == 0, again.err
        assert sorted(result["id"] for result in this.results()) == sorted(f"q{n}" for n in range(60))
        assert json.loads(again.out)["earlier"] == kept


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
async def test_no_space_left_is_said_as_such(repository: Path, tmp_path: Path) -> None:
    async with world(repository, tmp_path) as this:
        this.ask(2)
        done = await this.run("--out", "/dev/full")
        assert done.code == 1
        assert "error: /dev/full: No space left on device." in done.err
        assert "unexpected" not in done.err


async def test_failures_are_outcomes_with_their_reasons_and_the_exit_code_says_so(
    repository: Path, tmp_path: Path
) -> None:
    bad = {"type": "error", "error": {"type": "invalid_request_error", "message": "that was no request"}}
    script = Script(
        rules=(
            Rule(match=Match(text="<1>"), replies=(Reply(error=HttpError(status=400, body=bad)),)),
            Rule(match=Match(text="<2>"), replies=(Reply(text="half", stop_reason="max_tokens"),)),
            Rule(match=Match(text="<3>"), replies=(Reply(text="no", stop_reason="refusal"),)),
        )
    )
    async with world(repository, tmp_path, script) as this:
        this.ask(4)
        done = await this.run("--concurrency", "5")
        assert done.code == 1, done.err
        by_id = {result["id"]: result for result in this.results()}
        assert {name: result["outcome"] for name, result in by_id.items()} == {
            "q0": "completed", "q1": "model_failed", "q2": "limit_hit", "q3": "model_failed",
        }  # fmt: skip
        assert "that was no request" in by_id["q1"]["error"]["message"]
        assert (by_id["q2"]["limit"], by_id["q2"]["answer"]) == ("max_tokens", "half")
        assert by_id["q3"]["error"]["kind"] == "refused"
        assert "q1: model failed" in done.out
        assert "Not completed: 2 model failed, 1 limit hit" in done.err
        assert "--resume" not in done.err, "no outcome here is one that another run could change"


async def test_a_sample_that_never_ends_is_ended_by_its_timeout(repository: Path, tmp_path: Path) -> None:
    async with world(repository, tmp_path, Script(rules=(stalling("<0>", 99),))) as this:
        this.ask(1)
        done = await this.run("--timeout", "1")
        assert done.code == 1, done.err
        (result,) = this.results()
        assert (result["outcome"], result["limit"]) == ("limit_hit", "time")


async def test_a_key_that_the_provider_refuses_ends_the_run_at_once(repository: Path, tmp_path: Path) -> None:
    async with world(repository, tmp_path, Script(api_keys=("another",))) as this:
        this.ask(500)
        done = await this.run("--concurrency", "2")
        assert done.code == 1
        assert len(this.server.requests) <= 2
        assert done.err.rstrip().splitlines()[-1].startswith("error:")
        assert "made-up" not in done.out + done.err + this.results_path.read_text()


async def test_a_changed_configuration_is_refused_with_what_changed_unless_forced(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "made-up")
    async with world(repository, tmp_path) as this:
        this.ask(4)
        assert (await this.run("--limit", "2")).code == 0
        before = this.results_path.read_bytes()
        said = refused(this, capsys, "--resume", "--max-tokens", "77")
        assert "max_tokens: not set -> 77" in said
        assert "--force" in said
        assert this.results_path.read_bytes() == before
        done = await this.run("--resume", "--max-tokens", "77", "--force")
        assert done.code == 0, done.err
        assert this.results_path.read_bytes().startswith(before)
        assert [result["id"] for result in this.results()] == ["q0", "q1", "q2", "q3"]
        assert len({result["configuration"] for result in this.results()}) == 2


async def test_a_run_that_is_whole_is_resumed_without_asking_anything(repository: Path, tmp_path: Path) -> None:
    async with world(repository, tmp_path) as this:
        this.ask(2)
        assert (await this.run()).code == 0
        before = this.results_path.read_bytes()
        done = await this.run("--resume")
        assert done.code == 0, done.err
        assert this.results_path.read_bytes() == before
        assert len(this.server.requests) == 2


ADDING = """
from agent_core.tools import tool

@tool
def add(a: int, b: int) -> int:
    "Add two numbers."
    return a + b
"""


async def test_a_model_with_tools_uses_them_and_its_transcript_shows_it(repository: Path, tmp_path: Path) -> None:
    async with world(repository, tmp_path) as this:
        (tmp_path / "adding.py").write_text(ADDING)
        this.questions.write_text(json.dumps({"id": "sum", "input": 'call add {"a": 20, "b": 22}'}) + "\n")
        done = await this.run("--tools", "adding:add", "--system", "Be exact.")
        assert done.code == 0, done.err
        (result,) = this.results()
        assert "42" in result["answer"]
        kinds = [[block["kind"] for block in message["content"]] for message in result["transcript"]]
        assert kinds == [["text"], ["text", "tool_use"], ["tool_result"], ["text"]]
        assert json.loads((this.out / "run.json").read_text())["configuration"]["tools"]["add"]


async def test_streamed_answers_tell_when_their_first_token_came(repository: Path, tmp_path: Path) -> None:
    async with world(repository, tmp_path) as this:
        this.ask(2)
        done = await this.run("--stream", "--json")
        assert done.code == 0, done.err
        assert json.loads(done.out)["first_token_p50"] > 0
        assert all(request.stream for request in this.server.requests)


async def test_samples_are_read_from_stdin_and_another_format_is_named(repository: Path, tmp_path: Path) -> None:
    async with world(repository, tmp_path) as this:
        arguments = [argument for argument in this.arguments("--format", "csv") if argument != str(this.questions)]
        process = await this.start([*arguments, "-", "--input-field", "question"])
        done = await this.ended(process, 'question,topic\n"first, second",order\n')
        assert done.code == 0, done.err
        (result,) = this.results()
        assert (result["id"], result["input"], result["metadata"]) == ("line-2", "first, second", {"topic": "order"})


async def test_status_counts_what_is_there_while_the_run_goes_on(repository: Path, tmp_path: Path) -> None:
    async with world(repository, tmp_path, Script(rules=(stalling("<7>", 1),))) as this:
        this.ask(10)
        process = await this.start(this.arguments("--concurrency", "1"))
        await this.server.stalled(1)
        status = await this.ended(await this.start(["status", str(this.out), "--json"]))
        assert status.code == 0, status.err
        counted = json.loads(status.out)
        assert (counted["planned"], counted["outcomes"]["completed"], counted["outcomes"]["missing"]) == (10, 7, 3)
        other = await this.run("--resume")
        assert other.code == 2
        assert "being written by another run" in other.err
        this.server.release()
        assert (await this.ended(process)).code == 0


@pytest.fixture
def offline(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose server is never started."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "made-up")
    server = ScriptedServer()
    monkeypatch.setattr(ScriptedServer, "url", "http://127.0.0.1:9")
    this = World(repository, tmp_path, server)
    this.ask(3)
    return this


def test_a_bad_line_3000_is_named_before_anything_is_started(
    offline: World, capsys: pytest.CaptureFixture[str]
) -> None:
    good = "".join(json.dumps({"input": f"question {n}"}) + "\n" for n in range(2999))
    offline.questions.write_text(good + '{"input": "no end\n')
    said = refused(offline, capsys)
    assert "questions.jsonl line 3000 is not valid JSON" in said
    assert not offline.out.exists()


def test_duplicate_ids_are_refused_with_both_lines(offline: World, capsys: pytest.CaptureFixture[str]) -> None:
    offline.questions.write_text('{"id": 1, "input": "a"}\n\n{"id": "2", "input": "b"}\n{"id": "1", "input": "c"}\n')
    assert "questions.jsonl lines 1 and 4 have the same id '1'" in refused(offline, capsys)


def test_a_changed_sample_is_refused_when_resuming(offline: World, capsys: pytest.CaptureFixture[str]) -> None:
    offline.out.mkdir()
    finished = {
        "id": "q1", "epoch": 1, "outcome": "completed", "attempts": 1, "input": "another question", "target": 1,
        "timings": {"queued": 1, "started": 1, "ended": 2}, "configuration": "0",
    }  # fmt: skip
    offline.results_path.write_text(json.dumps(finished, separators=(",", ":")) + "\n")
    assert "Sample 'q1' (questions.jsonl line 2) was asked with another configuration" in refused(
        offline, capsys, "--resume"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "holds no samples"),
        ("\n \n", "holds no samples"),
        ('{"question": "a"}\n', "--input-field"),
    ],
    ids=["empty", "blank", "unmapped"],
)
def test_a_file_without_samples_is_refused(
    offline: World, capsys: pytest.CaptureFixture[str], content: str, said: str
) -> None:
    offline.questions.write_text(content)
    assert said in refused(offline, capsys)


def test_a_file_that_is_not_there_or_of_no_known_kind_is_refused(
    offline: World, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    offline.questions = tmp_path / "absent.jsonl"
    assert "absent.jsonl: cannot be read (No such file or directory)" in refused(offline, capsys)
    offline.questions = tmp_path / "data.json"
    assert "--format" in refused(offline, capsys)
    offline.questions = tmp_path
    assert "cannot be read (Is a directory)" in refused(offline, capsys, "--format", "jsonl")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", "mystery/model"), "provider/name"),
        (("--model", "anthropic"), "provider/name"),
        (("--concurrency", "0"), "--concurrency"),
        (("--resume", "--overwrite"), "exclude each other"),
        (("--actors", "1", "--sessions-per-actor", "2"), "--concurrency 16"),
        (("--tools", "no_such_module:x"), "no_such_module"),
        (("--api-key", "env:NOT_SET_ANYWHERE"), "$NOT_SET_ANYWHERE is not set"),
        (("--api-key", "sk-literal"), "literal key is refused"),
    ],
    ids=["provider", "form", "concurrency", "both", "packing", "tools", "key", "literal"],
)
def test_wrong_options_are_refused_by_name(
    offline: World, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert said in refused(offline, capsys, *arguments)
    assert not offline.out.exists()


def test_results_that_are_there_are_refused_and_stay(offline: World, capsys: pytest.CaptureFixture[str]) -> None:
    offline.out.mkdir()
    offline.results_path.write_text("something dear\n")
    said = refused(offline, capsys)
    assert "--resume" in said
    assert "--overwrite" in said
    assert "line 1 is no result" in refused(offline, capsys, "--resume")
    assert offline.results_path.read_text() == "something dear\n"


def test_status_of_what_is_not_there_says_what_to_name(offline: World, capsys: pytest.CaptureFixture[str]) -> None:
    code = errors.run(app, program=PROGRAM, arguments=["status", str(offline.out)])
    assert code == 2
    assert "Name the directory or file that --out named" in capsys.readouterr().err
