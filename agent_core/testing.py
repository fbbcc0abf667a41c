"""Fakes of every port, shipped so that users can test their own agents without a model, a cluster or a disk.

The rule here: a fake keeps the port's whole contract; the same contract tests run over fakes and real parts.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent_core.content import ToolResultBlock
from agent_core.errors import ErrorInfo, ProviderError
from agent_core.messages import StopReason, Usage
from agent_core.ports import (
    CompactionFailure,
    CompactionJob,
    CompactionPriority,
    CompactionReport,
    CompactionStarted,
    ModelEvent,
    ModelRequest,
    Patch,
    ResponseStarted,
    ResponseStopped,
    TextDelta,
    ThinkingDelta,
    ToolInvocation,
    ToolReport,
    ToolUseDelta,
    UsageUpdate,
)


@dataclass(frozen=True)
class Says:
    """One scripted answer: some thinking, some text in `deltas` pieces, calls as (name, input), or an error instead."""

    text: str = ""
    calls: Sequence[tuple[str, dict[str, Any] | str]] = ()
    thinking: str = ""
    stop: StopReason | None = None
    error: ProviderError | None = None
    cut_after: int | None = None
    deltas: int = 2
    usage: Usage = field(default_factory=lambda: Usage(input_tokens=10, output_tokens=5))

    def events(self, number: int) -> list[ModelEvent]:
        """The answer as the events of a stream; `number` makes ids unique."""
        events: list[ModelEvent] = [ResponseStarted(f"msg_{number}", "fake")]
        index = 0
        if self.thinking:
            events.append(ThinkingDelta(index, self.thinking))
            events.append(ThinkingDelta(index, signature=f"signed:{self.thinking}"))
            index += 1
        if self.text:
            size = -(-len(self.text) // self.deltas)
            events += [TextDelta(index, self.text[at : at + size]) for at in range(0, len(self.text), size)]
            index += 1
        for offset, (name, given) in enumerate(self.calls):
            raw = given if isinstance(given, str) else json.dumps(given)
            events.append(ToolUseDelta(index + offset, id=f"call_{number}_{offset}", name=name))
            events.append(ToolUseDelta(index + offset, raw))
        events.append(UsageUpdate(self.usage))
        events.append(ResponseStopped(self.stop or ("tool_use" if self.calls else "end_turn")))
        return events


class FakeModel:
    """Answers from a script, in order; when the script has run out it repeats the user's last words."""

    def __init__(self, script: Iterable[Says | Callable[[ModelRequest], Says]] = ()) -> None:
        self.script = deque(script)
        self.requests: list[ModelRequest] = []
        self.gate: asyncio.Event | None = None

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        self.requests.append(request)
        number = len(self.requests)
        says = self.script.popleft() if self.script else _echo
        answer = says(request) if callable(says) else says
        if answer.error is not None and answer.cut_after is None:
            raise answer.error
        for position, event in enumerate(answer.events(number)):
            if answer.cut_after is not None and position >= answer.cut_after:
                raise answer.error or ProviderError("The stream was cut.", "cut_short")
            if self.gate is not None:
                await self.gate.wait()
            await asyncio.sleep(0)
            yield event


def _echo(request: ModelRequest) -> Says:
    block = request.messages[-1].content[-1]
    return Says(text=f"You said: {block.text}" if block.kind == "text" else "Done.")


Function = Callable[[dict[str, Any]], str]


class FakeCompactor:
    """A `Compactor` that does nothing until it is told to: a test says what comes of each job, when and how often."""

    def __init__(self) -> None:
        self.jobs: list[CompactionJob] = []
        self.priorities: dict[str, list[CompactionPriority]] = {}
        self.cancelled: list[str] = []
        self._deliver: dict[str, Callable[[CompactionReport], None]] = {}

    def submit(
        self, job: CompactionJob, priority: CompactionPriority, deliver: Callable[[CompactionReport], None]
    ) -> None:
        """See `Compactor.submit`."""
        self.jobs.append(job)
        self.priorities[job.key] = [priority]
        self._deliver[job.key] = deliver

    def promote(self, key: str, priority: CompactionPriority) -> None:
        """See `Compactor.promote`."""
        self.priorities[key].append(priority)

    def cancel(self, key: str) -> None:
        """See `Compactor.cancel`. What it is told afterwards about the job, it still says: lateness is normal."""
        self.cancelled.append(key)

    def start(self, job: CompactionJob) -> None:
        """Say that the job has begun."""
        self._deliver[job.key](CompactionStarted(job.key))

    def finish(self, job: CompactionJob, summary: str = "A summary.", usage: Usage | None = None) -> None:
        """Say that the job is done."""
        spent = usage or Usage(input_tokens=100, output_tokens=10)
        self._deliver[job.key](Patch(job.key, job.digest, summary, spent))

    def fail(self, job: CompactionJob, *, shed: bool = False) -> None:
        """Say that the job came to nothing."""
        error = ErrorInfo(boundary="provider", kind="overloaded", message="The summariser is overloaded.")
        self._deliver[job.key](CompactionFailure(job.key, error, shed=shed))


class FakeTools:
    """Runs plain functions at once, or holds calls until `release` when `held`."""

    def __init__(self, functions: dict[str, Function] | None = None, *, held: bool = False) -> None:
        self.functions = functions or {}
        self.held = held
        self.ran: list[ToolInvocation] = []
        self.cancelled: list[str] = []
        self._waiting: dict[str, tuple[ToolInvocation, Callable[[ToolReport], None]]] = {}

    def dispatch(self, calls: Sequence[ToolInvocation], deliver: Callable[[ToolReport], None]) -> None:
        for invocation in calls:
            self.ran.append(invocation)
            self._waiting[invocation.key] = (invocation, deliver)
            if not self.held:
                asyncio.get_running_loop().call_soon(self.release, invocation.key)

    def cancel(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.cancelled.append(key)
            self._waiting.pop(key, None)

    def release(self, key: str) -> None:
        """Let a call settle."""
        held = self._waiting.pop(key, None)
        if held is None:
            return
        invocation, deliver = held
        call = invocation.call
        try:
            text, failed = self.functions[call.name](call.input), False
        except Exception as error:  # noqa: BLE001 - a tool may raise anything; that is the boundary
            text, failed = f"{type(error).__name__}: {error}", True
        result = ToolResultBlock(tool_use_id=call.id, content=text, is_error=failed)
        deliver(ToolReport(invocation.key, result, "exception" if failed else "ok"))

    @property
    def waiting(self) -> list[str]:
        """Keys of the calls that have not settled."""
        return list(self._waiting)


class ManualClock:
    """A clock that stands still until it is told to move."""

    def __init__(self, start: float = 1_000_000.0) -> None:
        self._now = start
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._now + seconds, future))
        await future

    def advance(self, seconds: float) -> None:
        """Move on and wake whoever slept until then."""
        self._now += seconds
        due = [future for until, future in self._sleepers if until <= self._now]
        self._sleepers = [(until, future) for until, future in self._sleepers if until > self._now]
        for future in due:
            if not future.done():
                future.set_result(None)
