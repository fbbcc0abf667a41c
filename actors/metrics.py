"""Metrics through `ray.util.metrics`: what a process has measured, handed to Ray every two seconds.

The rule here: a call of Ray's costs more than what is measured is worth, so it is made once for all that was counted
meanwhile. Ray adds its own tags (node, process) and a prefix: `ray_rayconteur_turns_total`.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import cache
from itertools import count
from typing import Any

from ray.util.metrics import Counter, Gauge, Histogram

from actors.calls import Gone, ask
from actors.finding import find_actor, names_in
from agent_core.errors import PlacementError
from agent_core.metering import instruments as what
from agent_core.metering.instruments import Instrument
from agent_core.metering.ledger import Ledger, Measured

log = logging.getLogger("rayconteur.actor")

PERIOD = 2.0
"""Seconds between two handings over."""
_SAMPLED = 3
_ROLES = {"sessions": "session"}


@cache
def metric_of(instrument: Instrument) -> Counter | Gauge | Histogram:
    """Ray's metric for the instrument; a process has one."""
    match instrument.kind:
        case "counter":
            return Counter(instrument.name, instrument.description, instrument.tags)
        case "gauge":
            return Gauge(instrument.name, instrument.description, instrument.tags)
        case "histogram":
            return Histogram(instrument.name, instrument.description, list(instrument.boundaries), instrument.tags)


def hand_over(ledger: Ledger) -> None:
    """Give Ray what was measured since the last time."""
    for measured in ledger.drain():
        _record(measured)


def _record(measured: Measured) -> None:
    metric, labels = metric_of(measured.instrument), measured.labels
    match metric:
        case Histogram():
            for value in measured.values:
                metric.observe(value, labels)
        case Gauge():
            metric.set(measured.values[-1], labels)
        case _ if measured.values[-1] > 0:
            metric.inc(measured.values[-1], labels)
        case _:
            # `inc` refuses zero, with which a counter begins: without it Prometheus cannot see the first increase.
            metric._record(0.0, labels)  # noqa: SLF001 - as said


async def export(ledger: Ledger, sample: Callable[[], None] | None = None) -> None:
    """Return never: hand over what was measured, with a sample each third time. What goes wrong is logged, once."""
    failed = False
    for turn in count():
        try:
            # To look at ten thousand sessions takes some milliseconds.
            if sample is not None and turn % _SAMPLED == 0:
                sample()
            hand_over(ledger)
        except Exception:
            if not failed:
                log.exception("metrics cannot be handed to Ray")
            failed = True
        await asyncio.sleep(PERIOD)


async def measured(namespace: str) -> dict[str, dict[str, float]]:
    """What the session actors of a runtime have measured since each was started, by their names: `Ledger.totals`.

    One that does not answer is left out. Two of these with a time between them make a rate.
    """
    names = [name for name in await names_in(namespace) if role_of(name) == "session"]
    told = await asyncio.gather(*(_measured(name, namespace) for name in names))
    return {name: totals for name, totals in zip(names, told, strict=True) if totals is not None}


async def _measured(name: str, namespace: str) -> dict[str, float] | None:
    try:
        return await ask(await find_actor(name, namespace), "measured")
    except (Gone, PlacementError):
        return None


def note_start(name: str, *, restarted: bool) -> None:
    """Count that the actor of this name, which this process is, was started again, if it was."""
    counter: Any = metric_of(what.ACTOR_RESTARTS)
    # Zero is a beginning, as above.
    counter._record(float(restarted), {"role": role_of(name)})  # noqa: SLF001 - as above


def role_of(name: str) -> str:
    """What an actor of that name is for: `session`, `journal`, `router`, `tools`, `compactor` or another few."""
    role = name.partition("/")[0]
    return _ROLES.get(role, role or "other")
