"""Runs tools in this process: asynchronous ones in the event loop, every other one in a child process.

The rule here: each call that is dispatched is reported exactly once, or cancelled and never reported. Whatever a tool
does, the report says it and the executor goes on.
"""

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent_core.content import ToolResultBlock
from agent_core.ports import ToolInvocation, ToolReport
from agent_core.tools.attempts import Attempts
from agent_core.tools.blobs import BlobStore, InMemoryBlobs
from agent_core.tools.decorator import Tool
from agent_core.tools.lanes import Lanes
from agent_core.tools.output import CallEnd
from agent_core.tools.pool import ChildPool, PoolOptions

Deliver = Callable[[ToolReport], None]

_RETRIED = frozenset({"exception", "timeout", "killed"})
_FIRST_DELAY = 0.1
_LONGEST_DELAY = 5.0

_log = logging.getLogger("rayconteur.tools")


def _processors() -> int:
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class ExecutorOptions:
    """How much an executor runs at once.

    `slots` calls run at most, the rest wait in order. Of them at most `max_children` are synchronous, each in a process
    of its own; `children` processes are kept ready (default: one for each processor). Times in seconds: `load_timeout`
    for importing a tool's module, `grace` for an asynchronous tool to end once it is cancelled; then it is left behind.
    """

    slots: int = 256
    children: int = field(default_factory=_processors)
    max_children: int = field(default_factory=lambda: max(8, 4 * _processors()))
    load_timeout: float = 120.0
    grace: float = 1.0
    pool_grow_after: float = 0.25
    pool_idle_after: float = 30.0


@dataclass(frozen=True, slots=True)
class ExecutorStatus:
    """An executor at one moment. `leaving` counts cancelled tools that have not ended, `outcomes` counts reports."""

    slots: int
    running: int
    queued: int
    leaving: int
    children_idle: int
    children_busy: int
    children_starting: int
    outcomes: dict[str, int]


class _Call:
    """One call from its dispatch to its report. `expired` says that this attempt is out of time."""

    __slots__ = ("deliver", "expired", "invocation", "seconds", "started", "task", "timer")

    def __init__(self, invocation: ToolInvocation, deliver: Deliver) -> None:
        self.invocation = invocation
        self.deliver = deliver
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.started: float | None = None
        self.seconds = 0.0
        self.expired = False


