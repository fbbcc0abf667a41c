"""Settings of one runtime, the same in each of its actors.

The rule here: names are made from these and from nothing else, so that whoever knows the namespace finds every actor.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from agent_core.errors import ConfigError
from agent_core.journals.address import PostgresAddress
from agent_core.tracing.settings import TraceSettings

JOURNAL_NAME = "journal"
LOCAL_MODEL_NAME = "local-model"
DEDICATED = "session/"
SHARED = "sessions/"
EVALUATION_PREFIX = "evaluation/"

LAST_WORDS = 0.2
"""Seconds that an actor which has no sessions any more is left to tell its clients so."""
RETURN_DEADLINE = 180.0
"""Seconds in which an actor that was lost should be back: Ray gives up a node whose network is gone after 65."""

Durability = Literal["process", "power"]
LogLevel = Literal["debug", "info", "warning"]


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """What every actor of a runtime is told.

    `journal_path` is a file on the journal's node, unless `journal` is the address of a PostgreSQL database (with no
    password in it, for whoever may look at the cluster sees it). `founder` marks the program that started the runtime;
    `tethered` actors end with it. `sessions_per_actor` above 1 bounds the sessions of a shared actor, of which there
    are `session_actors`; at 1, sessions that are not said to share have an actor each, at most `max_actors`. Each of
    the `executors` runs `executor_slots` calls at once, each of the `compactors` makes `compactor_slots` summaries.
    Times are in seconds: a client that is not heard of for a `lease` is let go, and a tool waits for `scale_up_wait`
    for a node that has what it asks for. A session that nobody has wanted anything of for `put_away_after` is put away,
    and sooner in an actor that takes more than `actor_memory` bytes. Where `traces` are not set, each process looks for
    an endpoint in its own environment. Where no `log_level` is, shared session actors log warnings, the others more.
    """

    namespace: str
    journal_path: str
    founder: str = ""
    tethered: bool = True
    routers: int = 1
    session_actors: int = 1
    sessions_per_actor: int = 1
    max_actors: int = 32
    executors: int = 1
    executor_slots: int = 256
    compactors: int = 1
    compactor_slots: int = 16
    max_concurrent_requests: int = 64
    lease: float = 30.0
    scale_up_wait: float = 0.0
    put_away_after: float = 600.0
    actor_memory: int | None = None
    durability: Durability = "process"
    node_id: str | None = None
    journal: str | None = None
    traces: TraceSettings | None = None
    log_level: LogLevel | None = None

    @property
    def journal_place(self) -> str:
        """Where the journal is, for people."""
        return self.journal or self.journal_path

    @property
    def shared(self) -> bool:
        """Whether sessions share actors unless they ask for one of their own."""
        return self.sessions_per_actor > 1

    @property
    def shared_capacity(self) -> int:
        """How many sessions a shared actor takes."""
        return self.sessions_per_actor if self.shared else _SHARED_CAPACITY

    def compactors_of(self, shard: int) -> list[str]:
        """The names of the compactors that a router shard owns: each has one, however few there are."""
        count = max(self.compactors, self.routers)
        return [compactor_name(index) for index in range(shard, count, self.routers)]


class Options(TypedDict, total=False):
    """What may be chosen when a runtime is opened: fields of `RuntimeSettings`. None is as good as unset.

    `sessions_at_once` is how many sessions are at work together, which `session_actors` follows from: see `actors_for`.
    """

    journal: str | None
    durability: Durability
    sessions_per_actor: int | None
    session_actors: int | None
    sessions_at_once: int | None
    max_actors: int | None
    executors: int | None
    executor_slots: int | None
    compactors: int | None
    compactor_slots: int | None
    routers: int | None
    max_concurrent_requests: int | None
    lease: float | None
    scale_up_wait: float | None
    put_away_after: float | None
    actor_memory: int | None
    log_level: LogLevel | None


SESSIONS_AT_ONCE = 100
"""How many sessions at work keep an actor busy."""
_SHORTEST_LEASE = 0.5
_SHORTEST_REST = 0.1
_SHARED_CAPACITY = 10_000


def actors_for(at_once: int, capacity: int, cpus: float) -> int:
    """How many shared actors do best for so many sessions at work together.

    One for each `SESSIONS_AT_ONCE`, but no more than there are CPUs, unless `capacity`, the most sessions of an actor,
    asks for more.
    """
    busy = math.ceil(at_once / SESSIONS_AT_ONCE)
    return max(math.ceil(at_once / capacity), min(busy, int(cpus)), 1)


def checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are set. Raises ConfigError for a name that is none and for a value that cannot be."""
    known = Options.__annotations__
    chosen = {name: value for name, value in options.items() if value is not None}
    for name, value in options.items():
        if name not in known:
            raise ConfigError(f"Runtime has no option '{name}'. It has: {', '.join(known)}.")
        if value is not None and (wrong := _objection(name, value)):
            raise ConfigError(f"{name}: must be {wrong}, not {value!r}.")
    if "journal" in chosen:
        chosen["journal"] = str(PostgresAddress.of(chosen["journal"]))
    return chosen


def _objection(name: str, value: object) -> str | None:
    """What the option must be, if it is something else."""
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else -1
    match name:
        case "journal":
            return None if isinstance(value, str) else "a DSN, env:NAME or file:PATH"
        case "durability":
            return None if value in {"process", "power"} else "'process' or 'power'"
        case "log_level":
            return None if value in {"debug", "info", "warning"} else "'debug', 'info' or 'warning'"
        case "lease":
            return None if number >= _SHORTEST_LEASE else f"{_SHORTEST_LEASE} seconds or more"
        case "put_away_after":
            return None if number >= _SHORTEST_REST else f"{_SHORTEST_REST} seconds or more"
        case "scale_up_wait":
            return None if number >= 0 else "0 seconds or more"
        case _:
            return None if isinstance(number, int) and number >= 1 else "a whole number, 1 or more"


def router_name(shard: int) -> str:
    """The Ray name of a router shard."""
    return f"router/{shard}"


def shared_name(index: int) -> str:
    """The Ray name of an actor that many sessions share."""
    return f"{SHARED}{index}"


def is_session_actor(name: str) -> bool:
    """Whether the name is of an actor that hosts sessions, one or many."""
    return name.startswith((SHARED, DEDICATED))


def dedicated_name(number: int) -> str:
    """The Ray name of an actor of one session."""
    return f"{DEDICATED}{number}"


def dedicated_number(name: str) -> int:
    """The number in the name of an actor of one session."""
    return int(name.removeprefix(DEDICATED))


def executor_name(pool: str, index: int) -> str:
    """The Ray name of a tool executor; `pool` is empty for tools without resources of their own."""
    return f"tools/{pool}/{index}" if pool else f"tools/{index}"


def evaluation_name(run_id: str) -> str:
    """The Ray name of the coordinator of an evaluation."""
    return f"{EVALUATION_PREFIX}{run_id}"


def compactor_name(index: int) -> str:
    """The Ray name of a compactor."""
    return f"compactor/{index}"
