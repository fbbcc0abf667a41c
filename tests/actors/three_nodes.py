"""A program of `test_roles.py`: a cluster of three nodes, each with its role, and where the actors of a runtime are.

The rule here: it prints one line of JSON, from the actor's name to its node's role.
"""

import asyncio
import importlib
import json
import sys
from typing import Any

import ray
from ray.cluster_utils import Cluster

from actors import Runtime
from actors.cluster import be_quiet
from actors.router_handle import RouterHandle
from actors.spawning import ROLE_LABEL
from agent_core.tools.definition import ToolResources


async def placed(address: str, directory: str) -> dict[str, str]:
    """The roles of the nodes that the actors of a runtime there are placed on, by the actors' names."""
    async with Runtime(address, data_dir=directory, session_actors=2, sessions_per_actor=10, executors=2) as runtime:
        router = RouterHandle(runtime.settings)
        for number in range(12):
            await router.share(f"session-{number}")
            await router.lease(ToolResources(), f"client-{number}")
        await router.lease(ToolResources(resources={"only-on-the-sessions-node": 1}), "client")
        roles = {node["NodeID"]: node["Labels"][ROLE_LABEL] for node in ray.nodes()}
        actors: dict[str, dict[str, Any]] = importlib.import_module("ray._private.state").actors()
        return {actor["Name"]: roles[actor["Address"]["NodeID"]] for actor in actors.values() if actor["Name"]}


if __name__ == "__main__":
    be_quiet()
    nodes = Cluster()
    nodes.add_node(num_cpus=0, labels={ROLE_LABEL: "head"}, include_dashboard=False)
    nodes.add_node(num_cpus=1, labels={ROLE_LABEL: "sessions"}, resources={"only-on-the-sessions-node": 1})
    nodes.add_node(num_cpus=1, labels={ROLE_LABEL: "tools"})
    print(json.dumps(asyncio.run(placed(str(nodes.address), sys.argv[1]))), flush=True)
    nodes.shutdown()
