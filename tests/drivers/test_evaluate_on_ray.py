"""`python -m drivers.evaluate` on a Ray cluster of its own: killed and resumed, and Ctrl-C as a terminal sends it."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from agent_core.scripted.script import Match, Reply, Rule, Script
from agent_core.scripted.server import ScriptedServer

pytestmark = pytest.mark.timeout(240)

QUESTIONS = 30


class Program:
    """The evaluator in a process group of its own, as a shell starts it, with what it needs of the directory `here`."""

    def __init__(self, root: Path, here: Path, server: ScriptedServer) -> None:
        self.root, self.server = root, server
        self.results = here / "out" / "results.jsonl"
        questions = here / "questions.jsonl"
        questions.write_text(
            "".join(json.dumps({"id": n, "input": f"question <{n}>"}) + "\n" for n in range(QUESTIONS))
        )
        where = ["--address", "local", "--data-dir", str(here / "data"), "--out", str(here / "out")]
        model = ["--model", "anthropic/scripted", "--base-url", server.url, "--context-limit", "100000"]
        self.arguments = ["run", str(questions), *model, *where, "--concurrency", "4"]

    async def start(self, *more: str) -> asyncio.subprocess.Process:
        return await self.command(*self.arguments, *more)

    async def command(self, *words: str, stderr: int = asyncio.subprocess.PIPE) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "drivers.evaluate", *words,
            cwd=self.root,
            env={**os.environ, "ANTHROPIC_API_KEY": "made-up"},
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
        )  # fmt: skip

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.results.read_text().splitlines()]


def four_stall() -> Script:
    stalled = Rule(match=Match(text="<1[0-9]>"), replies=(Reply(text="late", fault="stall"),) * 4, repeat="once")
    return Script(rules=(stalled,))


async def test_a_run_on_a_cluster_that_was_killed_goes_on_in_its_sessions_with_exact_coverage(
    repository: Path, tmp_path: Path
) -> None:
    async with ScriptedServer(four_stall()) as server:
        program = Program(repository, tmp_path, server)
        first = await program.start()
        await server.stalled(4)
        first.kill()
        await first.communicate()
        assert len(program.lines()) <= 10
        second = await program.start("--resume", "--json")
        out, err = await second.communicate()
        assert second.returncode == 0, err.decode()
        assert json.loads(out)["outcomes"]["completed"] == QUESTIONS
        lines = program.lines()
        assert sorted(int(line["id"]) for line in lines) == list(range(QUESTIONS))
        assert {line["attempts"] for line in lines} == {1}
        # What was asked and never answered is all that was asked twice.
        assert server.stats.requests == QUESTIONS + 4


async def said_on(terminal: int, words: bytes) -> None:
    """Wait until a terminal shows these words."""
    loop, seen, heard = asyncio.get_running_loop(), bytearray(), asyncio.Event()

    def read() -> None:
        seen.extend(os.read(terminal, 4096))
        if words in seen:
            heard.set()

    loop.add_reader(terminal, read)
    try:
        await heard.wait()
    finally:
        loop.remove_reader(terminal)


async def test_ctrl_c_in_a_terminal_ends_the_samples_and_not_the_cluster_under_them_and_who_watches_is_shown_it(
    repository: Path, tmp_path: Path
) -> None:
    async with ScriptedServer(four_stall()) as server:
        program = Program(repository, tmp_path, server)
        process = await program.start()
        await server.stalled(4)
        ours, theirs = os.openpty()
        watching = await program.command("status", str(program.results.parent), "--watch", stderr=theirs)
        await said_on(ours, b"10/30")
        # A terminal sends it to every process of the group.
        os.killpg(process.pid, signal.SIGINT)
        out, err = await process.communicate()
        assert process.returncode == 130, err.decode()
        lines = program.lines()
        outcomes = [line["outcome"] for line in lines]
        assert (outcomes.count("completed"), outcomes.count("cancelled")) == (10, 4)
        assert all(line["transcript"] for line in lines)
        assert "16" in out.decode()
        assert "drivers.evaluate resume" in err.decode()
        told, _ = await watching.communicate()
        assert watching.returncode == 0
        assert "cancelled  4" in told.decode()
        os.close(ours)
        os.close(theirs)
