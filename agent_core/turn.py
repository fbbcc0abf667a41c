"""The turn machine: the only place that decides what a session does next.

    input                  what follows                                        (H = the history grows)
    ---------------------  -----------------------------------------------------------------------------------
    Submit, no turn open   Accepted, TurnStarted (H), CallModel
    Submit, turn open      Accepted; it waits: behind the turn, for its next step, or the turn is interrupted
    answer, no calls       Complete (H); steered messages go on with CallModel, else TurnEnded
    answer with calls      Complete (H), ToolBatch, RunTools; results settle in any order
    last result            ToolSettled (H: one message with all results, in the order of the calls), CallModel
    answer cut or refused  Complete (H), its calls settled as not run, TurnEnded with that outcome
    request too long       Compacted by the last resort, the same request once more; then as a failure
    no room for a request  it waits for a summary under way, or Compacted by the last resort (`compacting.py`)
    failure                Error, TurnEnded(failed); without any answer its messages leave the view until retried
    Interrupt              what is under way is cancelled; open calls get an error result; TurnEnded(interrupted)
    Recover                open calls run again if idempotent, else their outcome is unknown; the model is asked again;
                           or, with on_recovery "fail", no call runs again and the turn is failed

It does no I/O and knows no clock and no randomness. Events of a model call that is no longer the current one, and
reports of calls that are not open, are ignored: lateness is normal.
"""

from collections.abc import Callable
from typing import assert_never

from agent_core import commands as out
from agent_core import inputs
from agent_core.admission import check_message, check_pin, check_results, check_retry, check_settings
from agent_core.answering import Answering
from agent_core.commands import Command
from agent_core.compacting import Compacting
from agent_core.config import SessionConfig
from agent_core.conversation import Conversation
from agent_core.entries import (
    Accepted,
    Cleared,
    Closed,
    Configured,
    Pinned,
    Reopened,
    Steered,
    TurnRetried,
    TurnStarted,
    Unpinned,
)
from agent_core.errors import RayconteurError, SessionClosed
from agent_core.messages import TurnId
from agent_core.payloads import InterruptMode, SessionState, ToolResults, UserInput
from agent_core.recorder import Recorder
from agent_core.status import CompactionStatus
from agent_core.window import Window


