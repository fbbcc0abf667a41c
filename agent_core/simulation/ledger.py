"""The ledger: what a model must be shown of a session, worked out from its records alone.

The rule here: it shares nothing with the view but the types of what is journalled. It begins at the first record each
time it is asked, however slow that is, and goes by what compaction promises: a message is live, or covered by exactly
one summary, or was cleared, dropped or taken out; what is live is shown as it happened, in its order.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from agent_core.content import ContentBlock, TextBlock, ThinkingBlock, ToolResultBlock
from agent_core.entries import (
    Accepted,
    Cleared,
    Compacted,
    Complete,
    Opened,
    Pinned,
    Steered,
    ToolBatch,
    ToolSettled,
    TurnEnded,
    TurnRetried,
    TurnStarted,
    Unpinned,
)
from agent_core.messages import Message, SessionId, TurnId, UserMessage
from agent_core.overlays import Dropped, ShortenedResult, Summary
from agent_core.payloads import UserInput
from agent_core.ports import Record

Blocks = tuple[ContentBlock, ...]
HEADING = "[Previous conversation summary]\n\n"


@dataclass(frozen=True, slots=True)
class Said:
    """One message as it happened."""

    id: str
    turn_id: TurnId
    by_user: bool
    blocks: Blocks

    @property
    def is_request(self) -> bool:
        """Whether these are a user's own words."""
        return self.by_user and not any(isinstance(block, ToolResultBlock) for block in self.blocks)


@dataclass(frozen=True, slots=True)
class Laid:
    """A summary, with the ids that it newly covers. Everything before index `until` is shown without thinking."""

    summary: Summary
    covers: tuple[str, ...]
    start: int
    until: int


class LedgerBroken(AssertionError):
    """What is shown is not what the records say; the text says how."""


