"""The cluster that Ray's launcher makes of the machines, as the user's own machine sees it.

The rule here: what is done is what `cluster-local.yaml` shows a user. The file is taken as it stands but for what says
CHOOSE, and for settings that make a small host do: one CPU for each worker, and a quicker look at who is still there.
"""

import asyncio
import json
import shlex
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.machines import HOME, PACKAGES, ROOT, Machine, Machines

FILE = "cluster-local.yaml"
DASHBOARD = "http://127.0.0.1:8265"
# Ray gives a node up that misses three looks. By Ray's own settings that takes a minute.
_HEALTH = "RAY_health_check_period_ms=1000 RAY_health_check_timeout_ms=2000 RAY_health_check_failure_threshold=3"
_SMALL = "--num-cpus=1 --object-store-memory=100000000"
_CODE = ("agent_core", "actors", "drivers", "examples")
_ASK = """\
import json, pathlib, sys, urllib.request
token = (pathlib.Path.home() / ".ray" / "auth_token").read_text().strip()
asked = urllib.request.Request(sys.argv[1], headers={"Authorization": "Bearer " + token})
print(json.dumps(json.load(urllib.request.urlopen(asked, timeout=10))["data"]["result"]["result"]))
"""


class CheckFailed(Exception):
    """Something did not happen that should have; the text says what, and what was said instead."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node as Ray lists it; `id` is new whenever Ray starts there."""

    id: str
    address: str
    alive: bool


