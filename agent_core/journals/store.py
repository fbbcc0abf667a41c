"""The journal in SQL: one transaction for a group of operations. Synchronous; run in threads.

The rule here: the heads of all sessions of a group are read under the lock that also covers the writes, judged in order
of arrival (`rules.py`), and written in bulk; so two processes on one database cannot harm each other and no cache has
to be right.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from sqlalchemy import Connection, Insert, Table, bindparam, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from agent_core.errors import JournalError
from agent_core.journals.deletion import delete_sessions, expired, lock_blobs, raise_epochs, raise_floor, read_floor
from agent_core.journals.reading import label_text, read_page
from agent_core.journals.rules import Head, Span, judge, judge_snapshot, taken
from agent_core.journals.schema import BLOBS, ENTRIES, LABELS, PUBLISHED, SESSIONS, SNAPSHOTS, USES
from agent_core.journals.wire import (
    Answer,
    Deleted,
    Operation,
    Raised,
    RawAppend,
    RawBlob,
    RawClaim,
    RawDelete,
    RawExpiry,
    RawFence,
    RawSnapshot,
    session_of,
)

LARGE_BODY = 256 * 1024
"""Bodies of more bytes than this are kept once, by hash."""

_HEADS = (
    select(
        SESSIONS.c.id,
        SESSIONS.c.epoch,
        SESSIONS.c.last_seq,
        SESSIONS.c.snapshot_seq,
        SESSIONS.c.owner,
        SESSIONS.c.updated_at,
    )
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
        snapshot_seq=bindparam("snapshot_seq"),
        owner=bindparam("owner"),
        updated_at=bindparam("updated_at"),
    )
)
_SET_LABELS = update(SESSIONS).where(SESSIONS.c.id == bindparam("key")).values(labels=bindparam("text"))
_ADD_ENTRIES = insert(ENTRIES)


def _insert_new(connection: Connection, table: Table) -> Insert:
    """An insert that leaves alone what is there already."""
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    return make(table).on_conflict_do_nothing()


def _upsert(connection: Connection, table: Table, *columns: str) -> Insert:
    """An insert that puts these columns in place of what is there."""
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    made = make(table)
    return made.on_conflict_do_update(
        index_elements=list(table.primary_key), set_={name: made.excluded[name] for name in columns}
    )


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
        self._floor: int | None = None
        self._entries: list[dict[str, Any]] = []
        self._blobs: dict[str, bytes] = {}
        self._published: set[str] = set()
        self._snapshots: dict[str, RawSnapshot] = {}
        self._labels: dict[str, str] = {}
        self._uses: set[tuple[str, str]] = set()

    def perform(self, operations: Sequence[Operation]) -> list[Answer]:
        """Judge and write them all; the caller commits."""
        self._load(operations)
        answers = [self._add(operation) for operation in operations]
        self.flush()
        return answers

    def _load(self, operations: Sequence[Operation]) -> None:
        claimed = {operation.session_id: operation.owner for operation in operations if isinstance(operation, RawClaim)}
        if claimed:
            self._make(claimed)
        ids = sorted({name for operation in operations if (name := session_of(operation)) is not None})
        if ids:
            for name, epoch, last_seq, snapshot, owner, updated_at in self._connection.execute(_HEADS, {"ids": ids}):
                self._heads[name] = _Tracked(Head(epoch, last_seq, snapshot), owner, updated_at)

    def _make(self, owners: Mapping[str, str]) -> None:
        """Make the rows of sessions that have none."""
        # In order, so that two processes that do the same wait for each other and not in a circle.
        rows = [
            {
                "id": name,
                "epoch": 0,
                "owner": owners[name],
                "last_seq": 0,
                "created_at": self._now,
                "updated_at": self._now,
                "labels": "{}",
            }
            for name in sorted(owners)
        ]
        self._connection.execute(_insert_new(self._connection, SESSIONS), rows)

    def _add(self, operation: Operation) -> Answer:
        match operation:
            case RawAppend():
                return self._append(operation)
            case RawClaim():
                return self._claim(operation)
            case RawBlob(digest, data):
                self._blobs[digest] = data
                self._published.add(digest)
                return None
            case RawSnapshot():
                return self._snapshot(operation)
            case RawDelete(session_id):
                tracked = self._heads.get(session_id)
                return self._delete([(session_id, tracked.head.epoch)] if tracked else [])
            case RawExpiry(before, limit):
                self.flush()
                return self._delete(expired(self._connection, before, limit))
            case RawFence(step):
                return self._fence(step)
            case _:
                assert_never(operation)

    def _claim(self, claim: RawClaim) -> Head:
        if claim.session_id not in self._heads:
            # It was deleted a moment ago.
            self._make({claim.session_id: claim.owner})
            self._heads[claim.session_id] = _Tracked(Head(0, 0), claim.owner, self._now)
        tracked = self._heads[claim.session_id]
        if tracked.head.epoch == 0 and self._floor is None:
            self._floor = read_floor(self._connection)
        epoch = max(tracked.head.epoch, (self._floor or 0) if tracked.head.epoch == 0 else 0) + 1
        head = tracked.head = tracked.head._replace(epoch=epoch)
        tracked.owner, tracked.changed = claim.owner, True
        if claim.first is not None and head.last_seq == 0:
            self._append(RawAppend(claim.session_id, epoch, 1, [claim.first], claim.labels, claim.uses))
        return head

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
            tracked.head = tracked.head._replace(last_seq=append.first + len(append.rows) - 1)
            tracked.updated_at = append.rows[-1][0]
            tracked.changed = True
            self._uses.update((append.session_id, digest) for digest in append.uses)
            if append.labels is not None and append.first + known == 1:
                self._labels[append.session_id] = append.labels
        return None

    def _snapshot(self, snapshot: RawSnapshot) -> JournalError | None:
        tracked = self._heads.get(snapshot.session_id)
        head = tracked.head if tracked else None
        kept = judge_snapshot(head, Span(snapshot.session_id, snapshot.epoch, snapshot.seq, 0))
        if isinstance(kept, JournalError):
            return kept
        if kept and tracked is not None:
            self._snapshots[snapshot.session_id] = snapshot
            tracked.head = tracked.head._replace(snapshot=snapshot.seq)
            tracked.changed = True
        return None

    def _delete(self, found: Sequence[tuple[str, int]]) -> Deleted:
        """Delete these sessions, each with its epoch."""
        if found:
            self.flush()
            names = [name for name, _ in found]
            delete_sessions(self._connection, names, self._now)
            self._floor = raise_floor(self._connection, max(epoch for _, epoch in found))
            for name in names:
                self._heads.pop(name, None)
        return Deleted([name for name, _ in found])

    def _fence(self, step: int) -> Raised:
        """Raise every epoch, with those that this group has read."""
        self.flush()
        sessions, self._floor = raise_epochs(self._connection, step)
        for tracked in self._heads.values():
            tracked.head = tracked.head._replace(epoch=tracked.head.epoch + step)
        return Raised(sessions)

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
        connection = self._connection
        self._flush_blobs()
        if self._entries:
            connection.execute(_ADD_ENTRIES, self._entries)
        if self._snapshots:
            rows = [{"session": name, "seq": one.seq, "data": one.data} for name, one in self._snapshots.items()]
            connection.execute(_upsert(connection, SNAPSHOTS, "seq", "data"), rows)
        changed = [(name, tracked) for name, tracked in self._heads.items() if tracked.changed]
        if changed:
            connection.execute(_SET_HEAD, [_head_row(name, tracked) for name, tracked in changed])
        if self._labels:
            connection.execute(_SET_LABELS, [{"key": name, "text": text} for name, text in self._labels.items()])
            if rows := [row for name, text in self._labels.items() for row in _label_rows(name, text)]:
                connection.execute(_insert_new(connection, LABELS), rows)
        if self._uses:
            rows = [{"session": name, "hash": digest} for name, digest in sorted(self._uses)]
            connection.execute(_insert_new(connection, USES), rows)
        self._entries, self._snapshots, self._labels, self._uses = [], {}, {}, set()
        for _, tracked in changed:
            tracked.changed = False

    def _flush_blobs(self) -> None:
        if not self._blobs:
            return
        connection = self._connection
        lock_blobs(connection, to_delete=False)
        blobs = [{"hash": digest, "bytes": data} for digest, data in sorted(self._blobs.items())]
        connection.execute(_insert_new(connection, BLOBS), blobs)
        if self._published:
            rows = [{"hash": digest, "at": self._now} for digest in sorted(self._published)]
            connection.execute(_upsert(connection, PUBLISHED, "at"), rows)
        self._blobs, self._published = {}, set()


def _label_rows(session: str, text: str) -> Iterator[dict[str, str]]:
    for name, value in json.loads(text).items():
        yield {"session": session, "name": label_text(name), "value": label_text(value)}


def _head_row(name: str, tracked: _Tracked) -> dict[str, Any]:
    return {
        "key": name,
        "epoch": tracked.head.epoch,
        "last_seq": tracked.head.last_seq,
        "snapshot_seq": tracked.head.snapshot,
        "owner": tracked.owner,
        "updated_at": tracked.updated_at,
    }
