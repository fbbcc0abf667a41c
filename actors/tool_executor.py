"""The tool executor actor: runs tools away from the processes of sessions.

The rule here: it is a shell around `agent_core.tools`. Calls come in and reports go out one way, in envelopes; a
stalled event loop ends the process, and whoever waits in `wait_closed` hears of it.
"""

import asyncio
import os
import pickle
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import ray

from actors.logs import log_lines
from actors.settings import RuntimeSettings
from actors.tethers import hold_on, hold_on_again
from actors.tracing import traced_tools
from agent_core.ports import ToolInvocation, ToolReport
from agent_core.tools.blobs import BlobStore
from agent_core.tools.executor import ExecutorOptions, LocalToolExecutor
from agent_core.tools.hosting import ToolHost
from agent_core.tools.watchdog import Watchdog

STALL_TIMEOUT = 30.0
"""Seconds for which an asynchronous tool may block the event loop before its executor is given up."""


class ActorReply:
    """The way back to an actor with a method `settle(reports)`, given its Ray handle."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def deliver(self, reports: Sequence[ToolReport]) -> None:
        """Send an envelope. That the actor is gone shows nowhere: it asks again for what it misses."""
        self._actor.settle.remote(reports)


class ToolExecutorActor:
    """Runs the calls of many session actors.

    `blobs` finds the code of tools that no module holds. Without `stall_timeout` (in seconds) a tool that blocks the
    event loop holds up all others for as long as it likes. As part of a `runtime` that is tethered it ends with it.
    """

    def __init__(
        self,
        name: str = "tools",
        options: ExecutorOptions | None = None,
        blobs: BlobStore | None = None,
        stall_timeout: float | None = STALL_TIMEOUT,
        runtime: RuntimeSettings | None = None,
    ) -> None:
        self._name = name
        self._executor = LocalToolExecutor(options, blobs=blobs)
        self._host = ToolHost(self._executor)
        self._watchdog = Watchdog(stall_timeout) if stall_timeout is not None else None
        self._runtime = runtime
        self._held: asyncio.Task[None] | None = None
        self._started = False
        log_lines(runtime)
        hold_on_again(runtime, "ping")

    def __repr__(self) -> str:
        return f"ToolExecutor({self._name})"

    async def attach(self, client: str, reply: Any) -> None:
        """Give a client its way back: the handle of an actor, whose `settle(reports)` gets its reports from now on."""
        self._start()
        self._host.attach(client, ActorReply(reply))

    async def detach(self, client: str) -> None:
        """Forget a client that is gone."""
        self._host.detach(client)

    async def run(self, client: str, calls: bytes | Sequence[ToolInvocation]) -> None:
        """Start calls, given as a list or as the pickle of one. A key that is known does not run again."""
        self._start()
        self._host.run(client, pickle.loads(calls) if isinstance(calls, bytes) else calls)  # noqa: S301 - our own

    async def cancel(self, client: str, keys: Sequence[str]) -> None:
        """Stop calls of this client's; nothing is reported for them any more."""
        self._host.cancel(client, keys)

    async def ping(self) -> int:
        """Show that the event loop runs, starting the child processes if they are not. Returns the process id."""
        self._start()
        return os.getpid()

    async def status(self) -> dict[str, Any]:
        """What it is doing: the fields of `ExecutorStatus`, its name, process id and number of clients."""
        state = asdict(self._executor.status)
        return {"name": self._name, "pid": os.getpid(), "clients": self._host.clients, **state}

    async def wait_closed(self) -> None:
        """Never returns: a client that waits here learns by the call's failure that this process is gone."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Cancel every call without a report and end the child processes."""
        if self._watchdog is not None:
            self._watchdog.stop()
        await self._executor.aclose()

    def _start(self) -> None:
        # Not in __init__, which Ray may run outside of the event loop that everything here belongs to.
        if self._started:
            return
        self._started = True
        if self._runtime is not None and self._runtime.tethered:
            self._held = asyncio.get_running_loop().create_task(hold_on(self._runtime))
        # The children are told at their start what they send.
        traced_tools(self._runtime, self._name)
        self._executor.prepare()
        if self._watchdog is not None:
            self._watchdog.start()


# A call that was lost is its client's affair: `tool_dispatch` knows what may run twice.
EXECUTOR = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=0)(ToolExecutorActor)
