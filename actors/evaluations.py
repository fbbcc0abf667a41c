"""Runs that are under way on a cluster, found from anywhere on it.

The rule here: it joins a cluster that is there and never starts one. A run is known by the name of its coordinator.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import NamedTuple, cast

from ray.util import list_named_actors

from actors.cluster import connect, disconnect
from actors.evaluation import EvaluationHandle
from actors.head import Head
from actors.settings import EVALUATION_PREFIX
from actors.threads import in_thread
from agent_core.errors import ConfigError


class FoundRun(NamedTuple):
    """A run on the cluster, and the namespace of its runtime."""

    run_id: str
    namespace: str
    handle: EvaluationHandle


@asynccontextmanager
async def runs_on(address: str | None) -> AsyncGenerator[list[FoundRun]]:
    """Every run whose coordinator is there, while entered.

    Raises PlacementError if there is no cluster to join, ConfigError for an address of no known form.
    """
    if address == "local":
        raise ConfigError("--address local: a cluster that is started anew has no runs. Name the one that has.")
    cluster = await connect(address or "auto", "rayconteur", dashboard=False)
    head = Head(cluster.address, "of the runtime")
    try:
        named = cast("list[dict[str, str]]", await in_thread(list_named_actors, all_namespaces=True))
        yield [
            FoundRun(run_id, item["namespace"], EvaluationHandle(run_id, item["namespace"], head))
            for item in sorted(named, key=lambda item: item["name"])
            if (run_id := item["name"].removeprefix(EVALUATION_PREFIX)) != item["name"]
        ]
    finally:
        await in_thread(disconnect, cluster)
