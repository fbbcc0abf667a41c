"""Tethers: actors that outlive nobody. An actor of a runtime ends when the program that started the runtime has.

The rule here: actors are made detached, so that the death of the router that made them harms nobody; what ends them is
a call to the router that fails, and no router being found again, as it is when the program that owned it has ended.
"""

import asyncio
import warnings

import ray
from ray.exceptions import RayError

from actors.calls import Gone, ask
from actors.finding import find_actor
from actors.metrics import note_start
from actors.settings import RuntimeSettings, router_name
from agent_core.errors import PlacementError

_PAUSE = 1.0
_MISSES = 5


async def hold_on(settings: RuntimeSettings) -> None:
    """Return never: end this actor once the runtime's first router is gone for good."""
    misses = 0
    while misses < _MISSES:
        try:
            router = await find_actor(router_name(0), settings.namespace)
            misses = 0
            await ask(router, "hold")
        except PlacementError:
            misses += 1
        except (Gone, RayError):
            # It starts again, or the cluster does; either shows in the next look.
            pass
        await asyncio.sleep(_PAUSE)
    # Ending the process would only have Ray start the actor again.
    ray.kill(ray.get_runtime_context().current_actor, no_restart=True)


def was_restarted() -> bool:
    """Whether the actor that this is called in takes the place of one that was lost."""
    with warnings.catch_warnings():
        # Ray's own way to tell calls what Ray calls deprecated, in the log of every actor.
        warnings.simplefilter("ignore")
        return bool(ray.get_runtime_context().was_current_actor_reconstructed)


def hold_on_again(settings: RuntimeSettings | None, method: str) -> None:
    """Have an actor that was started again call its own `method`, which takes hold, as nobody else may ever call it.

    For constructors: the loop that the hold belongs to does not run yet. Such a start is counted, too.
    """
    context = ray.get_runtime_context()
    if (name := context.get_actor_name()) is None:
        return
    restarted = was_restarted()
    note_start(name, restarted=restarted)
    if settings is not None and settings.tethered and restarted:
        # To itself, too, an actor that starts again is unavailable until the cluster says otherwise.
        getattr(context.current_actor, method).options(max_task_retries=-1).remote()
