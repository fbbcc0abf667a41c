"""Raw operations: what travels to the process that holds the journal, with entries as bytes.

The rule here: entries are encoded by the session's process and decoded by the reader's; the journal's own process only
moves bytes. Everything in here is tuples, strings, numbers and bytes, so that an envelope pickles at the speed of C.
"""

import json
import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, assert_never

from pydantic import ValidationError

from agent_core.entries import Configured, Entry, Opened, decode, encode
from agent_core.errors import Fenced, JournalError, SequenceGap
from agent_core.journals.failures import failure
from agent_core.journals.rules import Head, refuse_shape
from agent_core.ports import Append, Record


class RawAppend(NamedTuple):
    """`Append` with encoded entries. A row is (at, kind, body).

    `labels` is JSON text, given where the session's Opened is the first record. `uses` are the hashes of the tools'
    code that the entries speak of.
    """

    session_id: str
    epoch: int
    first: int
    rows: Sequence[tuple[float, str, bytes]]
    labels: str | None = None
    uses: Sequence[str] = ()


class RawClaim(NamedTuple):
    """A claim of the session by `owner`; `first` (see RawAppend) is written, with the new epoch, if it has no record.

    Answered with the head as it was before `first`.
    """

    session_id: str
    owner: str
    first: tuple[float, str, bytes] | None = None
    labels: str | None = None
    uses: Sequence[str] = ()


class RawSnapshot(NamedTuple):
    """A snapshot of the session after record `seq`."""

    session_id: str
    epoch: int
    seq: int
    data: bytes


class RawDelete(NamedTuple):
    """The deletion of a session."""

    session_id: str


class RawExpiry(NamedTuple):
    """The deletion of at most `limit` sessions that were last written to before `before` (seconds since the epoch)."""

    before: float
    limit: int


class RawFence(NamedTuple):
    """Every session's epoch raised by `step`, and that of sessions which are not there."""

    step: int


class RawBlob(NamedTuple):
    """Bytes to be kept once under `digest`, their SHA-256 as hexadecimal digits."""

    digest: str
    data: bytes


class RawRecord(NamedTuple):
    """`Record` with its entry encoded."""

    seq: int
    epoch: int
    at: float
    body: bytes


class Page(NamedTuple):
    """Some records in a row; `last` if none followed them when they were read."""

    records: Sequence[RawRecord]
    last: bool


class Deleted(NamedTuple):
    """The ids of the sessions that were deleted."""

    ids: Sequence[str]


class Raised(NamedTuple):
    """How many sessions had their epoch raised."""

    sessions: int


Operation = RawAppend | RawClaim | RawBlob | RawSnapshot | RawDelete | RawExpiry | RawFence
Answer = Head | Deleted | Raised | JournalError | None
"""A claim is answered with the new head, a deletion with what was deleted, a fence with how many it holds for, the
others with None; each with its refusal or the journal's failure."""


def session_of(operation: Operation) -> str | None:
    """The session that the operation is about, if it is about one."""
    return None if isinstance(operation, RawBlob | RawExpiry | RawFence) else operation.session_id


def encode_append(append: Append) -> RawAppend | JournalError:
    """The append with its entries encoded, or the refusal of a malformed one."""
    if refusal := refuse_shape(append):
        return refusal
    rows = [(record.at, record.entry.kind, encode(record.entry)) for record in append.records]
    first = append.records[0] if append.records else None
    labels = json.dumps(first.entry.labels) if first and isinstance(first.entry, Opened) else None
    used = tuple(sorted({digest for record in append.records for digest in uses(record.entry)}))
    return RawAppend(append.session_id, append.epoch, first.seq if first else 0, rows, labels, used)


def uses(entry: Entry) -> Iterator[str]:
    """The hashes of the tools' code that the entry speaks of."""
    match entry:
        case Opened():
            tools = entry.tools
        case Configured():
            tools = entry.changes.tools or ()
        case _:
            return
    for tool in tools:
        if tool.reference is not None and tool.reference.pickled is not None:
            yield tool.reference.pickled


def decode_records(session_id: str, records: Sequence[RawRecord]) -> tuple[Record, ...]:
    """The records with their entries decoded. Raises JournalError (`unreadable`) for an entry of no known form."""
    try:
        return tuple(Record(raw.seq, raw.epoch, raw.at, decode(raw.body)) for raw in records)
    except ValidationError as error:
        where = f"records {records[0].seq} to {records[-1].seq}"
        raise failure(
            "unreadable",
            f"Session '{session_id}' has an entry among {where} that this version cannot read (at"
            f" {error.errors()[0]['loc']}): open it with the version that wrote it, or a newer one.",
        ) from None


def weigh(operation: Operation) -> int:
    """About how many bytes the operation takes."""
    match operation:
        case RawAppend():
            return 200 + sum(len(row[2]) for row in operation.rows)
        case RawClaim():
            return 200 + (len(operation.first[2]) if operation.first else 0)
        case RawBlob() | RawSnapshot():
            return 200 + len(operation.data)
        case RawDelete() | RawExpiry() | RawFence():
            return 200
        case _:
            assert_never(operation)


_OPERATIONS: dict[str, type[Operation]] = {
    kind.__name__: kind for kind in (RawAppend, RawClaim, RawBlob, RawSnapshot, RawDelete, RawExpiry, RawFence)
}


def pack_operations(operations: Sequence[Operation]) -> bytes:
    """An envelope of operations."""
    return pickle.dumps([(type(operation).__name__, *operation) for operation in operations], protocol=5)


def unpack_operations(envelope: bytes) -> list[Operation]:
    """What `pack_operations` packed. Envelopes come from our own processes only."""
    return [_OPERATIONS[name](*fields) for name, *fields in pickle.loads(envelope)]  # noqa: S301


_ANSWERS: dict[str, Callable[..., Answer]] = {
    kind.__name__: kind for kind in (Head, Deleted, Raised, Fenced, SequenceGap, JournalError)
}


def pack_answers(answers: Sequence[Answer]) -> bytes:
    """An envelope of answers, in the order of the operations."""
    return pickle.dumps([_packed(answer) for answer in answers], protocol=5)


def _packed(answer: Answer) -> tuple[Any, ...] | None:
    match answer:
        case None:
            return None
        case JournalError():
            return type(answer).__name__, answer.message, answer.kind
        case Head() | Deleted() | Raised():
            return type(answer).__name__, *answer
        case _:
            assert_never(answer)


def unpack_answers(envelope: bytes) -> list[Answer]:
    """What `pack_answers` packed."""
    packed: list[tuple[Any, ...] | None] = pickle.loads(envelope)  # noqa: S301
    return [None if item is None else _ANSWERS.get(item[0], JournalError)(*item[1:]) for item in packed]


def pack_page(page: Page) -> bytes:
    """A page of records as bytes."""
    return pickle.dumps(([tuple(record) for record in page.records], page.last), protocol=5)


def unpack_page(envelope: bytes) -> Page:
    """What `pack_page` packed."""
    records, last = pickle.loads(envelope)  # noqa: S301
    return Page([RawRecord(*record) for record in records], last)
