"""The shell of a session: performs what the machine decides, through ports.

The rule here: accepted means durable. Commands are performed in order, and what leaves the session (events, answers,
tool calls) waits in the outbox until the entries before it are in the journal; a model call alone does not wait.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from agent_core import commands as out
from agent_core import inputs
from agent_core.compaction_results import CompactionResults
from agent_core.conversation import Conversation
from agent_core.entries import Entry, TurnEnded
from agent_core.errors import RayconteurError, SessionClosed, SessionError
from agent_core.leaving import Leaving
from agent_core.messages import SessionId, TurnId
from agent_core.model_calls import ModelCalls
from agent_core.observing import activated, let_go
from agent_core.outbox import Outbox
from agent_core.payloads import Delta, SessionState, UserInput
from agent_core.ports import (
    Claim,
    CompactionReport,
    Record,
    ToolReport,
)
from agent_core.session_log import SessionLog
from agent_core.session_ports import Ports
from agent_core.snapshotting import Snapshots, whole
from agent_core.standing import status_of
from agent_core.status import CompactResult, SessionStatus
from agent_core.stream import EventStream
from agent_core.submission import TurnResult, result_of
from agent_core.turn import Machine

MAILBOX = 32
PUT_AWAY = "put_away"


class Shell:
    """One live session. Everything here runs on one event loop; only `status` may be read from another thread."""

    def __init__(
        self, conversation: Conversation, claim: Claim, ports: Ports, on_lost: Callable[["Shell"], None]
    ) -> None:
        self._ports = ports
        self._conversation = conversation
        self._machine = Machine(conversation, claim.epoch, ports.limit_of)
        self._outbox = Outbox(claim.session_id, claim.epoch, ports.journal, self._lose)
        begun = conversation.answer_from if conversation.open is not None else None
        self.stream = EventStream(claim.epoch, conversation.last_seq, begun)
        self.epoch = claim.epoch
        self._on_lost = on_lost
        self._snapshots = Snapshots(conversation, claim, ports.journal, ports.snapshot_after)
        self._calls = ModelCalls(ports.model, self._listen, ports.observer)
        self._waiting_ends: dict[TurnId, list[asyncio.Future[TurnResult]]] = {}
        self._compaction: str | None = None
        self._compactions = CompactionResults()
        self._timers: list[asyncio.Task[None]] = []
        self._room: list[asyncio.Future[None]] = []
        self._closing: asyncio.Event | None = None
        self._leaving: Leaving | None = None
        self._log = SessionLog(claim.session_id)
        if conversation.last_seq == 1 and claim.records:
            self._log.fact(claim.records[0].entry)
        self._used = ports.clock.now()
        self.lost: RayconteurError | None = None
        self.stream.closed = conversation.closed
        activated(ports.observer, conversation)

    @property
    def id(self) -> SessionId:
        return self._conversation.session_id

    @property
    def conversation(self) -> Conversation:
        """The state, for reading only."""
        return self._conversation

    @property
    def is_shutdown(self) -> bool:
        return self._machine.state == "closed" or self.lost is not None

    @property
    def state(self) -> SessionState:
        """What the session is doing or waiting for."""
        return self._machine.state

    @property
    def mailbox(self) -> int:
        """How many messages wait: those that were accepted, and those that there is no room for yet."""
        return len(self._conversation.queue) + len(self._conversation.steers) + len(self._room)

    # --- inputs -----------------------------------------------------------------------------------------------------

    async def perform(self, given: inputs.Input) -> out.Answer:
        """Have the machine take an input; the answer is durable. Raises its refusal, or what lost the session."""
        answer = self.feed(given)
        await self._outbox.settled()
        return answer

    async def submit(self, given: inputs.Submit) -> TurnId:
        """Take a message once there is room for it; when this returns it is durable."""
        turn_id = await self.accept(given)
        await self.settled()
        return turn_id

    async def settled(self) -> None:
        """Wait until everything decided so far is durable. Raises what lost the session."""
        await self._outbox.settled()

    async def accept(self, given: inputs.Submit) -> TurnId:
        """Take a message once there is room for it; it is not durable yet, and none of its events has left."""
        while self._is_full(given):
            room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._room.append(room)
            try:
                await room
            except asyncio.CancelledError:
                # The room that was made for this sender is the next one's.
                self._wake_senders()
                raise
        if given.traceparent is None and (trace := self._ports.new_trace()) is not None:
            given = replace(given, traceparent=trace)
        return self.feed(given).turn_id or TurnId("")

    def _is_full(self, given: inputs.Submit) -> bool:
        """Whether the sender has to wait: one that interrupts or would rather be refused never does."""
        waits = isinstance(given.payload, UserInput) and given.when in ("after", "next_step")
        return waits and not self._has_room and not self.is_repeat(given) and not self.is_shutdown

    @property
    def _has_room(self) -> bool:
        return len(self._conversation.queue) + len(self._conversation.steers) < MAILBOX

    def is_repeat(self, given: inputs.Submit) -> bool:
        """Whether this asks for what was done before, so that events of its turn may have passed."""
        conversation, turn, payload = self._conversation, self._conversation.open, given.payload
        if isinstance(payload, UserInput):
            return given.key is not None and given.key in conversation.keys
        turns = {conversation.turn_of_call.get(result.tool_use_id) for result in payload.results}
        return turn is None or turn.turn_id not in turns

    def feed(self, given: inputs.Input) -> out.Answer:
        """Have the machine take an input and perform its commands now. Raises the machine's refusal."""
        if self.lost is not None:
            raise self.lost
        answer, refusal = out.Answer(), None
        self._used = self._ports.clock.now()
        for command in self._machine.handle(given, self._used):
            match command:
                case out.Emit():
                    self._emit(command.delta)
                case out.Journal():
                    self._write(command.record)
                case out.CallModel():
                    if self._leaving is None or not self._leaving.withholds():
                        self._calls.start(command.call, command.request)
                case out.RunTools():
                    self._outbox.then(lambda run=command: self._ports.tools.dispatch(run.invocations, self._report))
                case out.CancelModel():
                    self._calls.cancel()
                case out.CancelTools():
                    self._outbox.then(lambda cancel=command: self._ports.tools.cancel(cancel.keys))
                case out.StartCompaction() | out.PromoteCompaction() | out.CancelCompaction():
                    self._compact(command)
                case out.StartTimer():
                    self._start_timer(command)
                case out.CompactionEnded():
                    self._outbox.then(lambda ended=command: self._compactions.settle(ended.job_id, ended.result))
                case out.Answer():
                    answer = command
                case out.Refuse():
                    refusal = command.error
                case _:
                    assert_never(command)
        self._wake_senders()
        if self._leaving is not None:
            self._leaving.look()
        if refusal is not None:
            raise refusal
        return answer

    # --- what leaves ------------------------------------------------------------------------------------------------

    def _emit(self, delta: Delta) -> None:
        if self._outbox.empty:
            self.stream.delta(delta)
        else:
            self._outbox.then(lambda: self.stream.delta(delta))

    def _write(self, record: Record) -> None:
        self._outbox.write(record, lambda: self._left(record))

    def _left(self, record: Record) -> None:
        self.stream.fact(record)
        entry: Entry = record.entry
        self._log.fact(entry)
        self._ports.observer.fact(self._conversation, record)
        if isinstance(entry, TurnEnded):
            if self._outbox.empty:
                self._snapshots.take_if_due()
            for future in self._waiting_ends.pop(entry.turn_id, ()):
                if not future.done():
                    future.set_result(result_of(entry, self._conversation))
        elif entry.kind == "closed":
            self._close()
        elif entry.kind == "reopened":
            self.stream.closed = False

    def _close(self) -> None:
        self._stop_compacting()
        self.stream.close()
        self._fail_waiters(self.ended_early())

    def ended_early(self) -> RayconteurError:
        """Why no turn ends here any more: what lost the session, or that it was shut down."""
        return self.lost or SessionClosed(
            f"Session '{self.id}' was shut down before the turn ended. Open it again to go on.", "closed"
        )

    # --- what comes back --------------------------------------------------------------------------------------------

    def _listen(self, given: inputs.Input) -> None:
        """Take what a port has to say, unless the session is lost."""
        if self.lost is None:
            self.feed(given)

    def _report(self, report: ToolReport) -> None:
        self._listen(inputs.FromTool(report))

    # --- compaction -------------------------------------------------------------------------------------------------

    async def compact(self, focus: str = "") -> CompactResult:
        """Compact now, and wait for what comes of it. Raises SessionClosed, or what lost the session."""
        answer = self.feed(inputs.Compact(focus))
        if answer.job_id is not None:
            return await self._compactions.result(answer.job_id)
        await self._outbox.settled()
        return answer.compacted or CompactResult(compacted=False)

    def _compact(self, command: out.StartCompaction | out.PromoteCompaction | out.CancelCompaction) -> None:
        compactor = self._ports.compactor
        match command:
            case out.StartCompaction():
                self._compaction = command.job.key
                self._log.summary_asked(command.job, command.priority)
                self._ports.observer.summary_asked(command.job, command.priority)
                compactor.submit(command.job, command.priority, self._hear)
            case out.PromoteCompaction():
                compactor.promote(command.key, command.priority)
            case out.CancelCompaction():
                compactor.cancel(command.key)

    def _hear(self, report: CompactionReport) -> None:
        if self.lost is None:
            self._log.summary_told(report)
            self._ports.observer.summary_told(report)
            self.feed(inputs.FromCompactor(report))

    def _start_timer(self, timer: out.StartTimer) -> None:
        task = asyncio.get_running_loop().create_task(self._measure(timer))
        self._timers.append(task)
        task.add_done_callback(self._timers.remove)

    async def _measure(self, timer: out.StartTimer) -> None:
        await self._ports.clock.sleep(timer.seconds)
        self._listen(inputs.TimerEnded(timer.timer))

    # --- waiting ----------------------------------------------------------------------------------------------------

    async def result(self, turn_id: TurnId) -> TurnResult:
        """Wait for the turn's end. Raises SessionClosed if the session is shut down before, SessionError if unknown."""
        if self.lost is not None:
            raise self.lost
        if turn_id not in self._conversation.turns:
            raise SessionError(f"There is no turn '{turn_id}'. Use the id that submit returned.", "unknown_turn")
        ended = self._conversation.turns[turn_id]
        if ended is not None:
            await self._outbox.settled()
            return result_of(ended, await self.whole())
        if self.stream.closed:
            raise self.ended_early()
        future: asyncio.Future[TurnResult] = asyncio.get_running_loop().create_future()
        self._waiting_ends.setdefault(turn_id, []).append(future)
        return await future

    async def whole(self) -> Conversation:
        """The state with every message that was ever said, those that only the journal has too."""
        return await whole(self._conversation, self._ports.journal)

    async def pin(self, message_id: str, *, kept: bool) -> None:
        """Keep a message word for word, or no longer. Raises SessionError if unknown, ConfigError for too much."""
        message = None
        if kept and self._conversation.left_out:
            conversation = await self.whole()
            message = conversation.view.find(message_id, conversation.messages)
        await self.perform(inputs.Pin(message_id, kept, message))

    async def wait_closed(self) -> None:
        """Wait until the session is shut down. Raises what lost it before."""
        if not self.stream.closed:
            self._closing = self._closing or asyncio.Event()
            await self._closing.wait()
        if self.lost is not None:
            raise self.lost

    def _wake_senders(self) -> None:
        while self._room and self._has_room:
            room = self._room.pop(0)
            if not room.done():
                room.set_result(None)
                return

    def status(self) -> SessionStatus:
        """A snapshot, of values that are replaced whole: another thread may ask while this one is stuck."""
        return status_of(self._conversation, self._machine, self.epoch, self._ports)

    # --- the end ----------------------------------------------------------------------------------------------------

    def drop(self, error: RayconteurError) -> None:
        """Let go of the session: nothing more is written, its work is cancelled, whoever waits gets `error`."""
        if self.lost is not None:
            return
        self.lost = error
        self._outbox.close(error)
        self._calls.cancel()
        self._stop_compacting()
        turn = self._conversation.open
        if turn is not None and turn.batch is not None:
            self._ports.tools.cancel([f"{self.id}/{call}" for call in turn.unsettled])
        self.stream.close()
        let_go(self._ports.observer, self._conversation, error)
        self._fail_waiters(error)
        if self._leaving is not None:
            self._leaving.end()

    def _stop_compacting(self) -> None:
        if self._compaction is not None:
            self._ports.compactor.cancel(self._compaction)
        for task in self._timers:
            task.cancel()

    @property
    def used_at(self) -> float:
        """When something was last done with the session, in seconds since the epoch."""
        return self._used

    @property
    def idle_since(self) -> float | None:
        """Since when nobody has wanted anything of the session (seconds since the epoch), None while somebody does."""
        wanted = self._conversation.open or self._conversation.queue or self._waiting_ends or self._room
        busy = not self._outbox.empty or self.stream.is_read or self._machine.compaction.job_id is not None
        return None if wanted or busy or self.lost else self._used

    async def rest(self) -> bool:
        """Take a snapshot of a session that is idle and let go of it: whether it was idle all the while."""
        await self._snapshots.kept()
        if self.idle_since is None:
            return False
        self.drop(SessionError(f"Session '{self.id}' was put away while idle. Open it again to go on.", PUT_AWAY))
        return True

    async def leave(self, error: RayconteurError, patience: float) -> bool:
        """Let go of it where nothing is lost by that, or after `patience` seconds; see `Leaving`. Waiters get `error`.

        Whether there is work for the next owner. Raises what lost the session before.
        """
        self._leaving = self._leaving or Leaving(self._conversation, self._machine)
        try:
            await self._leaving.wait(self._ports.clock, patience)
            await self._outbox.settled()
            while not self._outbox.empty:
                await self._outbox.settled()
        finally:
            self.drop(error)
        return bool(self._conversation.open or self._conversation.queue)

    def _lose(self, error: RayconteurError) -> None:
        self._log.lost(error, self._conversation.open.turn_id if self._conversation.open else None)
        self.drop(error)
        self._on_lost(self)

    def _fail_waiters(self, error: RayconteurError) -> None:
        waiting, self._waiting_ends = self._waiting_ends, {}
        for future in (future for futures in waiting.values() for future in futures):
            if not future.done():
                future.set_exception(error)
        self._compactions.fail(error)
        if self._closing is not None:
            self._closing.set()
            self._closing = None
        for room in self._room:
            if not room.done():
                room.set_result(None)
        self._room.clear()
