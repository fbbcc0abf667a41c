"""A program of `test_roles.py`: a cluster whose nodes have roles, and where a runtime's actors are as nodes change.

The rule here: it prints one line of JSON, from what has happened to the nodes of the actors by name, and what the
sessions answered meanwhile.
"""

import asyncio
import importlib
import json
import os
import sys
import time
from collections import Counter
from typing import Any

import ray
from ray.cluster_utils import Cluster

from actors import Runtime, SessionHandle
from actors.cluster import be_quiet
from actors.nodes import placed_actors
from actors.router_handle import RouterHandle
from actors.spawning import ROLE_LABEL
from agent_core.scripted import Knobs
from agent_core.scripted.server import ScriptedServer
from agent_core.tools.definition import ToolResources
from tests.actors.world import PLANTED, PLANTED_KEY, config

ACTORS = 4
TALE = "A tale that is told so slowly that the node on which it is told has long been left before it comes to its end."
# What stays of a draining node's time, in seconds, is what starting the actors elsewhere may take.
NOTICE = 60


def roles() -> dict[str, str]:
    """The role and number of each node, by id."""
    return {node["NodeID"]: node["Labels"][ROLE_LABEL] + node["Labels"].get("number", "") for node in ray.nodes()}


def placed() -> dict[str, str]:
    """The roles of the nodes that actors are on, by the actors' names."""
    actors: dict[str, dict[str, Any]] = importlib.import_module("ray._private.state").actors()
    there = [actor for actor in actors.values() if actor["Name"] and actor["State"] == "ALIVE"]
    return {actor["Name"]: roles()[actor["Address"]["NodeID"]] for actor in there}


async def spread_over(runtime: Runtime, wanted: dict[str, int]) -> dict[str, str]:
    """Where the session actors are, once each of these nodes has so many of them."""
    while True:
        known = roles()
        found = {name: known[node] for name, node in (await placed_actors(runtime.settings)).items()}
        if Counter(found.values()) == wanted:
            return found
        await asyncio.sleep(0.2)


def drain(address: str, role: str) -> None:
    """Do as `ray drain-node` does."""
    (node,) = [node for node, its in roles().items() if its == role]
    preempted, until = 2, int((time.time() + NOTICE) * 1000)
    client = importlib.import_module("ray._raylet").GcsClient(address=address)
    accepted, why = client.drain_node(node, preempted, "", until)
    assert accepted, why


async def play(nodes: Cluster, directory: str) -> dict[str, Any]:
    """What happened."""
    address = str(nodes.address)
    async with (
        ScriptedServer() as server,
        Runtime(address, data_dir=directory, session_actors=ACTORS, sessions_per_actor=10, executors=2) as runtime,
    ):
        router = RouterHandle(runtime.settings)
        for number in range(12):
            await router.lease(ToolResources(), f"client-{number}")
        await router.lease(ToolResources(resources={"only-on-a-sessions-node": 1}), "client")
        for number in range(ACTORS):
            await router.share_numbered(number)
        told = {"at first": placed()}
        sessions = [await runtime.session(f"s{number}", **config(server)) for number in range(8)]
        server.knobs = Knobs(tokens_per_second=20)
        asked = [asyncio.create_task(session.ask(TALE)) for session in sessions]
        await server.seen(8)
        drain(address, "sessions1")
        told["after the drain"] = await spread_over(runtime, {"sessions2": ACTORS})
        answers = await asyncio.gather(*asked)
        server.knobs = Knobs()
        nodes.add_node(num_cpus=1, labels={ROLE_LABEL: "sessions", "number": "3"})
        told["after a node came"] = await spread_over(runtime, {"sessions2": ACTORS // 2, "sessions3": ACTORS // 2})
        answers += await asyncio.gather(*map(greeted, sessions))
        return {**told, "answers": answers}


async def greeted(session: SessionHandle) -> str:
    """What a session says to a greeting."""
    return await session.ask("Hello.")


if __name__ == "__main__":
    be_quiet()
    os.environ[PLANTED] = PLANTED_KEY
    nodes = Cluster()
    nodes.add_node(num_cpus=0, labels={ROLE_LABEL: "head"}, include_dashboard=False)
    nodes.add_node(num_cpus=1, labels={ROLE_LABEL: "tools"})
    for number in "12":
        its = {"only-on-a-sessions-node": 1} if number == "2" else {}
        nodes.add_node(num_cpus=1, labels={ROLE_LABEL: "sessions", "number": number}, resources=its)
    print(json.dumps(asyncio.run(play(nodes, sys.argv[1]))), flush=True)
    nodes.shutdown()
