"""Workers of a run, one in each shared session actor: begun, and begun again on what has taken an actor's place.

The rule here: what may yet come is waited for, and the run says what it waits for. Only what will never come, or has
not come for very long, ends the run.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable

from actors.calls import Gone
from actors.router_handle import NO_ROUTER
from actors.spawning import NOT_BACK
from agent_core.errors import RayconteurError
from agent_core.evaluation.coordinator import Coordinator
from agent_core.ports import Clock

log = logging.getLogger("rayconteur.actor")

LONGEST_ABSENCE = 900.0
"""Seconds without a worker at a place that end the run. A new node of a cluster that grows takes less."""
_MAY_YET_COME = {NO_ROUTER, NOT_BACK}
_PAUSE = 0.1

Work = Callable[[str, Callable[[], None]], Awaitable[None]]
"""Has the worker of that name work till nothing is left, after calling what it is given as soon as it can begin.

Raises Gone if the worker was lost, PlacementError if there is no place for it.
"""


async def supervise(coordinator: Coordinator, place: str, work: Work, clock: Clock) -> None:
    """Have a worker at that place for as long as there is anything to do for it."""
    seen = clock.now()
    while not coordinator.is_over:
        worker = f"{place}#{secrets.token_hex(3)}"

        def begins(worker: str = worker) -> None:
            coordinator.missing(place)
            coordinator.enter(worker)

        try:
            await work(worker, begins)
            seen = clock.now()
        except Gone:
            seen = clock.now()
            log.warning("the worker in %s was lost; what it had goes out again", place)
        except RayconteurError as error:
            if error.kind not in _MAY_YET_COME or clock.now() > seen + LONGEST_ABSENCE:
                coordinator.fail(error)
            else:
                log.warning("no worker can begin in %s yet: %s", place, error)
                coordinator.missing(place, str(error))
        finally:
            coordinator.lost(worker)
        await asyncio.sleep(_PAUSE)
    coordinator.missing(place)
