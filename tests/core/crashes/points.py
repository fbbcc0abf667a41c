"""The ports of a process that dies at a chosen moment: whatever a session asks of the world, or hears of it, is one.

The rule here: a dead process does nothing more. It dies in the middle of the call that is the moment, so that nothing
behind it is performed; what it had sent before stays sent.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Sequence

from agent_core.content import ToolResultBlock
from agent_core.errors import ErrorInfo
from agent_core.journals.memory import MemoryJournal
from agent_core.messages import SessionId, Usage
from agent_core.ports import (
    Append,
    Claim,
    CompactionFailure,
    CompactionJob,
    CompactionPriority,
    CompactionReport,
    CompactionStarted,
    JournalOutcome,
    ModelEvent,
    ModelRequest,
    Patch,
    Record,
    Snapshot,
    ToolInvocation,
    ToolReport,
    UsageUpdate,
)
from agent_core.providers.anthropic_messages import AnthropicMessages
from agent_core.providers.openai_chat import OpenAIChat
from agent_core.providers.openai_responses import OpenAIResponses
from agent_core.scripted import ModelLimits, Signer, validate_anthropic, validate_chat, validate_responses
from agent_core.simulation.loop import OWNER
from agent_core.simulation.processes import Process
from agent_core.snapshotting import claimed
from tests.core.crashes.script import BAD, Answer, answer_to, seconds_of, text_of_call
from tests.core.invariants import FOLDED, replayed

_TRAVEL = 0.001


class Killed(asyncio.CancelledError):
    """The process ends here: what it was about to do next is not done."""


class Points:
    """Counts the moments, and ends the process at those of `crash_at`."""

    def __init__(self, crash_at: Collection[int] = ()) -> None:
        self._crash_at = frozenset(crash_at)
        self.reached: list[str] = []
        self.on_crash: Callable[[], None] = lambda: None

    @property
    def is_known(self) -> bool:
        """Whether all has been so far as it is without a crash, which another run has been checked for."""
        return len(self.reached) <= min(self._crash_at, default=-1)

    def reach(self, process: Process, name: str) -> None:
        """A moment of `process`. Raises Killed if it is its last, or if it is dead already."""
        if not process.alive:
            raise Killed
        self.reached.append(name)
        if len(self.reached) - 1 in self._crash_at:
            self.on_crash()
            raise Killed

    def hear(self, process: Process, name: str, deliver: Callable[[], None]) -> None:
        """Have the process hear of something, unless it is dead or dies of it."""
        token = OWNER.set(process)
        try:
            self.reach(process, name)
            deliver()
        except Killed:
            pass
        finally:
            OWNER.reset(token)


class CrashingJournal:
    """The journal as one process sees it: each call has a moment before it is done and one after."""

    def __init__(self, store: MemoryJournal, process: Process, points: Points) -> None:
        self._store, self._process, self._points = store, process, points

    async def _travel(self, name: str) -> None:
        self._points.reach(self._process, name)
        await asyncio.sleep(_TRAVEL)

    async def claim(self, session_id: SessionId, owner: str, first: Record | None = None) -> Claim:
        await self._travel("claim")
        claim = await self._store.claim(session_id, owner, first)
        await _check_claim(claim, self._store)
        await self._travel("claimed")
        return claim

    async def append(self, appends: Sequence[Append]) -> Sequence[JournalOutcome]:
        kinds = " ".join(record.entry.kind for append in appends for record in append.records)
        await self._travel(f"append {kinds}")
        outcomes = await self._store.append(appends)
        await self._travel(f"appended {kinds}")
        return outcomes

    async def read(self, session_id: SessionId, after: int = 0) -> Sequence[Record]:
        await self._travel("read")
        return await self._store.read(session_id, after)

    async def exists(self, session_id: SessionId) -> bool:
        await self._travel("exists")
        return await self._store.exists(session_id)

    async def save_snapshot(self, session_id: SessionId, epoch: int, snapshot: Snapshot) -> None:
        await self._travel("save snapshot")
        await self._store.save_snapshot(session_id, epoch, snapshot)
        await self._travel("saved snapshot")


async def _check_claim(claim: Claim, store: MemoryJournal) -> None:
    """What is claimed with a snapshot is what all the entries say without one."""
    if claim.snapshot is None:
        return
    short, long = await claimed(claim, store), replayed(claim.session_id, await store.read(claim.session_id))
    for name in (name for name in FOLDED if name != "messages"):
        assert getattr(short, name) == getattr(long, name), f"{name} differs from a snapshot"
    assert short.messages == long.messages[short.left_out :], "messages differ from a snapshot"
    assert short.view.shown == long.view.shown, "the view differs from a snapshot"


class Provider:
    """Answers as the script says, and checks each request as all three providers would.

    What was found right once is right again. Until it is `well` it fails where the script says so.
    """

    def __init__(self) -> None:
        self._wires = (AnthropicMessages(), OpenAIResponses(), OpenAIChat())
        self._signer, self._limits = Signer(), ModelLimits()
        self._right: set[tuple[bytes, ...]] = set()
        self.well = False
        self.broken: list[Exception] = []

    def answer(self, request: ModelRequest) -> Answer:
        """The answer. Raises LookupError if the script has none."""
        try:
            return answer_to(request)
        except Exception as error:
            self.broken.append(error)
            raise

    def check(self, request: ModelRequest) -> None:
        """Raises what is wrong with the request, and remembers it."""
        try:
            self._check(request)
        except Exception as error:
            self.broken.append(error)
            raise

    def _check(self, request: ModelRequest) -> None:
        bodies = tuple(wire.encode(request) for wire in self._wires)
        if bodies in self._right:
            return
        messages, responses, chat = (json.loads(body) for body in bodies)
        validate_anthropic(messages, self._limits, self._signer)
        validate_responses(responses, self._limits, self._signer)
        validate_chat(chat, self._limits)
        self._right.add(bodies)


class CrashingModel:
    """The provider as one process sees it: each event is a moment."""

    def __init__(self, provider: Provider, process: Process, points: Points) -> None:
        self._provider, self._process, self._points = provider, process, points

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        self._points.reach(self._process, "model")
        if not self._points.is_known:
            self._provider.check(request)
        answer = self._provider.answer(request)
        for event in answer.events():
            await asyncio.sleep(_TRAVEL)
            if answer.fails and not self._provider.well and isinstance(event, UsageUpdate):
                raise answer.fails
            self._points.reach(self._process, f"event {type(event).__name__}")
            yield event
        if answer.stalls:
            await asyncio.get_running_loop().create_future()


class Ledger:
    """The tools of the world: what they have run, whoever asked, and what they were told to run again wrongly."""

    def __init__(self, store: MemoryJournal) -> None:
        self._store = store
        self.runs: Counter[str] = Counter()
        self.once: set[str] = set()
        self.wrong: list[str] = []
        self._running: dict[str, asyncio.Task[None]] = {}

    def start(self, invocation: ToolInvocation, deliver: Callable[[ToolReport], None]) -> None:
        """Run a call; one that is running already begins anew."""
        self.runs[invocation.key] += 1
        if not invocation.definition.idempotent:
            self.once.add(invocation.key)
        self.stop([invocation.key])
        token = OWNER.set(None)
        try:
            self._running[invocation.key] = asyncio.get_running_loop().create_task(self._run(invocation, deliver))
        finally:
            OWNER.reset(token)

    async def _run(self, invocation: ToolInvocation, deliver: Callable[[ToolReport], None]) -> None:
        call = invocation.call
        entries = [record.entry for record in await self._store.read(invocation.session_id)]
        if not any(entry.kind == "tool_batch" and call in entry.calls for entry in entries):
            self.wrong.append(f"{call.id} ran before its start was durable")
        if any(entry.kind == "tool_settled" and entry.result.tool_use_id == call.id for entry in entries):
            self.wrong.append(f"{call.id} ran though its result was durable")
        await asyncio.sleep(seconds_of(call))
        deliver(ToolReport(invocation.key, ToolResultBlock(tool_use_id=call.id, content=text_of_call(call)), "ok"))

    def stop(self, keys: Sequence[str]) -> None:
        """Cancel calls."""
        for key in keys:
            if (task := self._running.pop(key, None)) is not None:
                task.cancel()


class CrashingTools:
    """The executors as one process sees them: calls that leave and reports that come are moments."""

    def __init__(self, ledger: Ledger, process: Process, points: Points) -> None:
        self._ledger, self._process, self._points = ledger, process, points

    def dispatch(self, calls: Sequence[ToolInvocation], deliver: Callable[[ToolReport], None]) -> None:
        names = " ".join(invocation.call.name for invocation in calls)
        self._points.reach(self._process, f"dispatch {names}")
        for invocation in calls:
            self._ledger.start(invocation, lambda report: self._hear(report, deliver))
        self._points.reach(self._process, f"dispatched {names}")

    def _hear(self, report: ToolReport, deliver: Callable[[ToolReport], None]) -> None:
        self._points.hear(self._process, "report", lambda: deliver(report))

    def cancel(self, keys: Sequence[str]) -> None:
        self._points.reach(self._process, "cancel tools")
        self._ledger.stop(keys)


class CrashingCompactor:
    """The compactors as one process sees them. A job takes two seconds; one whose focus is BAD fails."""

    def __init__(self, process: Process, points: Points) -> None:
        self._process, self._points = process, points

    def submit(
        self, job: CompactionJob, priority: CompactionPriority, deliver: Callable[[CompactionReport], None]
    ) -> None:
        self._points.reach(self._process, f"submit {priority}")
        token = OWNER.set(None)
        try:
            self._work = asyncio.get_running_loop().create_task(self._run(job, deliver))
        finally:
            OWNER.reset(token)
        self._points.reach(self._process, f"submitted {priority}")

    async def _run(self, job: CompactionJob, deliver: Callable[[CompactionReport], None]) -> None:
        last = job.messages[-1].content[-1]
        outcome: CompactionReport = Patch(
            job.key, job.digest, f"All up to: {last.text if last.kind == 'text' else last.kind}", Usage(output_tokens=9)
        )
        if job.focus == BAD:
            outcome = CompactionFailure(job.key, ErrorInfo(boundary="provider", kind="server", message="It fails."))
        for report in (CompactionStarted(job.key), outcome):
            await asyncio.sleep(1.0)
            name = f"compaction {type(report).__name__}"
            self._points.hear(self._process, name, lambda report=report: deliver(report))

    def promote(self, key: str, priority: CompactionPriority) -> None:
        del key
        self._points.reach(self._process, f"promote {priority}")

    def cancel(self, key: str) -> None:
        del key
        self._points.reach(self._process, "cancel compaction")
