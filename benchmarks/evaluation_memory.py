"""The memory of a run while its samples grow in number: of the program that started it, and of its coordinator.

The rule here: it is the program that a user calls, less the report at its end, and what counts is the most that each
process had to itself up to a number of results.
"""

import asyncio
import json
import os
import sys
import tempfile
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import psutil

from actors.cluster import ROOT
from agent_core.scripted.process import ScriptedServerProcess
from benchmarks.evaluation_load import TARGET, Load, question, script
from benchmarks.figures import Figure, figure
from benchmarks.processes import found, unshared_bytes
from benchmarks.rig import MODEL

_LOOK_S = 0.25
_PROGRAM = "program"


async def memory(few: int, many: int, at_once: int) -> list[Figure]:
    """The most memory of each process with up to `few` results, then with up to `many`.

    Raises RuntimeError if the run fails.
    """
    load = Load(many, 1, at_once)
    early: dict[str, int] = {}
    late: dict[str, int] = {}
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(ScriptedServerProcess(script()))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rayconteur-benchmark-")))
        process = await _program(directory, server.url, load)
        results = _Lines(directory / "out" / "results.jsonl")
        while process.returncode is None:
            count = results.count()
            for kind, bytes_ in _now(process.pid).items():
                for seen in (early, late) if count <= few else (late,):
                    seen[kind] = max(seen.get(kind, 0), bytes_)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await process.wait()
        if process.returncode or results.count() != many:
            said = (directory / "said").read_text()
            raise RuntimeError(f"The run ended with {process.returncode} after {results.count()} results: {said}")
    rows: list[Figure] = []
    for kind in sorted(early.keys() & late.keys()):
        rows += [
            figure("F9", f"{kind}: most memory, up to {few:,} samples", early[kind] / 1e6, "MB"),
            figure("F9", f"{kind}: most memory, up to {many:,} samples", late[kind] / 1e6, "MB"),
        ]
        if kind in (_PROGRAM, "coordinator"):
            grown = (late[kind] - early[kind]) / 1e6
            rows.append(figure("F9", f"{kind}: grown from {few:,} to {many:,} samples", grown, "MB", "<= 32"))
    return rows


async def _program(directory: Path, url: str, load: Load) -> asyncio.subprocess.Process:
    (directory / "key").write_text("none")
    with (directory / "samples.jsonl").open("w") as lines:
        for number in range(load.samples):
            lines.write(json.dumps({"id": f"q{number}", "input": question(number), "target": TARGET}) + "\n")
    with (directory / "said").open("wb") as said:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "drivers.evaluate", "run", str(directory / "samples.jsonl")),
            *("-m", f"anthropic/{MODEL}", "--base-url", url, "--api-key", f"file:{directory / 'key'}"),
            *("--scorer", "includes", "--concurrency", str(load.at_once), "--address", "local"),
            *("--data-dir", str(directory), "--out", str(directory / "out"), "--no-report"),
            cwd=directory,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )


def _now(program: int) -> dict[str, int]:
    """The memory that each process has to itself, of a kind with several the sum."""
    kinds = {kind: found(kind) for kind in ("coordinator", "session actor", "journal")}
    with suppress(psutil.NoSuchProcess):
        # It may have ended since it was last seen.
        kinds[_PROGRAM] = [psutil.Process(program)]
    seen: dict[str, int] = {}
    for kind, processes in kinds.items():
        with suppress(psutil.Error):
            if processes:
                seen[kind] = sum(map(unshared_bytes, processes))
    return seen


class _Lines:
    """How many lines a file has that grows. It is not there at first."""

    def __init__(self, path: Path) -> None:
        self._path, self._read, self._lines = path, 0, 0

    def count(self) -> int:
        with suppress(FileNotFoundError), self._path.open("rb") as file:
            file.seek(self._read)
            while more := file.read(1 << 20):
                self._read += len(more)
                self._lines += more.count(b"\n")
        return self._lines
