"""Recorded turns as samples: what was asked, what had been said before, and what was answered.

The rule here: a sample is made of a turn that has an answer, and says of it what its session's records say. What was
said before is everything that belonged to the conversation as the turn began, word for word: what was cleared or taken
back is not in it, what a summary covers is.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue

from agent_core.content import TextBlock, text_of
from agent_core.conversation import Conversation
from agent_core.entries import Accepted, Outcome, Steered, ToolBatch, TurnEnded, TurnStarted
from agent_core.errors import ConfigError
from agent_core.evaluation.sample import Sample
from agent_core.messages import Message, SessionId, TurnId
from agent_core.payloads import UserInput
from agent_core.ports import Record

WhichTurns = Literal["last", "every"] | TurnId
UNKNOWN_TURN = "unknown_turn"
"""The kind of the ConfigError for a turn that is not there, or has no answer."""
_NAMED = 5


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A turn that no sample can be made of, and why not, as the end of a sentence."""

    turn_id: TurnId
    why: str


@dataclass(slots=True)
class _Turn:
    """A turn that is being read."""

    question: Accepted
    before: tuple[Message, ...]
    steered: list[str] = field(default_factory=list[str])
    tools: list[str] = field(default_factory=list[str])


def recorded_samples(
    session_id: SessionId, records: Sequence[Record], turns: WhichTurns = "last", *, as_seen: bool = False
) -> Iterator[Sample | LeftOut]:
    """The samples of a session's turns: of its last one that was answered, of every one, or of the one of that id.

    The id of a sample is SESSION@TURN. With `as_seen` its history is what the model was shown, summaries and shortened
    results in their places. Raises ConfigError for a turn that is not there, or that has no answer.
    """
    ends = {entry.turn_id: entry for record in records if isinstance(entry := record.entry, TurnEnded)}
    answered = [turn_id for turn_id, end in ends.items() if end.outcome == "completed" and not end.discarded]
    if turns == "every":
        yield from (LeftOut(turn_id, _why(end)) for turn_id, end in ends.items() if turn_id not in answered)
    elif turns == "last":
        answered = answered[-1:]
    else:
        _check_named(session_id, turns, ends, answered)
        answered = [turns]
    yield from _Reading(session_id, frozenset(answered), as_seen=as_seen).samples(records)


def _why(end: TurnEnded) -> str:
    return "it was taken back" if end.discarded else f"it has no answer ({_ended(end.outcome)})"


def _ended(outcome: Outcome) -> str:
    return outcome.replace("_", " ")


def _check_named(
    session_id: SessionId, turn_id: TurnId, ends: Mapping[TurnId, TurnEnded], answered: Sequence[TurnId]
) -> None:
    if turn_id in answered:
        return
    known = ", ".join(answered[-_NAMED:]) or "none"
    end = ends.get(turn_id)
    what = (
        f"no turn '{turn_id}' has ended" if end is None else f"no sample can be made of turn '{turn_id}': {_why(end)}"
    )
    raise ConfigError(f"In session '{session_id}' {what}. The newest with an answer: {known}.", UNKNOWN_TURN)


class _Reading:
    """One pass over the records of a session."""

    def __init__(self, session_id: SessionId, wanted: frozenset[TurnId], *, as_seen: bool) -> None:
        self._conversation = Conversation(session_id)
        self._wanted, self._as_seen = wanted, as_seen
        self._accepted: dict[int, Accepted] = {}
        self._turns: dict[TurnId, _Turn] = {}

    def samples(self, records: Sequence[Record]) -> Iterator[Sample | LeftOut]:
        last = {record.entry.turn_id: record.seq for record in records if isinstance(record.entry, TurnEnded)}
        for record in records:
            self._before(record)
            self._conversation.apply(record)
            entry = record.entry
            if isinstance(entry, TurnEnded) and last[entry.turn_id] == record.seq and entry.turn_id in self._turns:
                yield self._sample(entry.turn_id, self._turns.pop(entry.turn_id))

    def _before(self, record: Record) -> None:
        """Keep what the conversation is, and what only this record tells, before it is taken in."""
        match record.entry:
            case Accepted() as accepted:
                self._accepted[record.seq] = accepted
            case TurnStarted(turn_id=turn_id) if turn_id in self._wanted:
                question = next(accepted for accepted in self._accepted.values() if accepted.turn_id == turn_id)
                self._turns[turn_id] = _Turn(question, self._said())
            case Steered(turn_id=turn_id, accepted=seqs) if (turn := self._turns.get(turn_id)) is not None:
                turn.steered += [_words(self._accepted[seq]) for seq in seqs]
            case ToolBatch(turn_id=turn_id, calls=calls) if (turn := self._turns.get(turn_id)) is not None:
                turn.tools = list(dict.fromkeys((*turn.tools, *(call.name for call in calls))))
            case _:
                pass

    def _said(self) -> tuple[Message, ...]:
        conversation = self._conversation
        if self._as_seen:
            return tuple(conversation.view.shown)
        return tuple(conversation.view.belonging(conversation.messages))

    def _sample(self, turn_id: TurnId, turn: _Turn) -> Sample | LeftOut:
        conversation, payload = self._conversation, turn.question.payload
        if not isinstance(payload, UserInput) or not all(isinstance(block, TextBlock) for block in payload.content):
            return LeftOut(turn_id, "its question is not text alone")
        metadata: dict[str, JsonValue] = {
            "session": conversation.session_id,
            "turn": turn_id,
            "model": conversation.config.model,
            "labels": dict(conversation.labels),
            "tools": list(turn.tools),
        }
        if turn.steered:
            metadata["steered"] = list(turn.steered)
        return Sample.model_construct(
            id=f"{conversation.session_id}@{turn_id}",
            input=text_of(payload.content),
            history=turn.before,
            target=conversation.final_text(turn_id) or None,
            metadata=metadata,
        )


def _words(accepted: Accepted) -> str:
    return text_of(accepted.payload.content) if isinstance(accepted.payload, UserInput) else ""
