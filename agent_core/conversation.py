"""The conversation: a fold of journal entries, seen through overlays.

The rule here: `apply` is the only way in, it depends on nothing but the records, and a replay gives the same state as
living through them did. Messages are never changed once made; what the model sees is `view`.
"""

from dataclasses import dataclass, field
from itertools import takewhile
from typing import assert_never

from agent_core.config import SessionConfig
from agent_core.content import UserBlock
from agent_core.entries import (
    BESIDE_ANSWERS,
    Accepted,
    Cleared,
    Closed,
    Compacted,
    CompactionFailed,
    Complete,
    Configured,
    Entry,
    Error,
    Opened,
    Outcome,
    Pinned,
    Reopened,
    Settings,
    Steered,
    ToolBatch,
    ToolSettled,
    TurnEnded,
    TurnRetried,
    TurnStarted,
    Unpinned,
)
from agent_core.messages import AssistantMessage, Message, SessionId, TurnId, Usage, UserMessage
from agent_core.payloads import ToolResults, UserInput
from agent_core.ports import Record
from agent_core.seeding import calls_of, digest_of_history, placed
from agent_core.sharing import shared, slimmed
from agent_core.status import TokenUsage
from agent_core.tokens import estimate_message
from agent_core.tools.definition import ToolDefinition
from agent_core.view import View


@dataclass(slots=True)
class OpenTurn:
    """The turn under way. `owes_call` says that the model has to be asked (again) before the turn can end.

    `traceparent` is the span that it belongs to.
    """

    turn_id: TurnId
    owes_call: bool = True
    steps: int = 0
    batch: ToolBatch | None = None
    settled: dict[str, ToolSettled] = field(default_factory=dict[str, ToolSettled])
    traceparent: str | None = None

    @property
    def unsettled(self) -> list[str]:
        """Ids of the calls that have no result yet, in order."""
        return [call.id for call in self.batch.calls if call.id not in self.settled] if self.batch else []


