"""The journal in SQL: one transaction for a group of operations, and the reads. Synchronous; run in threads.

The rule here: the heads of all sessions of a group are read under the lock that also covers the writes, judged in order
of arrival (`rules.py`), and written in bulk; so two processes on one database cannot harm each other and no cache has
to be right.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from sqlalchemy import Connection, Insert, Table, bindparam, func, insert, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from agent_core.errors import JournalError
from agent_core.journals.info import SessionInfo
from agent_core.journals.rules import Head, Span, judge, taken
from agent_core.journals.schema import BLOBS, ENTRIES, SESSIONS
from agent_core.journals.wire import Answer, Operation, Page, RawAppend, RawBlob, RawClaim, RawRecord
from agent_core.messages import SessionId

LARGE_BODY = 256 * 1024
"""Bodies of more bytes than this are kept once, by hash."""

PAGE_ROWS = 2000
PAGE_BYTES = 4_000_000

_HEADS = (
    select(SESSIONS.c.id, SESSIONS.c.epoch, SESSIONS.c.last_seq, SESSIONS.c.owner, SESSIONS.c.updated_at)
    .where(SESSIONS.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(SESSIONS.c.id)
    .with_for_update()
)
_SET_HEAD = (
    update(SESSIONS)
    .where(SESSIONS.c.id == bindparam("key"))
    .values(
        epoch=bindparam("epoch"),
        last_seq=bindparam("last_seq"),
        owner=bindparam("owner"),
        updated_at=bindparam("updated_at"),
    )
)
_SET_LABELS = update(SESSIONS).where(SESSIONS.c.id == bindparam("key")).values(labels=bindparam("text"))
_ADD_ENTRIES = insert(ENTRIES)
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


def _insert_new(connection: Connection, table: Table) -> Insert:
    """An insert that leaves alone what is there already."""
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    return make(table).on_conflict_do_nothing()


@dataclass(slots=True)
class _Tracked:
    """A head as the group has changed it so far."""

    head: Head
    owner: str
    updated_at: float
    changed: bool = False


class Group:
    """The operations of one transaction, judged in order and written in bulk by `flush`."""

    def __init__(self, connection: Connection, now: float) -> None:
        self._connection = connection
        self._now = now
        self._heads: dict[str, _Tracked] = {}
        self._entries: list[dict[str, Any]] = []
        self._blobs: dict[str, bytes] = {}
        self._labels: list[dict[str, Any]] = []

    def perform(self, operations: Sequence[Operation]) -> list[Answer]:
        """Judge and write them all; the caller commits."""
        self._load(operations)
        answers = [self._add(operation) for operation in operations]
        self.flush()
        return answers

    def _load(self, operations: Sequence[Operation]) -> None:
        new = [
            {
                "id": operation.session_id,
                "epoch": 0,
                "owner": operation.owner,
                "last_seq": 0,
                "created_at": self._now,
                "updated_at": self._now,
                "labels": "{}",
            }
            for operation in operations
            if isinstance(operation, RawClaim)
        ]
        if new:
            self._connection.execute(_insert_new(self._connection, SESSIONS), new)
        ids = list({operation.session_id for operation in operations if not isinstance(operation, RawBlob)})
        if ids:
            for name, epoch, last_seq, owner, updated_at in self._connection.execute(_HEADS, {"ids": ids}):
                self._heads[name] = _Tracked(Head(epoch, last_seq), owner, updated_at)

    def _add(self, operation: Operation) -> Answer:
        match operation:
            case RawAppend():
                return self._append(operation)
            case RawClaim(session_id, owner):
                tracked = self._heads[session_id]
                tracked.head = Head(tracked.head.epoch + 1, tracked.head.last_seq)
                tracked.owner = owner
                tracked.changed = True
                return tracked.head
            case RawBlob(digest, data):
                self._blobs[digest] = data
                return None
            case _:
                assert_never(operation)

    def _append(self, append: RawAppend) -> JournalError | None:
        tracked = self._heads.get(append.session_id)
        span = Span(append.session_id, append.epoch, append.first, len(append.rows))
        known = judge(tracked.head if tracked else None, span)
        if isinstance(known, JournalError) or tracked is None:
            return known if isinstance(known, JournalError) else None
        if known and (refusal := self._compare(append, span, known)):
            return refusal
        for seq, (at, kind, body) in enumerate(append.rows[known:], start=append.first + known):
            self._entries.append(self._row(append, seq, at, kind, body))
        if len(append.rows) > known:
            tracked.head = Head(append.epoch, append.first + len(append.rows) - 1)
            tracked.updated_at = append.rows[-1][0]
            tracked.changed = True
            if append.labels is not None and append.first + known == 1:
                self._labels.append({"key": append.session_id, "text": append.labels})
        return None

    def _row(self, append: RawAppend, seq: int, at: float, kind: str, body: bytes) -> dict[str, Any]:
        digest = None
        if len(body) > LARGE_BODY:
            digest = hashlib.sha256(body).hexdigest()
            self._blobs[digest] = body
        return {
            "session": append.session_id,
            "seq": seq,
            "epoch": append.epoch,
            "at": at,
            "kind": kind,
            "body": None if digest else body,
            "blob": digest,
        }

    def _compare(self, append: RawAppend, span: Span, known: int) -> JournalError | None:
        """The refusal of a repeat that differs from what is there."""
        self.flush()
        seq = append.first
        while seq < append.first + known:
            page = read_page(self._connection, append.session_id, seq - 1, append.first + known - 1)
            for record in page.records:
                if (record.epoch, record.body) != (append.epoch, append.rows[record.seq - append.first][2]):
                    return taken(span, record.seq)
            seq += max(1, len(page.records))
        return None

    def flush(self) -> None:
        """Write what has been gathered."""
        if self._blobs:
            rows = [{"hash": digest, "bytes": data} for digest, data in self._blobs.items()]
            self._connection.execute(_insert_new(self._connection, BLOBS), rows)
        if self._entries:
            self._connection.execute(_ADD_ENTRIES, self._entries)
        changed = [(name, tracked) for name, tracked in self._heads.items() if tracked.changed]
        if changed:
            self._connection.execute(_SET_HEAD, [_head_row(name, tracked) for name, tracked in changed])
        if self._labels:
            self._connection.execute(_SET_LABELS, self._labels)
        self._blobs, self._entries, self._labels = {}, [], []
        for _, tracked in changed:
            tracked.changed = False


def _head_row(name: str, tracked: _Tracked) -> dict[str, Any]:
    return {
        "key": name,
        "epoch": tracked.head.epoch,
        "last_seq": tracked.head.last_seq,
        "owner": tracked.owner,
        "updated_at": tracked.updated_at,
    }


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


def read_blob(connection: Connection, digest: str) -> bytes | None:
    """The bytes with this hash, or None."""
    found = connection.execute(select(BLOBS.c.bytes).where(BLOBS.c.hash == digest)).scalar()
    return None if found is None else bytes(found)


def read_info(connection: Connection, session_id: str) -> SessionInfo | None:
    """What is known of a session; None if it was never claimed."""
    row = connection.execute(select(SESSIONS).where(SESSIONS.c.id == session_id)).one_or_none()
    return None if row is None else _info(row)


def list_page(connection: Connection, limit: int, after: str | None) -> list[SessionInfo]:
    """At most `limit` sessions that have a record, newest first, from after the one named on."""
    age = tuple_(SESSIONS.c.created_at, SESSIONS.c.id)
    query = select(SESSIONS).where(SESSIONS.c.last_seq > 0)
    if after is not None:
        place = connection.execute(
            select(SESSIONS.c.created_at, SESSIONS.c.id).where(SESSIONS.c.id == after)
        ).one_or_none()
        if place is None:
            return []
        query = query.where(age < tuple_(place[0], place[1]))
    query = query.order_by(SESSIONS.c.created_at.desc(), SESSIONS.c.id.desc()).limit(limit)
    return [_info(row) for row in connection.execute(query)]


def _info(row: Any) -> SessionInfo:
    return SessionInfo(
        SessionId(row.id), row.owner, row.epoch, row.last_seq, row.created_at, row.updated_at, json.loads(row.labels)
    )
