"""A process of the simulated world: something that hosts sessions and can be killed at any step.

The rule here: a killed process does nothing more. Its tasks are gone, and a port that it calls in its last breath never
answers.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from agent_core.simulation.loop import OWNER, TaskOwner


class Process(TaskOwner):
    """See the module."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.alive = True

    def start(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> "asyncio.Task[Any]":
        """Run something in this process: it dies with it."""
        token = OWNER.set(self)
        try:
            return asyncio.get_running_loop().create_task(work())
        finally:
            OWNER.reset(token)

    async def alive_or_never(self) -> None:
        """Return at once while the process lives, never once it is dead."""
        if not self.alive:
            await asyncio.get_running_loop().create_future()

    def kill(self) -> None:
        """End it at once."""
        self.alive = False
        for task in tuple(self.tasks):
            task.cancel()
