"""A cluster at one moment: nodes, runtimes with their actors, and some of their sessions; and what two of these say.

The rule here: what did not answer is said to be silent, and is not guessed. Rates come from two snapshots, and a
process that started again between them counts from nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise

from pydantic import Field

from agent_core.frozen import Frozen
from agent_core.glance import SessionLine
from agent_core.payloads import SessionState
from agent_core.process_figures import ProcessFigures
from agent_core.tally import COUNTED, Totals

PREFIX = "rayconteur/"
KINDS = {
    "router": "router",
    "journal": "journal",
    "sessions": "sessions",
    "session": "session",
    "tools": "tools",
    "compactor": "compactor",
    "evaluation": "evaluation",
    "local-model": "local model",
}


class NodeLine(Frozen):
    """A machine of the cluster. CPUs and GPUs are Ray's; memory is the machine's own, in bytes, 0 while unknown."""

    node_id: str
    address: str
    name: str = ""
    alive: bool = True
    cpus: float = 0.0
    gpus: float = 0.0
    labels: dict[str, str] = Field(default_factory=dict)
    memory_used: int = 0
    memory: int = 0
    load: float = 0.0
    actors: int = 0


class ActorLine(Frozen):
    """An actor. `state` is Ray's word for it. One that is not `answering` tells nothing but what Ray knows of it.

    `sessions` counts those that are active in it, None where it hosts none by its nature.
    """

    name: str
    runtime: str
    kind: str
    state: str
    node_id: str = ""
    pid: int = 0
    restarts: int = 0
    answering: bool = False
    process: ProcessFigures = ProcessFigures()
    sessions: int | None = None
    totals: Totals | None = None


class ClusterSnapshot(Frozen):
    """What was seen at `at` (seconds since the epoch).

    `runtimes` are all that the cluster has; what is told of are the actors of those that were asked for. `states`
    counts all active sessions, `matching` those that the request was for, and `sessions` are the first of them. `also`
    is the session that was asked for by its id, in each runtime and actor where one is active.
    """

    at: float
    address: str = ""
    runtimes: tuple[str, ...] = ()
    nodes: tuple[NodeLine, ...] = ()
    actors: tuple[ActorLine, ...] = ()
    states: dict[SessionState, int] = Field(default_factory=dict[SessionState, int])
    matching: int = 0
    sessions: tuple[SessionLine, ...] = ()
    also: tuple[SessionLine, ...] = ()

    @property
    def totals(self) -> Totals:
        """What all actors have done, since the first of them was started."""
        told = [actor.totals for actor in self.actors if actor.totals is not None]
        since = min((totals.since for totals in told), default=0.0)
        return Totals(since=since, **{name: sum(getattr(totals, name) for totals in told) for name in COUNTED})

    @property
    def silent(self) -> tuple[ActorLine, ...]:
        """The actors that did not answer in time."""
        return tuple(actor for actor in self.actors if not actor.answering)


class Rates(Frozen):
    """What was done in a second, on average over `seconds`. `cpu` is in percent of a CPU, by runtime and actor."""

    seconds: float = 0.0
    turns: float = 0.0
    requests: float = 0.0
    retries: float = 0.0
    rate_limited: float = 0.0
    input_tokens: float = 0.0
    output_tokens: float = 0.0
    cpu: dict[tuple[str, str], float] = Field(default_factory=dict[tuple[str, str], float])


def kind_of(name: str) -> str:
    """What an actor of a runtime is, by its Ray name."""
    return KINDS.get(name.partition("/")[0], "other")


def rates(snapshots: Iterable[ClusterSnapshot]) -> Rates:
    """What happened from the first of these to the last; nothing if there are not two of them."""
    done = Counter[str]()
    used, watched = defaultdict[tuple[str, str], float](float), defaultdict[tuple[str, str], float](float)
    seconds = 0.0
    for before, after in pairwise(snapshots):
        passed = after.at - before.at
        seconds += passed
        earlier = {(actor.runtime, actor.name): actor for actor in before.actors if actor.answering}
        for actor in after.actors:
            place = (actor.runtime, actor.name)
            known = earlier.get(place)
            if known is None or not actor.answering or known.process.pid != actor.process.pid:
                # What it did before it was first seen was not done since then.
                continue
            used[place] += actor.process.cpu_seconds - known.process.cpu_seconds
            watched[place] += passed
            if actor.totals is not None and known.totals is not None:
                done.update(_between(known.totals, actor.totals))
    if seconds <= 0:
        return Rates()
    return Rates(
        seconds=seconds,
        cpu={place: 100.0 * used[place] / watched[place] for place in watched},
        **{name: done[name] / seconds for name in _SHOWN},
    )


_SHOWN = ("turns", "requests", "retries", "rate_limited", "input_tokens", "output_tokens")


def _between(before: Totals, after: Totals) -> Mapping[str, int]:
    return {name: getattr(after, name) - getattr(before, name) for name in _SHOWN}
