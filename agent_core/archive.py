"""What can be done with a session's records from outside: forked at a turn, written out as lines.

The rule here: records are read and never changed. A fork is a session of its own, whose records stand at the same
sequence numbers, so that everything that refers to a message by its number refers to the fork's.
"""

import json
from collections.abc import Iterator, Sequence
from typing import assert_never

from agent_core.entries import (
    Accepted,
    Closed,
    Compacted,
    Complete,
    Configured,
    Entry,
    Opened,
    Pinned,
    Reopened,
    Settings,
    ToolBatch,
    TurnEnded,
    TurnRetried,
    TurnStarted,
    Unpinned,
    encode,
)
from agent_core.errors import JournalError, SessionError
from agent_core.messages import Message, SessionId, TurnId
from agent_core.overlays import Dropped, Overlay, ShortenedResult, Summary
from agent_core.ports import Append, Journal, Record

FORKED_FROM = "forked_from"
_AT_ONCE = 1_000
# Says nothing: it stands where a record was that the fork has not.
_NOTHING = Configured(changes=Settings())


async def fork(journal: Journal, source: SessionId, target: SessionId, turn_id: TurnId | None = None) -> TurnId | None:
    """Make `target` a session that is what `source` was when the turn ended; without a turn, what it is now.

    A turn that is open and messages that wait are not in the fork. Returns the last turn that ended there, None if none
    did: then the fork has the settings alone. Raises SessionError if there is no such session or turn, or `target`
    exists, JournalError.
    """
    records = await journal.read(source)
    if not records:
        raise SessionError(f"There is no session '{source}' to fork. See `python -m drivers.sessions list`.", "unknown")
    if await journal.exists(target):
        raise SessionError(f"Session '{target}' exists already. Give the fork another id.", "exists")
    end = _end(records, turn_id)
    entries = _entries_until(records, end, source, target)
    claim = await journal.claim(target, "fork")
    for start in range(0, len(entries), _AT_ONCE):
        written = [
            Record(record.seq, claim.epoch, record.at, entry)
            for record, entry in zip(records[start : start + _AT_ONCE], entries[start : start + _AT_ONCE], strict=False)
        ]
        (refusal,) = await journal.append([Append(target, claim.epoch, written)])
        if refusal is not None:
            raise JournalError(f"Session '{target}' was made by somebody else meanwhile. {refusal}", "exists")
    return _last_turn(records[: end + 1])


def _end(records: Sequence[Record], turn_id: TurnId | None) -> int:
    """The index of the last record that the fork has."""
    ends = [
        (index, record.entry.turn_id) for index, record in enumerate(records) if isinstance(record.entry, TurnEnded)
    ]
    if turn_id is None:
        return _before_open_turn(records)
    found = [index for index, ended in ends if ended == turn_id]
    if not found:
        turns = ", ".join(dict.fromkeys(turn for _, turn in ends[-5:])) or "none"
        raise SessionError(f"No turn '{turn_id}' has ended there. The newest that did: {turns}.", "unknown_turn")
    return found[-1]


def _before_open_turn(records: Sequence[Record]) -> int:
    """The index of the last record before the turn that is open, of the very last if none is."""
    for index in range(len(records) - 1, -1, -1):
        match records[index].entry:
            case TurnEnded():
                break
            case TurnStarted() | TurnRetried():
                return index - 1
            case _:
                pass
    return len(records) - 1


def _last_turn(records: Sequence[Record]) -> TurnId | None:
    return next((record.entry.turn_id for record in reversed(records) if isinstance(record.entry, TurnEnded)), None)


def _entries_until(records: Sequence[Record], end: int, source: SessionId, target: SessionId) -> list[Entry]:
    entries = [record.entry for record in records[: end + 1]]
    begun = {entry.turn_id for entry in entries if isinstance(entry, TurnStarted)}
    turn = _last_turn(records[: end + 1])
    rename = _Renaming(source, target, f"{source}@{turn}" if turn else source)

    def is_left(entry: Entry) -> bool:
        return (isinstance(entry, Accepted) and entry.turn_id not in begun) or isinstance(entry, Closed | Reopened)

    return [_NOTHING if is_left(entry) else rename.entry(entry) for entry in entries]


class _Renaming:
    """Entries of one session as those of another."""

    def __init__(self, source: SessionId, target: SessionId, label: str) -> None:
        self._source, self._target, self._label = source, target, label

    def entry(self, entry: Entry) -> Entry:
        match entry:
            case Opened():
                return entry.model_copy(update={"labels": {**entry.labels, FORKED_FROM: self._label}})
            case Complete():
                return entry.model_copy(update={"message": self._message(entry.message)})
            case ToolBatch():
                return entry.model_copy(update={"message_id": self._id(entry.message_id)})
            case Compacted():
                return entry.model_copy(update={"overlays": tuple(map(self._overlay, entry.overlays))})
            case Pinned() | Unpinned():
                changes: dict[str, object] = {"message_id": self._id(entry.message_id)}
                if isinstance(entry, Pinned) and entry.message is not None:
                    changes["message"] = self._message(entry.message)
                return entry.model_copy(update=changes)
            case _:
                return entry

    def _overlay(self, overlay: Overlay) -> Overlay:
        match overlay:
            case ShortenedResult():
                return overlay
            case Dropped():
                return overlay.model_copy(update={"message_ids": tuple(map(self._id, overlay.message_ids))})
            case Summary():
                repeated = self._id(overlay.repeated) if overlay.repeated is not None else None
                return overlay.model_copy(update={"through": self._id(overlay.through), "repeated": repeated})
            case _:
                assert_never(overlay)

    def _message(self, message: Message) -> Message:
        parent = self._id(message.parent_id) if message.parent_id is not None else None
        return message.model_copy(update={"id": self._id(message.id), "session_id": self._target, "parent_id": parent})

    def _id(self, message_id: str) -> str:
        prefix = f"{self._source}/"
        return f"{self._target}/{message_id.removeprefix(prefix)}" if message_id.startswith(prefix) else message_id


def lines(session_id: SessionId, records: Sequence[Record]) -> Iterator[str]:
    """The session as lines of JSON: whose it is first, then each record with its `seq`, `epoch`, `at` and `entry`."""
    yield json.dumps({"session_id": session_id, "records": len(records), "format": "rayconteur.session/1"})
    for record in records:
        entry = encode(record.entry).decode()
        yield f'{{"seq":{record.seq},"epoch":{record.epoch},"at":{record.at!r},"entry":{entry}}}'


async def export(journal: Journal, session_id: SessionId) -> list[str]:
    """The `lines` of a session. Raises SessionError if there is no such session, JournalError."""
    records = await journal.read(session_id)
    if not records:
        raise SessionError(f"There is no session '{session_id}' to export.", "unknown_session")
    return list(lines(session_id, records))
