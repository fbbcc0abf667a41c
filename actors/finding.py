"""How actors of a runtime are found by name, and ended.

The rule here: a name is asked for each time; what it stands for may have been started again since.
"""

import importlib
from contextlib import suppress
from typing import Any, NamedTuple, cast

import ray
from ray.util import list_named_actors

from actors.threads import in_thread
from agent_core.errors import PlacementError

NOT_FOUND = "not_found"


async def find_actor(name: str, namespace: str) -> Any:
    """The actor of that name. Raises PlacementError of kind NOT_FOUND if there is none."""
    try:
        # Asks the cluster and blocks meanwhile.
        return await in_thread(ray.get_actor, name, namespace)
    except ValueError:
        raise PlacementError(f"No actor '{name}' is there. Was the runtime stopped?", NOT_FOUND) from None


async def end_actor(name: str, namespace: str) -> None:
    """End the actor of that name for good, if there is one."""
    with suppress(PlacementError):
        actor = await find_actor(name, namespace)
        await in_thread(ray.kill, actor, no_restart=True)


async def names_in(namespace: str) -> list[str]:
    """The names of all actors in a namespace."""
    # Ray types this for one namespace alone.
    named = cast("list[dict[str, str]]", await in_thread(list_named_actors, all_namespaces=True))
    return [item["name"] for item in named if item["namespace"] == namespace]


def dead_jobs() -> set[str]:
    """The ids of the jobs whose drivers have ended. Asks the cluster and blocks meanwhile."""
    jobs: list[dict[str, Any]] = importlib.import_module("ray._private.state").jobs()
    return {job["JobID"] for job in jobs if job["IsDead"]}


class ListedActor(NamedTuple):
    """A named actor that is there, or is about to be. `state` is Ray's word for it, ids are hexadecimal."""

    id: str
    name: str
    namespace: str
    state: str
    pid: int
    node_id: str
    restarts: int


def listed_actors() -> list[ListedActor]:
    """Every named actor of the cluster that is not dead. Asks the cluster and blocks meanwhile."""
    # The public ways tell no namespace, or need a dashboard.
    accessor: Any = importlib.import_module("ray._private.state").state._connect_and_get_accessor()  # noqa: SLF001
    table: Any = importlib.import_module("ray.core.generated.gcs_pb2").ActorTableData
    found: list[ListedActor] = []
    for state in ("ALIVE", "RESTARTING", "PENDING_CREATION", "DEPENDENCIES_UNREADY"):
        for row in map(table.FromString, accessor.get_actor_table(None, state)):
            if row.name:
                where = (row.actor_id.hex(), row.name, row.ray_namespace, state)
                found.append(ListedActor(*where, row.pid, row.address.node_id.hex(), row.num_restarts))
    return found


def process_id(actor: Any) -> int:
    """The process id of an actor, on its own node. Asks the cluster and blocks meanwhile."""
    # The public way, `ray.util.state`, needs a dashboard.
    table: Any = importlib.import_module("ray._private.state").actors(actor._actor_id.hex())  # noqa: SLF001
    return int(table["Pid"])
