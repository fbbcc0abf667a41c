"""The worker of an evaluation inside a session actor: it runs samples on the sessions that the actor hosts.

The rule here: one worker of a run at a time. Another that begins has taken the place of the one before, which leaves
its sessions as they are.
"""

import asyncio
from typing import Any

from actors.calls import Gone, ask
from actors.finding import NOT_FOUND, find_actor
from actors.settings import RuntimeSettings
from agent_core.clock import SystemClock
from agent_core.errors import PlacementError
from agent_core.evaluation.coordinator import Envelope, Reply
from agent_core.evaluation.worker import WorkOrder, work
from agent_core.hosting import SessionHost

_DEADLINE = 60.0
_PAUSE = 0.1


class EvaluationWorkers:
    """The workers in one session actor, by the name of their coordinator."""

    def __init__(self, settings: RuntimeSettings) -> None:
        self._settings = settings
        self._working: dict[str, asyncio.Task[None]] = {}

    async def work(self, host: SessionHost, order: WorkOrder, coordinator: str, worker: str) -> None:
        """Work until there is nothing more to do. Raises what `worker.work` raises."""
        earlier = self._working.get(coordinator)
        if earlier is not None:
            earlier.cancel()
            await asyncio.wait([earlier])
        link = _CoordinatorLink(self._settings.namespace, coordinator, worker, order.home)
        task = asyncio.get_running_loop().create_task(work(host, link.exchange, order, SystemClock()))
        self._working[coordinator] = task
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
            if self._working.get(coordinator) is task:
                del self._working[coordinator]
        if not task.cancelled():
            task.result()

    async def stop(self) -> None:
        """End every worker; the sessions go on."""
        working = list(self._working.values())
        for task in working:
            task.cancel()
        if working:
            await asyncio.wait(working)


class _CoordinatorLink:
    """The way to a coordinator, which may be started again meanwhile."""

    def __init__(self, namespace: str, name: str, worker: str, home: int | None) -> None:
        self._namespace, self._name, self._worker, self._home = namespace, name, worker, home
        self._actor: Any = None

    async def exchange(self, envelope: Envelope) -> Reply:
        """What the coordinator answers. Raises PlacementError if it does not come back within a minute."""
        until = asyncio.get_running_loop().time() + _DEADLINE
        while True:
            try:
                if self._actor is None:
                    self._actor = await find_actor(self._name, self._namespace)
                return await ask(self._actor, "exchange", self._worker, self._home, envelope)
            except Gone:
                self._actor = None
            except PlacementError as error:
                if error.kind != NOT_FOUND:
                    raise
            if asyncio.get_running_loop().time() > until:
                raise PlacementError(
                    f"The coordinator '{self._name}' did not come back within {_DEADLINE:g} seconds. Resume the run."
                )
            await asyncio.sleep(_PAUSE)
