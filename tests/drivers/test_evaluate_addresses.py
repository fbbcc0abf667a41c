"""`--out s3://...`: results in a store, read and gone on with from another machine, and a store that is lost."""

import importlib.util
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_core.scripted.script import Script
from tests.drivers.evaluate_world import Done, World, stalling, world
from tests.drivers.forked import ForkServer

if importlib.util.find_spec("moto") is None:
    pytest.skip("moto is not installed: make setup", allow_module_level=True)
URL = "s3://evals/team/one"


class Store:
    """A server that speaks S3, in a process of its own, which loses everything when it ends."""

    def __init__(self) -> None:
        self.port = 0
        self._process = self._started()

    def _started(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "moto.server", "-p", str(self.port)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        line = next(line for line in process.stderr if "http://" in line)
        self.port = int(line.strip().rpartition(":")[2])
        urllib.request.urlopen(urllib.request.Request(f"{self.address}/evals", method="PUT")).close()
        return process

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def read(self, name: str) -> bytes:
        with urllib.request.urlopen(f"{self.address}/{URL.removeprefix('s3://')}/{name}") as answer:
            return answer.read()

    def ids(self) -> list[str]:
        return [json.loads(line)["id"] for line in self.read("results.jsonl").splitlines()]

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()

    def come_back(self) -> None:
        self._process = self._started()


@pytest.fixture(scope="module")
def running_store() -> Iterator[Store]:
    store = Store()
    yield store
    store.end()


@pytest.fixture
def store(running_store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("AWS_ENDPOINT_URL", running_store.address)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "made-up")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return running_store


def machine(here: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs started from here on are on this machine: they have what it keeps, and nothing else."""
    monkeypatch.setenv("XDG_DATA_HOME", str(here / name))


async def evaluate(this: World, *words: str) -> Done:
    done = await this.ended(await this.start(words))
    assert "Traceback" not in done.err
    return done


def asking(this: World, url: str, *more: str) -> list[str]:
    return [*this.arguments("--scorer", "includes", *more), "--report", "--out", url]


async def test_a_run_at_an_address_is_read_and_gone_on_with_from_other_machines(
    forks: ForkServer, tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(forks, tmp_path) as this:
        this.ask(6)
        machine(tmp_path, "one", monkeypatch)
        done = await evaluate(this, *asking(this, URL, "--limit", "2"))
        assert done.code == 0, done.err
        assert f"results: {URL}/results.jsonl" in done.out
        assert sorted(store.ids()) == ["q0", "q1"]
        assert b"<html" in store.read("report.html")
        machine(tmp_path, "other", monkeypatch)
        refused = await evaluate(this, *asking(this, URL))
        assert (refused.code, f"{URL}/results.jsonl is there already" in refused.err) == (2, True)
        assert (await evaluate(this, "resume", URL, "--limit", "6")).code == 0
        assert sorted(store.ids()) == [f"q{n}" for n in range(6)]
        assert sum(this.asked().values()) == 6
        machine(tmp_path, "one", monkeypatch)
        status = await evaluate(this, "status", URL, "--json")
        assert json.loads(status.out)["outcomes"]["scored"] == 6
        compared = await evaluate(this, "compare", URL, URL)
        assert (compared.code, "6 samples are in both" in compared.out) == (0, True)
        elsewhere = await evaluate(this, "merge", URL, "--out", "s3://evals/merged")
        assert (elsewhere.code, "Name a directory" in elsewhere.err) == (2, True)
        assert not Path("s3:").exists()


async def test_what_a_lost_store_did_not_get_is_kept_here_and_sent_when_it_is_back(
    forks: ForkServer, tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(tmp_path, "one", monkeypatch)
    async with world(forks, tmp_path, Script(rules=(stalling("<3>", 1),))) as this:
        this.ask(4)
        process = await this.start(asking(this, f"{URL}/", "--overwrite"))
        await this.server.stalled(1)
        store.end()
        this.server.release()
        done = await this.ended(process)
        assert done.code == 1, done.err
        assert "Not sent: s3://evals/team/one cannot be reached" in done.err
        refused = await evaluate(this, *asking(this, "s3://evals/another"))
        assert (refused.code, "cannot be reached" in refused.err) == (2, True)
        store.come_back()
        status = await evaluate(this, "status", URL, "--json")
        assert json.loads(status.out)["outcomes"]["scored"] == 4
        assert sorted(store.ids()) == [f"q{n}" for n in range(4)]
