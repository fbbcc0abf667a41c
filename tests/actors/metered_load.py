"""A program for the test of metrics: a cluster of its own, and a load on it that moves every number there is.

The rule here: it says on its output, line by line, where it is, and goes on when it is told to on its input.
"""

import asyncio
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from actors import Runtime, tool
from agent_core.errors import RayconteurError
from agent_core.scripted import Fault, Knobs
from agent_core.scripted.server import ScriptedServer
from tests.actors.world import PLANTED, PLANTED_KEY, add, kill, wait

MODEL = "anthropic/claude-sonnet-4-5"


@tool
async def fail() -> str:
    """Fail."""
    raise ValueError("no")


async def _round(runtime: Runtime, server: ScriptedServer, number: int) -> None:
    """Everything once: good turns and bad ones, tools, a summary, a retry, waiting messages, a killed actor."""
    common: dict[str, Any] = {"base_url": server.url, "api_key": f"env:{PLANTED}"}
    told = {"kind": "llm", "keep_recent_turns": 0, "keep_tokens": 0}
    one = await runtime.session(f"one-{number}", model=MODEL, tools=[add, fail, wait], compaction=told, **common)
    other = await runtime.session(
        f"two-{number}", model="anthropic/claude-test", context_limit=100_000, tools=[wait], **common
    )
    await one.ask('call add {"a": 1, "b": 2} then call fail {}')
    await one.ask("a long question: " + "many words, " * 500)
    result = await one.compact()
    assert result.compacted, result
    server.knobs = Knobs(faults={"rate_limited": Fault(next=1)}, retry_after_s=0.0)
    await other.ask("after a refusal")
    server.knobs = Knobs(faults={"server_error": Fault(every=1)})
    impatient = await runtime.session(f"three-{number}", model=MODEL, timeout=0.5, **common)
    with suppress(RayconteurError):
        await impatient.ask("fails")
    server.knobs = Knobs()
    await one.submit('call wait {"seconds": 2}')
    await asyncio.gather(*(one.submit(f"waiting {index}") for index in range(3)))
    await asyncio.gather(one.ask("and both at once"), other.ask("and both at once"))
    await other.submit('call wait {"seconds": 60}')
    await other.interrupt()


async def _killed(runtime: Runtime) -> None:
    """A session that loses its process in the middle of a turn."""
    # What was counted until now has been handed over, to Ray and by Ray, before the process goes.
    await asyncio.sleep(4.0)
    session = await runtime.session("two-0")
    await session.submit('call wait {"seconds": 60}')
    while (await session.status()).state != "awaiting_tools":
        await asyncio.sleep(0.05)
    await kill(runtime, "sessions/0")
    await session.ask("still there?")


def _say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


async def _told() -> str:
    return await asyncio.to_thread(sys.stdin.readline)


async def main(data: Path) -> None:
    os.environ[PLANTED] = PLANTED_KEY
    async with (
        ScriptedServer() as server,
        Runtime(
            "local", data_dir=data, dashboard=True, sessions_per_actor=100, session_actors=1, max_concurrent_requests=1
        ) as runtime,
    ):
        _say(ready=True, dashboard=runtime.dashboard_hint)
        for number in range(100):
            if not await _told():
                return
            await _round(runtime, server, number)
            if number == 1:
                await _killed(runtime)
            _say(round=number)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
