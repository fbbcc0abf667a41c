"""The inside of a turn: asking the model, gathering its answer, settling its tool calls, ending.

The rule here: at every moment the history is such that the next request is valid. A call enters it together with the
promise of a result (its ToolBatch, in the same append), and whatever ends the turn gives the open calls a result first.
"""

from typing import assert_never

from agent_core import commands as out
from agent_core.accumulator import Accumulator
from agent_core.calls import Calls
from agent_core.compacting import Compacting
from agent_core.config import SessionConfig
from agent_core.content import AssistantBlock, ToolUseBlock
from agent_core.conversation import OpenTurn
from agent_core.entries import Complete, Error, Outcome, TurnEnded
from agent_core.errors import ErrorInfo, ProviderError
from agent_core.messages import AssistantMessage, StopReason, TurnId
from agent_core.payloads import (
    InterruptMode,
    Retrying,
    StatusChanged,
    StreamStart,
    TextChunk,
    ThinkingChunk,
    TokenUpdate,
    ToolInputDelta,
    ToolResults,
)
from agent_core.ports import (
    ModelEvent,
    ModelRequest,
    PermitWait,
    ResponseStarted,
    ResponseStopped,
    RetryScheduled,
    TextDelta,
    ThinkingDelta,
    ToolReport,
    ToolUseDelta,
    UsageUpdate,
)
from agent_core.recorder import Recorder

_OWNER_LOST = ErrorInfo(
    boundary="session",
    kind="owner_lost",
    message="The process that ran the turn was lost. Retry the turn; with on_recovery='resume' such turns go on.",
)
_CUT: dict[StopReason, Outcome] = {
    "max_tokens": "max_tokens",
    "refusal": "refused",
    "context_exceeded": "context_exceeded",
}


