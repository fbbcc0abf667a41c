"""The sides of a comparison that are one process each: ours without a cluster, the bare SDK, and Inspect AI.

The rule here: a side runs in a process of its own, which performs one load after the other on command and tells the CPU
that it spent on it, all its threads together. What it does first warms it up and is not told by whoever compares.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from actors.cluster import ROOT
from benchmarks.evaluation_load import ANSWER, FURTHER, TARGET, Load, checked, made_order, question
from benchmarks.rig import MODEL

Name = Literal["ours, one process", "bare SDK", "bare SDK on aiohttp", "Inspect"]
Perform = Callable[[Load], Awaitable[None]]
MAX_TOKENS = 4_096
_PROGRAM = "import sys; from benchmarks.evaluation_sides import serve; serve(*sys.argv[1:])"


@dataclass(frozen=True, slots=True)
class Spent:
    """What a side spent on one load, in seconds."""

    cpu: float
    wall: float


class Side:
    """A side in its process. `async with Side(name, url) as side` starts it; it ends with the context."""

    def __init__(self, name: Name, url: str) -> None:
        self.name, self._url = name, url
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _PROGRAM, self.name, self._url),
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            await self._process.wait()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid if self._process is not None else 0

    async def perform(self, load: Load) -> Spent:
        """Have the load performed. Raises RuntimeError if the process ended over it; it has said why."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise RuntimeError("The side does not run. Start it through `async with`.")
        process.stdin.write(load.as_line())
        await process.stdin.drain()
        line = await process.stdout.readline()
        if not line:
            raise RuntimeError(f"The process of '{self.name}' ended. What it said stands above.")
        return Spent(**json.loads(line))


def serve(name: Name, url: str) -> None:
    """The program of a side: a load a line on its input, what it spent on its output."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    asyncio.run(_serve(name, url, lambda spent: print(json.dumps(spent), file=out, flush=True)))


async def _serve(name: Name, url: str, tell: Callable[[dict[str, float]], None]) -> None:
    with tempfile.TemporaryDirectory(prefix="rayconteur-benchmark-") as directory:
        async with _opened(name, url, Path(directory)) as perform:
            while line := await asyncio.to_thread(sys.stdin.readline):
                load = Load(**json.loads(line))
                cpu, wall = time.process_time(), time.perf_counter()
                await perform(load)
                tell({"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall})


def _opened(name: Name, url: str, directory: Path) -> Any:
    match name:
        case "ours, one process":
            return _ours(url, directory)
        case "bare SDK" | "bare SDK on aiohttp":
            return _bare(url, on_aiohttp=name == "bare SDK on aiohttp")
        case "Inspect":
            return _inspect(url, directory)


@asynccontextmanager
async def _ours(url: str, directory: Path) -> AsyncGenerator[Perform]:
    """A runtime in this process, its journal in a file."""
    from agent_core.garbage import settle_garbage
    from agent_core.local_runtime import LocalRuntime

    (directory / "key").write_text("none")
    async with LocalRuntime(data_dir=directory, max_concurrent_requests=100_000) as runtime:
        opened = await runtime.opening(**session_fields(url, directory / "key"))
        settle_garbage()

        async def perform(load: Load) -> None:
            order = made_order(directory, load, opened, homes=runtime.homes)
            ended = await (await runtime.evaluate(order)).ended()
            checked(ended, order)

        yield perform


def session_fields(url: str, key: Path) -> dict[str, Any]:
    """How `evaluate run` has answers: whole."""
    return {
        "model": f"anthropic/{MODEL}",
        "base_url": url,
        "api_key": f"file:{key}",
        "max_tokens": MAX_TOKENS,
        "streaming": False,
    }


@asynccontextmanager
async def _bare(url: str, *, on_aiohttp: bool) -> AsyncGenerator[Perform]:
    """The same requests as a user of the SDK writes them, and nothing else."""
    import anthropic

    chosen: dict[str, Any] = {"http_client": anthropic.DefaultAioHttpClient()} if on_aiohttp else {}
    async with anthropic.AsyncAnthropic(base_url=url, api_key="none", max_retries=0, **chosen) as client:

        async def sample(number: int, turns: int) -> None:
            messages: list[Any] = []
            for turn in range(turns):
                messages.append({"role": "user", "content": FURTHER if turn else question(number)})
                answer = await client.messages.create(model=MODEL, max_tokens=MAX_TOKENS, messages=messages)
                messages.append({"role": "assistant", "content": answer.content})
                if not any(block.type == "text" and TARGET in block.text for block in answer.content):
                    raise RuntimeError(f"The model said {answer.content}, not: {ANSWER}")

        async def perform(load: Load) -> None:
            left = iter(range(load.samples))

            async def worker() -> None:
                for number in left:
                    await sample(number, load.turns)

            async with asyncio.TaskGroup() as group:
                for _ in range(load.at_once):
                    group.create_task(worker())

        yield perform


@asynccontextmanager
async def _inspect(url: str, directory: Path) -> AsyncGenerator[Perform]:
    """A task of Inspect AI (`inspect_ai` 0.3), set for speed.

    As many connections and samples at once as there are samples under way here, no display, no live log, no server for
    its control, no marks for the provider's prompt cache in requests, and samples go to the `.eval` log in one piece.
    """
    os.environ["INSPECT_DISPLAY"] = "none"
    import inspect_ai
    from inspect_ai.dataset import MemoryDataset
    from inspect_ai.dataset import Sample as InspectSample
    from inspect_ai.model import ChatMessageUser, get_model
    from inspect_ai.scorer import includes
    from inspect_ai.solver import solver
    from inspect_ai.util import display_type

    # Unless it has been asked for, `eval_async` shows what it does.
    display_type()

    @solver
    def conversation(turns: int) -> Any:
        async def solve(state: Any, generate: Any) -> Any:
            state = await generate(state)
            for _ in range(turns - 1):
                state.messages.append(ChatMessageUser(content=FURTHER))
                state = await generate(state)
            return state

        return solve

    async def perform(load: Load) -> None:
        dataset = MemoryDataset(
            [InspectSample(id=f"q{number}", input=question(number), target=TARGET) for number in range(load.samples)]
        )
        task = inspect_ai.Task(name="load", dataset=dataset, solver=conversation(load.turns), scorer=includes())
        model = get_model(f"anthropic/{MODEL}", base_url=url, api_key="none", memoize=False)
        logs = await inspect_ai.eval_async(
            task,
            model=model,
            max_connections=load.at_once,
            max_samples=load.at_once,
            max_tokens=MAX_TOKENS,
            cache_prompt=False,
            log_dir=str(directory),
            log_format="eval",
            log_realtime=False,
            log_buffer=load.samples,
            log_header_only=True,
            log_level="error",
            acp_server=False,
            ctl_server=False,
            score_display=False,
        )
        scores = logs[0].results.scores if logs[0].results else []
        if logs[0].status != "success" or scores[0].metrics["accuracy"].value != 1:
            raise RuntimeError(f"Inspect's run ended as {logs[0].status}: {logs[0].error or scores}")

    yield perform
