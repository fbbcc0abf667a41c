"""`cluster.yaml` is what Ray's cluster launcher accepts, by Ray's own checks; no cloud is asked."""

import ipaddress
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.commands import warn_about_bad_start_command
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts.scripts import cli
from typer.main import get_command

from actors.spawning import ROLE_LABEL, preferring
from drivers.evaluate import app

START_COMMANDS = ("head_start_ray_commands", "worker_start_ray_commands")


@pytest.fixture(scope="module")
def written(repository: Path) -> dict[str, Any]:
    """The file as it stands."""
    return yaml.safe_load((repository / "cluster.yaml").read_text())


@pytest.fixture(scope="module")
def prepared(written: dict[str, Any]) -> dict[str, Any]:
    """The file with Ray's own defaults filled in, as `ray up` sees it."""
    return prepare_config(written)


def strings(value: object) -> Iterator[str]:
    """Every string anywhere inside a configuration."""
    match value:
        case str():
            yield value
        case dict():
            for inner in value.values():
                yield from strings(inner)
        case list():
            for inner in value:
                yield from strings(inner)
        case _:
            pass


def test_launcher_accepts_the_file(prepared: dict[str, Any]) -> None:
    validate_config(prepared)


def test_launcher_refuses_the_file_with_an_unknown_key(prepared: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="nonsense"):
        validate_config(prepared | {"nonsense": 1})


def test_session_and_tool_nodes_are_scaled_apart(prepared: dict[str, Any]) -> None:
    types = prepared["available_node_types"]
    assert types["sessions"]["max_workers"] + types["tools"]["max_workers"] <= prepared["max_workers"]
    assert types["tools"]["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
    assert "InstanceMarketOptions" not in types["sessions"]["node_config"]
    assert types["head"]["resources"]["CPU"] == 0


def test_no_node_gives_its_credentials_to_a_bare_request(prepared: dict[str, Any]) -> None:
    for node in prepared["available_node_types"].values():
        assert node["node_config"]["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}


def test_head_command_starts_the_autoscaler(prepared: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    warn_about_bad_start_command(prepared["head_start_ray_commands"], False)
    assert not capsys.readouterr().out


@pytest.mark.parametrize("commands", START_COMMANDS)
def test_every_node_starts_with_token_authentication(prepared: dict[str, Any], commands: str) -> None:
    (start,) = [command for command in prepared[commands] if "ray start" in command]
    assert "RAY_AUTH_MODE=token" in start
    assert prepared["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"


def test_no_port_is_opened_to_the_world(prepared: dict[str, Any]) -> None:
    assert prepared["provider"]["security_group"]["IpPermissions"] == []
    hosts = [text.split("--dashboard-host=")[1].split()[0] for text in strings(prepared) if "--dashboard-host=" in text]
    assert hosts
    assert all(ipaddress.ip_address(host).is_loopback for host in hosts)


def test_commands_are_valid_shell(prepared: dict[str, Any]) -> None:
    lists = [value for key, value in prepared.items() if key.endswith("_commands")]
    commands = [command for value in lists for command in value]
    assert len(commands) >= 8
    for command in commands:
        checked = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, f"{command}\n{checked.stderr}"


def test_files_of_the_repository_that_nodes_get_exist(prepared: dict[str, Any], repository: Path) -> None:
    own = [local for local in prepared["file_mounts"].values() if not local.startswith("~")]
    assert own == ["requirements.lock"]
    assert all((repository / local).is_file() for local in own)


def test_the_image_has_to_be_chosen(written: dict[str, Any]) -> None:
    images = {node["node_config"]["ImageId"] for node in written["available_node_types"].values()}
    assert images == {written["metadata"]["image"]}


def shown(repository: Path, name: str = "cluster.yaml") -> list[list[str]]:
    """The commands that the head of a file for the launcher shows, as words."""
    head = (repository / name).read_text().partition("\ncluster_name:")[0]
    lines = re.sub(r"\\\n#\s*", "", head).splitlines()
    # What a command does stands behind it, after three spaces or more.
    commands = [re.split(r"\s{3,}", line.removeprefix("#").strip())[0] for line in lines if line.startswith("#   ")]
    return [shlex.split(command.removeprefix("RAY_AUTH_MODE=token ")) for command in commands]


def test_the_commands_that_are_shown_are_rays(repository: Path) -> None:
    for ray, name, *_ in (words for words in shown(repository) if words[0] == "ray"):
        assert ray == "ray"
        assert name in cli.commands
    assert len(shown(repository)) >= 6


def test_the_job_that_is_shown_is_taken_and_its_results_outlive_it(repository: Path) -> None:
    (job,) = [words for words in shown(repository) if words[1:3] == ["job", "submit"]]
    module, command, *arguments = job[job.index("-m") + 1 :]
    assert (module, command) == ("drivers.evaluate", "run")
    chosen: Any = get_command(app)
    given = chosen.commands[command].make_context(module, arguments).params
    assert given["out"].startswith(("~/", "/"))
    assert (repository / given["file"]).is_file()


def test_roles_of_nodes_are_those_that_actors_prefer(prepared: dict[str, Any]) -> None:
    labels = [node.get("labels", {}) for node in prepared["available_node_types"].values()]
    roles = [each[ROLE_LABEL] for each in labels if ROLE_LABEL in each]
    assert sorted(roles) == ["sessions", "tools"]
    assert all(preferring(role)["label_selector"] == {ROLE_LABEL: role} for role in roles)
