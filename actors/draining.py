"""Nodes that are left and nodes that come: the first router shard sees to it that session actors are where room is.

The rule here: no actor is ended before its sessions have gone on elsewhere, and actors are moved one by one when it is
only for the room.
"""

import asyncio
import logging
import time
from collections.abc import Sequence

from actors.calls import Gone
from actors.demand import Demand
from actors.moving import check_there
from actors.nodes import (
    SessionNode,
    avoid,
    draining_until,
    for_sessions,
    known_nodes,
    misplaced,
    node_called,
    placed_actors,
)
from actors.router_handle import RouterHandle
from actors.settings import DEDICATED, SHARED, RuntimeSettings, is_session_actor, shared_name
from agent_core.errors import PlacementError, RayconteurError

log = logging.getLogger("rayconteur.router")

PATIENCE = 30.0
"""Seconds that what sessions have under way is waited for before they go on elsewhere all the same."""
_PERIOD = 2.0
# What starting actors takes of the time that a node has left.
_RESERVE = 15.0


class Draining:
    """Of one runtime."""

    def __init__(self, settings: RuntimeSettings) -> None:
        self._settings, self._router = settings, RouterHandle(settings)
        self._demand = Demand(settings)
        self._lock = asyncio.Lock()
        self._done: set[str] = set()
        self._nodes: set[str] | None = None

    async def drain(self, wanted: str, patience: float) -> list[str]:
        """Have the session actors of a node, or one that is named, hand over their sessions and start elsewhere.

        `wanted` is the beginning of a node's id, its address, its host name or the name of an actor. What runs is
        waited for up to `patience` seconds. Returns the names of the actors. Raises PlacementError if there is no such
        node or actor, or no other node.
        """
        if is_session_actor(wanted):
            await check_there(wanted, self._settings.namespace)
            names, node_id = [wanted], None
        else:
            nodes = await known_nodes()
            node_id = node_called(wanted, nodes).id
            if not any(other.id != node_id and not other.draining for other in nodes):
                raise PlacementError("There is no other node for what runs there. Add one first.", "no_node")
            await avoid(node_id)
            names = [name for name, node in (await placed_actors(self._settings)).items() if node == node_id]
        async with self._lock:
            await self._leave(names, patience)
        if node_id is not None:
            self._done.add(node_id)
        return names

    async def _leave(self, names: list[str], patience: float) -> None:
        """Have the sessions of these actors go on in others, and end them; shared ones are started again."""
        shared = [name for name in names if name.startswith(SHARED)]
        dedicated = [name for name in names if name.startswith(DEDICATED)]
        shelters = await self._shelters(shared) if shared else []
        # One that shelters others from a former move is not started again.
        indexes = [int(name.removeprefix(SHARED)) for name in shared]
        async with asyncio.TaskGroup() as leaving:
            for index in indexes:
                leaving.create_task(self._router.renew(index, shelters, patience))
            if dedicated:
                leaving.create_task(self._router.leave(dedicated, patience))

    async def _shelters(self, leaving: list[str]) -> list[str]:
        """The shared actors that take the sessions meanwhile: those that stay, or else one more."""
        usable = {node.id for node in for_sessions(await known_nodes())}
        placed = await placed_actors(self._settings)
        staying = [
            name for name, node in placed.items() if name.startswith(SHARED) and name not in leaving and node in usable
        ]
        if staying:
            return staying
        spare = self._settings.session_actors
        while shared_name(spare) in leaving:
            spare += 1
        return [await self._router.share_numbered(spare)]

    # --- by itself --------------------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Leave the nodes that Ray drains, and go to those that come. Never returns."""
        while True:
            await asyncio.sleep(_PERIOD)
            try:
                await self._look()
            except (RayconteurError, Gone, ExceptionGroup) as error:
                log.warning("session actors could not be moved: %s", error)
            except Exception:
                # Whatever went wrong, nodes still come and go.
                log.exception("the nodes could not be looked at")

    async def _look(self) -> None:
        for node, until in (await draining_until()).items():
            if node not in self._done:
                left = until - time.time() - _RESERVE if until else PATIENCE
                moved = await self.drain(node, min(PATIENCE, max(0.0, left)))
                log.info("node %s is being drained: %s went elsewhere", node, ", ".join(moved) or "nobody")
        nodes = for_sessions(await known_nodes())
        await self._demand.look(nodes, time.monotonic())
        await self._spread(nodes)

    async def _spread(self, nodes: Sequence[SessionNode]) -> None:
        """Move one shared actor to where there is more room, if the nodes have changed since there was none."""
        if self._nodes is None:
            self._nodes = {node.id for node in nodes}
        if {node.id for node in nodes} <= self._nodes:
            self._nodes = {node.id for node in nodes}
            return
        placed = await placed_actors(self._settings)
        shared = {name: node for name, node in placed.items() if name.startswith(SHARED)}
        name = misplaced(nodes, {name: node for name, node in shared.items() if node in {each.id for each in nodes}})
        if name is None:
            self._nodes = {node.id for node in nodes}
            return
        async with self._lock:
            await self._leave([name], PATIENCE)
        log.info("%s went to a node with more room", name)
