"""What the tests of the evaluate driver stand in: a directory, a scripted model server, and the program run there."""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent_core.scripted.script import Match, Reply, Rule, Script
from agent_core.scripted.server import ScriptedServer
from drivers import errors
from drivers.evaluate import PROGRAM, app
from tests.drivers.forked import ROOT, ForkServer

MODEL = "anthropic/scripted"


@dataclass
class Done:
    """A program that has ended."""

    code: int
    out: str
    err: str


class World:
    """A directory, a model server, and the program started there as a user would."""

    def __init__(self, forks: ForkServer, here: Path, server: ScriptedServer) -> None:
        self._forks, self.here, self.server = forks, here, server
        self.out = here / "out"
        self.questions = here / "questions.jsonl"

    def ask(self, count: int) -> None:
        """Write `count` questions."""
        rows = [{"id": f"q{n}", "input": f"question <{n}>", "target": n} for n in range(count)]
        self.questions.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def arguments(self, *more: str) -> list[str]:
        where = ["--base-url", self.server.url, "--context-limit", "100000", "--in-process"]
        return ["run", str(self.questions), "-m", MODEL, *where, "--out", str(self.out), "--no-report", *more]

    async def start(self, arguments: Sequence[str], *, shell: str = "") -> asyncio.subprocess.Process:
        """Start the program; through the shell, where that does something to it."""
        environment = {**os.environ, "ANTHROPIC_API_KEY": "made-up", "COLUMNS": "80", "PYTHONPATH": str(self.here)}
        if not shell:
            return await self._forks.start("drivers.evaluate", *arguments, env=environment)
        return await asyncio.create_subprocess_exec(
            "bash", "-c", shell, "sh", sys.executable, "-m", "drivers.evaluate", *arguments,
            cwd=ROOT,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip

    async def run(self, *more: str, shell: str = "") -> Done:
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
async def world(forks: ForkServer, here: Path, script: Script | None = None) -> AsyncIterator[World]:
    async with ScriptedServer(script) as server:
        yield World(forks, here, server)


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
