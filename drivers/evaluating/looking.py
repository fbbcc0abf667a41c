"""`evaluate status`: where a run stands, from its coordinator while it is under way, else from its results.

The rule here: the figures are those of the results that are written; what is under way is said beside them.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Coroutine
from typing import Any

from rich.console import Console

from agent_core.errors import ConfigError, PlacementError
from agent_core.evaluation.results_file import Places
from drivers.evaluating.controlling import is_over, reached, standing_lines
from drivers.evaluating.ending import show, standing
from drivers.evaluating.progress import Meter, follow, shown


def look(
    out: str, address: str | None, *, watches: bool = False, as_json: bool = False
) -> int | Coroutine[Any, Any, int]:
    """Print how a run stands, or which ones there are on the cluster; who `watches` is shown it until its end.

    Raises ConfigError, PlacementError.
    """
    if not out:
        if watches:
            raise ConfigError("--watch: name the run to be watched. `status` alone says which there are.")
        return _list(address, as_json=as_json)
    if address is None and is_over(out):
        places = Places.of(out)
        show(standing(places), places, as_json=as_json)
        return 0
    if watches:
        return _watch(out, address, as_json=as_json)
    return _look(out, address, as_json=as_json)


async def _watch(out: str, address: str | None, *, as_json: bool) -> int:
    """Show a run until it is over, and then how it ended. Leaving changes nothing for the run."""
    meter, places = Meter(time.monotonic), Places.of(out)
    async with reached(out, address, only_looks=True) as running:
        if running is not None:
            following = asyncio.create_task(follow(running, meter))
            try:
                async with shown(meter, Console(stderr=True)):
                    # One whose cluster or program is gone says no more: what is written tells the rest.
                    with contextlib.suppress(PlacementError):
                        meter.status = (await running.ended()).status
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
    if places.results.exists():
        show(standing(places), places, as_json=as_json)
    elif meter.summary is not None:
        show(meter.summary, None, as_json=as_json)
    return 0


async def _look(out: str, address: str | None, *, as_json: bool) -> int:
    async with reached(out, address, only_looks=True) as running:
        status = await running.status() if running is not None else None
    if status is None:
        places = Places.of(out)
        show(standing(places), places, as_json=as_json)
        return 0
    if as_json:
        print(status.model_dump_json(indent=2))
        return 0
    print("\n".join(standing_lines(status)))
    show(status.summary, None, as_json=False)
    return 0


async def _list(address: str | None, *, as_json: bool) -> int:
    from actors.evaluations import runs_on

    async with runs_on(address) as runs:
        found = [(run, await run.handle.status()) for run in runs]
    if as_json:
        print(json.dumps([status.model_dump(mode="json") for _, status in found if status], indent=2))
        return 0
    for run, status in found:
        print(standing_lines(status)[0] if status else f"{run.run_id} is being opened")
    if not found:
        print("no run is under way on this cluster")
    return 0
