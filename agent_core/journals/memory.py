"""The journal in memory, for tests and notebooks: exact semantics, nothing survives the process.

The rule here: it answers as the durable ones do, refusals and repeats included; the same contract tests hold for all.
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from agent_core.entries import Opened
from agent_core.errors import JournalError
from agent_core.journals.info import SessionInfo
from agent_core.journals.rules import FENCE, PUBLISH_GRACE, Head, Span, judge, judge_snapshot, refuse_shape, taken
from agent_core.journals.wire import uses
from agent_core.messages import SessionId
from agent_core.ports import Append, Claim, JournalOutcome, Record, Snapshot


@dataclass(slots=True)
class _Log:
    owner: str
    created_at: float
    epoch: int = 0
    records: list[Record] = field(default_factory=list[Record])
    snapshot: Snapshot | None = None

    @property
    def head(self) -> Head:
        return Head(self.epoch, len(self.records), self.snapshot.seq if self.snapshot else 0)

    @property
    def labels(self) -> Mapping[str, str]:
        first = self.records[0].entry if self.records else None
        return first.labels if isinstance(first, Opened) else {}


class MemoryJournal:
    """Implements `Journal`. `now` gives the time of a claim, in seconds since the epoch."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._logs: dict[str, _Log] = {}
        self._blobs: dict[str, bytes] = {}
        self._published: dict[str, float] = {}
        self._floor = 0

    async def claim(self, session_id: SessionId, owner: str, first: Record | None = None) -> Claim:
        """See `Journal.claim`."""
        log = self._logs.setdefault(session_id, _Log(owner=owner, created_at=self._now(), epoch=self._floor))
        log.epoch += 1
        log.owner = owner
        if first is not None and not log.records:
            refusal = self._append(Append(session_id, log.epoch, [replace(first, epoch=log.epoch)]))
            if refusal is not None:
                raise refusal
        after = log.snapshot.seq if log.snapshot else 0
        return Claim(session_id, log.epoch, tuple(log.records[after:]), log.snapshot)

    async def append(self, appends: Sequence[Append]) -> Sequence[JournalOutcome]:
        """See `Journal.append`. Never raises."""
        return [self._append(append) for append in appends]

    def _append(self, append: Append) -> JournalError | None:
        if refusal := refuse_shape(append):
            return refusal
        log = self._logs.get(append.session_id)
        head = log.head if log else None
        first = append.records[0].seq if append.records else 0
        span = Span(append.session_id, append.epoch, first, len(append.records))
        known = judge(head, span)
        if isinstance(known, JournalError) or log is None:
            return known if isinstance(known, JournalError) else None
        for record in append.records[:known]:
            there = log.records[record.seq - 1]
            if (there.epoch, there.entry) != (record.epoch, record.entry):
                return taken(span, record.seq)
        log.records.extend(append.records[known:])
        return None

    async def read(self, session_id: SessionId, after: int = 0) -> Sequence[Record]:
        """See `Journal.read`."""
        log = self._logs.get(session_id)
        return tuple(log.records[max(0, after) :]) if log else ()

    async def save_snapshot(self, session_id: SessionId, epoch: int, snapshot: Snapshot) -> None:
        """See `Journal.save_snapshot`. Raises SequenceGap if it is of a record that is not there."""
        log = self._logs.get(session_id)
        kept = judge_snapshot(log.head if log else None, Span(session_id, epoch, snapshot.seq, 0))
        if isinstance(kept, JournalError):
            raise kept
        if kept and log is not None:
            log.snapshot = snapshot

    async def exists(self, session_id: SessionId) -> bool:
        """See `Journal.exists`."""
        log = self._logs.get(session_id)
        return bool(log and log.records)

    async def session_info(self, session_id: SessionId) -> SessionInfo | None:
        """What is known of a session; None if it was never claimed."""
        log = self._logs.get(session_id)
        return _info(session_id, log) if log else None

    async def list_sessions(
        self, limit: int = 100, after: SessionId | None = None, labels: Mapping[str, str] | None = None
    ) -> Sequence[SessionInfo]:
        """See `SessionCatalog.list_sessions`."""
        wanted = (labels or {}).items()
        newest = sorted(self._logs, key=lambda name: (self._logs[name].created_at, name), reverse=True)
        if after is not None:
            newest = newest[newest.index(after) + 1 :] if after in self._logs else []
        found = [name for name in newest if (log := self._logs[name]).records and wanted <= log.labels.items()]
        return [_info(SessionId(name), self._logs[name]) for name in found[:limit]]

    async def delete(self, session_id: SessionId) -> bool:
        """See `SessionCatalog.delete`."""
        log = self._logs.pop(session_id, None)
        if log is None:
            return False
        self._floor = max(self._floor, log.epoch)
        self._sweep()
        return True

    async def delete_idle(self, before: float, limit: int = 100) -> Sequence[SessionId]:
        """See `SessionCatalog.delete_idle`."""
        oldest = sorted((_updated_at(log), name) for name, log in self._logs.items() if _updated_at(log) < before)
        names = [SessionId(name) for _, name in oldest[:limit]]
        for name in names:
            await self.delete(name)
        return names

    async def fence(self) -> int:
        """See `SessionCatalog.fence`."""
        for log in self._logs.values():
            log.epoch += FENCE
        self._floor = max([self._floor + FENCE, *(log.epoch for log in self._logs.values())])
        return len(self._logs)

    def _sweep(self) -> None:
        """Drop the code of tools that no session uses."""
        used = {digest for log in self._logs.values() for record in log.records for digest in uses(record.entry)}
        for digest, at in list(self._published.items()):
            if digest not in used and at < self._now() - PUBLISH_GRACE:
                del self._published[digest], self._blobs[digest]

    async def put_blob(self, data: bytes) -> str:
        """Keep the bytes once and return their SHA-256 as hexadecimal digits."""
        digest = hashlib.sha256(data).hexdigest()
        self._blobs[digest] = data
        self._published[digest] = self._now()
        return digest

    async def get_blob(self, digest: str) -> bytes | None:
        """The bytes with this hash, or None."""
        return self._blobs.get(digest)


def _info(session_id: SessionId, log: _Log) -> SessionInfo:
    last_seq = len(log.records)
    return SessionInfo(session_id, log.owner, log.epoch, last_seq, log.created_at, _updated_at(log), log.labels)


def _updated_at(log: _Log) -> float:
    return log.records[-1].at if log.records else log.created_at
