"""The `ToolExecutor` port of a session actor: calls go to leased executors in envelopes, reports come back one way.

The rule here: exactly one report a call, whatever dies. A call that was with an executor when it died is sent again
only if its tool is idempotent; otherwise its outcome is unknown, and the model is told so.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import ray

from actors.calls import Gone, ask, tell
from actors.finding import find_actor
from actors.router_handle import RouterHandle
from actors.settings import RuntimeSettings
from agent_core.content import ToolResultBlock
from agent_core.entries import ToolOutcome
from agent_core.errors import PlacementError, RayconteurError
from agent_core.ports import Clock, ToolInvocation, ToolReport
from agent_core.tools.definition import ToolResources

Deliver = Callable[[ToolReport], None]
log = logging.getLogger("rayconteur.tools")

_SENDS = 3
_LEASES = 50
_PAUSE = 0.1


@dataclass(slots=True)
class _Pending:
    """A call without a report. `executor` is where it was last sent."""

    invocation: ToolInvocation
    deliver: Deliver
    lane: "_Lane"
    executor: Any = None
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
        # The one that comes after this process has the same name, and this one's last words may be late.
        self._process = f"{client}#{secrets.token_hex(4)}"
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
            if pending is not None and pending.executor is not None:
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

    # --- sending ----------------------------------------------------------------------------------------------------

    async def _flush(self, lane: _Lane) -> None:
        """Send what waits. Everything that comes in the same turn of the loop shares the envelope."""
        try:
            while lane.waiting or lane.cancelled:
                if lane.executor is None:
                    await self._lease(lane)
                try:
                    self._send(lane)
                except Gone:
                    lane.executor = None
                    await self._clock.sleep(_PAUSE)
        except RayconteurError as error:
            self._give_up(lane, f"There is no place to run this tool. {error.message}")
        except Exception as error:
            # Whatever went wrong here, the turn must not wait for ever.
            log.exception("tool calls could not be sent")
            self._give_up(lane, f"The tool could not be started ({type(error).__name__}). The session's log says more.")
        finally:
            lane.task = None

    def _send(self, lane: _Lane) -> None:
        """Raises Gone if nothing was sent."""
        sent = [pending for pending in lane.waiting if pending.invocation.key in self._pending]
        if lane.cancelled:
            tell(lane.executor, "cancel", self._process, lane.cancelled)
            lane.cancelled = []
        if sent:
            tell(lane.executor, "run", self._process, [pending.invocation for pending in sent])
        lane.waiting = []
        for pending in sent:
            pending.executor = lane.executor
            pending.sends += 1

    async def _lease(self, lane: _Lane) -> None:
        """Have an executor for the lane. Raises PlacementError if there is none to be had."""
        name = ""
        for _ in range(_LEASES):
            name = await self._router.lease(lane.resources, self._client)
            try:
                executor = await find_actor(name, self._settings.namespace)
                await ask(executor, "attach", self._process, ray.get_runtime_context().current_actor)
            except (Gone, PlacementError):
                # It ended since; the router starts another.
                await self._clock.sleep(_PAUSE)
                continue
            lane.executor = executor
            watch = asyncio.get_running_loop().create_task(self._watch(lane, executor))
            self._watches.add(watch)
            watch.add_done_callback(self._watches.discard)
            return
        raise PlacementError(f"The executor '{name}' ends as soon as it starts. Its log is in the Ray dashboard.")

    def _give_up(self, lane: _Lane, text: str) -> None:
        waiting, lane.waiting, lane.cancelled = lane.waiting, [], []
        for pending in waiting:
            self._report(pending, "unavailable", text)

    # --- when an executor dies --------------------------------------------------------------------------------------

    async def _watch(self, lane: _Lane, executor: Any) -> None:
        """Wait for the executor's death, then see to the calls that were with it."""
        with suppress(Gone):
            await ask(executor, "wait_closed")
        if lane.executor is executor:
            lane.executor = None
        # Reports that it sent before may still be on their way.
        await self._clock.sleep(_PAUSE)
        lost = [pending for pending in self._pending.values() if pending.executor is executor]
        if lost:
            log.warning("a tool executor was lost with %d calls", len(lost))
        for pending in lost:
            if pending.invocation.call.idempotent and pending.sends < _SENDS:
                pending.executor = None
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
