"""What an operator has runtimes do that other programs started: leave a node, move a session.

The rule here: it joins a cluster that is there and the runtimes on it, and starts none. What it asks for goes on though
this program ends.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import ray
from ray.util import list_named_actors

from actors.calls import Gone, ask
from actors.cluster import connect, disconnect
from actors.finding import find_actor
from actors.reaching import resolve
from actors.router_handle import RouterHandle
from actors.settings import RuntimeSettings, router_name
from actors.threads import in_thread
from agent_core.errors import ConfigError, PlacementError

_PREFIX = "rayconteur/"
_CONTROL = "rayconteur-operator"


@asynccontextmanager
async def joined(address: str | None) -> AsyncIterator[None]:
    """The cluster at `address` (see `Runtime`), which must be there. Raises PlacementError or ConfigError."""
    here = ray.is_initialized()
    if not here and await resolve(address) == "local":
        raise PlacementError("No Ray cluster runs on this machine. Give its --address (host:6379).", "unreachable")
    cluster = await connect(address, _CONTROL, dashboard=False)
    try:
        yield
    finally:
        disconnect(cluster)


async def runtimes(name: str | None) -> Mapping[str, RuntimeSettings]:
    """The runtimes on the cluster by name, or the one that is meant. Raises PlacementError if there is none."""
    named: list[dict[str, str]] = await in_thread(list_named_actors, all_namespaces=True)  # type: ignore[assignment]
    there = {
        actor["namespace"].removeprefix(_PREFIX)
        for actor in named
        if actor["namespace"].startswith(_PREFIX) and actor["name"] == router_name(0)
    }
    wanted = sorted(there if name is None else there & {name})
    if not wanted:
        known = f" There are: {', '.join(sorted(there))}." if there else ""
        called = f" '{name}'" if name else ""
        raise PlacementError(f"There is no runtime{called} on the cluster.{known}", "no_runtime")
    found: dict[str, RuntimeSettings] = {}
    for each in wanted:
        try:
            found[each] = await ask(await find_actor(router_name(0), _PREFIX + each), "settings")
        except Gone:
            raise PlacementError(f"The runtime '{each}' ends or starts again. Ask again.", "no_router") from None
    return found


async def drain(node: str, *, name: str | None, patience: float) -> Mapping[str, Sequence[str]]:
    """Have the runtime of that name, or every one, leave the node: which actors went, by runtime. See `Runtime.drain`.

    An actor can be named instead of a node; its runtime has to be named then, if there are several. Raises
    PlacementError, ConfigError.
    """
    there = await runtimes(name)
    if "/" in node and len(there) > 1:
        raise ConfigError(f"--name: say whose '{node}' is meant. There are: {', '.join(there)}.")
    return {each: await RouterHandle(settings).drain(node, patience) for each, settings in there.items()}


async def move(session: str, to: str, *, name: str | None, patience: float) -> str:
    """Move a session, see `Runtime.move`: the name of the actor that it is in. Raises PlacementError, ConfigError."""
    there = await runtimes(name)
    if len(there) > 1:
        raise ConfigError(f"--name: several runtimes are on the cluster; say which. There are: {', '.join(there)}.")
    (settings,) = there.values()
    return await RouterHandle(settings).move(session, to, patience)
