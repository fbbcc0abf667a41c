"""Settings of one runtime, the same in each of its actors.

The rule here: names are made from these and from nothing else, so that whoever knows the namespace finds every actor.
"""

from dataclasses import dataclass

JOURNAL_NAME = "journal"
LOCAL_MODEL_NAME = "local-model"


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """What every actor of a runtime is told.

    `founder` is the mark of the program that started it. Sessions are `shared` unless they ask for an actor of their own.
    `journal_path` is a file on the journal's node. `sessions_per_actor` bounds the sessions of a shared actor, of which
    there are `session_actors`; `max_actors` bounds the actors that are dedicated to one session. `tethered` actors end
    with the program that started the runtime.
    """

    namespace: str
    journal_path: str
    founder: str = ""
    tethered: bool = True
    shared: bool = False
    routers: int = 1
    session_actors: int = 1
    sessions_per_actor: int = 10_000
    max_actors: int = 32
    executors: int = 1
    executor_slots: int = 256
    max_concurrent_requests: int = 64
    durability: str = "process"
    node_id: str | None = None


def router_name(shard: int) -> str:
    """The Ray name of a router shard."""
    return f"router/{shard}"


def shared_name(index: int) -> str:
    """The Ray name of an actor that many sessions share."""
    return f"sessions/{index}"


def dedicated_name(number: int) -> str:
    """The Ray name of an actor of one session."""
    return f"session/{number}"


def executor_name(pool: str, index: int) -> str:
    """The Ray name of a tool executor; `pool` is empty for tools without resources of their own."""
    return f"tools/{pool}/{index}" if pool else f"tools/{index}"
