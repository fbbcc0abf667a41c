"""`Tracing`: the observer that makes spans of what sessions do.

    invoke_agent                one a turn, under the span that the caller had open
      chat MODEL                one a model call
      execute_tool NAME         one a tool call, from the fact that it starts to the fact of its result
        ...                     what the tool's own code opens, wherever it runs
      rayconteur.compact        one a summary that was asked for while the turn was open
        chat MODEL              what the summariser asks

The rule here: spans are made of facts and of the words of calls, so that they say what happened and nothing else; each
is ended by what ends it, and by its session being let go of.
"""

from agent_core.conversation import Conversation
from agent_core.entries import (
    Accepted,
    Closed,
    Compacted,
    CompactionFailed,
    Complete,
    Steered,
    ToolBatch,
    ToolSettled,
    TurnEnded,
    TurnRetried,
    TurnStarted,
)
from agent_core.errors import RayconteurError
from agent_core.messages import SessionId, TurnId
from agent_core.ports import Clock, CompactionJob, CompactionPriority, CompactionReport, ModelRequest, Record
from agent_core.tracing import names
from agent_core.tracing.chats import Chats, ChatSpan
from agent_core.tracing.context import parent_of
from agent_core.tracing.requests import model_attributes
from agent_core.tracing.spans import Spans, Value
from agent_core.tracing.summaries import LINGER, Summaries
from agent_core.tracing.turns import OpenTurnSpan, SessionSpans


