"""`evaluate status`: where a run stands, from its coordinator while it is under way, else from its results.

The rule here: the figures are those of the results that are written; what is under way is said beside them.
"""

import json
from collections.abc import Coroutine
from typing import Any

from agent_core.evaluation.results_file import Places
from drivers.evaluating.controlling import is_over, reached, standing_lines
from drivers.evaluating.ending import show, standing


def look(out: str, address: str | None, *, as_json: bool) -> int | Coroutine[Any, Any, int]:
    """Print how a run stands, or which ones there are on the cluster. Raises ConfigError, PlacementError."""
    if not out:
        return _list(address, as_json=as_json)
    if address is None and is_over(out):
        places = Places.of(out)
        show(standing(places), places, as_json=as_json)
        return 0
    return _look(out, address, as_json=as_json)


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
