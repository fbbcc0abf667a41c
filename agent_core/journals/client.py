"""The `Journal` port over raw operations: what the SQL journals and the handle of the journal actor have in common.

The rule here: entries are encoded and decoded on this side, whoever writes them.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

from agent_core.errors import Fenced, JournalError, RayconteurError, SequenceGap
from agent_core.journals.rules import Head
from agent_core.journals.wire import (
    Answer,
    Operation,
    Page,
    RawAppend,
    RawBlob,
    RawClaim,
    decode_records,
    encode_append,
)
from agent_core.messages import SessionId
from agent_core.ports import Append, Claim, JournalOutcome, Record


class JournalClient(ABC):
    """Implements `Journal` by `submit` and `read_page`."""

    @abstractmethod
    async def submit(self, operations: Sequence[Operation]) -> Sequence[Answer]:
        """Perform the operations durably, answer each in order. Failures of the journal are among the answers."""

    @abstractmethod
    async def read_page(self, session_id: str, after: int, upto: int | None = None) -> Page:
        """Records with after < seq <= upto, as many as make a page of some megabytes. Raises JournalError."""

    async def claim(self, session_id: SessionId, owner: str, first: Record | None = None) -> Claim:
        """See `Journal.claim`. A new session's first record travels with the claim, as of the epoch it will have."""
        new = encode_append(Append(session_id, 1, [replace(first, epoch=1)])) if first else None
        operations = [RawClaim(session_id, owner), *([new] if isinstance(new, RawAppend) else [])]
        head, *appended = await self.submit(operations)
        if not isinstance(head, Head):
            raise _copy(head)
        if head.last_seq:
            return Claim(session_id, head.epoch, await self._read(session_id, 0, head.last_seq))
        if first is None:
            return Claim(session_id, head.epoch)
        first = replace(first, epoch=head.epoch)
        # Claimed before, but never written to: only now is the epoch known.
        refusal = appended[0] if head.epoch == 1 and appended else (await self.append([_alone(session_id, first)]))[0]
        if isinstance(refusal, RayconteurError):
            raise refusal
        return Claim(session_id, head.epoch, (first,))

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

    async def _read(self, session_id: SessionId, after: int, upto: int | None) -> tuple[Record, ...]:
        records: list[Record] = []
        while True:
            page = await self.read_page(session_id, after, upto)
            records.extend(decode_records(session_id, page.records))
            if page.last:
                return tuple(records)
            after = records[-1].seq


def _alone(session_id: SessionId, record: Record) -> Append:
    return Append(session_id, record.epoch, [record])


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