class Tracing:
    """Implements `LifeObserver` for the sessions of one process. With `content` spans hold what was said."""

    def __init__(self, spans: Spans, clock: Clock, *, content: bool = False, linger: float = LINGER) -> None:
        self._spans, self._clock, self._content = spans, clock, content
        self._chats = Chats(spans, clock, content=content)
        self._sessions: dict[SessionId, SessionSpans] = {}
        self.summaries = Summaries(spans, clock, linger)

    @property
    def open(self) -> int:
        """How many sessions and jobs are remembered, for as long as something of theirs is open."""
        return len(self._sessions) + self.summaries.open

    # --- sessions ---------------------------------------------------------------------------------------------------

    def activated(self, conversation: Conversation) -> None:
        """See `LifeObserver`."""
        if conversation.open is not None:
            self._session(conversation.session_id).resume(conversation)

    def let_go(self, conversation: Conversation, why: RayconteurError) -> None:
        """See `LifeObserver`."""
        self._lose(conversation.session_id, why.kind)
        self.summaries.lose(conversation.session_id)

    def _lose(self, session_id: SessionId, why: str) -> None:
        session = self._sessions.pop(session_id, None)
        if session is not None:
            session.lose(why, self._clock.now())

    def _session(self, session_id: SessionId) -> SessionSpans:
        session = self._sessions.get(session_id)
        if session is None:
            session = self._sessions[session_id] = SessionSpans(session_id, self._spans, content=self._content)
        return session

    # --- facts ------------------------------------------------------------------------------------------------------

    def fact(self, conversation: Conversation, record: Record) -> None:
        """See `Observer`."""
        entry, at = record.entry, record.at
        match entry:
            case TurnStarted() | TurnRetried():
                self._begin(conversation, entry, record)
            case Accepted():
                self._accepted(conversation.session_id, entry)
            case Closed():
                # A turn that waits for results from outside is left open, for whoever opens the session again.
                self._lose(conversation.session_id, "closed")
            case CompactionFailed():
                self.summaries.undone(conversation.session_id, entry)
            case Compacted():
                self._compacted(conversation.session_id, entry, at)
            case Complete() | Steered() | ToolBatch() | ToolSettled() | TurnEnded():
                self._of_turn(conversation, entry, record)
            case _:
                pass

    def _begin(self, conversation: Conversation, entry: TurnStarted | TurnRetried, record: Record) -> None:
        opened = conversation.open
        # The turn may be over by now; then its model was never asked, and whose it was is not known.
        parent = opened.traceparent if opened is not None and opened.turn_id == entry.turn_id else None
        session = self._session(conversation.session_id)
        turn = session.turn(entry.turn_id, conversation.config, parent, record.at)
        turn.span.set({names.EPOCH: record.epoch, **model_attributes(conversation.config)})
        if isinstance(entry, TurnRetried):
            turn.span.set({names.TURN_RETRIED: True})

    def _accepted(self, session_id: SessionId, entry: Accepted) -> None:
        """A message for an open turn may come from another trace than the turn."""
        turn = self._open_turn(session_id, entry.turn_id)
        if turn is not None and entry.traceparent is not None and entry.traceparent != turn.parent:
            turn.span.link(entry.traceparent)

    def _compacted(self, session_id: SessionId, entry: Compacted, at: float) -> None:
        self.summaries.applied(session_id, entry)
        turn = self._open_turn(session_id, entry.turn_id) if entry.turn_id is not None else None
        if turn is not None:
            said: dict[str, Value] = {
                names.STRATEGY: entry.strategy,
                names.TOKENS_BEFORE: entry.tokens_before,
                names.TOKENS_AFTER: entry.tokens_after,
                names.WAITED: entry.waited,
            }
            turn.span.event(names.COMPACTED, at, said)

    def _of_turn(
        self,
        conversation: Conversation,
        entry: Complete | Steered | ToolBatch | ToolSettled | TurnEnded,
        record: Record,
    ) -> None:
        session = self._sessions.get(conversation.session_id)
        if session is None:
            return
        at = record.at
        turn = session.take_up(entry.turn_id, at)
        match entry:
            case Complete():
                session.complete(entry)
            case ToolBatch():
                session.call(entry, at)
            case ToolSettled():
                session.settle(entry, at)
            case TurnEnded():
                session.end(entry, at)
                if session.idle:
                    del self._sessions[conversation.session_id]
            case Steered():
                if turn is not None:
                    turn.span.event(names.STEERED, at)

    def _open_turn(self, session_id: SessionId, turn_id: TurnId) -> OpenTurnSpan | None:
        session = self._sessions.get(session_id)
        return session.turns.get(turn_id) if session is not None else None

    # --- calls ------------------------------------------------------------------------------------------------------

    def model_called(self, request: ModelRequest) -> ChatSpan:
        """See `Observer`. It may be the first that is heard of the turn, whose start is not durable yet."""
        session = self._session(request.session_id)
        turn = session.turn(request.turn_id, request.config, request.traceparent, self._clock.now())
        return self._chats.open(request, turn.span.traceparent)

    def summary_asked(self, job: CompactionJob, priority: CompactionPriority) -> None:
        """See `Observer`."""
        parent = None
        if job.turn_id is not None:
            # Its model is asked after this, and its start may not be durable yet. `job.config` is the summariser's.
            turn = self._session(job.session_id).turn(job.turn_id, None, job.traceparent, self._clock.now())
            parent = turn.span.traceparent
        self.summaries.ask(job, priority, parent)

    def summary_told(self, report: CompactionReport) -> None:
        """See `Observer`."""
        self.summaries.tell(report)

    # --- what travels -----------------------------------------------------------------------------------------------

    def traceparent_of_call(self, session_id: SessionId, turn_id: TurnId, call_id: str) -> str | None:
        """What the code of a tool call is given, None if no span is open for it."""
        session = self._sessions.get(session_id)
        return session.traceparent_of_call(turn_id, call_id, self._clock.now()) if session is not None else None

    def ids_of(self, session_id: SessionId, turn_id: TurnId) -> tuple[str, str] | None:
        """The ids of a turn's trace and span as hexadecimal digits, for log lines."""
        turn = self._open_turn(session_id, turn_id)
        found = parent_of(turn.span.traceparent) if turn is not None else None
        return (f"{found.trace_id:032x}", f"{found.span_id:016x}") if found is not None else None
