"""200 sessions at once on a few actors: `python -m examples.many_sessions [MODEL [SESSIONS]]`."""

import asyncio
import sys
import time
from collections import Counter

from actors import Runtime
from agent_core.errors import RayconteurError
from drivers.errors import run_main

CITIES = ("Rome", "Oslo", "Paris", "Cairo", "Tokyo", "Lima", "Madrid", "Delhi", "Berlin", "Athens")


async def one(rt: Runtime, model: str, number: int) -> tuple[str, str, int]:
    """Ask one session: how it ended, the actor that it was on, the tokens that it took."""
    session = await rt.session(model=model, sessions_per_actor=1000, max_tokens=64)
    try:
        await session.ask(f"In which country is {CITIES[number % len(CITIES)]}?")
        outcome = "answered"
    except RayconteurError as error:
        outcome = error.kind
    status = await session.status()
    return outcome, status.actor, status.usage.total.context_tokens


async def main(model: str = "local/smollm2", sessions: str = "200") -> None:
    """Run them all and say how it went."""
    async with Runtime(session_actors=2) as rt:
        print(f"{rt.description}, {sessions} sessions with {model}")
        began = time.monotonic()
        ends = await asyncio.gather(*(one(rt, model, number) for number in range(int(sessions))))
        print("how they ended:", dict(Counter(outcome for outcome, _, _ in ends)))
        print("where they were:", dict(Counter(actor for _, actor, _ in ends)))
        print(f"{sum(tokens for _, _, tokens in ends)} tokens in {time.monotonic() - began:.1f} seconds")


if __name__ == "__main__":
    sys.exit(run_main(main, __doc__ or ""))
