"""How actors of a runtime come to be, and how they are found by name.

The rule here: every actor has a name in the runtime's namespace, is made once however many ask, and is detached: what
ends it is its tether (`tethers.py`) or `stop`, never the death of the one who made it.
"""

import asyncio
import importlib
from typing import Any

import ray
from ray.util import list_named_actors

from actors.journal import JournalHandle
from actors.settings import JOURNAL_NAME, RuntimeSettings
from agent_core.errors import PlacementError
from agent_core.journals.blobs import JournalBlobs
from agent_core.tools import ExecutorOptions
from agent_core.tools.definition import ToolResources


async def find_actor(name: str, namespace: str) -> Any:
    """The actor of that name. Raises PlacementError if there is none."""
    try:
        # Asks the cluster and blocks meanwhile.
        return await asyncio.to_thread(ray.get_actor, name, namespace)
    except ValueError:
        raise PlacementError(f"No actor '{name}' is there. Was the runtime stopped?", "not_found") from None


def process_id(actor: Any) -> int:
    """The process id of an actor, on its own node. Asks the cluster and blocks meanwhile."""
    # The public way, `ray.util.state`, needs a dashboard.
    table: Any = importlib.import_module("ray._private.state").actors(actor._actor_id.hex())  # noqa: SLF001
    return int(table["Pid"])


async def names_in(namespace: str) -> list[str]:
    """The names of all actors in a namespace."""
    named: list[dict[str, str]] = await asyncio.to_thread(list_named_actors, True)
    return [item["name"] for item in named if item["namespace"] == namespace]


def options(name: str, settings: RuntimeSettings, **more: Any) -> dict[str, Any]:
    """The options that every actor of a runtime has."""
    return {
        "name": name,
        "namespace": settings.namespace,
        "lifetime": "detached",
        "get_if_exists": True,
        "num_cpus": 0,
        "max_restarts": -1,
        **more,
    }


async def spawn_session(name: str, settings: RuntimeSettings, capacity: int) -> None:
    """Make a session actor and wait until it answers."""
    from actors.session import SESSION

    chosen = options(name, settings, max_concurrency=10_000)
    await SESSION.options(**chosen).remote(name, settings, capacity).start.remote()


async def spawn_executor(name: str, settings: RuntimeSettings, resources: ToolResources) -> None:
    """Make a tool executor with the resources that its tools ask for, and wait until it answers."""
    from actors.tool_executor import ToolExecutorActor

    needs: dict[str, Any] = {
        "num_cpus": resources.num_cpus,
        "num_gpus": resources.num_gpus,
        "memory": resources.memory,
        "resources": resources.resources or None,
        "runtime_env": resources.runtime_env or None,
    }
    wanted = {key: value for key, value in needs.items() if value is not None}
    chosen = options(name, settings, max_concurrency=10_000, enable_task_events=False, **wanted)
    blobs = JournalBlobs(JournalHandle(JOURNAL_NAME, settings.namespace))
    slots = ExecutorOptions(slots=settings.executor_slots)
    tether = settings if settings.tethered else None
    executor = ray.remote(ToolExecutorActor).options(**chosen).remote(name, slots, blobs, tether=tether)
    await executor.ping.remote()
