"""A cluster that grows by itself: `make check-growing`, or `python -m tests.cluster.growing`.

It proves what a cluster of fixed size cannot: that sessions at work have Ray's own autoscaler add nodes, and go there
while they work. The nodes are the made-up ones of Ray's provider for tests, all on this host. Needs Linux and root, as
it ends everything by ending the namespaces that it runs in; takes a minute.

The rule here: as in `check.py`.
"""

import asyncio
import json
import logging
import os
import shlex
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import ray
import typer

from actors.cluster import be_quiet
from actors.finding import listed_actors
from actors.nodes import known_nodes
from actors.settings import is_session_actor
from actors.threads import in_thread
from agent_core.scripted import Knobs, Script
from agent_core.scripted.process import ScriptedServerProcess
from tests.cluster.check import Seen
from tests.cluster.launched import CheckFailed, until
from tests.cluster.machines import INSIDE, ROOT, CannotRunHere, in_bubble

SAMPLES, AT_ONCE, ACTORS = 900, 250, 3
_LATENCY = 8.0
_LONGEST_S = 240.0
_BIN = Path(sys.executable).parent


def autoscaling() -> dict[str, Any]:
    """What the autoscaler is told: a head, and up to two workers for sessions with one CPU each."""
    empty = ["initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray"]
    return {
        "cluster_name": "growing",
        "max_workers": 2,
        "provider": {
            "type": "fake_multinode",
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "available_node_types": {
            "head": {"resources": {"CPU": 1}, "node_config": {}, "max_workers": 0},
            "sessions": {
                "resources": {"CPU": 1},
                "labels": {"rayconteur-role": "sessions"},
                "node_config": {},
                "min_workers": 0,
                "max_workers": 2,
            },
        },
        "head_node_type": "head",
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": 5,
        "auth": {},
        "file_mounts": {},
        "cluster_synced_files": [],
        "file_mounts_sync_continuously": False,
        "rsync_exclude": [],
        "rsync_filter": [],
        **{f"{name}_commands": [] for name in empty},
    }


async def check(seen: Seen, place: Path) -> None:
    """All of it. Raises CheckFailed for what did not happen."""
    await _ran("ip link set lo up")
    (place / "autoscaling.json").write_text(json.dumps(autoscaling()))
    os.environ |= {"RAY_TMPDIR": str(place), "RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    # These nodes share one directory for the code that programs bring along, and each clears it: they find it by path.
    os.environ |= {"PYTHONPATH": str(ROOT), "RAY_JOB_CONFIG_JSON_ENV_VAR": "{}"}
    await _ran(f"{_BIN}/ray start --head --num-cpus=1 --autoscaling-config={place}/autoscaling.json")
    be_quiet()
    await in_thread(ray.init, "auto", log_to_driver=False, logging_level=logging.ERROR)
    first = len(await known_nodes())
    seen.note("nodes at first", first, good=first == 1)
    async with ScriptedServerProcess(Script(knobs=Knobs(first_byte_s=_LATENCY))) as server:
        run = asyncio.create_task(_ran(_evaluation(place, server.url)))
        try:
            await _watched(seen, place, run)
            await run
        finally:
            run.cancel()
    results = [json.loads(line) for line in (place / "out/results.jsonl").read_text().splitlines()]
    outcomes = Counter(result["outcome"] for result in results)
    exact = Counter(result["id"] for result in results) == Counter(f"q{n}" for n in range(SAMPLES))
    told = f"{len(results)} of {SAMPLES}, {dict(outcomes)}"
    seen.note("results of the run", told, good=exact and set(outcomes) == {"scored"})


async def _watched(seen: Seen, place: Path, run: "asyncio.Task[str]") -> None:
    """See the cluster grow, and the sessions follow."""

    async def grown() -> bool:
        if run.done():
            raise CheckFailed(f"The run ended before the cluster had grown: {run.result()[-2000:]}")
        return len(await known_nodes()) == 3

    seen.note("the autoscaler has added two nodes after", f"{await until(grown, 90, 'two more nodes'):.0f} s")

    async def moved() -> bool:
        if run.done():
            raise CheckFailed(f"The run ended before a session actor had moved: {run.result()[-2000:]}")
        return len(await _places()) > 1

    waited = await until(moved, 90, "session actors on more than one node")
    seen.note("session actors go there after", f"{waited:.0f} s, nodes: {sorted((await _places()).values())}")
    done = (place / "out/results.jsonl").read_bytes().count(b"\n")
    seen.note("at", f"{done} of {SAMPLES} results", good=done < SAMPLES)


def _evaluation(place: Path, url: str) -> str:
    rows = [json.dumps({"id": f"q{n}", "input": f"question <{n}>", "target": f"<{n}>"}) for n in range(SAMPLES)]
    (place / "questions.jsonl").write_text("\n".join(rows) + "\n")
    (place / "key").write_text("made-up")
    model = f"--model anthropic/scripted --context-limit 100000 --base-url {url} --api-key file:{place}/key"
    how = f"--scorer includes --concurrency {AT_ONCE} --actors {ACTORS} --address auto --no-report"
    where = f"--out {place}/out --data-dir {place}/data"
    return f"{_BIN}/python -m drivers.evaluate run {place}/questions.jsonl {model} {how} {where}"


async def _places() -> Counter[str]:
    """How many session actors each node has."""
    actors = await in_thread(listed_actors)
    return Counter(actor.node_id for actor in actors if is_session_actor(actor.name) and actor.state == "ALIVE")


async def _ran(line: str) -> str:
    """Run a command; what it printed. Raises CheckFailed if it fails."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *shlex.split(line), cwd=ROOT, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(_LONGEST_S):
            said = (await process.communicate())[0].decode(errors="replace")
    except TimeoutError:
        raise CheckFailed(f"`{line}` did not end within {_LONGEST_S:g} s.") from None
    if process.returncode:
        raise CheckFailed(f"`{line}` ended with {process.returncode}:\n{said[-3000:]}")
    return said


def main() -> None:
    """Try a cluster that grows by itself. Needs root."""
    seen = Seen()
    try:
        if INSIDE not in os.environ:
            raise typer.Exit(in_bubble(["-m", "tests.cluster.growing"]))
        with tempfile.TemporaryDirectory(prefix="rc-", dir="/tmp", ignore_cleanup_errors=True) as place:
            asyncio.run(check(seen, Path(place)))
    except CannotRunHere as error:
        print(f"check-growing: cannot run here. {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    except CheckFailed as error:
        seen.note("stopped", error, good=False)
    except KeyboardInterrupt:
        print("check-growing: interrupted; all of it ends with it.", file=sys.stderr)
        raise typer.Exit(130) from None
    print(f"\n{seen.table()}")
    raise typer.Exit(0 if seen.all_good else 1)


if __name__ == "__main__":
    typer.run(main)
