"""The manifests for KubeRay are what its custom resource definitions ask for; no API server is asked."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from typer.main import get_command

from actors.spawning import ROLE_LABEL
from drivers.evaluate import app
from tests.kubernetes.schemas import definition, faults, faults_by, schemas

DIRECTORY = Path("deploy") / "kuberay"
HEAD = "rayconteur"


@pytest.fixture(scope="module")
def manifests(repository: Path) -> dict[str, dict[str, Any]]:
    """Every object of every file, by its kind."""
    files = sorted((repository / DIRECTORY).glob("*.yaml"))
    objects = [each for file in files for each in yaml.safe_load_all(file.read_text())]
    assert len(objects) == len({each["kind"] for each in objects})
    return {each["kind"]: each for each in objects}


@pytest.fixture(scope="module")
def cluster(manifests: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What is asked of the cluster."""
    return manifests["RayCluster"]["spec"]


@pytest.fixture(scope="module")
def groups(cluster: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The head and the groups of workers, by name."""
    return {"head": cluster["headGroupSpec"]} | {group["groupName"]: group for group in cluster["workerGroupSpecs"]}


def containers(groups: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The one container of each group's pods."""
    found = [group["template"]["spec"]["containers"] for group in groups.values()]
    assert [len(each) for each in found] == [1] * len(found)
    return [each[0] for each in found]


@pytest.mark.parametrize("kind", ["RayCluster", "RayJob"])
def test_the_operator_knows_every_field(manifests: dict[str, dict[str, Any]], kind: str) -> None:
    assert manifests[kind]["apiVersion"] == "ray.io/v1"
    assert faults(manifests[kind]) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "nonsense"), 1),
        (("spec", "headGroupSpec", "template", "spec", "nonsense"), 1),
        (("spec", "headGroupSpec", "template", "spec", "containers", 0, "ports", 0, "containerPort"), "many"),
        (("spec", "workerGroupSpecs", 0, "minReplicas"), "one"),
        (("spec", "authOptions", "mode"), "open"),
        (("spec", "autoscalerOptions", "version"), "v3"),
        (("spec", "headGroupSpec", "template", "spec", "containers", 0, "resources", "limits", "memory"), "8 gigs"),
    ],
)
def test_what_no_schema_allows_is_found(
    manifests: dict[str, dict[str, Any]], path: tuple[str | int, ...], value: object
) -> None:
    broken = yaml.safe_load(yaml.safe_dump(manifests["RayCluster"]))
    place = broken
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert len(faults(broken)) == 1


def test_the_network_policy_is_one_as_the_operator_itself_would_make(manifests: dict[str, dict[str, Any]]) -> None:
    policy = manifests["NetworkPolicy"]
    assert policy["apiVersion"] == "networking.k8s.io/v1"
    assert policy["spec"].keys() == {"podSelector", "policyTypes", "ingress"}
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    # The rules of a NetworkPolicy are part of the schema of a RayCluster.
    rules = definition("RayCluster", "spec", "networkPolicy", "head", "ingressRules")
    assert faults_by(rules, policy["spec"]["ingress"]) == []
    assert faults_by(rules, [{"from": [{"nonsense": {}}]}])


def test_the_dashboard_is_open_to_the_namespace_and_the_operator_only(manifests: dict[str, dict[str, Any]]) -> None:
    policy = manifests["NetworkPolicy"]
    own = {"matchLabels": {"ray.io/cluster": manifests["RayCluster"]["metadata"]["name"]}}
    assert policy["spec"]["podSelector"] == own
    inside, dashboard, metrics = policy["spec"]["ingress"]
    assert inside == {"from": [{"podSelector": own}]}
    assert [port["port"] for port in dashboard["ports"]] == [8265]
    assert dashboard["from"][0] == {"podSelector": {}}
    assert [*dashboard["from"][1]] == ["namespaceSelector"]
    assert [port["port"] for port in metrics["ports"]] == [8080]
    assert not any("ipBlock" in peer for rule in policy["spec"]["ingress"] for peer in rule["from"])


def test_all_is_in_one_namespace(manifests: dict[str, dict[str, Any]]) -> None:
    namespace = manifests.pop("Namespace")["metadata"]["name"]
    assert {each["metadata"]["namespace"] for each in manifests.values()} == {namespace}