@dataclass
class Ledger:
    """A session as its records tell it."""

    session_id: SessionId
    said: list[Said] = field(default_factory=list[Said])
    summaries: list[Laid] = field(default_factory=list[Laid])
    commits: list[Laid] = field(default_factory=list[Laid])
    """Every summary that was ever put in place, those that were cleared or taken out since too."""
    cleared: int = 0
    hidden: set[TurnId] = field(default_factory=set[TurnId])
    dropped: set[str] = field(default_factory=set[str])
    shortened: dict[str, str] = field(default_factory=dict[str, str])
    pinned: set[str] = field(default_factory=set[str])
    _waiting: dict[int, Accepted] = field(default_factory=dict[int, Accepted])
    _batch: ToolBatch | None = None
    _results: dict[str, ToolResultBlock] = field(default_factory=dict[str, ToolResultBlock])

    @classmethod
    def of(cls, session_id: SessionId, records: Iterable[Record]) -> "Ledger":
        """Read the records, from the first on."""
        ledger = cls(session_id)
        for record in records:
            ledger.take(record)
        return ledger

    # --- reading ----------------------------------------------------------------------------------------------------

    def take(self, record: Record) -> None:
        """Read one record more."""
        entry = record.entry
        match entry:
            case Opened():
                self._begin(record.seq, entry)
            case Accepted():
                self._waiting[record.seq] = entry
            case TurnStarted():
                self._enter(record.seq, entry.turn_id, self._of_turn(entry.turn_id)[:1])
            case Steered():
                self._enter(record.seq, entry.turn_id, entry.accepted)
            case Complete():
                self._batch, self._results = None, {}
                message = entry.message
                self.said.append(Said(message.id, entry.turn_id, by_user=False, blocks=message.content))
            case ToolBatch():
                self._batch = entry
            case ToolSettled():
                self._settle(record.seq, entry)
            case TurnEnded():
                self._end(record.seq, entry)
            case TurnRetried():
                self.hidden.discard(entry.turn_id)
            case Compacted():
                self._lay(entry)
            case Pinned():
                self.pinned.add(entry.message_id)
            case Unpinned():
                self.pinned.discard(entry.message_id)
            case Cleared():
                self.cleared, self.summaries, self.dropped = len(self.said), [], set()
                self.hidden, self.shortened, self.pinned = set(), {}, set()
            case _:
                pass

    def _begin(self, seq: int, entry: Opened) -> None:
        for number, message in enumerate(entry.history, start=1):
            by_user = isinstance(message, UserMessage)
            said = Said(f"{self.session_id}/{seq}.{number}", message.turn_id, by_user, message.content)
            self.said.append(said)

    def _of_turn(self, turn_id: TurnId) -> list[int]:
        return [seq for seq, accepted in self._waiting.items() if accepted.turn_id == turn_id]

    def _enter(self, seq: int, turn_id: TurnId, accepted: Sequence[int]) -> None:
        payloads = [self._waiting.pop(number).payload for number in accepted]
        blocks = tuple(block for payload in payloads if isinstance(payload, UserInput) for block in payload.content)
        self._say(seq, turn_id, blocks)

    def _settle(self, seq: int, entry: ToolSettled) -> None:
        self._results[entry.result.tool_use_id] = entry.result
        if self._batch is not None and len(self._results) == len(self._batch.calls):
            results = tuple(self._results[call.id] for call in self._batch.calls)
            self._batch, self._results = None, {}
            self._say(seq, entry.turn_id, results)

    def _say(self, seq: int, turn_id: TurnId, blocks: Blocks) -> None:
        self.said.append(Said(f"{self.session_id}/{seq}", turn_id, by_user=True, blocks=blocks))

    def _end(self, seq: int, entry: TurnEnded) -> None:
        if left := self._of_turn(entry.turn_id):
            self._enter(seq, entry.turn_id, left)
        answered = any(said.turn_id == entry.turn_id and not said.by_user for said in self.said)
        self._batch, self._results = None, {}
        if not entry.discarded and (entry.outcome != "failed" or answered):
            return
        self.hidden.add(entry.turn_id)
        while self.summaries and self.said[self.summaries[-1].start - 1].turn_id == entry.turn_id:
            self.summaries.pop()

    def _lay(self, entry: Compacted) -> None:
        for overlay in entry.overlays:
            match overlay:
                case ShortenedResult():
                    self.shortened[overlay.tool_use_id] = overlay.text
                case Dropped():
                    self.dropped.update(overlay.message_ids)
                case Summary():
                    start, covers = self.range_to(overlay.through)
                    self.summaries.append(Laid(overlay, covers, start, len(self.said)))
                    self.commits.append(self.summaries[-1])

    # --- what must hold ---------------------------------------------------------------------------------------------

    @property
    def start(self) -> int:
        """The index of the first message that is neither covered nor cleared."""
        return self.summaries[-1].start if self.summaries else self.cleared

    def range_to(self, through: str) -> tuple[int, tuple[str, ...]]:
        """Where a summary up to and with `through` ends, and the ids that it would newly cover."""
        ends = [index for index, said in enumerate(self.said) if said.id == through]
        if not ends or ends[0] < self.start:
            raise LedgerBroken(f"a summary ends at {through}, which is not among what stands")
        covered = self.said[self.start : ends[0] + 1]
        return ends[0] + 1, tuple(said.id for said in covered if said.blocks and said.turn_id not in self.hidden)

    @property
    def standing(self) -> list[Said]:
        """What is shown in its own place, as it is to be shown."""
        until = self.summaries[-1].until if self.summaries else 0
        seen = [
            replace(said, blocks=self._seen(said, bare=index < until))
            for index, said in enumerate(self.said)
            if index >= self.start and said.id not in self.dropped and said.turn_id not in self.hidden
        ]
        return [said for said in seen if said.blocks]

    def _seen(self, said: Said, *, bare: bool) -> Blocks:
        return tuple(
            self._shortened(block, said) for block in said.blocks if not (bare and isinstance(block, ThinkingBlock))
        )

    def _shortened(self, block: ContentBlock, said: Said) -> ContentBlock:
        if isinstance(block, ToolResultBlock) and block.tool_use_id in self.shortened and said.id not in self.pinned:
            return block.model_copy(update={"content": self.shortened[block.tool_use_id]})
        return block

    @property
    def last_request(self) -> Said | None:
        """The user's last words that belong to the conversation."""
        standing = (said for said in reversed(self.said[self.cleared :]) if said.turn_id not in self.hidden)
        return next((said for said in standing if said.is_request), None)

    def check(self, shown: Sequence[Message]) -> None:
        """Raises LedgerBroken unless exactly what must be shown is."""
        marked = [index for index, message in enumerate(shown) if isinstance(message, UserMessage) and message.marker]
        if marked not in ([], [0]):
            raise LedgerBroken(f"summaries stand at {marked}")
        lead, rest = list(shown[: len(marked)]), list(shown[len(marked) :])
        repeated = self.summaries[-1].summary.repeated if self.summaries else None
        before = [said for said in self.said if said.id == repeated]
        expected = [(said.id, said.by_user, said.blocks) for said in (*before, *self.standing)]
        found = [(message.id, isinstance(message, UserMessage), message.content) for message in rest]
        if found != expected:
            raise LedgerBroken(f"{_ids(found)} are shown, or not as they happened, where {_ids(expected)} stand")
        self._check_lead(lead, rest)

    def _check_lead(self, lead: Sequence[Message], rest: Sequence[Message]) -> None:
        texts = [block.text for message in lead for block in message.content if isinstance(block, TextBlock)]
        if self.summaries and texts[:1] != [HEADING + self.summaries[-1].summary.text]:
            raise LedgerBroken("the summary that was put in place does not stand first, as it was written")
        if not self.summaries and any(text.startswith(HEADING) for text in texts):
            raise LedgerBroken("a summary stands first, and none was put in place")
        in_place = {message.id for message in rest}
        for said in self.said[self.cleared :]:
            if said.id not in self.pinned or said.turn_id in self.hidden or said.id in in_place:
                continue
            if missing := [text for text in _texts(said) if text not in texts]:
                raise LedgerBroken(f"{said.id} is pinned, and {missing} is shown nowhere")

    def check_request(self, messages: Sequence[Message]) -> None:
        """Raises LedgerBroken unless this is a request for what stands, with the user's last words as they were."""
        self.check(messages)
        last = self.last_request
        if last is None or not any(message.id == last.id and message.content == last.blocks for message in messages):
            raise LedgerBroken(f"the user's last words ({last.id if last else 'none'}) are not in the request")


def _texts(said: Said) -> list[str]:
    """What can be said again of a message: its texts, and those of its results."""
    texts: list[str] = []
    for block in said.blocks:
        if isinstance(block, TextBlock):
            texts.append(block.text)
        elif isinstance(block, ToolResultBlock) and isinstance(block.content, str):
            texts.append(block.content or "(empty)")
    return texts


def _ids(found: Iterable[tuple[str, bool, Blocks]]) -> list[str]:
    return [id for id, _, _ in found]
