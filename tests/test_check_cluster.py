"""`make check-cluster` where it cannot run. What it shows where it can takes root and minutes."""

import importlib.metadata
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.cluster.launched import HOME, LaunchedCluster
from tests.cluster.machines import NEEDED, Machines


def test_a_host_without_the_programs_is_told_which_and_nothing_is_started(repository: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.cluster.check"],
        cwd=repository,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "cannot run here" in done.stderr
    assert ("run it as root" if os.geteuid() else NEEDED["rsync"]) in done.stderr


def test_the_file_is_taken_as_it_stands_but_for_what_is_to_be_chosen(repository: Path) -> None:
    written = yaml.safe_load((repository / "cluster-local.yaml").read_text())
    chosen = LaunchedCluster(Machines(("desk", "head", "one", "two"))).chosen()
    # The machines have the very addresses that the file shows.
    assert chosen["provider"] == written["provider"]
    assert chosen["auth"] == written["auth"] | {"ssh_user": "root"}
    changed = {key for key in written if chosen[key] != written[key]}
    assert changed == {"auth", "file_mounts", "head_start_ray_commands", "worker_start_ray_commands"}
    for which in ("head_start_ray_commands", "worker_start_ray_commands"):
        words = Counter(chosen[which][-1].split())
        assert words > Counter(written[which][-1].split())
    assert chosen["file_mounts"].items() > written["file_mounts"].items()


def test_a_machine_sees_nothing_of_the_checkout_and_can_write_to_its_own_only(repository: Path) -> None:
    machines = Machines(("desk", "head"))
    desk, head = (machines.mounts(machine).splitlines() for machine in machines.all.values())
    assert f"mount -t tmpfs tmpfs {repository}" in head
    assert f"mount -t tmpfs tmpfs {repository}" not in desk
    for lines, machine in zip((desk, head), machines.all.values(), strict=True):
        assert lines.index("mount -o remount,bind,ro /") < lines.index(f"mount --bind {machine.place}/home {HOME}")
        assert lines[-1] == f"mount --bind {machine.place}/run /run"


def test_machines_are_apart_and_nothing_of_them_stays(repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.cluster.isolation"], cwd=repository, capture_output=True, text=True, check=False
    )
    if done.returncode == 2:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen.pop("processes of one").splitlines()[0] == "sshd"
    # A checkout that holds its packages: those are there, and nothing else of it.
    assert seen.pop("checkout on one") in {"", ".venv"}
    assert seen == {
        "hostnames": "desk one two",
        "over ssh": "one",
        "checkout at the desk": f"{repository}/Makefile",
        "a file of one, on two": f"{HOME}/mine",
        "the same, looked for there": "0",
        "a file beside the home": "1",
        "packages": importlib.metadata.version("ray"),
        "over ssh, link down": "failed with 255",
        "over ssh, link up": "one",
        "first process": "python",
    }
    assert not Path("/run/machines").exists()
    links = subprocess.run(["ip", "-brief", "link"], capture_output=True, text=True, check=True).stdout
    assert "to-desk" not in links