def test_ray_asks_for_a_token_from_a_secret(cluster: dict[str, Any]) -> None:
    assert cluster["authOptions"] == {"mode": "token", "secretName": "rayconteur-token"}
    assert cluster["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert "enableIngress" not in cluster["headGroupSpec"]


def test_no_secret_stands_in_a_file(repository: Path, groups: dict[str, dict[str, Any]]) -> None:
    variables = [variable for container in containers(groups) for variable in container["env"]]
    assert all("secretKeyRef" in variable["valueFrom"] for variable in variables)
    kinds = [line for file in (repository / DIRECTORY).iterdir() for line in file.read_text().splitlines()]
    assert "kind: Secret" not in kinds


def test_secrets_and_volumes_that_pods_name_are_made(repository: Path, manifests: dict[str, dict[str, Any]]) -> None:
    head = (repository / DIRECTORY / "base.yaml").read_text()
    made = set(re.findall(r"create secret generic (\S+)", head))
    text = yaml.safe_dump(manifests["RayCluster"])
    assert made == set(re.findall(r"\brayconteur-(?:token|journal|keys)\b", text))
    assert re.findall(r"claimName: (\S+)", text) == [manifests["PersistentVolumeClaim"]["metadata"]["name"]]


def test_roles_of_groups_are_those_that_actors_prefer(groups: dict[str, dict[str, Any]]) -> None:
    assert {name: group.get("labels") for name, group in groups.items()} == {
        "head": None,
        "sessions": {ROLE_LABEL: "sessions"},
        "tools": {ROLE_LABEL: "tools"},
    }
    assert groups["head"]["rayStartParams"]["num-cpus"] == "0"


def test_both_groups_are_scaled_apart(cluster: dict[str, Any], groups: dict[str, dict[str, Any]]) -> None:
    assert cluster["enableInTreeAutoscaling"]
    for name in ("sessions", "tools"):
        assert groups[name]["minReplicas"] <= groups[name]["replicas"] < groups[name]["maxReplicas"]
    assert groups["sessions"]["minReplicas"] >= 1


def test_every_pod_is_bounded_probed_and_not_root(groups: dict[str, dict[str, Any]]) -> None:
    for group in groups.values():
        assert group["template"]["spec"]["securityContext"]["runAsNonRoot"]
    for container in containers(groups):
        resources = container["resources"]
        assert resources["requests"].keys() == resources["limits"].keys() == {"cpu", "memory"}
        # Ray takes the limit for what it has; with less reserved a busy machine ends the pod.
        assert resources["requests"]["memory"] == resources["limits"]["memory"]
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()
        assert not container["securityContext"]["allowPrivilegeEscalation"]


def test_ray_is_of_one_version_everywhere(repository: Path, cluster: dict[str, Any]) -> None:
    lines = (repository / "requirements.lock").read_text().splitlines()
    (pin,) = [each for each in map(Requirement, lines) if each.name == "ray"]
    image = re.search(
        r"^FROM rayproject/ray:([\d.]+)-py3", (repository / "deploy" / "Dockerfile").read_text(), re.MULTILINE
    )
    assert image
    assert str(pin.specifier) == f"=={image[1]}" == f"=={cluster['rayVersion']}"


def test_the_image_holds_what_it_is_said_to(repository: Path) -> None:
    copied = re.findall(r"^COPY (\S+) \S+$", (repository / "deploy" / "Dockerfile").read_text(), re.MULTILINE)
    assert {"requirements.lock", "agent_core", "actors", "drivers"} < set(copied)
    assert all((repository / name).exists() for name in copied)


def test_the_job_runs_what_is_there_on_the_cluster_that_is_there(
    repository: Path, manifests: dict[str, dict[str, Any]], groups: dict[str, dict[str, Any]]
) -> None:
    job = manifests["RayJob"]["spec"]
    assert job["clusterSelector"] == {"ray.io/cluster": manifests["RayCluster"]["metadata"]["name"]}
    words = shlex.split(job["entrypoint"])
    # KubeRay puts it into a line of shell as it stands.
    assert not set("$&|;<>~*'\"") & set(job["entrypoint"])
    assert words[:4] == ["python", "-m", "drivers.evaluate", "run"]
    command: Any = get_command(app)
    given = command.commands["run"].make_context("drivers.evaluate", words[4:]).params
    root = re.search(r"PYTHONPATH=(\S+)", (repository / "deploy" / "Dockerfile").read_text())
    assert root
    assert (repository / Path(given["file"]).relative_to(root[1])).is_file()
    (mount,) = groups["head"]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert Path(given["out"]).is_relative_to(mount["mountPath"])
    (variable,) = groups["head"]["template"]["spec"]["containers"][0]["env"]
    assert given["journal"] == f"env:{variable['name']}"


def test_schemas_say_where_they_are_from_and_under_which_licence() -> None:
    known = schemas()
    assert known["license"] == "Apache-2.0"
    assert "KubeRay 1.7.0" in known["$comment"]
    assert known["kinds"].keys() == {"RayCluster", "RayJob"}
