"""The nodes of the cluster as places for session actors: which of them take some, and where the next one belongs.

The rule here: an actor goes to the node that has the most memory for each of those that it would have; never to one
that is being drained while there is another. What no node is left for is still placed: Ray does as it can.
"""

import importlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray.experimental import internal_kv

from actors.calls import Gone
from actors.finding import find_actor, names_in
from actors.settings import RuntimeSettings, is_session_actor
from actors.threads import in_thread
from agent_core.errors import PlacementError

ROLE_LABEL = "rayconteur-role"
"""The label of a node that says what it is for: `sessions` or `tools`. See `cluster.yaml`."""
NODE_LABEL = "ray.io/node-id"
"""The label by which Ray itself calls each node."""
_STORE = b"rayconteur"
_DRAINED = "drained/"
_SHORTEST_ID = 4


@dataclass(frozen=True, slots=True)
class SessionNode:
    """A node that is up. `memory` is in bytes; `role` is empty for a node that does not say what it is for."""

    id: str
    address: str = ""
    host: str = ""
    role: str = ""
    cpus: float = 0.0
    memory: float = 0.0
    draining: bool = False


async def known_nodes() -> list[SessionNode]:
    """The nodes that are up. One counts as draining if Ray says so or `avoid` was called for it."""
    return await in_thread(_known_nodes)


def _known_nodes() -> list[SessionNode]:
    listed: list[dict[str, Any]] = ray.nodes()
    leaving = {*_drained(), *_state().state.get_draining_nodes()}
    return [
        SessionNode(
            node["NodeID"],
            node["NodeManagerAddress"],
            node["NodeManagerHostname"],
            node["Labels"].get(ROLE_LABEL, ""),
            node["Resources"].get("CPU", 0.0),
            node["Resources"].get("memory", 0.0),
            draining=node["NodeID"] in leaving,
        )
        for node in listed
        if node["Alive"]
    ]


async def draining_until() -> dict[str, float]:
    """The nodes that Ray is draining, with the time at which it ends them (seconds since the epoch; 0: not said)."""
    found: dict[str, int] = await in_thread(_state().state.get_draining_nodes)
    return {node: deadline / 1000 for node, deadline in found.items()}


async def avoid(node: str) -> None:
    """Place no session actor on the node from now on, whoever places it. Holds as long as the cluster does."""
    await in_thread(internal_kv._internal_kv_put, (_DRAINED + node).encode(), b"1", namespace=_STORE)  # noqa: SLF001


def _drained() -> list[str]:
    listed: list[bytes] = internal_kv._internal_kv_list(_DRAINED.encode(), namespace=_STORE)  # noqa: SLF001
    return [key.decode().removeprefix(_DRAINED) for key in listed]


def _state() -> Any:
    return importlib.import_module("ray._private.state")


def node_called(wanted: str, nodes: Iterable[SessionNode]) -> SessionNode:
    """The node with that id, the beginning of one, that address or host. Raises PlacementError without one."""
    by_id = [node for node in nodes if len(wanted) >= _SHORTEST_ID and node.id.startswith(wanted)]
    found = by_id or [node for node in nodes if wanted in {node.address, node.host}]
    if len(found) != 1:
        problem = "is no node of the cluster" if not found else f"is the name of {len(found)} nodes"
        raise PlacementError(f"'{wanted}' {problem}. Give an id, which `ray list nodes` shows.", "no_node")
    return found[0]


def for_sessions(nodes: Iterable[SessionNode]) -> list[SessionNode]:
    """The nodes that session actors belong on: those of their role; else those of none, but a head without CPUs."""
    there = [node for node in nodes if not node.draining]
    groups = (
        [node for node in there if node.role == "sessions"],
        [node for node in there if not node.role and node.cpus],
        [node for node in there if node.cpus],
        there,
    )
    return next((group for group in groups if group), [])


def roomiest(nodes: Iterable[SessionNode], load: Mapping[str, int]) -> SessionNode | None:
    """The node where one more actor has the most room. `load` counts the actors of each node."""
    return min(nodes, key=lambda node: (_strain(node, load.get(node.id, 0) + 1), node.id), default=None)


def _strain(node: SessionNode, actors: int) -> float:
    return actors / max(node.memory, 1.0)


def misplaced(nodes: Iterable[SessionNode], placed: Mapping[str, str]) -> str | None:
    """The actor of `placed` (name to node) that would have more room on another node than it has; None if none would.

    An actor on a node that takes none, or is gone, is not looked at.
    """
    nodes, load = list(nodes), Counter(placed.values())
    best = roomiest(nodes, load)
    fullest = max(nodes, key=lambda node: _strain(node, load[node.id]), default=None)
    # A thousandth keeps nodes of nearly the same size from handing an actor to and fro.
    if (
        best is None
        or fullest is None
        or _strain(best, load[best.id] + 1) * 1.001 >= _strain(fullest, load[fullest.id])
    ):
        return None
    return max(name for name, node in placed.items() if node == fullest.id)


async def session_load(prefix: str) -> Counter[str]:
    """How many actors of such names each node has, those of every runtime."""
    table: dict[str, dict[str, Any]] = await in_thread(_state().actors)
    alive = (actor for actor in table.values() if actor["State"] not in {"DEAD", "DEPENDENCIES_UNREADY"})
    return Counter(actor["Address"]["NodeID"] for actor in alive if (actor["Name"] or "").startswith(prefix))


async def placed_actors(settings: RuntimeSettings) -> dict[str, str]:
    """The session actors of this runtime, by name, and the node of each."""
    placed: dict[str, str] = {}
    for name in await names_in(settings.namespace):
        if is_session_actor(name):
            try:
                actor = await find_actor(name, settings.namespace)
            except (Gone, PlacementError):
                continue
            told: dict[str, Any] = await in_thread(_state().actors, actor._actor_id.hex())  # noqa: SLF001
            placed[name] = told["Address"]["NodeID"]
    return placed


class Rooms:
    """Chooses nodes for the actors that one process starts; those under way count."""

    def __init__(self) -> None:
        self._chosen: dict[str, str] = {}

    async def choose(self, name: str, prefix: str) -> str | None:
        """The node for the actor `name`, of those whose names begin with `prefix`. None if there is no choice."""
        known = await known_nodes()
        if len(known) == 1:
            return None
        nodes = for_sessions(known)
        load = await session_load(prefix)
        load.update(node for other, node in self._chosen.items() if other != name)
        best = roomiest(nodes, load)
        if best is not None:
            self._chosen[name] = best.id
        return best.id if best else None

    def settle(self, name: str) -> None:
        """The actor is there, or will not be."""
        self._chosen.pop(name, None)
