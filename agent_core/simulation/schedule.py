"""One schedule: a seed, a world, some users, trouble; then calm, and everything must come to rest.

The rule here: rules are checked after every action. In the end no fault is left, and nothing may be stuck.
"""

import asyncio
from dataclasses import dataclass
from random import Random

from agent_core.simulation.clients import User, read_on, trouble
from agent_core.simulation.earlier import earlier
from agent_core.simulation.loop import run
from agent_core.simulation.world import World

_CALM = 200.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a schedule did."""

    seed: int
    virtual_seconds: float
    entries: int
    requests: int
    tool_runs: int


def play(seed: int) -> Outcome:
    """Play one schedule. Raises RuleBroken, or Deadlock when everybody waits for ever."""
    return run(lambda: _play(seed))


async def _play(seed: int) -> Outcome:
    random = Random(seed)
    world = World(random, sessions=random.choice((1, 1, 2)), history=earlier(seed))
    users = [
        User(world, session_id, f"{session_id}-user{number}")
        for session_id in world.sessions
        for number in range(random.choice((1, 2)))
    ]
    loop = asyncio.get_running_loop()
    readers = [
        loop.create_task(read_on(world, session_id, name, slow=name == "slow"))
        for session_id in world.sessions
        for name in ("quick", "slow")
    ]
    breaking = loop.create_task(trouble(world))
    acting = [loop.create_task(_act(world, user, random.randrange(4, 14))) for user in users]
    try:
        await asyncio.gather(*acting)
        breaking.cancel()
        world.weather.clear()
        await _calm_down(world, users)
        await world.check_end()
        entries = sum(len(records) for records in (await world.logs()).values())
        runs = sum(world.evidence.tool_runs.values())
        return Outcome(seed, loop.time(), entries, world.model.requests, runs)
    finally:
        for task in (*readers, *acting, breaking):
            task.cancel()
        await asyncio.gather(*readers, *acting, breaking, return_exceptions=True)


async def _act(world: World, user: User, actions: int) -> None:
    for _ in range(actions):
        await user.act()
        await world.check()
        await asyncio.sleep(user.pause())


async def _calm_down(world: World, users: list[User]) -> None:
    """Answer what waits from outside and let time pass until nothing moves."""
    until = asyncio.get_running_loop().time() + _CALM
    while asyncio.get_running_loop().time() < until:
        for user in users:
            await user.answer_external()
        if await world.at_rest():
            break
        await asyncio.sleep(2.0)
    await asyncio.sleep(5.0)
