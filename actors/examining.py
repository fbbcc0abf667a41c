"""A cluster looked at from outside: its head, its dashboard, and what each node says of itself.

The rule here: nothing is started and nothing stays behind. The head is asked without becoming a program of the cluster;
only `ask_nodes` joins it, for one short task on each node, which carries its own code and so runs where this project is
not installed.
"""

import asyncio
import importlib
import json
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import aiohttp
import ray
from ray.util import list_named_actors
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors import examining_node
from actors.cluster import be_quiet
from actors.examining_node import NodeFacts, node_facts
from actors.reaching import resolve
from actors.threads import in_thread
from agent_core.errors import PlacementError

__all__ = [
    "Answers",
    "Head",
    "NodeFacts",
    "Versions",
    "ask_dashboard",
    "ask_nodes",
    "local_versions",
    "look",
    "resolve",
]

_PATIENCE = 3.0
_UNAUTHENTICATED = 401


@dataclass(frozen=True, slots=True)
class Versions:
    """Of one side: Ray will only join a cluster of the very same ones."""

    ray: str
    python: str


@dataclass(frozen=True, slots=True)
class NodeSeen:
    """A node as the head knows it. `resources` as Ray counts them, memory in bytes."""

    id: str
    address: str
    is_head: bool
    draining: bool = False
    resources: dict[str, float] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Head:
    """What the head of a cluster says. `latency` is one round trip in seconds; `dead` counts nodes that are gone."""

    address: str
    versions: Versions
    latency: float
    nodes: Sequence[NodeSeen]
    dead: int
    dashboard: str | None


@dataclass(frozen=True, slots=True)
class Answers:
    """What a cluster's nodes said, and how many actors with a name each namespace has."""

    nodes: "Sequence[NodeAnswer]"
    actors: dict[str, int]


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    """What a node said of itself, or why it did not. `skew` is its clock less this one's, within `error` seconds."""

    node: NodeSeen
    facts: NodeFacts | None = None
    skew: float = 0.0
    error: float = 0.0
    failure: str = ""


def local_versions() -> Versions:
    """Those of this process, as Ray compares them."""
    ours: Any = importlib.import_module("ray._private.utils").compute_version_info()
    return Versions(ours[0], ours[1])


async def look(address: str) -> Head:
    """Ask the head at `address` (host:port, as `resolve` found it). Raises PlacementError if it does not tell."""
    be_quiet()
    try:
        return await in_thread(_look, address)
    except Exception as error:  # what Ray's client raises has no base of its own
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise PlacementError(
            f"The head at {address} does not tell what it knows ({first[:120]}). Look into its logs (gcs_server.out).",
            "unreachable",
        ) from error


def _look(address: str) -> Head:
    client: Any = importlib.import_module("ray._raylet").GcsClient(address=address)
    usage: Any = importlib.import_module("ray._common.usage.usage_lib")
    metadata: dict[str, str] = usage.get_cluster_metadata(client)
    began = time.perf_counter()
    infos: dict[Any, Any] = client.get_all_node_info(timeout=_PATIENCE)
    latency = time.perf_counter() - began
    alive = [info for info in infos.values() if info.state == 0]
    draining = {key.hex() if hasattr(key, "hex") else str(key) for key in _draining(client)}
    found = client.internal_kv_get(b"webui:url", namespace=b"dashboard", timeout=_PATIENCE)
    return Head(
        address=address,
        versions=Versions(metadata["ray_version"], metadata["python_version"]),
        latency=latency,
        nodes=[_node(info, draining) for info in alive],
        dead=len(infos) - len(alive),
        dashboard=found.decode() if found else None,
    )


def _draining(client: Any) -> Sequence[Any]:
    return list(client.get_draining_nodes(timeout=_PATIENCE))


def _node(info: Any, draining: set[str]) -> NodeSeen:
    id = info.node_id.hex()
    return NodeSeen(
        id=id,
        address=info.node_manager_address,
        is_head=info.is_head_node,
        draining=id in draining,
        resources=dict(info.resources_total),
        labels=dict(info.labels),
    )


async def ask_dashboard(url: str) -> tuple[int, str]:
    """The status of the dashboard's own version page and what it says, with this machine's token.

    Raises PlacementError if nothing answers.
    """
    tokens: Any = importlib.import_module("ray._private.authentication.http_token_authentication")
    headers: dict[str, str] = tokens.get_auth_headers_if_auth_enabled({})
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PATIENCE)) as session,
            session.get(f"http://{url}/api/version", headers=headers) as response,
        ):
            text = await response.text()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise PlacementError(
            f"The dashboard does not answer at http://{url} ({type(error).__name__}). It listens on its own node unless"
            " the head was started with --dashboard-host: come by SSH, or run this there.",
            "unreachable",
        ) from None
    if response.status == _UNAUTHENTICATED:
        return response.status, ""
    try:
        return response.status, str(json.loads(text).get("ray_version", ""))
    except (ValueError, AttributeError):
        return response.status, ""


async def ask_nodes(
    head: Head, nodes: Sequence[NodeSeen], packages: Sequence[str], variables: Sequence[str], patience: float
) -> Answers:
    """What each of the nodes says of itself, all asked at once, each for `patience` seconds at most.

    `packages` are names of distributions whose versions are wanted; of the `variables` it is told only whether they are
    set. Raises PlacementError if the cluster cannot be joined.
    """
    be_quiet()
    joined = False
    if not ray.is_initialized():
        await in_thread(_join, head.address)
        joined = True
    try:
        answers = await asyncio.gather(*(_ask(node, packages, variables, patience) for node in nodes))
        # Ray types this for one namespace alone.
        named = cast("list[dict[str, str]]", await in_thread(list_named_actors, all_namespaces=True))
        return Answers(answers, dict(Counter(item["namespace"] for item in named)))
    finally:
        if joined:
            await in_thread(ray.shutdown)


def _join(address: str) -> None:
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=True)
    except Exception as error:  # Ray raises whatever it likes
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise PlacementError(f"The cluster at {address} cannot be joined ({first[:120]}).", "unreachable") from error


async def _ask(node: NodeSeen, packages: Sequence[str], variables: Sequence[str], patience: float) -> NodeAnswer:
    pickling: Any = importlib.import_module("ray.cloudpickle")
    # Nodes need not have this project: its function travels with the task.
    pickling.register_pickle_by_value(examining_node)
    remote: Any = ray.remote(node_facts).options(
        num_cpus=0,
        max_retries=0,
        name="doctor",
        scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
    )
    try:
        async with asyncio.timeout(patience):
            # The first one waits for a process to start, so its clock says little.
            facts = NodeFacts(**await remote.remote(list(packages), list(variables)))
            skew, error = await _skew(remote)
    except TimeoutError:
        return NodeAnswer(node, failure=f"no answer within {patience:.0f} s")
    except Exception as error:  # noqa: BLE001 - whatever keeps the task from running is the answer
        first = next(iter(str(error).splitlines()), type(error).__name__)
        return NodeAnswer(node, failure=first[:120])
    finally:
        pickling.unregister_pickle_by_value(examining_node)
    return NodeAnswer(node, facts, skew, error)


async def _skew(remote: Any) -> tuple[float, float]:
    """The node's clock less this one's, by the quickest of three questions; half its round trip is the error."""
    best = (0.0, float("inf"))
    for _ in range(3):
        before = time.time()
        theirs: float = (await remote.remote([], []))["now"]
        after = time.time()
        if (half := (after - before) / 2) < best[1]:
            best = (theirs - (before + after) / 2, half)
    return best