@dataclass(slots=True)
class Conversation:
    """Everything that a session's entries say, up to `last_seq`."""

    session_id: SessionId
    epoch: int = 0
    last_seq: int = 0
    created_at: float = 0.0
    config: SessionConfig = field(default_factory=lambda: SessionConfig(model="local/none"))
    tools: dict[str, ToolDefinition] = field(default_factory=dict[str, ToolDefinition])
    labels: dict[str, str] = field(default_factory=dict[str, str])
    messages: list[Message] = field(default_factory=list[Message])
    left_out: int = 0
    """How many older messages are in the journal alone: the conversation was read from a snapshot."""
    history_digest: str = ""
    """The digest of the messages that the session was opened with, empty without any."""
    view: View = field(init=False)
    queue: list[tuple[int, Accepted]] = field(default_factory=list[tuple[int, Accepted]])
    steers: list[tuple[int, Accepted]] = field(default_factory=list[tuple[int, Accepted]])
    open: OpenTurn | None = None
    last_turn: tuple[TurnId, Outcome] | None = None
    turns: dict[TurnId, TurnEnded | None] = field(default_factory=dict[TurnId, "TurnEnded | None"])
    keys: dict[str, TurnId] = field(default_factory=dict[str, TurnId])
    performed: dict[str, TurnId | None] = field(default_factory=dict[str, "TurnId | None"])
    turn_of_call: dict[str, TurnId] = field(default_factory=dict[str, TurnId])
    usage: TokenUsage = TokenUsage()
    context_used: int = 0
    compactions: int = 0
    compaction_waited: float = 0.0
    failed_compactions: int = 0
    """Jobs in a row that came to nothing, the last of them when the context took `failed_at` tokens."""
    failed_at: int = 0
    learned_limits: dict[str, int] = field(default_factory=dict[str, int])
    """Windows by model, in tokens, that overflow errors taught."""
    closed: bool = False
    answer_from: int = 0
    """The entry after which the answer under way began, if a turn is open."""

    def __post_init__(self) -> None:
        self.view = View(self.session_id)

    def apply(self, record: Record) -> None:
        """Take in one record. Records come in order of `seq`, without a gap."""
        self.last_seq, self.epoch = record.seq, record.epoch
        if not isinstance(record.entry, BESIDE_ANSWERS):
            self.answer_from = record.seq
        self._fold(record.entry, record)

    def _fold(self, entry: Entry, record: Record) -> None:
        match entry:
            case Complete():
                self._complete(entry)
            case ToolSettled():
                self._settle(entry, record)
            case ToolBatch():
                self._turn().batch = entry
                self.turn_of_call.update((call.id, entry.turn_id) for call in entry.calls)
            case Accepted():
                self._accept(entry, record.seq)
            case TurnStarted():
                self._start(entry, record)
            case Steered():
                self._steer(entry, record)
            case TurnEnded():
                self._end(entry, record)
            case TurnRetried():
                self.view.show_turn(entry.turn_id, self.messages)
                self.open = OpenTurn(entry.turn_id, traceparent=entry.traceparent)
                self.turns[entry.turn_id] = None
                self._perform(entry.key, entry.turn_id)
                self._recount()
            case Compacted():
                self._compact(entry)
            case CompactionFailed():
                self._charge(entry.usage)
                if entry.reason != "stale":
                    self.failed_compactions, self.failed_at = self.failed_compactions + 1, self.context_used
            case Pinned():
                self._repin(entry.message_id, entry.message or self.view.find(entry.message_id, self.messages))
            case Unpinned():
                self._repin(entry.message_id, None)
            case Cleared():
                self.view.clear(len(self.messages))
                self.context_used, self.last_turn, self.failed_compactions = 0, None, 0
                self._perform(entry.key, None)
            case Configured():
                self._configure(entry.changes)
            case Opened():
                self._open(entry, record)
            case Closed():
                self.closed = True
            case Reopened():
                self.closed = False
            case Error():
                pass
            case _:
                assert_never(entry)

    def _open(self, entry: Opened, record: Record) -> None:
        self.config, self.created_at, self.labels = shared(entry.config), record.at, entry.labels
        self.tools = {tool.name: shared(tool) for tool in entry.tools}
        self.history_digest = digest_of_history(entry.history)
        for message in placed(entry.history, self.session_id, self.message_id(record.seq)):
            # The turns of a history are over, and its calls have their results: neither id is to be had again.
            self.turns[message.turn_id] = TurnEnded(turn_id=message.turn_id, outcome="completed")
            self.turn_of_call.update((call, message.turn_id) for call in calls_of(message))
            self._append(message)

    def _turn(self) -> OpenTurn:
        assert self.open is not None, "an entry of a turn came while no turn was open"
        return self.open

    def _perform(self, key: str | None, turn_id: TurnId | None) -> None:
        if key is not None:
            self.performed[key] = turn_id

    def _accept(self, entry: Accepted, seq: int) -> None:
        self.turns.setdefault(entry.turn_id, None)
        if entry.key is not None:
            self.keys[entry.key] = entry.turn_id
        if self.open is not None and entry.turn_id == self.open.turn_id:
            self.steers.append((seq, entry))
        elif entry.when == "interrupt":
            self.queue.insert(0, (seq, entry))
        else:
            self.queue.append((seq, entry))

    def _start(self, entry: TurnStarted, record: Record) -> None:
        accepted = next(item for item in self.queue if item[1].turn_id == entry.turn_id)
        self.queue.remove(accepted)
        self.open = OpenTurn(entry.turn_id, traceparent=accepted[1].traceparent)
        self._say(entry.turn_id, _content(accepted[1]), record)

    def _steer(self, entry: Steered, record: Record) -> None:
        entered = [accepted for seq, accepted in self.steers if seq in entry.accepted]
        self.steers = [item for item in self.steers if item[0] not in entry.accepted]
        self._say(entry.turn_id, tuple(block for accepted in entered for block in _content(accepted)), record)
        self._turn().owes_call = True

    def _complete(self, entry: Complete) -> None:
        turn, message = self._turn(), entry.message
        turn.steps += 1
        turn.owes_call = entry.stop_reason == "pause_turn"
        turn.batch, turn.settled = None, {}
        self._append(message)
        self.usage = slimmed(
            TokenUsage(
                total=self.usage.total + message.usage,
                last=message.usage,
                summariser=self.usage.summariser,
                request_count=self.usage.request_count + 1,
            )
        )
        if message.usage.context_tokens:
            self.context_used = message.usage.context_tokens

    def _settle(self, entry: ToolSettled, record: Record) -> None:
        turn = self._turn()
        turn.settled[entry.result.tool_use_id] = entry
        if turn.batch is None or turn.unsettled:
            return
        results = tuple(turn.settled[call.id].result for call in turn.batch.calls)
        turn.batch, turn.settled, turn.owes_call = None, {}, True
        self._say(turn.turn_id, results, record)

    def _end(self, entry: TurnEnded, record: Record) -> None:
        steered = tuple(block for _, accepted in self.steers for block in _content(accepted))
        self.steers = []
        if steered:
            self._say(entry.turn_id, steered, record)
        unanswered = not any(isinstance(message, AssistantMessage) for message in self.of_turn(entry.turn_id))
        if entry.discarded or (entry.outcome == "failed" and unanswered):
            self.view.hide_turn(entry.turn_id, self.messages)
            self._recount()
        self.open = None
        self.last_turn = (entry.turn_id, entry.outcome)
        self.turns[entry.turn_id] = slimmed(entry)
        self._perform(entry.key, entry.turn_id)

    def _compact(self, entry: Compacted) -> None:
        self.view.lay(entry.overlays, self.messages)
        self.context_used = entry.tokens_after
        self.compactions += 1
        self.compaction_waited += entry.waited
        self._charge(entry.usage)
        if entry.job_id is not None:
            self.failed_compactions = 0
        # Growth counts from here, or what grows and is made small again by the last resort alone would never count.
        self.failed_at = min(self.failed_at, self.context_used)
        if entry.learned_limit is not None:
            self.learned_limits[self.config.model] = entry.learned_limit

    def _charge(self, usage: Usage | None) -> None:
        """Count the summariser's tokens, apart from the session's own."""
        if usage is not None:
            self.usage = self.usage.model_copy(update={"summariser": self.usage.summariser + usage})

    def _repin(self, message_id: str, message: Message | None) -> None:
        """Pin a message, or none of that id. The estimate moves by what that changes in the view."""
        provider = self.config.provider
        before = self.view.tokens(provider)
        if message is not None:
            self.view.pin(message, self.messages)
        else:
            self.view.unpin(message_id, self.messages)
        self.context_used = max(self.context_used + self.view.tokens(provider) - before, 0)

    def _configure(self, changes: Settings) -> None:
        self.config = shared(changes.applied(self.config))
        if changes.tools is not None:
            self.tools = {tool.name: shared(tool) for tool in changes.tools}

    def _say(self, turn_id: TurnId, content: tuple[UserBlock, ...], record: Record) -> None:
        self._append(
            UserMessage(
                id=self.message_id(record.seq),
                session_id=self.session_id,
                turn_id=turn_id,
                parent_id=self.parent_id,
                created_at=record.at,
                content=content,
            )
        )

    def _append(self, message: Message) -> None:
        self.messages.append(slimmed(message))
        self.view.append(message)
        self.context_used += estimate_message(message, self.config.provider)

    def _recount(self) -> None:
        """Count anew by estimate: the provider's own count is of a view that is no more."""
        self.context_used = self.view.tokens(self.config.provider)

    def message_id(self, seq: int) -> str:
        """The id of the message that entry `seq` makes."""
        return f"{self.session_id}/{seq}"

    @property
    def parent_id(self) -> str | None:
        """The id of the newest message."""
        return self.messages[-1].id if self.messages else None

    def of_turn(self, turn_id: TurnId) -> list[Message]:
        """The messages of the newest turn, oldest first (none if `turn_id` is not the newest)."""
        return list(takewhile(lambda message: message.turn_id == turn_id, reversed(self.messages)))[::-1]

    def turn_of_results(self, payload: ToolResults) -> TurnId:
        """The turn whose calls are answered: the open one if it is among them. Every call is one of this session's."""
        turns = [self.turn_of_call[result.tool_use_id] for result in payload.results]
        return self.open.turn_id if self.open is not None and self.open.turn_id in turns else turns[0]

    def final_text(self, turn_id: TurnId) -> str:
        """The text of a turn's last answer."""
        for message in reversed(self.messages):
            if message.turn_id == turn_id and isinstance(message, AssistantMessage):
                return "".join(block.text for block in message.content if block.kind == "text")
        return ""


def _content(accepted: Accepted) -> tuple[UserBlock, ...]:
    payload = accepted.payload
    return payload.content if isinstance(payload, UserInput) else payload.results
