"""What a benchmark stands on: a local Ray with a runtime of its own, and the scripted model in a process beside it.

The rule here: the model server is never counted, the journal is always on (in a directory that goes away with the rig),
and whatever was started ends with the context.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from actors import Runtime, SessionHandle
from agent_core.scripted import Script
from agent_core.scripted.process import ScriptedServerProcess
from benchmarks.processes import Cpu, cpu_now, found

MODEL = "claude-sonnet-5"
"""The scripted model answers to any name; this is one that the SDK does not call deprecated."""
_AT_ONCE = 50
_LOOKS = 100


def config_of(server: ScriptedServerProcess, directory: Path) -> dict[str, Any]:
    """The fields of a session that speaks to this server. The directory holds the key, which any will do as."""
    key = directory / "key"
    key.write_text("none")
    return {"model": f"anthropic/{MODEL}", "base_url": server.url, "api_key": f"file:{key}", "max_tokens": 4096}


@dataclass(slots=True)
class Rig:
    """A runtime and its model server."""

    server: ScriptedServerProcess
    runtime: Runtime
    config: dict[str, Any] = field(default_factory=dict[str, Any])

    async def sessions(self, count: int, *, tools: Sequence[Any] = ()) -> list[SessionHandle]:
        """That many new sessions, opened some at a time."""
        opened: list[SessionHandle] = []
        while len(opened) < count:
            wanted = min(_AT_ONCE, count - len(opened))
            opened += await asyncio.gather(*(self.runtime.session(tools=tools, **self.config) for _ in range(wanted)))
        return opened

    async def shut_down(self, sessions: Iterable[SessionHandle]) -> None:
        """End these sessions."""
        async for group in _groups(sessions):
            await asyncio.gather(*(session.shutdown() for session in group))

    def cpu(self) -> Cpu:
        """CPU seconds so far, the model server's apart."""
        return cpu_now([self.server.pid])

    def session_actor(self) -> psutil.Process:
        """The process of the one actor that hosts the sessions."""
        (process,) = found("session actor")
        return process

    async def server_stats(self) -> dict[str, Any]:
        """The counters of the model server."""
        async with aiohttp.ClientSession() as client, client.get(f"{self.server.url}/scripted/stats") as answer:
            return await answer.json()


async def _groups(sessions: Iterable[SessionHandle]) -> AsyncIterator[list[SessionHandle]]:
    group: list[SessionHandle] = []
    for session in sessions:
        group.append(session)
        if len(group) == _AT_ONCE:
            yield group
            group = []
    if group:
        yield group


@asynccontextmanager
async def rig(script: Script, *, data_dir: Path | None = None, **sizes: int) -> AsyncIterator[Rig]:
    """A rig whose sessions share one actor. `sizes` are those of `Runtime`."""
    chosen: dict[str, Any] = {"sessions_per_actor": 20_000, "session_actors": 1, "max_concurrent_requests": 256} | sizes
    with tempfile.TemporaryDirectory(prefix="rayconteur-benchmark-") as directory:
        async with ScriptedServerProcess(script) as server:
            config = config_of(server, Path(directory))
            async with Runtime("local", dashboard=False, data_dir=data_dir or directory, **chosen) as runtime:
                yield Rig(server, runtime, config)
            await _gone()


async def _gone() -> None:
    """Wait until no session actor is left, on a Ray that stays: the next rig must not meet the last one's."""
    for _ in range(_LOOKS):
        if not found("session actor"):
            return
        await asyncio.sleep(0.1)
    raise RuntimeError("A session actor did not end with its runtime. Look for it in the Ray dashboard.")
