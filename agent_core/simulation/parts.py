"""The ports of the simulated world, faulty on purpose: a slow journal, a failing model, tools whose process dies.

The rule here: a part belongs to the world, not to the process that calls it. It goes on when its caller is killed, and
what it has to say to a dead caller is lost.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from random import Random

from agent_core.config import SessionConfig
from agent_core.content import ToolResultBlock
from agent_core.errors import JournalError, ProviderError, ProviderErrorKind
from agent_core.journals.memory import MemoryJournal
from agent_core.messages import SessionId, StopReason, Usage
from agent_core.ports import (
    Append,
    Claim,
    ModelEvent,
    ModelRequest,
    PermitWait,
    Record,
    ResponseStarted,
    ResponseStopped,
    RetryScheduled,
    Snapshot,
    TextDelta,
    ThinkingDelta,
    ToolInvocation,
    ToolReport,
    ToolUseDelta,
    UsageUpdate,
)
from agent_core.providers.anthropic_messages import AnthropicMessages
from agent_core.providers.openai_chat import OpenAIChat
from agent_core.providers.openai_responses import OpenAIResponses
from agent_core.scripted import ModelLimits, Signer, WireError, validate_anthropic, validate_chat, validate_responses
from agent_core.simulation.loop import OWNER
from agent_core.simulation.processes import Process
from agent_core.simulation.rules import Evidence, RuleBroken, check_question
from agent_core.tools.definition import ToolDefinition, ToolReference

TOOLS: tuple[ToolDefinition, ...] = (
    ToolDefinition(name="once", description="Not idempotent.", reference=ToolReference(module="sim", name="once")),
    ToolDefinition(
        name="again", description="Idempotent.", reference=ToolReference(module="sim", name="again"), idempotent=True
    ),
    ToolDefinition(name="outside", description="External."),
)
FAULTS: tuple[ProviderErrorKind, ...] = (
    "rate_limit",
    "overloaded",
    "server",
    "timeout",
    "connection",
    "cut_short",
    "bad_request",
    "context_too_long",
)
_NAMES = ("once", "again", "outside", "unknown")


@dataclass
class Weather:
    """How bad it is: probabilities, from 0 to 1."""

    model_fails: float = 0.12
    journal_fails: float = 0.01
    calls_tools: float = 0.5

    def clear(self) -> None:
        """No more faults."""
        self.model_fails = self.journal_fails = 0.0
        self.calls_tools = 0.2


class SimulatedJournal:
    """The journal as one process sees it: slow, sometimes failing, and mute once that process is dead."""

    def __init__(self, store: MemoryJournal, process: Process, random: Random, weather: Weather) -> None:
        self._store, self._process, self._random, self._weather = store, process, random, weather

    async def claim(self, session_id: SessionId, owner: str, first: Record | None = None) -> Claim:
        await self._travel()
        return await self._back(await self._store.claim(session_id, owner, first))

    async def append(self, appends: Sequence[Append]) -> Sequence[JournalError | None]:
        await self._travel()
        outcomes = await self._store.append(appends)
        await self._travel()
        return list(outcomes)  # type: ignore[misc]

    async def read(self, session_id: SessionId, after: int = 0) -> Sequence[Record]:
        await self._travel()
        return await self._store.read(session_id, after)

    async def save_snapshot(self, session_id: SessionId, epoch: int, snapshot: Snapshot) -> None:
        await self._travel()
        await self._store.save_snapshot(session_id, epoch, snapshot)

    async def exists(self, session_id: SessionId) -> bool:
        await self._travel()
        return await self._store.exists(session_id)

    async def _travel(self) -> None:
        await self._process.alive_or_never()
        await asyncio.sleep(self._random.choice((0.0, 0.001, 0.02)))
        if self._random.random() < self._weather.journal_fails:
            raise JournalError("The simulated journal does not answer.", "unreachable")
        await self._process.alive_or_never()

    async def _back(self, claim: Claim) -> Claim:
        await self._process.alive_or_never()
        return claim


class SimulatedModel:
    """A model that answers at random, and checks each request as all three providers would."""

    def __init__(self, random: Random, weather: Weather, evidence: Evidence) -> None:
        self._random, self._weather, self._evidence = random, weather, evidence
        self._signer = Signer()
        self._limits = ModelLimits()
        self._wires = (AnthropicMessages(), OpenAIResponses(), OpenAIChat())
        self.requests = 0
        self.broken: RuleBroken | None = None

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        self._check(request)
        self.requests += 1
        random, number = self._random, self.requests
        if random.random() < 0.1:
            yield PermitWait(waiting=True)
            await asyncio.sleep(random.random())
            yield PermitWait(waiting=False)
        await asyncio.sleep(random.choice((0.0, 0.01, 2.0)))
        fails = random.random() < self._weather.model_fails
        if fails and random.random() < 0.5:
            yield RetryScheduled(1, 0.5, self._error())
            await asyncio.sleep(0.5)
        if fails and random.random() < 0.5:
            raise self._error()
        yield ResponseStarted(f"msg_{number}", "simulated")
        for event in self._answer(number):
            await asyncio.sleep(random.choice((0.0, 0.0, 0.005)))
            if fails and random.random() < 0.3:
                raise ProviderError("The simulated stream was cut. Try again.", "cut_short")
            yield event

    def _error(self) -> ProviderError:
        return ProviderError("The simulated provider fails. Try again.", self._random.choice(FAULTS))

    def _answer(self, number: int) -> list[ModelEvent]:
        random, index = self._random, 0
        events: list[ModelEvent] = []
        if random.random() < 0.3:
            text = f"thought {number}"
            events += [ThinkingDelta(index, text), ThinkingDelta(index, signature=self._signer.thinking(text))]
            index += 1
        words = random.choice((0, 1, 3))
        events += [TextDelta(index, f"word {number} ") for _ in range(words)]
        index += 1 if words else 0
        calls = random.choice((1, 1, 2, 3)) if random.random() < self._weather.calls_tools else 0
        for at in range(calls):
            # Some servers count calls anew in each answer: ids come again.
            id = random.choice((f"call_{number}_{at}", f"call_{at}"))
            events.append(ToolUseDelta(index + at, id=id, name=random.choice(_NAMES)))
            events.append(ToolUseDelta(index + at, random.choice(('{"a": 1}', "{}", "", '{"a": ', "[1]"))))
        events.append(UsageUpdate(Usage(input_tokens=random.randrange(0, 3000), output_tokens=words)))
        usual: StopReason = "tool_use" if calls else "end_turn"
        rare: tuple[StopReason, ...] = ("max_tokens", "refusal", "context_exceeded", "pause_turn", "stop_sequence")
        events.append(ResponseStopped(usual if random.random() < 0.9 else random.choice(rare)))
        return events

    def _check(self, request: ModelRequest) -> None:
        """Rule 3: the request is valid on every wire."""
        bodies = [json.loads(wire.encode(request)) for wire in self._wires]
        try:
            validate_anthropic(bodies[0], self._limits, self._signer)
            validate_responses(bodies[1], self._limits, self._signer)
            validate_chat(bodies[2], self._limits)
        except WireError as error:
            self.broken = RuleBroken(f"rule 3: an invalid request of {request.session_id}: {error}")
            raise self.broken from error
        try:
            content = (block for message in request.messages for block in message.content)
            check_question(self._evidence, f"{request.session_id} {request.turn_id}", content)
        except RuleBroken as error:
            self.broken = error
            raise


class SimulatedTools:
    """Tool executors of the world. A killed one takes its calls with it; each run is entered in the ledger first."""

    def __init__(self, random: Random, evidence: Evidence) -> None:
        self._random, self._evidence = random, evidence
        self._running: dict[str, asyncio.Task[None]] = {}

    def port(self, process: Process) -> "ToolPort":
        """The port as one process sees it."""
        return ToolPort(self, process)

    def start(self, invocation: ToolInvocation, deliver: Callable[[ToolReport], None]) -> None:
        """Run a call; one that is running already goes on, and reports to whoever asked last."""
        running = self._running.pop(invocation.key, None)
        if running is not None:
            running.cancel()
        token = OWNER.set(None)
        try:
            self._running[invocation.key] = asyncio.get_running_loop().create_task(self._run(invocation, deliver))
        finally:
            OWNER.reset(token)

    async def _run(self, invocation: ToolInvocation, deliver: Callable[[ToolReport], None]) -> None:
        if invocation.definition.idempotent:
            self._evidence.idempotent.add(invocation.key)
        self._evidence.tool_runs[invocation.key] += 1
        await asyncio.sleep(self._random.choice((0.0, 0.01, 1.0, 5.0)))
        failed = self._random.random() < 0.2
        text = f"result of {invocation.key}"
        deliver(self._report(invocation, text, failed=failed))
        if self._random.random() < 0.1:
            deliver(self._report(invocation, "a late second report", failed=False))

    def _report(self, invocation: ToolInvocation, text: str, *, failed: bool) -> ToolReport:
        result = ToolResultBlock(tool_use_id=invocation.call.id, content=text, is_error=failed)
        return ToolReport(invocation.key, result, "exception" if failed else "ok")

    def stop(self, keys: Sequence[str]) -> None:
        """Cancel calls."""
        for key in keys:
            if (task := self._running.pop(key, None)) is not None:
                task.cancel()

    def kill(self) -> None:
        """The executor dies with everything that it runs."""
        self.stop(list(self._running))

    def is_running(self, key: str) -> bool:
        """Whether a call is under way."""
        task = self._running.get(key)
        return task is not None and not task.done()


class ToolPort:
    """`ToolExecutor` for one process: it watches its calls, as the dispatcher of a session actor does."""

    def __init__(self, tools: SimulatedTools, process: Process) -> None:
        self._tools, self._process = tools, process

    def dispatch(self, calls: Sequence[ToolInvocation], deliver: Callable[[ToolReport], None]) -> None:
        for invocation in calls:
            waiting = asyncio.get_running_loop().create_future()

            def report(given: ToolReport, waiting: "asyncio.Future[None]" = waiting) -> None:
                if self._process.alive:
                    if not waiting.done():
                        waiting.set_result(None)
                    deliver(given)

            self._tools.start(invocation, report)
            asyncio.get_running_loop().create_task(self._watch(invocation, waiting, report))

    async def _watch(
        self, invocation: ToolInvocation, waiting: "asyncio.Future[None]", report: Callable[[ToolReport], None]
    ) -> None:
        while not waiting.done():
            await asyncio.sleep(1.5)
            if waiting.done() or self._tools.is_running(invocation.key):
                continue
            if invocation.call.idempotent:
                self._tools.start(invocation, report)
                continue
            result = ToolResultBlock(tool_use_id=invocation.call.id, content="Outcome unknown.", is_error=True)
            report(ToolReport(invocation.key, result, "outcome_unknown"))

    def cancel(self, keys: Sequence[str]) -> None:
        self._tools.stop(keys)


def window(config: SessionConfig) -> int:
    """Every simulated model has a small window, so that compaction takes part."""
    return config.context_limit or 4000
