"""What the tests of the actors share: settings of a session, tools, and a look inside an actor."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from actors import Runtime, SessionHandle, tool
from actors.calls import ask
from actors.finding import find_actor
from agent_core.scripted.server import ScriptedServer

PLANTED = "RAYCONTEUR_TEST_KEY"
# Put together at run time, for the source of the tests travels to clusters too.
PLANTED_KEY = "-".join(("sk", "planted", "0123456789abcdef"))  # noqa: FLY002 - as said


@tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool(timeout=30)
async def wait(seconds: float) -> str:
    """Wait."""
    await asyncio.sleep(seconds)
    return "waited"


@tool
async def note(path: str, seconds: float) -> str:
    """Write a line to a ledger, then take some time."""
    _write(path)
    await asyncio.sleep(seconds)
    return "noted"


@tool(idempotent=True)
async def look(path: str, seconds: float) -> str:
    """The same, declared to do no harm when it is run again."""
    _write(path)
    await asyncio.sleep(seconds)
    return "looked"


def _write(path: str) -> None:
    with Path(path).open("a") as ledger:
        ledger.write("ran\n")


def config(server: ScriptedServer, **more: Any) -> dict[str, Any]:
    """The fields of a session with the scripted model."""
    return {
        "model": "anthropic/claude-test",
        "context_limit": 100_000,
        "base_url": server.url,
        "api_key": f"env:{PLANTED}",
        **more,
    }


async def inside(runtime: Runtime, name: str, see: Callable[..., Any]) -> Any:
    """What a function finds in an actor, which it is given. It runs beside the actor's loop."""
    actor = await find_actor(name, runtime.settings.namespace)
    return await ask(actor, "__ray_call__", see)


async def kill(runtime: Runtime, actor: str) -> None:
    """Kill -9 of the process of an actor, and of no other runtime's."""
    pid = await runtime.process_of(actor)
    assert psutil.pid_exists(pid)
    os.kill(pid, signal.SIGKILL)


async def kinds_of(session: SessionHandle, message: str) -> list[str]:
    """The kinds of the events of a turn."""
    return [event.kind async for event in session.send(message)]
