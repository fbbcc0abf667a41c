"""What the journal's tables are asked. Synchronous; run in threads.

The rule here: an answer is right for some moment of its own transaction; nothing here takes a lock.
"""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, tuple_

from agent_core.journals.info import SessionInfo
from agent_core.journals.schema import BLOBS, ENTRIES, LABELS, SESSIONS, SNAPSHOTS
from agent_core.journals.wire import Page, RawRecord
from agent_core.messages import SessionId
from agent_core.ports import Snapshot

PAGE_ROWS = 2000
PAGE_BYTES = 4_000_000

_READ = (
    select(ENTRIES.c.seq, ENTRIES.c.epoch, ENTRIES.c.at, func.coalesce(ENTRIES.c.body, BLOBS.c.bytes))
    .select_from(ENTRIES.outerjoin(BLOBS, ENTRIES.c.blob == BLOBS.c.hash))
    .where(ENTRIES.c.session == bindparam("session"))
    .where(ENTRIES.c.seq > bindparam("after"))
    .where(ENTRIES.c.seq <= bindparam("upto"))
    .order_by(ENTRIES.c.seq)
    .limit(PAGE_ROWS)
)
_NO_END = 2**62


def read_page(connection: Connection, session_id: str, after: int, upto: int | None = None) -> Page:
    """Records with after < seq <= upto, as many as make a page of some megabytes."""
    bounds = {"session": session_id, "after": after, "upto": _NO_END if upto is None else upto}
    records: list[RawRecord] = []
    size = 0
    with connection.execute(_READ, bounds) as rows:
        for seq, epoch, at, body in rows:
            records.append(RawRecord(seq, epoch, at, bytes(body)))
            size += len(body)
            if size > PAGE_BYTES:
                break
    return Page(records, last=size <= PAGE_BYTES and len(records) < PAGE_ROWS)


def read_snapshot(connection: Connection, session_id: str) -> Snapshot | None:
    """The newest snapshot of the session."""
    row = connection.execute(
        select(SNAPSHOTS.c.seq, SNAPSHOTS.c.data).where(SNAPSHOTS.c.session == session_id)
    ).one_or_none()
    return None if row is None else Snapshot(row[0], bytes(row[1]))


def read_blob(connection: Connection, digest: str) -> bytes | None:
    """The bytes with this hash, or None."""
    found = connection.execute(select(BLOBS.c.bytes).where(BLOBS.c.hash == digest)).scalar()
    return None if found is None else bytes(found)


def read_info(connection: Connection, session_id: str) -> SessionInfo | None:
    """What is known of a session; None if it was never claimed."""
    row = connection.execute(select(SESSIONS).where(SESSIONS.c.id == session_id)).one_or_none()
    return None if row is None else _info(row)


def list_page(connection: Connection, limit: int, after: str | None, labels: Mapping[str, str]) -> list[SessionInfo]:
    """At most `limit` sessions that have a record and all of the labels, newest first, from after the one named on."""
    age = tuple_(SESSIONS.c.created_at, SESSIONS.c.id)
    query = select(SESSIONS).where(SESSIONS.c.last_seq > 0)
    for name, value in labels.items():
        labelled = select(LABELS.c.session).where(
            LABELS.c.name == label_text(name), LABELS.c.value == label_text(value)
        )
        query = query.where(SESSIONS.c.id.in_(labelled))
    if after is not None:
        place = connection.execute(
            select(SESSIONS.c.created_at, SESSIONS.c.id).where(SESSIONS.c.id == after)
        ).one_or_none()
        if place is None:
            return []
        query = query.where(age < tuple_(place[0], place[1]))
    query = query.order_by(SESSIONS.c.created_at.desc(), SESSIONS.c.id.desc()).limit(limit)
    return [_info(row) for row in connection.execute(query)]


def label_text(text: str) -> str:
    """A label's name or value as it stands in the table `labels`."""
    return json.dumps(text)


def _info(row: Any) -> SessionInfo:
    return SessionInfo(
        SessionId(row.id), row.owner, row.epoch, row.last_seq, row.created_at, row.updated_at, json.loads(row.labels)
    )
