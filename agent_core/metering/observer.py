"""The observer that measures: facts and model calls in, measurements out.

The rule here: it remembers only what is open, and a bounded number of that. A turn that another process began is
measured from its beginning, as the conversation tells it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import get_args

from agent_core.compaction.settings import LLMCompaction
from agent_core.conversation import Conversation
from agent_core.entries import (
    Accepted,
    Compacted,
    CompactionFailed,
    Complete,
    Error,
    Outcome,
    Steered,
    ToolBatch,
    ToolOutcome,
    ToolSettled,
    TurnEnded,
    TurnRetried,
    TurnStarted,
)
from agent_core.messages import AssistantMessage, SessionId, TurnId, Usage
from agent_core.metering import instruments as what
from agent_core.metering.calls import CallMeter, Models, begin_calls, bill
from agent_core.metering.ledger import Meter, Names
from agent_core.payloads import UserInput
from agent_core.ports import (
    CompactionFailure,
    CompactionJob,
    CompactionPriority,
    CompactionReport,
    ModelRequest,
    Patch,
    Record,
)

_TOOLS = 100
_REMEMBERED = 100_000
_NO_TOOL = "unknown"
_RAN: frozenset[ToolOutcome] = frozenset({"ok", "exception", "timeout", "killed", "too_large"})


@dataclass(slots=True)
class _Open:
    """What a session has open: turns that wait, the turn under way with its beginning, and its calls by their ids."""

    accepted: dict[TurnId, float] = field(default_factory=dict[TurnId, float])
    turn: TurnId | None = None
    since: float | None = None
    calls: dict[str, str] = field(default_factory=dict[str, str])


class Metering:
    """Implements `Observer` on a meter. `now` gives seconds that only grow."""

    def __init__(self, meter: Meter, now: Callable[[], float]) -> None:
        self._meter, self._now = meter, now
        self._models = Models(self._begin)
        self._tools = Names(_TOOLS)
        self._open: dict[SessionId, _Open] = {}
        self._asked: dict[str, float] = {}
        meter.begin(what.RESUMED)
        meter.begin(what.COMPACTION_WAITED)
        for outcome in ("spliced", "failed", "stale", "unproductive", "shed"):
            meter.begin(what.COMPACTIONS, "llm", outcome)

    def fact(self, conversation: Conversation, record: Record) -> None:
        entry = record.entry
        match entry:
            case Accepted():
                if isinstance(entry.payload, UserInput) and entry.turn_id != self._of(conversation.session_id).turn:
                    self._of(conversation.session_id).accepted[entry.turn_id] = record.at
            case TurnStarted() | TurnRetried():
                self._started(conversation.session_id, entry.turn_id, record.at)
            case ToolBatch():
                at = self._under_way(conversation, entry.turn_id)
                at.calls.update((call.id, call.name) for call in entry.calls)
            case ToolSettled():
                self._settled(conversation, entry)
            case TurnEnded():
                self._ended(conversation, entry, record.at)
            case Complete() | Steered() | Error():
                self._under_way(conversation, entry.turn_id)
            case Compacted():
                self._compacted(conversation, entry)
            case CompactionFailed():
                self._meter.add(what.COMPACTIONS, 1, "llm", entry.reason)
                self._charge(conversation, entry.usage)
            case _:
                pass

    def model_called(self, request: ModelRequest) -> CallMeter:
        model = request.config.model
        return CallMeter(self._meter, self._now, model, self._models.of(model))

    def summary_asked(self, job: CompactionJob, priority: CompactionPriority) -> None:
        del priority
        self._asked[job.key] = self._now()
        if len(self._asked) > _REMEMBERED:
            del self._asked[next(iter(self._asked))]

    def summary_told(self, report: CompactionReport) -> None:
        if not isinstance(report, Patch | CompactionFailure):
            return
        asked = self._asked.pop(report.key, None)
        if isinstance(report, CompactionFailure) and report.shed:
            self._meter.add(what.COMPACTIONS, 1, "llm", "shed")
        elif asked is not None:
            outcome = "ok" if isinstance(report, Patch) else "failed"
            self._meter.observe(what.COMPACTION_SECONDS, self._now() - asked, outcome)

    # --- turns ------------------------------------------------------------------------------------------------------

    def _begin(self, tags: tuple[str, str]) -> None:
        begin_calls(self._meter, tags)
        for outcome in get_args(Outcome):
            self._meter.begin(what.TURNS, *tags, outcome)

    def _of(self, session_id: SessionId) -> _Open:
        found = self._open.get(session_id)
        if found is None:
            found = self._open[session_id] = _Open()
            if len(self._open) > _REMEMBERED:
                del self._open[next(iter(self._open))]
        return found

    def _started(self, session_id: SessionId, turn_id: TurnId, at: float) -> None:
        session = self._of(session_id)
        accepted = session.accepted.pop(turn_id, None)
        session.turn, session.since = turn_id, at
        if accepted is not None:
            self._meter.observe(what.QUEUE_SECONDS, max(0.0, at - accepted), "mailbox")

    def _under_way(self, conversation: Conversation, turn_id: TurnId) -> _Open:
        """What is open in the session whose turn has something to tell: one that did not begin here was taken up."""
        session = self._of(conversation.session_id)
        if session.turn != turn_id:
            said = conversation.of_turn(turn_id)
            session.turn, session.since = turn_id, said[0].created_at if said else None
            session.calls.clear()
            self._meter.add(what.RESUMED, 1)
        return session

    def _ended(self, conversation: Conversation, entry: TurnEnded, at: float) -> None:
        session = self._under_way(conversation, entry.turn_id)
        tags = self._models.of(conversation.config.model)
        self._meter.add(what.TURNS, 1, *tags, entry.outcome)
        if session.since is not None:
            self._meter.observe(what.TURN_SECONDS, max(0.0, at - session.since), *tags)
        session.turn = session.since = None
        session.calls.clear()
        if not session.accepted:
            del self._open[conversation.session_id]

    # --- tools ------------------------------------------------------------------------------------------------------

    def _settled(self, conversation: Conversation, entry: ToolSettled) -> None:
        session = self._under_way(conversation, entry.turn_id)
        call = entry.result.tool_use_id
        name = session.calls.pop(call, None) or _asked_for(conversation, call)
        # The model may make up any number of names.
        known = entry.outcome != "unknown_tool" and name in conversation.tools
        tool = self._tools.of(name) if known else _NO_TOOL
        if known:
            self._meter.begin(what.TOOL_CALLS, tool, "ok")
            self._meter.begin(what.TOOL_CALLS, tool, "exception")
        self._meter.add(what.TOOL_CALLS, 1, tool, entry.outcome)
        if entry.outcome in _RAN:
            self._meter.observe(what.TOOL_SECONDS, entry.seconds, tool)

    # --- compaction -------------------------------------------------------------------------------------------------

    def _compacted(self, conversation: Conversation, entry: Compacted) -> None:
        self._meter.add(what.COMPACTIONS, 1, entry.strategy, "spliced")
        self._meter.add(what.TOKENS_SAVED, max(0, entry.tokens_before - entry.tokens_after), entry.strategy)
        if entry.waited:
            self._meter.add(what.COMPACTION_WAITED, entry.waited)
        self._charge(conversation, entry.usage)

    def _charge(self, conversation: Conversation, usage: Usage | None) -> None:
        """Bill what a summariser took."""
        if usage is not None:
            config = conversation.config
            own = config.compaction.model if isinstance(config.compaction, LLMCompaction) else None
            model = own or config.model
            bill(self._meter, model, self._models.of(model), usage, "summary")


def _asked_for(conversation: Conversation, call: str) -> str:
    """The name of a tool that was called before this process had the session."""
    for message in reversed(conversation.messages):
        if isinstance(message, AssistantMessage):
            for block in message.content:
                if block.kind == "tool_use" and block.id == call:
                    return block.name
    return _NO_TOOL
