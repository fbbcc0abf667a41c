"""The `ToolExecutor` port of a session actor: calls go to leased executors in envelopes, reports come back one way.

The rule here: exactly one report a call, whatever dies. A call that was with an executor when it died is sent again
only if its tool is idempotent; otherwise its outcome is unknown, and the model is told so.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError

from actors.router import RouterHandle
from actors.settings import RuntimeSettings
from agent_core.content import ToolResultBlock
from agent_core.entries import ToolOutcome
from agent_core.errors import RayconteurError
from agent_core.ports import Clock, ToolInvocation, ToolReport
from agent_core.tools.definition import ToolResources

Deliver = Callable[[ToolReport], None]
log = logging.getLogger("rayconteur.tools")

_SENDS = 3


@dataclass(slots=True)
class _Pending:
    invocation: ToolInvocation
    deliver: Deliver
    lane: "_Lane"
    sends: int = 0


@dataclass(slots=True)
class _Lane:
    """The way to the executors of one kind of resources."""

    resources: ToolResources
    waiting: list[_Pending] = field(default_factory=list[_Pending])
    cancelled: list[str] = field(default_factory=list[str])
    executor: Any = None
    task: asyncio.Task[None] | None = None


class ToolDispatcher:
    """Implements `ToolExecutor` over the runtime's executors. Belongs to one event loop."""

    def __init__(self, settings: RuntimeSettings, client: str, clock: Clock) -> None:
        self._settings, self._client, self._clock = settings, client, clock
        self._router = RouterHandle(settings)
        self._lanes: dict[str, _Lane] = {}
        self._pending: dict[str, _Pending] = {}
        self._watches: set[asyncio.Task[None]] = set()

    def dispatch(self, calls: Sequence[ToolInvocation], deliver: Deliver) -> None:
        """See `ToolExecutor.dispatch`."""
        for invocation in calls:
            lane = self._lane(invocation.definition.resources)
            pending = self._pending[invocation.key] = _Pending(invocation, deliver, lane)
            lane.waiting.append(pending)
            self._kick(lane)

    def cancel(self, keys: Sequence[str]) -> None:
        """See `ToolExecutor.cancel`."""
        for key in keys:
            pending = self._pending.pop(key, None)
            if pending is not None:
                pending.lane.cancelled.append(key)
                self._kick(pending.lane)

    def settle(self, reports: Sequence[ToolReport]) -> None:
        """Take an executor's envelope. Reports of calls that nobody waits for are dropped."""
        for report in reports:
            pending = self._pending.pop(report.key, None)
            if pending is not None:
                pending.deliver(report)

    def _lane(self, resources: ToolResources) -> _Lane:
        key = "" if resources.is_default else resources.model_dump_json()
        return self._lanes.setdefault(key, _Lane(resources))

    def _kick(self, lane: _Lane) -> None:
        if lane.task is None:
            lane.task = asyncio.get_running_loop().create_task(self._flush(lane))

    async def _flush(self, lane: _Lane) -> None:
        """Send what waits. Everything that comes in the same turn of the loop shares the envelope."""
        try:
            while lane.waiting or lane.cancelled:
                executor = lane.executor or await self._lease(lane)
                waiting, lane.waiting = lane.waiting, []
                cancelled, lane.cancelled = lane.cancelled, []
                if cancelled:
                    executor.cancel.remote(self._client, cancelled)
                sent = [pending for pending in waiting if pending.invocation.key in self._pending]
                for pending in sent:
                    pending.sends += 1
                if sent:
                    executor.run.remote(self._client, [pending.invocation for pending in sent])
        except RayconteurError as error:
            waiting, lane.waiting = lane.waiting, []
            for pending in waiting:
                self._report(pending, "unavailable", f"No place to run the tool: {error.message}")
        finally:
            lane.task = None

    async def _lease(self, lane: _Lane) -> Any:
        name = await self._router.lease(lane.resources, self._client)
        executor = await asyncio.to_thread(ray.get_actor, name, self._settings.namespace)
        await executor.attach.remote(self._client, ray.get_runtime_context().current_actor)
        lane.executor = executor
        watch = asyncio.get_running_loop().create_task(self._watch(lane, executor))
        self._watches.add(watch)
        watch.add_done_callback(self._watches.discard)
        return executor

    async def _watch(self, lane: _Lane, executor: Any) -> None:
        """Wait for the executor's death, then see to the calls that were with it."""
        try:
            await executor.wait_closed.remote()
        except RayError:
            log.warning("a tool executor was lost; its calls are seen to")
        if lane.executor is executor:
            lane.executor = None
        await self._clock.sleep(0.1)
        for pending in [pending for pending in self._pending.values() if pending.lane is lane and pending.sends]:
            call = pending.invocation.call
            if call.idempotent and pending.sends < _SENDS:
                lane.waiting.append(pending)
                self._kick(lane)
            else:
                text = "The process that ran the tool was lost. Whether the call took effect is unknown."
                self._report(pending, "outcome_unknown", text)

    def _report(self, pending: _Pending, outcome: ToolOutcome, text: str) -> None:
        key, call = pending.invocation.key, pending.invocation.call
        if self._pending.pop(key, None) is not None:
            result = ToolResultBlock(tool_use_id=call.id, content=text, is_error=True)
            pending.deliver(ToolReport(key, result, outcome))
