"""Results that go to no file that stays: standard output, a pipe, a device."""

import json
import os
from pathlib import Path

import pytest

from drivers import errors
from drivers.evaluate import PROGRAM, app
from tests.drivers.evaluate_world import refused, world
from tests.drivers.forked import ForkServer

pytestmark = pytest.mark.timeout(60)

COUNTING = "import json, sys; print(sorted(json.loads(line)['id'] for line in sys.stdin))"


def ids(lines: str) -> list[str]:
    """The ids of the results; every line has to be one."""
    return sorted(json.loads(line)["id"] for line in lines.splitlines())


@pytest.mark.parametrize("out", ["-", "/dev/stdout", "/proc/self/fd/1"])
@pytest.mark.parametrize("more", [(), ("--json",)])
async def test_results_on_stdout_are_alone_there_and_the_figures_are_on_stderr(
    forks: ForkServer, tmp_path: Path, out: str, more: tuple[str, ...]
) -> None:
    async with world(forks, tmp_path) as this:
        this.ask(3)
        done = await this.run("--out", out, *more)
    assert done.code == 0, done.err
    assert ids(done.out) == ["q0", "q1", "q2"]
    assert ('"completed": 3' if more else "3 of 3") in done.err
    assert not this.out.exists()


async def test_a_program_that_reads_json_lines_can_be_put_behind_it(forks: ForkServer, tmp_path: Path) -> None:
    async with world(forks, tmp_path) as this:
        this.ask(3)
        done = await this.run("--out", "-", shell=f'set -o pipefail; "$@" | python3 -c "{COUNTING}"')
    assert done.code == 0, done.err
    assert done.out == "['q0', 'q1', 'q2']\n"


@pytest.mark.parametrize("redirection", [">", ">>"])
async def test_stdout_may_be_a_file_that_the_shell_opened(forks: ForkServer, tmp_path: Path, redirection: str) -> None:
    kept = tmp_path / "kept.jsonl"
    kept.write_text('{"id": "earlier"}\n')
    async with world(forks, tmp_path) as this:
        this.ask(2)
        done = await this.run("--out", "-", shell=f'exec "$@" {redirection} {kept}')
    assert done.code == 0, done.err
    assert ids(kept.read_text()) == (["earlier"] if redirection == ">>" else []) + ["q0", "q1"]
    assert {path.name for path in tmp_path.iterdir()} == {"kept.jsonl", "questions.jsonl"}


async def test_results_go_through_a_named_pipe_and_the_figures_stay_on_stdout(
    forks: ForkServer, tmp_path: Path
) -> None:
    pipe, got = tmp_path / "pipe", tmp_path / "got.jsonl"
    os.mkfifo(pipe)
    async with world(forks, tmp_path) as this:
        this.ask(3)
        done = await this.run("--out", str(pipe), shell=f'cat {pipe} > {got} & "$@"; code=$?; wait; exit $code')
    assert done.code == 0, done.err
    assert ids(got.read_text()) == ["q0", "q1", "q2"]
    assert "3 of 3" in done.out
    assert {path.name for path in tmp_path.iterdir()} == {"pipe", "got.jsonl", "questions.jsonl"}


async def test_results_that_nobody_wants_are_counted_all_the_same(forks: ForkServer, tmp_path: Path) -> None:
    async with world(forks, tmp_path) as this:
        this.ask(3)
        done = await this.run("--out", os.devnull, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["outcomes"]["completed"] == 3
    assert not Path("/dev/null.run.json").exists()


async def test_what_cannot_be_read_again_is_not_resumed_nor_asked_about(
    forks: ForkServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "made-up")
    async with world(forks, tmp_path) as this:
        this.ask(1)
        for out in ("-", os.devnull):
            assert "--resume: /dev/" in refused(this, capsys, "--out", out, "--resume")
    assert errors.run(app, program=PROGRAM, arguments=["status", "-"]) == errors.USER_MISTAKE
    assert "Name the file that they were kept in" in capsys.readouterr().err
