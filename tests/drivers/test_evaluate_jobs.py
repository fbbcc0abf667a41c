"""An evaluation as a job on a cluster that `ray start` began: told what to do from elsewhere, stopped, gone on with."""

import asyncio
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from agent_core.evaluation.results_file import Places
from agent_core.scripted.script import Script
from agent_core.scripted.server import ScriptedServer
from drivers.evaluating.running import JOB_DIRECTORIES, goes_with_its_job
from tests.drivers.evaluate_world import MODEL, Done, stalling
from tests.drivers.forked import ROOT, ForkServer

pytestmark = pytest.mark.timeout(240)
RAY = Path(sys.executable).with_name("ray")
QUESTIONS = 12


class Cluster:
    """A cluster with a dashboard, which takes jobs. `environment` is that of a program that may use it."""

    def __init__(self, address: str, dashboard: str, environment: Mapping[str, str]) -> None:
        self.address, self.dashboard, self.environment = address, dashboard, environment

    async def job(self, *words: str) -> Done:
        """`ray job` with these words."""
        verb, *rest = words
        process = await asyncio.create_subprocess_exec(
            RAY, "job", verb, "--address", self.dashboard, *rest,
            cwd=ROOT,
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await process.communicate()
        return Done(process.returncode or 0, out.decode(), "")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    # The paths of sockets below it must be short.
    directory = tempfile.mkdtemp(prefix="rc", dir="/tmp")
    ports = free_ports(4)
    environment = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "COLUMNS": "80"}
    environment |= {"ANTHROPIC_API_KEY": "made-up", "XDG_DATA_HOME": f"{directory}/data"}
    # As in a shell in which the environment is activated: a job's `python` is found by its name.
    environment["PATH"] = os.pathsep.join([str(RAY.parent), environment["PATH"]])
    names = ("--port", "--dashboard-port", "--dashboard-agent-listen-port", "--ray-client-server-port")
    where = [word for name, port in zip(names, ports, strict=True) for word in (name, str(port))]
    command = [RAY, "start", "--head", "--block", "--temp-dir", directory, "--num-cpus", "4", *where]
    with ended_whole(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)):
        wait_for(f"http://127.0.0.1:{ports[1]}/api/version")
        yield Cluster(f"127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}", environment)
    shutil.rmtree(directory, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


def wait_for(url: str) -> None:
    while True:
        try:
            urllib.request.urlopen(url).close()
        except urllib.error.HTTPError as error:
            error.close()
        except OSError:
            time.sleep(0.2)
            continue
        return


@contextmanager
def ended_whole(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End the process and all that it started, whatever happens."""
    try:
        yield
    finally:
        started = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        for child in started:
            if child.is_running():
                child.kill()
        psutil.wait_procs(started)


async def test_a_job_is_paused_stopped_gone_on_with_and_its_exit_code_is_that_of_the_run(
    cluster: Cluster, forks: ForkServer, tmp_path: Path
) -> None:
    async def evaluate(*words: str) -> Done:
        process = await forks.start("drivers.evaluate", *words, env=cluster.environment)
        out, err = await process.communicate()
        assert "Traceback" not in err.decode()
        return Done(process.returncode or 0, out.decode(), err.decode())

    def rows() -> dict[str, str]:
        lines = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
        found = [json.loads(line) for line in lines]
        assert len({row["id"] for row in found}) == len(found)
        return {row["id"]: row["outcome"] for row in found}

    questions, out = tmp_path / "questions.jsonl", str(tmp_path / "out")
    samples = [{"id": f"q{n}", "input": f"question <{n}>", "target": f"<{n}>"} for n in range(QUESTIONS)]
    questions.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    async with ScriptedServer(Script(rules=(stalling("<[67]>", 2),))) as server:
        asking = ["-m", MODEL, "--base-url", server.url, "--context-limit", "100000", "--scorer", "includes"]
        run = ["run", str(questions), *asking, "--concurrency", "2", "--out", out]
        job = ["--working-dir", ".", "--", "python", "-m", "drivers.evaluate"]
        begun = await cluster.job("submit", "--no-wait", "--submission-id", "first", *job, *run)
        assert begun.code == 0, begun.out
        async with asyncio.timeout(60):
            await server.stalled(2)
        paused = await evaluate("pause", out)
        assert (paused.code, "paused: samples under way go on" in paused.out) == (0, True), paused.err
        status = json.loads((await evaluate("status", out, "--json")).out)
        assert (status["state"], status["open"], status["summary"]["outcomes"]["scored"]) == ("paused", 2, 6)
        stopped = await cluster.job("stop", "first")
        assert "was stopped" in stopped.out
        assert sorted(rows().values()) == ["cancelled"] * 2 + ["scored"] * 6
        detached = await evaluate("resume", out, "--detach", "--address", cluster.address)
        assert (detached.code, "goes on without this program" in detached.out) == (0, True), detached.err
        async with asyncio.timeout(60):
            while len(rows()) < QUESTIONS:
                await asyncio.sleep(0.05)
        assert set(rows().values()) == {"scored"}
        # What was stopped is asked again, and nothing else.
        assert server.stats.requests == QUESTIONS + 2
        judged = await cluster.job("submit", *job, "gate", out, "--max", "includes=0.5")
        assert (judged.code, "FAIL  includes" in judged.out) == (1, True), judged.out


def test_results_that_would_go_with_their_job_are_told_from_those_that_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / JOB_DIRECTORIES / "_ray_pkg_1"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    assert goes_with_its_job(Places.of("runs/one/"))
    assert not goes_with_its_job(Places.of(f"{tmp_path}/one/"))
    assert not goes_with_its_job(Places.of("s3://bucket/one"))
    monkeypatch.chdir(tmp_path)
    assert not goes_with_its_job(Places.of("runs/one/"))