class Answering:
    """What happens between a turn's start and its end."""

    def __init__(self, recorder: Recorder, compacting: Compacting) -> None:
        self._recorder, self._compacting = recorder, compacting
        self._conversation = recorder.conversation
        self._calls = Calls(recorder)
        self._call = 0
        self._accumulator: Accumulator | None = None
        self._started_at = 0.0
        self.awaiting_permit = False

    @property
    def busy(self) -> bool:
        """Whether a model call is under way."""
        return self._accumulator is not None

    @property
    def only_external(self) -> bool:
        """Whether the turn waits for nothing but results from outside."""
        return not self.busy and self._calls.only_external

    # --- asking -----------------------------------------------------------------------------------------------------

    def next_step(self) -> None:
        """Ask the model, unless the turn has used up its steps or waits for room."""
        turn = self._turn()
        if turn.steps >= self._conversation.config.max_steps:
            return self.end("max_steps")
        if self._compacting.before_request():
            self._ask()
        return None

    def _ask(self) -> None:
        conversation = self._conversation
        self._call += 1
        self._accumulator = Accumulator(conversation.config.provider)
        self._started_at = self._recorder.now
        request = ModelRequest(
            config=self._config_of_step(),
            messages=tuple(conversation.view.shown),
            session_id=conversation.session_id,
            turn_id=self._turn().turn_id,
            system=conversation.config.system_prompt,
            tools=tuple(conversation.tools.values()),
            max_tokens=conversation.config.max_tokens,
            estimate=conversation.context_used,
            traceparent=self._turn().traceparent,
        )
        self._recorder.do(out.CallModel(self._call, request))

    def _config_of_step(self) -> SessionConfig:
        """The configuration; a forced tool is forced at the turn's first step only, or the turn could never end."""
        config = self._conversation.config
        if self._turn().steps and config.tool_choice not in (None, "auto", "none"):
            return config.model_copy(update={"tool_choice": None})
        return config

    # --- the answer ---------------------------------------------------------------------------------------------------

    def on_event(self, call: int, event: ModelEvent) -> None:
        """Take in what the model tells; late events of an earlier call are ignored."""
        accumulator = self._accumulator
        if accumulator is None or call != self._call:
            return
        turn_id, emit = self._turn().turn_id, self._recorder.emit
        match event:
            case TextDelta():
                accumulator.add(event)
                emit(TextChunk(turn_id=turn_id, index=event.index, text=event.text))
            case ThinkingDelta():
                accumulator.add(event)
                if event.text:
                    emit(ThinkingChunk(turn_id=turn_id, index=event.index, text=event.text))
            case ToolUseDelta():
                accumulator.add(event)
                emit(
                    ToolInputDelta(
                        turn_id=turn_id, index=event.index, text=event.text, tool_use_id=event.id, name=event.name
                    )
                )
            case UsageUpdate():
                accumulator.usage = event.usage
                emit(TokenUpdate(turn_id=turn_id, usage=event.usage))
            case ResponseStarted():
                accumulator.provider_message_id, accumulator.model = event.message_id, event.model
                emit(StreamStart(turn_id=turn_id, message_id=event.message_id, model=event.model))
            case ResponseStopped():
                self._finish(accumulator, event.stop_reason)
            case RetryScheduled():
                emit(Retrying(turn_id=turn_id, attempt=event.attempt, delay=event.delay, error=event.error.info()))
            case PermitWait():
                self.awaiting_permit = event.waiting
                emit(StatusChanged(turn_id=turn_id, state="awaiting_permit" if event.waiting else "running"))
            case _:
                assert_never(event)

    def _finish(self, accumulator: Accumulator, stop_reason: StopReason) -> None:
        self._accumulator = None
        content = accumulator.blocks(self._conversation.turn_of_call)
        message = self._message(accumulator, content, stop_reason)
        self._recorder.record(Complete(turn_id=message.turn_id, message=message, stop_reason=stop_reason))
        asked = [block for block in content if isinstance(block, ToolUseBlock)]
        if stop_reason in _CUT:
            self._calls.refuse(message, asked, f"Not run: the answer was cut short ({stop_reason}).")
            self.end(_CUT[stop_reason])
        elif asked and self._turn().steps >= self._conversation.config.max_steps:
            self._calls.refuse(message, asked, "Not run: the turn has used up its steps.")
            self.end("max_steps")
        elif asked:
            self._calls.start(message, asked)

    def _message(
        self, accumulator: Accumulator, content: tuple[AssistantBlock, ...], stop_reason: StopReason
    ) -> AssistantMessage:
        conversation = self._conversation
        return AssistantMessage(
            id=conversation.message_id(self._recorder.next_seq),
            session_id=conversation.session_id,
            turn_id=self._turn().turn_id,
            parent_id=conversation.parent_id,
            created_at=self._started_at,
            completed_at=self._recorder.now,
            provider=conversation.config.provider,
            model=accumulator.model or conversation.config.model_name,
            provider_message_id=accumulator.provider_message_id,
            usage=accumulator.usage,
            finish_reason=stop_reason,
            content=content,
        )

    def on_failure(self, call: int, error: ProviderError) -> None:
        """The model call failed for good: shrink and ask once more if it was too long, else fail the turn."""
        accumulator = self._accumulator
        if accumulator is None or call != self._call:
            return None
        self._accumulator, self.awaiting_permit = None, False
        if error.kind == "context_too_long" and self._compacting.after_overflow(error.context_limit):
            return self._ask()
        turn_id, info = self._turn().turn_id, error.info()
        self._recorder.record(Error(turn_id=turn_id, error=info, partial=accumulator.text()))
        self.end("failed", info)

    # --- tools ------------------------------------------------------------------------------------------------------

    def on_report(self, report: ToolReport) -> None:
        """Settle a call; a report of a call that is not open is ignored."""
        self._calls.settle(report)

    def on_external(self, payload: ToolResults) -> TurnId:
        """Settle external calls, and end their turn if that is said. Results that are there already change nothing."""
        waited_for = self._calls.waits_for(payload)
        turn_id = self._calls.settle_external(payload)
        if payload.ends_turn and waited_for:
            self._calls.cancel()
            self._calls.abandon()
            self.end("completed")
        return turn_id

    # --- ends -------------------------------------------------------------------------------------------------------

    def end(self, outcome: Outcome, error: ErrorInfo | None = None, key: str | None = None) -> None:
        """End the turn."""
        self._recorder.record(TurnEnded(turn_id=self._turn().turn_id, outcome=outcome, error=error, key=key))

    def interrupt(self, mode: InterruptMode, key: str | None = None) -> None:
        """End the open turn now, keeping what it has or not."""
        turn_id, accumulator = self._turn().turn_id, self._accumulator
        if accumulator is not None:
            self._recorder.do(out.CancelModel(self._call))
            self._accumulator, self.awaiting_permit = None, False
        self._calls.cancel()
        if mode == "discard":
            self._recorder.record(TurnEnded(turn_id=turn_id, outcome="interrupted", discarded=True, key=key))
            return
        if accumulator is not None and (kept := accumulator.partial()):
            message = self._message(accumulator, kept, "interrupted")
            self._recorder.record(Complete(turn_id=turn_id, message=message, stop_reason="interrupted"))
        self._calls.abandon()
        self.end("interrupted", key=key)

    def recover(self) -> None:
        """Take up an open turn that another owner left."""
        self._calls.recover()

    def give_up(self) -> None:
        """End an open turn whose owner was lost."""
        self._calls.lose()
        self.end("failed", _OWNER_LOST)

    def _turn(self) -> OpenTurn:
        turn = self._conversation.open
        assert turn is not None, "no turn is open"
        return turn
