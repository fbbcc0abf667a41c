"""The head of a cluster dies: everybody who waits hears of it, says what to do, and ends by himself."""

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from actors import Runtime
from actors.head import MISSES, Head
from agent_core.errors import CLUSTER_LOST, JournalError, PlacementError
from agent_core.scripted import Match, Reply, Rule, Script
from agent_core.scripted.server import ScriptedServer
from agent_core.testing import ManualClock

CLUSTER = """
import logging, sys
import ray
ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""

PROGRAM = """
import asyncio, sys
from actors import Runtime
from agent_core.errors import PlacementError

async def hears(name, work):
    try:
        await work
    except PlacementError as error:
        print(name, error.kind, flush=True)

async def reads(session):
    async for _ in session.events():
        pass

async def main(address, data, url):
    async with Runtime(address, data_dir=data) as runtime:
        session = await runtime.session(model="anthropic/test", base_url=url, context_limit=100_000)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(hears("events", reads(session)))
            tasks.create_task(hears("ask", session.ask("stall")))
        await hears("status", session.status())
        await hears("session", runtime.session(model="anthropic/test", base_url=url, context_limit=100_000))
    print("left", flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


def answers(*values: bool) -> "Answers":
    return Answers(iter(values))


class Answers:
    """A head that answers, or does not, as it is told; then never again."""

    def __init__(self, values: Iterator[bool]) -> None:
        self._values = values
        self.asked = 0

    async def __call__(self) -> bool:
        self.asked += 1
        return next(self._values, False)


class Hurried(ManualClock):
    """A clock on which no pause takes any time."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


async def test_a_head_that_is_away_for_a_moment_is_not_lost() -> None:
    head = Head("here:1", "/data/journal.db")
    away = answers(True, False, False, True, False, False, True)
    watching = asyncio.create_task(head.watch_by(away, Hurried()))
    async with head.awaited():
        while away.asked < 7:
            assert not head.lost
            await asyncio.sleep(0)
    await watching
    assert away.asked == 7 + MISSES


async def test_whoever_waits_when_the_head_is_lost_and_whoever_comes_later_gets_the_error() -> None:
    head = Head("here:1", "/data/journal.db")
    told: list[str] = []
    head.on_lost.append(lambda: told.append("links"))

    async def waits() -> None:
        async with head.awaited():
            await asyncio.Event().wait()

    waiting = [asyncio.create_task(waits()) for _ in range(2)]
    await asyncio.sleep(0)
    await head.watch_by(answers(), Hurried())
    assert told == ["links"]
    for task in (*waiting, asyncio.create_task(waits())):
        with pytest.raises(PlacementError, match=r"here:1 does not answer .* /data/journal.db") as caught:
            await task
        assert caught.value.kind == CLUSTER_LOST


async def test_another_timeout_inside_is_none_of_the_heads() -> None:
    head = Head("here:1", "/data/journal.db")
    with pytest.raises(TimeoutError):
        async with head.awaited(), asyncio.timeout(0):
            await asyncio.Event().wait()


@asynccontextmanager
async def cluster(environment: dict[str, str]) -> AsyncIterator[tuple[str, psutil.Process]]:
    """A cluster in processes of its own: its address, and the process of its head. Every process ends afterwards."""
    process = await start(environment, "-c", CLUSTER)
    family: list[psutil.Process] = []
    try:
        assert process.stdout is not None
        address = (await process.stdout.readline()).decode().strip()
        family = psutil.Process(process.pid).children(recursive=True)
        yield address, next(one for one in family if one.name() == "gcs_server")
    finally:
        with contextlib.suppress(psutil.Error):
            family += psutil.Process(process.pid).children(recursive=True)
        for one in family:
            with contextlib.suppress(psutil.Error):
                one.kill()
        process.kill()
        await process.communicate()


async def start(environment: dict[str, str], *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env={**os.environ, **environment},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def ended(process: asyncio.subprocess.Process) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


@pytest.mark.timeout(180)
async def test_every_program_says_that_the_head_is_gone_and_ends_by_itself(repository: Path, tmp_path: Path) -> None:
    stall = Script(rules=(Rule(match=Match(text="^stall"), replies=(Reply(text="late", fault="stall"),)),))
    questions = tmp_path / "questions.jsonl"
    questions.write_text("".join(json.dumps({"id": n, "input": text}) + "\n" for n, text in enumerate(("hi", "stall"))))
    with tempfile.TemporaryDirectory(prefix="head-", ignore_cleanup_errors=True) as temporary:
        environment = {
            "RAY_TMPDIR": temporary,
            "RAY_AUTH_MODE": "disabled",
            "PYTHONPATH": str(repository),
            "ANTHROPIC_API_KEY": "made-up",
        }
        async with ScriptedServer(stall) as server, cluster(environment) as (address, head):
            model = ("--model", "anthropic/test", "--base-url", server.url, "--context-limit", "100000")
            place = ("--address", address, "--data-dir")
            run = ("-m", "drivers.evaluate", "run", str(questions), "--out", str(tmp_path / "out"))
            program = await start(environment, "-c", PROGRAM, address, str(tmp_path / "one"), server.url)
            evaluate = await start(environment, *run, *model, *place, str(tmp_path / "two"))
            chat = await start(environment, "-m", "drivers.chat", *model, *place, str(tmp_path / "three"))
            assert chat.stdin is not None
            chat.stdin.write(b"stall")
            chat.stdin.close()
            await server.stalled(3)
            head.kill()
            by_program, by_evaluate, by_chat = await asyncio.gather(ended(program), ended(evaluate), ended(chat))
    code, out, err = by_program
    assert (code, err) == (0, "")
    assert sorted(out.splitlines()) == sorted(["left", *lost("ask", "events", "status", "session")])
    said = f"error: The head of the Ray cluster at {address} does not answer any more."
    code, out, err = by_chat
    assert (code, out) == (1, "late")
    assert err.startswith(said)
    assert len(err.splitlines()) == 1
    code, out, err = by_evaluate
    assert code == 1
    assert "1 of 2" in out
    assert said in err
    assert "drivers.evaluate resume" in err
    assert "Traceback" not in err
    lines = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert [line["outcome"] for line in lines] == ["completed"], "the other one went with its cluster, and is missing"


async def test_a_journal_that_cannot_be_kept_is_found_before_a_cluster_is_looked_for(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match=r"journal.db cannot be used .*: name a path in a directory"):
        await Runtime("127.0.0.1:1", data_dir=tmp_path / "file").__aenter__()


def lost(*names: str) -> list[str]:
    return [f"{name} {CLUSTER_LOST}" for name in names]
