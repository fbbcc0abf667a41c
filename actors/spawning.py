"""How actors of a runtime come to be.

The rule here: every actor has a name in the runtime's namespace, is made once however many ask, and is detached: what
ends it is its tether (`tethers.py`) or `stop`, never the death of the one who made it.
"""

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Any

from ray.exceptions import ActorUnavailableError, RuntimeEnvSetupError

from actors.calls import Gone, ask
from actors.journals import journal_of
from actors.nodes import NODE_LABEL, ROLE_LABEL
from actors.settings import RETURN_DEADLINE, RuntimeSettings
from agent_core.errors import PlacementError
from agent_core.journals.blobs import JournalBlobs
from agent_core.tools import ExecutorOptions
from agent_core.tools.definition import ToolResources

NOT_BACK = "not_back"
"""The kind of a PlacementError for an actor that starts again, and has not been seen to: it may yet be."""
_LONGEST_REASON = 500
_PAUSE = 0.1


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


def preferring(role: str, node: str | None = None) -> dict[str, Any]:
    """The options of an actor that is to be on a node with this role, or on any other if there is none to be had.

    If `node` is given, on that one before all: also when it starts again.
    """
    selectors = [{ROLE_LABEL: role}, {}]
    if node is not None:
        selectors.insert(0, {NODE_LABEL: node})
    first, *others = selectors
    return {"label_selector": first, "fallback_strategy": [{"label_selector": other} for other in others]}


@dataclass(frozen=True, slots=True)
class SessionSpawn:
    """A session actor to be made: on that node if it is given; `again` says that there was one of that name before."""

    name: str
    capacity: int
    node: str | None = None
    again: bool = False


async def spawn_session(settings: RuntimeSettings, wanted: SessionSpawn) -> None:
    """Make a session actor and wait until it answers. Raises PlacementError if it does not start."""
    from actors.session import SESSION

    name, where = wanted.name, preferring("sessions", wanted.node)
    chosen = SESSION.options(**options(name, settings, max_concurrency=10_000, **where))
    made = partial(chosen.remote, name, settings, wanted.capacity, again=wanted.again)
    await started(name, await asyncio.to_thread(made), "start")


async def spawn_executor(name: str, settings: RuntimeSettings, resources: ToolResources) -> None:
    """Make a tool executor with the resources that its tools ask for, and wait until it answers.

    Raises PlacementError if it does not start.
    """
    from actors.tool_executor import EXECUTOR

    needs: dict[str, Any] = {
        "num_cpus": resources.num_cpus,
        "num_gpus": resources.num_gpus,
        "memory": resources.memory,
        "resources": resources.resources or None,
        "runtime_env": resources.runtime_env or None,
    }
    wanted = {key: value for key, value in needs.items() if value is not None}
    wanted |= {"max_concurrency": 10_000, "enable_task_events": False, **preferring("tools")}
    chosen = options(name, settings, **wanted)
    blobs = JournalBlobs(journal_of(settings))
    slots = ExecutorOptions(slots=settings.executor_slots)
    try:
        executor = await asyncio.to_thread(EXECUTOR.options(**chosen).remote, name, slots, blobs, runtime=settings)
    except (TypeError, ValueError) as error:
        raise _no_environment(error) from None
    await started(name, executor, "ping")


async def spawn_compactor(name: str, settings: RuntimeSettings) -> tuple[Any, set[str]]:
    """Make a compactor and wait until it answers: its handle, and the keys of the jobs that it is at.

    Raises PlacementError if it does not start.
    """
    from actors.compactor import COMPACTOR

    chosen = COMPACTOR.options(**options(name, settings, max_concurrency=10_000, **preferring("sessions")))
    compactor = await asyncio.to_thread(chosen.remote, name, settings)
    return compactor, set(await started(name, compactor, "start"))


async def started(name: str, actor: Any, method: str) -> Any:
    """Wait until an actor answers, asked by that method: its answer. Raises PlacementError if it does not start.

    One that died a moment ago, or whose node did, starts again; that takes a while, and is no failure.
    """
    until = asyncio.get_running_loop().time() + RETURN_DEADLINE
    while True:
        try:
            return await ask(actor, method)
        except Gone as error:
            if isinstance(error.__cause__, RuntimeEnvSetupError):
                raise _no_environment(error.__cause__) from None
            restarts = isinstance(error.__cause__, ActorUnavailableError)
            if not restarts or asyncio.get_running_loop().time() > until:
                raise PlacementError(
                    f"The actor '{name}' did not start ({error}). Its log is in the Ray dashboard.",
                    NOT_BACK if restarts else "no_start",
                ) from None
        await asyncio.sleep(_PAUSE)


def _no_environment(error: Exception) -> PlacementError:
    """What Ray says of a runtime environment that it refuses or cannot make: the end of it, which says why."""
    said = " ".join(str(error).split())
    shown = said if len(said) <= _LONGEST_REASON else f"...{said[-_LONGEST_REASON:]}"
    return PlacementError(
        f"Its runtime environment cannot be made: {shown} Mend runtime_env or pip in @tool(...).", "runtime_env"
    )
