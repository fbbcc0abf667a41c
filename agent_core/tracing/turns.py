"""Turn spans and, under them, tool spans: what one session has open.

The rule here: whatever ends a turn ends every span under it. A turn that another process began has a span of its own
here, under the same parent, and says that it was restarted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from agent_core.config import SessionConfig
from agent_core.content import text_of
from agent_core.conversation import Conversation
from agent_core.entries import Complete, ToolBatch, ToolCall, ToolSettled, TurnEnded
from agent_core.messages import SessionId, TurnId, Usage
from agent_core.tracing import names
from agent_core.tracing.content import arguments_told, told
from agent_core.tracing.requests import model_attributes, usage_attributes
from agent_core.tracing.spans import OpenSpan, Spans, Value


@dataclass(slots=True)
class OpenTurnSpan:
    """The span of an open turn, what its calls took so far, and the spans of its open tool calls by their ids."""

    span: OpenSpan
    parent: str | None
    usage: Usage = Usage()
    requests: int = 0
    tools: dict[str, OpenSpan] = field(default_factory=dict[str, OpenSpan])


@dataclass(slots=True)
class Resumed:
    """A turn that was open when its session was activated here, and its calls that had no result."""

    turn_id: TurnId
    parent: str | None
    config: SessionConfig
    calls: Sequence[ToolCall]


class SessionSpans:
    """The turns of one live session that are told of and have not ended. Between two turns there may be two."""

    __slots__ = ("_content", "_session_id", "_spans", "resumed", "turns")

    def __init__(self, session_id: SessionId, spans: Spans, *, content: bool) -> None:
        self._session_id, self._spans, self._content = session_id, spans, content
        self.turns: dict[TurnId, OpenTurnSpan] = {}
        self.resumed: Resumed | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing has to be remembered."""
        return not self.turns and self.resumed is None

    def resume(self, conversation: Conversation) -> None:
        """Another process may have begun a turn: should anything be heard of it here, it was restarted."""
        turn = conversation.open
        if turn is not None:
            calls = [call for call in turn.batch.calls if call.id not in turn.settled] if turn.batch else []
            self.resumed = Resumed(turn.turn_id, turn.traceparent, conversation.config, calls)

    def take_up(self, turn_id: TurnId, at: float) -> OpenTurnSpan | None:
        """The span of a turn that is open, or was when the session was activated."""
        if self.resumed is not None and self.resumed.turn_id == turn_id:
            return self.turn(turn_id, self.resumed.config, self.resumed.parent, at)
        return self.turns.get(turn_id)

    # --- turns ------------------------------------------------------------------------------------------------------

    def turn(self, turn_id: TurnId, config: SessionConfig | None, parent: str | None, at: float) -> OpenTurnSpan:
        """The span of a turn, opened now if this is the first that is heard of it."""
        known = self.turns.get(turn_id)
        if known is not None:
            return known
        said: dict[str, Value] = {
            names.OPERATION: names.INVOKE_AGENT,
            names.CONVERSATION: self._session_id,
            names.TURN_ID: turn_id,
            **(model_attributes(config) if config is not None else {}),
        }
        resumed, self.resumed = self.resumed, None
        lost_calls: Sequence[ToolCall] = ()
        if resumed is not None and resumed.turn_id == turn_id:
            parent, lost_calls = resumed.parent, resumed.calls
            said[names.TURN_RESTARTED] = True
        turn = OpenTurnSpan(self._spans.open(names.INVOKE_AGENT, parent, at, said), parent)
        self.turns[turn_id] = turn
        for call in lost_calls:
            self._open_tool(turn, call, at, restarted=True)
        return turn

    def complete(self, entry: Complete) -> None:
        """An answer is whole."""
        turn = self.turns.get(entry.turn_id)
        if turn is not None:
            turn.usage += entry.message.usage
            turn.requests += 1

    def end(self, entry: TurnEnded, at: float) -> None:
        """A turn is over, and so is whatever it has open."""
        turn = self.turns.pop(entry.turn_id, None)
        if turn is None:
            return
        said: dict[str, Value] = {names.TURN_OUTCOME: entry.outcome, names.FINISH_REASONS: (entry.outcome,)}
        if entry.discarded:
            said[names.TURN_DISCARDED] = True
        turn.span.set(said)
        if entry.outcome == "failed":
            error = entry.error
            turn.span.fail(error.kind if error else "failed", told(error.message) if error and self._content else None)
        self._close(turn, "interrupted", at)

    def lose(self, why: str, at: float) -> None:
        """The session is let go of, whatever it was doing."""
        for turn in self.turns.values():
            turn.span.set({names.TURN_OUTCOME: "lost"})
            turn.span.fail(why)
            self._close(turn, why, at)
        self.turns.clear()
        self.resumed = None

    def _close(self, turn: OpenTurnSpan, why: str, at: float) -> None:
        for tool in turn.tools.values():
            tool.fail(why)
            tool.end(at)
        turn.tools.clear()
        turn.span.set({names.TURN_REQUESTS: turn.requests, **usage_attributes(turn.usage)})
        turn.span.end(at)

    # --- tools ------------------------------------------------------------------------------------------------------

    def call(self, entry: ToolBatch, at: float) -> None:
        """Calls are about to run."""
        turn = self.turns.get(entry.turn_id)
        if turn is not None:
            for call in entry.calls:
                self._open_tool(turn, call, at)

    def _open_tool(self, turn: OpenTurnSpan, call: ToolCall, at: float, *, restarted: bool = False) -> None:
        said: dict[str, Value] = {
            names.OPERATION: names.EXECUTE_TOOL,
            names.CONVERSATION: self._session_id,
            names.TOOL_NAME: call.name,
            names.TOOL_CALL_ID: call.id,
            names.TOOL_TYPE: "extension" if call.external else "function",
        }
        if restarted:
            said[names.TURN_RESTARTED] = True
        span = self._spans.open(f"{names.EXECUTE_TOOL} {call.name}", turn.span.traceparent, at, said)
        if self._content and span.recording:
            span.set({names.TOOL_ARGUMENTS: arguments_told(call.input)})
        turn.tools[call.id] = span

    def settle(self, entry: ToolSettled, at: float) -> None:
        """A call has its result."""
        turn = self.turns.get(entry.turn_id)
        span = turn.tools.pop(entry.result.tool_use_id, None) if turn is not None else None
        if span is None:
            return
        span.set({names.TOOL_OUTCOME: entry.outcome, names.TOOL_SECONDS: entry.seconds})
        if self._content and span.recording:
            span.set({names.TOOL_RESULT: told(text_of(entry.result.content))})
        if entry.result.is_error:
            span.fail("tool_error" if entry.outcome in ("ok", "external") else entry.outcome)
        span.end(at)

    def traceparent_of_call(self, turn_id: TurnId, call_id: str, at: float) -> str | None:
        """What the call's code is given."""
        turn = self.take_up(turn_id, at)
        span = turn.tools.get(call_id) if turn is not None else None
        return span.traceparent if span is not None else None
