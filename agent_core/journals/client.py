"""The `Journal` port over raw operations: what the SQL journals and the handle of the journal actor have in common.

The rule here: entries are encoded and decoded on this side, whoever writes them.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace

from agent_core.errors import Fenced, JournalError, SequenceGap
from agent_core.journals.batching import Batcher
from agent_core.journals.rules import FENCE, Head
from agent_core.journals.wire import (
    Answer,
    Deleted,
    Operation,
    Page,
    Raised,
    RawAppend,
    RawBlob,
    RawClaim,
    RawDelete,
    RawExpiry,
    RawFence,
    RawSnapshot,
    decode_records,
    encode_append,
)
from agent_core.messages import SessionId
from agent_core.ports import Append, Claim, JournalOutcome, Record, Snapshot


class JournalClient(ABC):
    """Implements `Journal` by `submit`, `read_page` and `read_snapshot`."""

    _batcher: Batcher[Operation, Answer]

    def watched_by(self, watch: Callable[[Sequence[Answer], float], None]) -> None:
        """Have each batch of operations told, see `Batcher.watch`."""
        self._batcher.watch = watch

    @abstractmethod
    async def submit(self, operations: Sequence[Operation]) -> Sequence[Answer]:
        """Perform the operations durably, answer each in order. Failures of the journal are among the answers."""

    @abstractmethod
    async def read_page(self, session_id: str, after: int, upto: int | None = None) -> Page:
        """Records with after < seq <= upto, as many as make a page of some megabytes. Raises JournalError."""

    @abstractmethod
    async def read_snapshot(self, session_id: str) -> Snapshot | None:
        """The newest snapshot of the session. Raises JournalError."""

    async def claim(self, session_id: SessionId, owner: str, first: Record | None = None) -> Claim:
        """See `Journal.claim`. Raises Fenced if somebody else claims or deletes the session meanwhile."""
        claimed = RawClaim(session_id, owner)
        if first is not None:
            encoded = encode_append(Append(session_id, 1, [replace(first, epoch=1)]))
            if not isinstance(encoded, RawAppend):
                raise encoded
            claimed = RawClaim(session_id, owner, encoded.rows[0], encoded.labels, encoded.uses)
        [head] = await self.submit([claimed])
        if not isinstance(head, Head):
            raise _copy(head)
        if head.last_seq:
            return await self._told(session_id, head)
        return Claim(session_id, head.epoch, () if first is None else (replace(first, epoch=head.epoch),))

    async def _told(self, session_id: SessionId, head: Head) -> Claim:
        """The claim of a session that has records."""
        snapshot = await self.read_snapshot(session_id) if head.snapshot else None
        after = snapshot.seq if snapshot else 0
        records = await self._read(session_id, after, head.last_seq) if after < head.last_seq else ()
        if after + len(records) != head.last_seq:
            raise Fenced(
                f"Session '{session_id}' was claimed or deleted by another while it was read here: open it again if it"
                " is wanted."
            )
        return Claim(session_id, head.epoch, records, snapshot)

    async def append(self, appends: Sequence[Append]) -> Sequence[JournalOutcome]:
        """See `Journal.append`."""
        encoded = [encode_append(append) for append in appends]
        operations = [item for item in encoded if isinstance(item, RawAppend)]
        answers = iter(await self.submit(operations) if operations else ())
        outcomes = [next(answers) if isinstance(item, RawAppend) else item for item in encoded]
        return [_outcome(outcome) for outcome in outcomes]

    async def read(self, session_id: SessionId, after: int = 0) -> Sequence[Record]:
        """See `Journal.read`."""
        return await self._read(session_id, after, None)

    async def put_blob(self, data: bytes) -> str:
        """Keep the bytes once and return their SHA-256 as hexadecimal digits."""
        digest = hashlib.sha256(data).hexdigest()
        answer = (await self.submit([RawBlob(digest, data)]))[0]
        if isinstance(answer, JournalError):
            raise _copy(answer)
        return digest

    async def save_snapshot(self, session_id: SessionId, epoch: int, snapshot: Snapshot) -> None:
        """See `Journal.save_snapshot`. Raises SequenceGap if it is of a record that is not there."""
        [answer] = await self.submit([RawSnapshot(session_id, epoch, snapshot.seq, snapshot.data)])
        if isinstance(answer, JournalError):
            raise _copy(answer)

    async def delete(self, session_id: SessionId) -> bool:
        """See `SessionCatalog.delete`."""
        return bool(await self._delete(RawDelete(session_id)))

    async def delete_idle(self, before: float, limit: int = 100) -> Sequence[SessionId]:
        """See `SessionCatalog.delete_idle`."""
        return await self._delete(RawExpiry(before, limit))

    async def fence(self) -> int:
        """See `SessionCatalog.fence`."""
        [answer] = await self.submit([RawFence(FENCE)])
        if not isinstance(answer, Raised):
            raise _copy(answer)
        return answer.sessions

    async def _delete(self, operation: RawDelete | RawExpiry) -> Sequence[SessionId]:
        [answer] = await self.submit([operation])
        if not isinstance(answer, Deleted):
            raise _copy(answer)
        return [SessionId(name) for name in answer.ids]

    async def _read(self, session_id: SessionId, after: int, upto: int | None) -> tuple[Record, ...]:
        records: list[Record] = []
        while True:
            page = await self.read_page(session_id, after, upto)
            records.extend(decode_records(session_id, page.records))
            if page.last:
                return tuple(records)
            after = records[-1].seq


def _outcome(answer: Answer) -> JournalOutcome:
    """A refusal as it is; a failure of the journal itself is raised."""
    if answer is None or isinstance(answer, Fenced | SequenceGap):
        return answer
    if isinstance(answer, JournalError) and answer.kind == "bad_append":
        return answer
    raise _copy(answer)


def _copy(answer: Answer) -> JournalError:
    """An error of the caller's own: one failure may be raised to many, each with its own traceback."""
    if isinstance(answer, JournalError):
        return type(answer)(answer.message, answer.kind)
    return JournalError(f"The journal answered {answer!r} to an operation that it does not belong to.", "io")
