"""`python -m drivers.doctor` on a cluster of others: who has its token is told everything, who has not, that."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.actors.test_joining import HOST, TOKEN, running
from tests.actors.world import PLANTED, PLANTED_KEY
from tests.drivers.forked import ForkServer

pytestmark = pytest.mark.timeout(180)


async def test_the_head_the_dashboard_and_every_node_are_asked(
    repository: Path, tmp_path: Path, forks: ForkServer
) -> None:
    with tempfile.TemporaryDirectory(prefix="doctor-", ignore_cleanup_errors=True) as temporary:
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "RAY_TMPDIR": temporary}
        async with running({**token, PLANTED: PLANTED_KEY, "PYTHONPATH": str(repository)}, HOST) as host:
            address = await host.line()

            async def found(*more: str, **environment: str) -> dict[str, dict[str, Any]]:
                words = ("--address", address, "--data-dir", str(tmp_path), "--api-key", f"env:{PLANTED}", *more)
                settings = {**os.environ, **token, **environment}
                process = await forks.start("drivers.doctor", "--json", *words, cwd=repository, env=settings)
                out, err = await process.communicate(b"")
                told = json.loads(out)
                assert (err, process.returncode) == (b"", min(1, told["problems"]))
                assert TOKEN.encode() not in out
                assert PLANTED_KEY.encode() not in out
                return {f"{check['area']} {check['name']}": check for check in told["checks"]}

            sound = await found("--name", "desk")
            for name in ("address", "head", "versions", "dashboard", "nodes"):
                assert sound[f"cluster {name}"]["mark"] == "ok", sound[f"cluster {name}"]
            assert sound["cluster address"]["text"] == f"a head answers at {address}"
            assert sound["cluster nodes"]["text"].startswith("1 alive with 4 CPUs")
            assert "is not running" in sound["cluster runtimes"]["text"]
            for name in ("tasks", "clocks", "packages"):
                assert sound[f"nodes {name}"]["mark"] == "ok", sound[f"nodes {name}"]
            assert sound["nodes keys"]["text"] == f"${PLANTED} set on every node"
            assert list(tmp_path.iterdir()) == []

            stranger = await found(RAY_AUTH_TOKEN="another-word-that-is-as-long")
            assert stranger["cluster address"]["mark"] == "problem"
            assert "wants its token" in stranger["cluster address"]["text"]
            assert stranger["cluster head"]["mark"] == stranger["nodes tasks"]["mark"] == "not checked"

            jobs = [job for job in (await host.listed())["jobs"] if job["status"] == "RUNNING"]
            assert len(jobs) <= 1, "only the host itself is still there"