class LocalToolExecutor:
    """The `ToolExecutor` port in this process. It belongs to the event loop of its first `dispatch`.

    Tools given as `tools` run as they are if they are asynchronous, sharing their closures with the caller; all others
    are found by their references, with stored code from `blobs`.
    """

    def __init__(
        self,
        options: ExecutorOptions | None = None,
        *,
        blobs: BlobStore | None = None,
        tools: Sequence[Tool[..., Any]] = (),
    ) -> None:
        self._options = given = options or ExecutorOptions()
        size = max(1, min(given.children, given.max_children))
        pool = PoolOptions(size, max(size, given.max_children), given.pool_grow_after, given.pool_idle_after)
        self._pool = ChildPool(pool)
        self._attempts = Attempts(self._pool, blobs or InMemoryBlobs(), given.load_timeout)
        self.register(tools)
        self._lanes = Lanes(given.slots, pool.maximum)
        self._calls: dict[str, _Call] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._outcomes: Counter[str] = Counter()
        self._closed = False

    def register(self, tools: Sequence[Tool[..., Any]]) -> None:
        """Add to the tools that run as they are."""
        self._attempts.register(tools)

    def prepare(self) -> None:
        """Start the ready child processes now, rather than at the first synchronous call."""
        self._pool.prepare()

    def dispatch(self, calls: Sequence[ToolInvocation], deliver: Deliver) -> None:
        """See `ToolExecutor`. A key that is under way is not run again: its report goes to the newest `deliver`."""
        for invocation in calls:
            known = self._calls.get(invocation.key)
            if known is not None:
                known.deliver = deliver
                continue
            call = self._calls[invocation.key] = _Call(invocation, deliver)
            if self._closed:
                text = f"Tool '{invocation.call.name}' was not run: its executor is shut down."
                asyncio.get_running_loop().call_soon(self._settle, call, CallEnd("not_run", text))
            else:
                self._lanes.add(invocation.key, synchronous=not invocation.definition.asynchronous)
        self._start_next()

    def cancel(self, keys: Sequence[str]) -> None:
        """See `ToolExecutor`. Keys that are not under way are passed over."""
        for key in keys:
            call = self._calls.get(key)
            if call is not None:
                self._leave(call)
        self._start_next()

    @property
    def status(self) -> ExecutorStatus:
        idle, busy, starting = self._pool.counts
        running = self._lanes.running
        return ExecutorStatus(
            slots=self._options.slots,
            running=running,
            queued=len(self._calls) - running,
            leaving=len(self._leaving),
            children_idle=idle,
            children_busy=busy,
            children_starting=starting,
            outcomes=dict(self._outcomes),
        )

    async def aclose(self) -> None:
        """Cancel every call, kill every child process and wait until they are gone. Nothing is reported any more."""
        self._closed = True
        self.cancel(list(self._calls))
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=self._options.grace)
        await self._attempts.aclose()
        await self._pool.aclose()

    def _start_next(self) -> None:
        while (key := self._lanes.next()) is not None:
            call = self._calls[key]
            call.task = asyncio.create_task(self._run(call))
            call.task.add_done_callback(lambda task, call=call: self._ended(call, task))

    async def _run(self, call: _Call) -> None:
        end = self._attempts.refusal(call.invocation)
        attempt = 0
        while end is None:
            attempt += 1
            end = await self._attempt(call, attempt)
            if end.outcome in _RETRIED and attempt <= call.invocation.definition.retries and self._is_open(call):
                await asyncio.sleep(min(_LONGEST_DELAY, _FIRST_DELAY * 2 ** (attempt - 1)))
                end = None
        self._settle(call, end)

    async def _attempt(self, call: _Call, attempt: int) -> CallEnd:
        call.expired = False
        task = call.task
        try:
            end = await self._attempts.run(call.invocation, attempt, lambda: self._begin(call))
        except asyncio.CancelledError:
            if not call.expired and task is not None and task.cancelling():
                raise
            name = call.invocation.definition.name
            end = CallEnd("exception", f"Tool '{name}' failed: it cancelled itself (asyncio.CancelledError).")
        finally:
            self._stop_clock(call)
        if call.expired:
            # A tool that was told to stop may answer anything; the time limit is what the model has to know.
            while task is not None and task.cancelling() and self._is_open(call):
                task.uncancel()
            return _timed_out(call, "was stopped")
        return end

    def _begin(self, call: _Call) -> None:
        """The tool's own code begins: its time counts from here."""
        loop = asyncio.get_running_loop()
        call.started = loop.time()
        limit = call.invocation.definition.timeout
        if limit is not None:
            call.timer = loop.call_later(limit, self._expire, call)

    def _stop_clock(self, call: _Call) -> None:
        if call.timer is not None:
            call.timer.cancel()
            call.timer = None
        if call.started is not None:
            call.seconds += asyncio.get_running_loop().time() - call.started
            call.started = None

    def _expire(self, call: _Call) -> None:
        call.expired = True
        if call.task is not None:
            call.task.cancel()
            call.timer = asyncio.get_running_loop().call_later(self._options.grace, self._abandon, call)

    def _abandon(self, call: _Call) -> None:
        """The tool ignores its cancellation: report it, give its slot away and leave it behind."""
        self._stop_clock(call)
        _log.warning("tool '%s' ignores its cancellation and runs on", call.invocation.definition.name)
        if call.task is not None:
            self._leaving.add(call.task)
        self._settle(call, _timed_out(call, "was told to stop and may still be running"))

    def _leave(self, call: _Call) -> None:
        """Cancel a call without a report."""
        self._calls.pop(call.invocation.key, None)
        self._lanes.remove(call.invocation.key)
        if call.task is not None:
            self._leaving.add(call.task)
            call.task.cancel()

    def _settle(self, call: _Call, end: CallEnd) -> None:
        if not self._is_open(call):
            return
        key = call.invocation.key
        del self._calls[key]
        self._lanes.remove(key)
        self._outcomes[end.outcome] += 1
        self._start_next()
        result = ToolResultBlock(
            tool_use_id=call.invocation.call.id,
            content=end.content,
            is_error=end.outcome != "ok",
            compact_summary=end.compact_summary,
        )
        try:
            call.deliver(ToolReport(key, result, end.outcome, call.seconds))
        except Exception:  # noqa: BLE001 - the receiver's failure is not the executor's
            _log.exception("a report of tool '%s' could not be delivered", call.invocation.call.name)

    def _is_open(self, call: _Call) -> bool:
        return self._calls.get(call.invocation.key) is call

    def _ended(self, call: _Call, task: asyncio.Task[None]) -> None:
        self._leaving.discard(task)
        if task.cancelled():
            # By somebody else, as when the loop is being shut down: there is nobody left to tell.
            if self._is_open(call):
                self._leave(call)
        elif (error := task.exception()) is not None:
            _log.error("a call of tool '%s' broke its executor", call.invocation.call.name, exc_info=error)
            text = f"Tool '{call.invocation.call.name}' could not be run: {type(error).__name__}: {error}"
            self._settle(call, CallEnd("exception", text))


def _timed_out(call: _Call, what: str) -> CallEnd:
    definition = call.invocation.definition
    return CallEnd(
        "timeout",
        f"Tool '{definition.name}' {what} after {definition.timeout:g} s, its time limit."
        " What it did until then stays done.",
    )
