"""How a run of the evaluator ends before its time, and goes on: killed, interrupted, out of space."""

import asyncio
import json
import shlex
import signal
import sys
from pathlib import Path

import pytest

from agent_core.scripted.script import Script
from drivers.evaluate import PROGRAM
from tests.drivers.evaluate_world import stalling, world
from tests.drivers.forked import ForkServer

pytestmark = pytest.mark.timeout(60)


async def test_a_killed_run_is_resumed_with_exact_coverage_and_no_answer_is_paid_for_twice(
    forks: ForkServer, tmp_path: Path
) -> None:
    script = Script(rules=(stalling("<[23][0-9]>", 8),))
    async with world(forks, tmp_path, script) as this:
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
    forks: ForkServer, tmp_path: Path
) -> None:
    script = Script(rules=(stalling("<[0-9]>", 3),))
    async with world(forks, tmp_path, script) as this:
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
    forks: ForkServer, tmp_path: Path
) -> None:
    script = Script(rules=(stalling("<[5-9]>", 3),))
    async with world(forks, tmp_path, script) as this:
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


async def test_sigterm_ends_a_run_as_orderly_as_ctrl_c(forks: ForkServer, tmp_path: Path) -> None:
    async with world(forks, tmp_path, Script(rules=(stalling("<1>", 1),))) as this:
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

class Run:
    async def command(self, word):
        print(word, flush=True)

async def main():
    stopper = Stopper(Console(file=sys.stderr))
    stopper.running = Run()
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
    assert await process.stdout.readline() == b"stop\n"
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 130
    assert b"Left at once" in err


async def test_a_full_disk_ends_the_run_with_whole_lines_and_it_can_be_resumed(
    forks: ForkServer, tmp_path: Path
) -> None:
    async with world(forks, tmp_path) as this:
        this.ask(200)
        # The index of so many takes less, their results take more.
        done = await this.run("--concurrency", "4", shell='ulimit -f 100; exec "$@"')
        assert done.code == 1, done.err
        assert "File too large" in done.err
        assert "drivers.evaluate resume" in done.err
        kept = len(this.results())
        assert 0 < kept < 200
        again = await this.run("--resume", "--json")
        assert again.code == 0, again.err
        assert sorted(result["id"] for result in this.results()) == sorted(f"q{n}" for n in range(200))
        assert json.loads(again.out)["earlier"] == kept


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
async def test_no_space_left_is_said_as_such(forks: ForkServer, tmp_path: Path) -> None:
    async with world(forks, tmp_path) as this:
        this.ask(2)
        done = await this.run("--out", "/dev/full")
        assert done.code == 1
        assert "error: /dev/full: No space left on device." in done.err
        assert "unexpected" not in done.err