class LaunchedCluster:
    """The machines with Ray on them. The first machine is the user's, the second the head, the others workers."""

    def __init__(self, machines: Machines) -> None:
        self.machines = machines
        self.desk, self.head, *self.workers = machines.all.values()
        self._tunnel: asyncio.subprocess.Process | None = None

    @property
    def address(self) -> str:
        """Where a program on one of the machines joins."""
        return f"{self.head.address}:6379"

    def prepare(self, key: str) -> None:
        """Lay out the user's home: the checkout, the launcher's file, a key for the model."""
        checkout = self.desk.home / "checkout"
        for name in _CODE:
            shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "requirements.lock", checkout)
        (self.desk.home / "model-key").write_text(key)
        (checkout / FILE).write_text(yaml.safe_dump(self.chosen(), sort_keys=False))
        for machine in (self.head, *self.workers):
            # A machine that has the packages already: set-up finds that and downloads nothing.
            (machine.home / "rayconteur").mkdir()
            (machine.home / "rayconteur" / "venv").symlink_to(PACKAGES)
            shutil.copy(ROOT / "requirements.lock", machine.home / "rayconteur" / "installed.lock")

    def chosen(self) -> dict[str, Any]:
        """The launcher's file with what a user has to choose."""
        written: dict[str, Any] = yaml.safe_load((ROOT / FILE).read_text())
        provider = {"head_ip": self.head.address, "worker_ips": [worker.address for worker in self.workers]}
        written["provider"] |= provider
        written["auth"]["ssh_user"] = "root"
        written["file_mounts"]["~/model-key"] = "~/model-key"
        for which, old, new in (
            ("head_start_ray_commands", "ray start --head", f"{_HEALTH} ray start --head"),
            ("worker_start_ray_commands", "ray start ", f"ray start {_SMALL} "),
        ):
            *before, start = written[which]
            written[which] = [*before, start.replace(old, new)]
        return written

    async def launch(self) -> None:
        """`ray up`, and the tunnel to its dashboard. Returns when every machine is a node."""
        await self.at_desk("ray get-auth-token --generate >/dev/null")
        await self.at_desk(f"ray up -y --no-config-cache --disable-usage-stats {FILE}", seconds=180)
        self._tunnel = await self.start(self.desk, f"ray dashboard --no-config-cache {FILE}", self.log("tunnel"))
        await self.all_alive()

    async def all_alive(self, seconds: float = 180) -> None:
        """Wait until every machine but the user's own is a node that lives. Raises CheckFailed."""
        wanted = {machine.address for machine in (self.head, *self.workers)}

        async def joined() -> bool:
            return wanted <= {node.address for node in await self.nodes() if node.alive}

        await until(joined, seconds, f"a node on each of {', '.join(sorted(wanted))}")

    async def nodes(self) -> list[Node]:
        """Every node that the cluster knows or has known; none while nobody answers."""
        return [Node(row["node_id"], row["node_ip"], row["state"] == "ALIVE") for row in await self._listed("nodes")]

    async def session_actors(self) -> Counter[str]:
        """How many session actors are alive on each machine, by its name."""
        names = {machine.address: machine.name for machine in self.machines.all.values()}
        names = {node.id: names[node.address] for node in await self.nodes()}
        rows = await self._listed("actors")
        alive = [row for row in rows if row["state"] == "ALIVE" and row["name"].startswith("sessions/")]
        return Counter(names.get(row["node_id"], "?") for row in alive)

    async def _listed(self, what: str) -> list[dict[str, Any]]:
        address = f"{DASHBOARD}/api/v0/{what}?limit=1000"
        process = await self.start(self.desk, ["python", "-c", _ASK, address], None)
        said, _ = await process.communicate()
        return [] if process.returncode else json.loads(said)

    async def at_desk(self, line: str, seconds: float = 60) -> str:
        """Run a command as the user does, in the checkout: what it printed. Raises CheckFailed if it fails."""
        process = await self.start(self.desk, line, None, errors=asyncio.subprocess.STDOUT)
        try:
            async with asyncio.timeout(seconds):
                said = (await process.communicate())[0].decode(errors="replace")
        except TimeoutError:
            raise CheckFailed(f"`{line}` did not end within {seconds:g} s.") from None
        if process.returncode:
            raise CheckFailed(f"`{line}` ended with {process.returncode}:\n{said[-3000:]}")
        return said

    async def start(
        self, machine: Machine, line: Sequence[str] | str, log: Path | None, *, errors: int | None = None
    ) -> asyncio.subprocess.Process:
        """Start a command there; what it prints goes to `log`, else to a pipe."""
        directory = HOME / "checkout" if machine is self.desk else HOME
        words = machine.command(line, directory)
        if log is None:
            quiet = errors or asyncio.subprocess.DEVNULL
            into: Any = {"stdout": asyncio.subprocess.PIPE, "stderr": quiet}
            return await asyncio.create_subprocess_exec(*words, stdin=asyncio.subprocess.DEVNULL, **into)
        with log.open("wb") as file:
            into = {"stdout": file, "stderr": asyncio.subprocess.STDOUT}
            return await asyncio.create_subprocess_exec(*words, stdin=asyncio.subprocess.DEVNULL, **into)

    def log(self, name: str) -> Path:
        """Where what a command prints is kept."""
        return self.desk.place / f"{name}.log"

    async def raylets(self, machine: Machine) -> int:
        """How many of Ray's node processes run there."""
        process = await self.start(machine, "pgrep -c -x raylet || true", None)
        return int((await process.communicate())[0])

    async def take_down(self) -> None:
        """`ray down`, which stops Ray on every machine. Raises CheckFailed."""
        await self.at_desk(f"ray down -y {FILE}", seconds=120)

    def keep_logs(self, directory: Path) -> None:
        """Copy what every machine has logged to a directory outside."""
        for machine in self.machines.all.values():
            into = directory / machine.name
            into.mkdir(parents=True, exist_ok=True)
            for file in (*machine.place.glob("*.log"), *(machine.place / "tmp").glob("ray/session_2*/logs/**/*")):
                if file.is_file() and not file.is_symlink():
                    shutil.copy(file, into / "-".join(file.relative_to(machine.place).parts[-3:]))


async def until(holds: Any, seconds: float, what: str, pause: float = 0.5) -> float:
    """Wait until it holds: after how many seconds. Raises CheckFailed if it does not in time."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not await holds():
        if loop.time() > began + seconds:
            raise CheckFailed(f"Waited {seconds:g} s for {what}, in vain.")
        await asyncio.sleep(pause)
    return loop.time() - began


def evaluation(out: str, questions: str, model: str, more: str = "") -> str:
    """The command that runs an evaluation, as a line of shell."""
    options = "--model anthropic/scripted --context-limit 100000 --scorer includes --concurrency 8 --actors 4"
    where = f"--base-url {shlex.quote(model)} --api-key file:{HOME}/model-key --out {out} --no-report"
    return f"python -m drivers.evaluate run {questions} {options} {where} {more}".strip()
