"""A cluster that others started: programs join it, meet there, are listed by telling names, and leave it clean."""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agent_core.scripted.server import ScriptedServer
from tests.actors.world import PLANTED, PLANTED_KEY

TOKEN = "a-long-word-that-only-this-cluster-knows"

# Tells the cluster's address, then what Ray lists, once for each line that it is given.
HOST = """
import json, logging, sys
import ray
from ray.util import state
ray.init(address="local", num_cpus=4, include_dashboard=True, log_to_driver=False, logging_level=logging.ERROR)
here = ray.get_runtime_context().gcs_address
print(here, flush=True)
for _ in sys.stdin:
    lists = {name: getattr(state, "list_" + name) for name in ("actors", "tasks", "jobs", "runtime_envs", "workers")}
    found = {name: [vars(item) for item in lists[name](here, detail=True, limit=1000)] for name in lists}
    print(json.dumps(found, default=str), flush=True)
"""

PROGRAM = """
import asyncio, sys
from actors import Runtime
from agent_core.errors import RayconteurError
from tests.actors.world import PLANTED, add

async def main(address, data, url):
    fields = dict(model="anthropic/x", context_limit=9999, base_url=url, api_key=f"env:{PLANTED}", tools=[add])
    async with Runtime(address, name="met", data_dir=data, sessions_per_actor=100, session_actors=1) as runtime:
        session = await runtime.session("joined", **fields)
        print(await session.ask('call add {"a": 1, "b": 2}'), flush=True)
        alone = await runtime.session("alone", sessions_per_actor=1, **fields)
        print(await alone.ask("hello"), (await alone.status()).actor, flush=True)
        print(len(await session.history()), flush=True)
        await asyncio.to_thread(sys.stdin.readline)

try:
    asyncio.run(main(*sys.argv[1:]))
except RayconteurError as error:
    print(error.kind, error, flush=True)
else:
    print("left", flush=True)
"""


class Process:
    """A Python process that tells what it has to say line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout

    async def line(self) -> str:
        """What it says next."""
        return (await self._stdout.readline()).decode().strip()

    def go_on(self) -> None:
        """Give it a line."""
        self._stdin.write(b"\n")

    async def listed(self) -> dict[str, list[dict[str, Any]]]:
        """What a host lists now."""
        self.go_on()
        return json.loads(await self.line())


@asynccontextmanager
async def running(environment: Mapping[str, str], code: str, *arguments: str) -> AsyncIterator[Process]:
    """A process that ends when its input does, or else is killed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
        env={**os.environ, **environment},
    )
    try:
        yield Process(process)
        assert process.stdin is not None
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 30)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_programs_join_a_cluster_of_others_meet_there_and_leave_it_as_it_was(
    repository: Path, tmp_path: Path
) -> None:
    with tempfile.TemporaryDirectory(prefix="join-", ignore_cleanup_errors=True) as temporary:
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "RAY_TMPDIR": temporary}
        environment = {**token, PLANTED: PLANTED_KEY, "PYTHONPATH": str(repository)}
        async with ScriptedServer() as server, running(environment, HOST) as host:
            arguments = (PROGRAM, await host.line(), str(tmp_path), server.url)
            async with (
                running(environment, *arguments) as first,
                running({**environment, "RAY_AUTH_TOKEN": "another-word"}, *arguments) as stranger,
            ):
                assert (await stranger.line()).startswith(f"token The cluster at {arguments[1]} wants its token")
                assert await first.line() == "add returned: 3"
                assert await first.line() == "You said: hello session/0"
                assert await first.line() == "4"
                async with running(environment, *arguments) as second:
                    assert [await second.line() for _ in range(3)] == [
                        "add returned: 3",
                        "You said: hello session/0",
                        "8",
                    ]
                    second.go_on()
                    assert await second.line() == "left"
                found = await listing(host, "session joined")
                check_names(found)
                assert PLANTED_KEY not in json.dumps(found)
                first.go_on()
                assert await first.line() == "left"
            while living(await host.listed()):
                await asyncio.sleep(0.1)


async def listing(host: Process, task: str) -> dict[str, list[dict[str, Any]]]:
    """What is listed, once a task of that name is: Ray tells of tasks a little late."""
    while True:
        found = await host.listed()
        if any(item["name"] == task for item in found["tasks"]):
            return found


def living(found: Mapping[str, list[dict[str, Any]]]) -> set[str]:
    """The names of the actors that are not dead."""
    return {actor["name"] for actor in found["actors"] if actor["state"] != "DEAD"}


def check_names(found: Mapping[str, list[dict[str, Any]]]) -> None:
    """Actors and tasks have names that tell what they are for; what is called all the time is not listed."""
    names = living(found)
    assert {"router/0", "journal", "sessions/0", "session/0", "tools/0"} <= names
    tasks = {item["name"] for item in found["tasks"]}
    assert {"session joined", "session alone"} <= tasks
    chatty = ("renew", "settle", "status", "submit", "hold", "run", "attach")
    assert [name for name in tasks if name.split(".")[-1] in chatty] == []
    assert all(job["driver_info"] is None or PLANTED_KEY not in str(job) for job in found["jobs"])
