"""What a list of sessions says of each besides the journal's own row: how long it is, and what it is about.

The rule here: a few queries for a whole page of sessions; no entry is read but those that are shown.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Select, func, select

from agent_core.content import text_of
from agent_core.entries import Accepted, Configured, Entry, Opened, TurnStarted
from agent_core.journals.schema import BLOBS, ENTRIES
from agent_core.journals.wire import RawRecord, decode_records
from agent_core.payloads import UserInput

LONGEST_FIRST = 200
"""Characters that are kept of the user's first message."""

_OPENED = Opened.model_fields["kind"].default
_CONFIGURED = Configured.model_fields["kind"].default
_ACCEPTED = Accepted.model_fields["kind"].default
_TURN_STARTED = TurnStarted.model_fields["kind"].default


@dataclass(frozen=True, slots=True)
class Overview:
    """`turns` that were begun, the `model` that would be asked next, and how the user's `first` message begins."""

    turns: int = 0
    model: str = ""
    first: str = ""


def read_overviews(connection: Connection, ids: Sequence[str]) -> dict[str, Overview]:
    """The overview of each session that has a record. Raises JournalError (`unreadable`) for an unknown entry."""
    found: dict[str, Overview] = {}
    for session, entry in _entries(connection, _settings(ids)):
        before = found.get(session, Overview())
        match entry:
            case Opened():
                found[session] = replace(before, model=entry.config.model)
            case Configured() if "model" in entry.changes.fields:
                found[session] = replace(before, model=str(entry.changes.fields["model"]))
            case _:
                found.setdefault(session, before)
    for session, entry in _entries(connection, _firsts(ids)):
        if isinstance(entry, Accepted) and isinstance(entry.payload, UserInput):
            text = text_of(entry.payload.content)[:LONGEST_FIRST]
            found[session] = replace(found.get(session, Overview()), first=text)
    for session, turns in connection.execute(_turns(ids)):
        found[session] = replace(found.get(session, Overview()), turns=turns)
    return found


def _turns(ids: Sequence[str]) -> Select[Any, int]:
    return (
        select(ENTRIES.c.session, func.count())
        .where(ENTRIES.c.session.in_(ids), ENTRIES.c.kind == _TURN_STARTED)
        .group_by(ENTRIES.c.session)
    )


def _settings(ids: Sequence[str]) -> Select[Any, Any, Any, Any, Any]:
    return _bodies().where(ENTRIES.c.session.in_(ids), ENTRIES.c.kind.in_((_OPENED, _CONFIGURED)))


def _firsts(ids: Sequence[str]) -> Select[Any, Any, Any, Any, Any]:
    first = (
        select(ENTRIES.c.session, func.min(ENTRIES.c.seq).label("seq"))
        .where(ENTRIES.c.session.in_(ids), ENTRIES.c.kind == _ACCEPTED)
        .group_by(ENTRIES.c.session)
        .subquery()
    )
    return _bodies().join(first, (ENTRIES.c.session == first.c.session) & (ENTRIES.c.seq == first.c.seq))


def _bodies() -> Select[Any, Any, Any, Any, Any]:
    body = func.coalesce(ENTRIES.c.body, BLOBS.c.bytes)
    return (
        select(ENTRIES.c.session, ENTRIES.c.seq, ENTRIES.c.epoch, ENTRIES.c.at, body)
        .select_from(ENTRIES)
        .outerjoin(BLOBS, ENTRIES.c.blob == BLOBS.c.hash)
        .order_by(ENTRIES.c.session, ENTRIES.c.seq)
    )


def _entries(connection: Connection, query: Select[Any, Any, Any, Any, Any]) -> Iterator[tuple[str, Entry]]:
    for session, seq, epoch, at, body in connection.execute(query):
        (record,) = decode_records(session, [RawRecord(seq, epoch, at, bytes(body))])
        yield session, record.entry
