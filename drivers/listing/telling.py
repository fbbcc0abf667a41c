"""One session as a person reads it: its records folded into the pieces of a chat, turn by turn.

The rule here: what is shown looks as it did in the chat. Without `full` it is the conversation as it stands: behind the
last summary, which stands at its head, or behind the place where it was cleared.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from agent_core.conversation import Conversation
from agent_core.cursor import Cursor, Event
from agent_core.entries import Cleared, Compacted, Complete, Opened, Steered, ToolSettled, TurnEnded, TurnStarted
from agent_core.journals.info import SessionInfo
from agent_core.messages import Message
from agent_core.overlays import Summary
from agent_core.ports import Record
from drivers.chatting.figures import count, several
from drivers.chatting.pieces import Listed, Noted, Piece, Summarised, clean, pieces_of
from drivers.chatting.transcript import Transcript
from drivers.listing.figures import moment


@dataclass(frozen=True, slots=True)
class _Standing:
    """From which record on the conversation stands; what is before it is told by `summary`, or was cleared."""

    first: int = 0
    summary: Summary | None = None


def told(info: SessionInfo, records: Sequence[Record], *, full: bool) -> Iterator[list[Piece]]:
    """The session's head, then one turn after the other."""
    standing = _Standing() if full else _standing(records)
    conversation = Conversation(info.session_id)
    for record in records:
        conversation.apply(record)
    yield [_head(info, conversation)]
    begun_with = _begun_with(conversation, records, standing, full=full)
    if before := _turns(records[: standing.first]) + _turns_of(_history(records)) - _turns_of(begun_with):
        yield _before(before, standing.summary and _summarised(standing.summary, records))
    if begun_with:
        yield [Noted("said before the session was opened"), *pieces_of(begun_with)]
    transcript = Transcript(lambda: 0.0)
    pieces: list[Piece] = []
    for index, record in enumerate(records):
        said = transcript.apply(Event(Cursor(record.seq, record.epoch), record.entry))
        if index < standing.first:
            continue
        if isinstance(record.entry, TurnStarted):
            yield pieces
            pieces = [Noted(f"{record.entry.turn_id}, {moment(record.at)}")]
        pieces += said
        if full and isinstance(record.entry, Compacted):
            summaries = (item for item in record.entry.overlays if isinstance(item, Summary))
            pieces += [_summarised(item, records) for item in summaries]
    yield [*pieces, *_end(transcript)]


def as_data(info: SessionInfo, records: Sequence[Record], *, full: bool) -> dict[str, Any]:
    """The same for a program: `messages` as the model sees them, or with `full` all that there ever were."""
    conversation = Conversation(info.session_id)
    for record in records:
        conversation.apply(record)
    messages = conversation.messages if full else conversation.view.shown
    return {
        "session_id": info.session_id,
        "created_at": info.created_at,
        "updated_at": info.updated_at,
        "records": info.last_seq,
        "turns": _turns(records),
        "model": conversation.config.model,
        "labels": dict(info.labels),
        "open_turn": conversation.open.turn_id if conversation.open else None,
        "messages": [message.model_dump(mode="json", exclude_none=True) for message in messages],
    }


def _head(info: SessionInfo, conversation: Conversation) -> Listed:
    total = conversation.usage.total
    tokens_in = total.context_tokens - total.output_tokens
    rows = [
        ("model", conversation.config.model),
        ("begun", moment(info.created_at)),
        ("last used", moment(info.updated_at)),
        ("labels", ", ".join(f"{name}={value}" for name, value in info.labels.items())),
        ("tools", ", ".join(conversation.tools)),
        ("tokens", f"{count(tokens_in)} in, {count(total.output_tokens)} out"),
        ("state", "closed" if conversation.closed else "a turn is open" if conversation.open else ""),
    ]
    return Listed(clean(f"Session {info.session_id}"), tuple((name, clean(value)) for name, value in rows if value))


def _before(turns: int, summary: Summarised | None) -> list[Piece]:
    what = several(turns, "earlier turn")
    if summary is None:
        return [Noted(f"{what} cleared; --full shows what was said")]
    return [Noted(f"{what}, of which the model knows this summary; --full shows what was said"), summary]


def _history(records: Sequence[Record]) -> Sequence[Message]:
    """What the session was opened with."""
    return next((record.entry.history for record in records if isinstance(record.entry, Opened)), ())


def _begun_with(
    conversation: Conversation, records: Sequence[Record], standing: _Standing, *, full: bool
) -> Sequence[Message]:
    """The messages that the session was opened with, those that are to be shown of them."""
    given = conversation.messages[: len(_history(records))]
    if full or not standing.first:
        return given
    return [message for message in given if conversation.view.stands(message.id, conversation.messages)]


def _turns_of(messages: Sequence[Message]) -> int:
    return len({message.turn_id for message in messages})


def _summarised(summary: Summary, records: Sequence[Record]) -> Summarised:
    through, number = _place(summary)
    if number:
        return Summarised(clean(summary.text).strip(), until=_history(records)[number - 1].turn_id)
    begun = [record.entry for record in records if record.seq <= through and isinstance(record.entry, TurnStarted)]
    return Summarised(clean(summary.text).strip(), until=begun[-1].turn_id if begun else "")


def _place(summary: Summary) -> tuple[int, int]:
    """The number of the last record that the summary covers, and of the message of the history that it began with."""
    seq, _, number = summary.through.rpartition("/")[2].partition(".")
    return int(seq), int(number or 0)


def _end(transcript: Transcript) -> list[Piece]:
    waiting = [clean(item.text) for item in transcript.waiting.values()]
    pieces: list[Piece] = [*transcript.live.tools]
    if transcript.turn_id is not None:
        pieces.append(Noted("the turn is open", "warning"))
    return [*pieces, *(Noted(f"waits: {text}", "warning") for text in waiting)]


def _turns(records: Sequence[Record]) -> int:
    return sum(isinstance(record.entry, TurnStarted) for record in records)


def _standing(records: Sequence[Record]) -> _Standing:
    standing = _Standing()
    for index, record in enumerate(records):
        match record.entry:
            case Cleared():
                standing = _Standing(index + 1)
            case Compacted(overlays=overlays):
                for summary in (item for item in overlays if isinstance(item, Summary)):
                    standing = _Standing(_behind(records, _place(summary)[0]), summary)
            case _:
                pass
    return standing


def _behind(records: Sequence[Record], through: int) -> int:
    """The index of the first record behind the message of that sequence number, of its turn's first if that goes on."""
    covered = next((index for index, record in enumerate(records) if record.seq == through), -1)
    end = next(
        (
            index
            for index in range(covered + 1, len(records))
            if isinstance(records[index].entry, TurnEnded | TurnStarted)
        ),
        len(records),
    )
    if any(isinstance(record.entry, Complete | ToolSettled | Steered) for record in records[covered + 1 : end]):
        begun = (index for index in range(covered, -1, -1) if isinstance(records[index].entry, TurnStarted))
        return next(begun, covered + 1)
    return min(end + isinstance(records[end].entry, TurnEnded), len(records)) if end < len(records) else end
