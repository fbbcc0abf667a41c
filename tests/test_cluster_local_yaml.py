"""`cluster-local.yaml` is what Ray's cluster launcher accepts. That it works is for `make check-cluster` to show."""

import ipaddress
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.commands import warn_about_bad_start_command
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts.scripts import cli
from typer.main import get_command

from actors.spawning import ROLE_LABEL
from drivers.evaluate import app
from tests.test_cluster_yaml import START_COMMANDS, shown, strings

FILE = "cluster-local.yaml"


@pytest.fixture(scope="module")
def written(repository: Path) -> dict[str, Any]:
    """The file as it stands."""
    return yaml.safe_load((repository / FILE).read_text())


@pytest.fixture(scope="module")
def prepared(written: dict[str, Any]) -> dict[str, Any]:
    """The file with Ray's own defaults filled in, as `ray up` sees it."""
    return prepare_config(written)


def test_launcher_accepts_the_file(prepared: dict[str, Any]) -> None:
    validate_config(prepared)


def test_launcher_refuses_the_file_with_an_unknown_key(prepared: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="nonsense"):
        validate_config(prepared | {"nonsense": 1})


def test_every_machine_is_to_be_a_node(prepared: dict[str, Any]) -> None:
    addresses = [prepared["provider"]["head_ip"], *prepared["provider"]["worker_ips"]]
    # Addresses for documentation (RFC 5737): nobody's machine is one of them by accident.
    assert all(ipaddress.ip_address(address) in ipaddress.ip_network("192.0.2.0/24") for address in addresses)
    (kind,) = prepared["available_node_types"].values()
    assert kind["min_workers"] == kind["max_workers"] == len(addresses) - 1


def test_head_command_starts_the_autoscaler(prepared: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    warn_about_bad_start_command(prepared["head_start_ray_commands"], False)
    assert not capsys.readouterr().out
    assert "RAY_enable_autoscaler_v2=0" in prepared["head_start_ray_commands"][-1]


@pytest.mark.parametrize("commands", START_COMMANDS)
def test_every_machine_starts_with_token_authentication(prepared: dict[str, Any], commands: str) -> None:
    (start,) = [command for command in prepared[commands] if "ray start" in command]
    assert "RAY_AUTH_MODE=token" in start
    assert prepared["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"


def test_the_dashboard_listens_on_the_head_alone(prepared: dict[str, Any]) -> None:
    (host,) = [
        text.split("--dashboard-host=")[1].split()[0] for text in strings(prepared) if "--dashboard-host" in text
    ]
    assert ipaddress.ip_address(host).is_loopback


@pytest.mark.parametrize(("said", "role"), [(None, "sessions"), ("tools", "tools")])
def test_a_machine_says_what_it_is_for(prepared: dict[str, Any], tmp_path: Path, said: str | None, role: str) -> None:
    if said is not None:
        (tmp_path / ".rayconteur-role").write_text(f"{said}\n")
    ray = tmp_path / "rayconteur" / "venv" / "bin" / "ray"
    ray.parent.mkdir(parents=True)
    ray.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    ray.chmod(0o755)
    command = prepared["worker_start_ray_commands"][-1]
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "RAY_HEAD_IP": "192.0.2.10"}
    started = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=True)
    words = started.stdout.splitlines()
    assert words[0] == "start"
    assert {"--address=192.0.2.10:6379", f"--labels={ROLE_LABEL}={role}"} < set(words)


def test_a_machine_that_is_set_up_is_left_as_it_is(prepared: dict[str, Any], tmp_path: Path) -> None:
    place = tmp_path / "rayconteur"
    (place / "venv" / "bin").mkdir(parents=True)
    for name in ("python", "ray", "pip", "sudo", "rsync"):
        (place / "venv" / "bin" / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/{name}-ran\n")
        (place / "venv" / "bin" / name).chmod(0o755)
    for name in ("requirements.lock", "installed.lock"):
        (place / name).write_text("ray==1\n")
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").touch(0o644)
    environment = {"HOME": str(tmp_path), "PATH": f"{place}/venv/bin:{os.environ['PATH']}"}
    for command in (*prepared["initialization_commands"], *prepared["head_setup_commands"]):
        subprocess.run(["bash", "-c", command], env=environment, check=True)
    assert not [*tmp_path.glob("*-ran")]
    assert (tmp_path / ".ray" / "auth_token").stat().st_mode & 0o777 == 0o600
    (place / "requirements.lock").write_text("ray==2\n")
    for command in prepared["head_setup_commands"]:
        subprocess.run(["bash", "-c", command], env=environment, check=True)
    assert (tmp_path / "pip-ran").exists()
    assert (place / "installed.lock").read_text() == "ray==2\n"


def test_files_of_the_repository_that_machines_get_exist(prepared: dict[str, Any], repository: Path) -> None:
    own = [local for local in prepared["file_mounts"].values() if not local.startswith("~")]
    assert own == ["requirements.lock"]
    assert all((repository / local).is_file() for local in own)


def test_the_commands_that_are_shown_are_rays(repository: Path) -> None:
    commands = [words for words in shown(repository, FILE) if words[0] == "ray"]
    assert len(commands) >= 6
    for _, name, *rest in commands:
        assert name in cli.commands
        assert name in {"get-auth-token", "job"} or FILE in rest


def test_the_job_that_is_shown_is_taken_and_its_results_outlive_it(repository: Path) -> None:
    (job,) = [words for words in shown(repository, FILE) if words[1:3] == ["job", "submit"]]
    module, command, *arguments = job[job.index("-m") + 1 :]
    assert (module, command) == ("drivers.evaluate", "run")
    chosen: Any = get_command(app)
    given = chosen.commands[command].make_context(module, arguments).params
    assert given["out"].startswith(("~/", "/"))
    assert (repository / given["file"]).is_file()