class Machine:
    """One session's decisions. Feed it inputs in the order in which they happen; perform its commands in order."""

    def __init__(self, conversation: Conversation, epoch: int, limit_of: Callable[[SessionConfig], int]) -> None:
        self.conversation = conversation
        self._recorder = Recorder(conversation, epoch)
        self._window = Window(conversation, limit_of)
        self._compacting = Compacting(self._recorder, self._window)
        self._answering = Answering(self._recorder, self._compacting)
        self._limit_of = limit_of
        self._stopping = False

    def handle(self, given: inputs.Input, now: float) -> list[Command]:
        """Take one input at the time `now` (seconds since the epoch) and say what is to be done.

        Whatever asks the model is refused while its window is not known, before anything is recorded.
        """
        self._recorder.now = now
        try:
            self._dispatch(given)
        except RayconteurError as refusal:
            self._recorder.do(out.Refuse(refusal))
        else:
            self._advance()
        return self._recorder.take()

    @property
    def state(self) -> SessionState:
        """What the session is doing or waiting for."""
        if self.conversation.closed or (self._stopping and self.conversation.open is None):
            return "closed"
        if self.conversation.open is None:
            return "idle"
        if self._compacting.waiting:
            return "compacting"
        if self.conversation.open.batch is not None:
            return "awaiting_tools"
        return "awaiting_permit" if self._answering.awaiting_permit else "running"

    @property
    def only_external(self) -> bool:
        """Whether the open turn waits for nothing but results from outside."""
        return self.conversation.open is not None and self._answering.only_external

    @property
    def context_limit(self) -> int:
        """The model's window in tokens, as far as is known; 0 if nothing is known."""
        return self._window.known_limit

    @property
    def compaction(self) -> CompactionStatus:
        """Where compaction stands."""
        return self._compacting.status

    def _dispatch(self, given: inputs.Input) -> None:
        match given:
            case inputs.FromModel():
                self._answering.on_event(given.call, given.event)
            case inputs.FromTool():
                self._answering.on_report(given.report)
            case inputs.ModelFailed():
                self._answering.on_failure(given.call, given.error)
            case inputs.Submit():
                self._submit(given)
            case inputs.Interrupt() | inputs.Retry() | inputs.Clear() if given.key in self.conversation.performed:
                self._recorder.do(out.Answer(self.conversation.performed[given.key or ""]))
            case inputs.Interrupt():
                self._recorder.do(out.Answer(self._interrupt_open(given.mode, given.key)))
            case inputs.Recover():
                self._recover(given)
            case inputs.Retry():
                self._retry(given)
            case inputs.Clear():
                self._clear(given)
            case inputs.Configure():
                self._configure(given)
            case inputs.Compact():
                self._compact(given)
            case inputs.FromCompactor():
                self._compacting.on_report(given.report)
            case inputs.TimerEnded():
                self._compacting.on_timer(given.timer)
            case inputs.Pin():
                self._pin(given)
            case inputs.Shutdown():
                self._shutdown(given)
            case _:
                assert_never(given)

    def _submit(self, submit: inputs.Submit) -> None:
        conversation = self.conversation
        if submit.key is not None and (known := conversation.keys.get(submit.key)) is not None:
            return self._recorder.do(out.Answer(known))
        self._check_not_stopping()
        self._limit_of(conversation.config)
        match submit.payload:
            case UserInput():
                turn_id = self._accept(submit, submit.payload)
            case ToolResults():
                check_results(conversation, submit.payload)
                turn_id = self._answering.on_external(submit.payload)
            case _:
                assert_never(submit.payload)
        self._recorder.do(out.Answer(turn_id))

    def _accept(self, submit: inputs.Submit, payload: UserInput) -> TurnId:
        conversation = self.conversation
        check_message(conversation, submit, payload)
        steers = submit.when == "next_step" and conversation.open is not None and payload.turn_id is None
        if steers and conversation.open:
            turn_id = conversation.open.turn_id
        else:
            turn_id = payload.turn_id or self._next_turn_id()
        accepted = Accepted(
            turn_id=turn_id, payload=payload, when=submit.when, key=submit.key, traceparent=submit.traceparent
        )
        self._recorder.record(accepted)
        if submit.when == "interrupt":
            self._interrupt_open("keep")
        return turn_id

    def _next_turn_id(self) -> TurnId:
        taken = self.conversation.turns
        number = len(taken) + 1
        while f"u{number}" in taken:
            number += 1
        return TurnId(f"u{number}")

    def _check_not_stopping(self) -> None:
        if self._stopping:
            raise self._closed()
        self._check_not_closed()

    def _check_not_closed(self) -> None:
        if self.conversation.closed:
            raise self._closed()

    def _closed(self) -> SessionClosed:
        return SessionClosed(
            f"Session '{self.conversation.session_id}' is shut down. Open it again to go on.", "closed"
        )

    def _interrupt_open(self, mode: InterruptMode, key: str | None = None) -> TurnId | None:
        """End the open turn; which one it was. The open turn of a closed session waits until it is opened again."""
        turn = self.conversation.open
        if turn is None or self.conversation.closed:
            return None
        self._compacting.stop_waiting()
        self._answering.interrupt(mode, key)
        if mode == "discard":
            self._compacting.verify()
        return turn.turn_id

    def _retry(self, given: inputs.Retry) -> None:
        self._check_not_stopping()
        self._limit_of(self.conversation.config)
        turn_id = check_retry(self.conversation)
        self._recorder.record(TurnRetried(turn_id=turn_id, key=given.key, traceparent=given.traceparent))
        self._recorder.do(out.Answer(turn_id))

    def _clear(self, given: inputs.Clear) -> None:
        self._check_not_closed()
        self._compacting.cancel("the conversation was cleared")
        self._interrupt_open("discard")
        self._recorder.record(Cleared(key=given.key))
        self._recorder.do(out.Answer())

    def _configure(self, given: inputs.Configure) -> None:
        self._check_not_closed()
        check_settings(self.conversation, given.changes, self._limit_of)
        before = self.conversation.config.compaction
        self._recorder.record(Configured(changes=given.changes))
        if self.conversation.config.compaction != before:
            self._compacting.cancel("compaction was set otherwise")
        self._recorder.do(out.Answer())

    def _compact(self, given: inputs.Compact) -> None:
        self._check_not_stopping()
        self._limit_of(self.conversation.config)
        told = self._compacting.now(given.focus)
        self._recorder.do(out.Answer(job_id=told) if isinstance(told, str) else out.Answer(compacted=told))

    def _pin(self, given: inputs.Pin) -> None:
        self._check_not_closed()
        if check_pin(self.conversation, given, self._window.known_limit):
            self._recorder.record(self._pinned(given) if given.kept else Unpinned(message_id=given.message_id))
        self._recorder.do(out.Answer())

    def _pinned(self, given: inputs.Pin) -> Pinned:
        """A message that no longer stands goes along: whoever begins with a snapshot does not have it."""
        view, messages = self.conversation.view, self.conversation.messages
        message = (
            None if view.stands(given.message_id, messages) else given.message or view.find(given.message_id, messages)
        )
        return Pinned(message_id=given.message_id, message=message)

    def _shutdown(self, given: inputs.Shutdown) -> None:
        self._stopping = True
        self._compacting.cancel("the session was shut down")
        if given.how == "cancel":
            self._interrupt_open("keep")
        self._recorder.do(out.Answer())

    def _recover(self, given: inputs.Recover) -> None:
        if self.conversation.open is not None:
            self._limit_of(self.conversation.config)
        shut_down = self.conversation.closed
        if shut_down and given.reopen:
            self._recorder.record(Reopened())
        if not self.conversation.closed and self.conversation.open is not None:
            # A turn that was left open by a shutdown has lost nothing.
            if self.conversation.config.on_recovery == "fail" and not shut_down:
                self._answering.give_up()
            else:
                self._answering.recover()
        self._recorder.do(out.Answer())

    def _advance(self) -> None:
        """Go on as far as can be gone without waiting for anybody."""
        if not self._answering.busy:
            self._compacting.go_on()
        while not self.conversation.closed:
            turn = self.conversation.open
            if turn is None:
                # A summary may have waited for the turn's end.
                self._compacting.go_on()
                if not self._begin_next():
                    return
            elif self._answering.busy or self._compacting.waiting or turn.batch is not None:
                if self._stopping and self._answering.only_external:
                    self._close()
                return
            elif self.conversation.steers:
                seqs = tuple(seq for seq, _ in self.conversation.steers)
                self._recorder.record(Steered(turn_id=turn.turn_id, accepted=seqs))
            elif turn.owes_call:
                self._answering.next_step()
            else:
                self._answering.end("completed")

    def _begin_next(self) -> bool:
        if self._stopping:
            self._close()
            return False
        if not self.conversation.queue:
            return False
        self._recorder.record(TurnStarted(turn_id=self.conversation.queue[0][1].turn_id))
        return True

    def _close(self) -> None:
        if not self.conversation.closed:
            self._compacting.cancel("the session was shut down")
            self._recorder.record(Closed())
