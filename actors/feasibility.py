"""Whether a cluster can give a tool what it asks for.

The rule here: what no node has is said at once and by name. Ray itself would wait for such a node in silence.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import ray

from agent_core.tools.definition import ToolResources

Node = Mapping[str, float]


async def nodes() -> list[Node]:
    """What each node that is up has in all, by Ray's names: CPU, GPU, memory (bytes) and custom ones."""
    # Asks the cluster and blocks meanwhile.
    listed: list[dict[str, Any]] = await asyncio.to_thread(ray.nodes)
    return [node["Resources"] for node in listed if node["Alive"]]


def shortage(resources: ToolResources, cluster: Sequence[Node]) -> str | None:
    """What no node has enough of, in words; None if one of them has it all."""
    wanted = _wanted(resources)
    if any(all(node.get(name, 0.0) >= amount for name, amount in wanted.items()) for node in cluster):
        return None
    for name, amount in wanted.items():
        most = max((node.get(name, 0.0) for node in cluster), default=0.0)
        if most < amount:
            return f"{_amount(name, amount)}, and no node has more than {_amount(name, most)}"
    together = " and ".join(_amount(name, amount) for name, amount in wanted.items())
    return f"{together}, and no node has all of that"


def _wanted(resources: ToolResources) -> dict[str, float]:
    asked = {"CPU": resources.num_cpus, "GPU": resources.num_gpus, "memory": resources.memory, **resources.resources}
    return {name: amount for name, amount in asked.items() if amount}


def _amount(name: str, amount: float) -> str:
    return f"{amount / 1e9:g} GB of memory" if name == "memory" else f"{amount:g} {name}"
