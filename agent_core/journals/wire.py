"""Raw operations: what travels to the process that holds the journal, with entries as bytes.

The rule here: entries are encoded by the session's process and decoded by the reader's; the journal's own process only
moves bytes. Everything in here is tuples, strings, numbers and bytes, so that an envelope pickles at the speed of C.
"""

import json
import pickle
from collections.abc import Sequence
from typing import NamedTuple, assert_never, cast

from pydantic import ValidationError

from agent_core.entries import Opened, decode, encode
from agent_core.errors import Fenced, JournalError, SequenceGap
from agent_core.journals.failures import failure
from agent_core.journals.rules import Head, refuse_shape
from agent_core.ports import Append, Record


class RawAppend(NamedTuple):
    """`Append` with encoded entries. A row is (at, kind, body).

    `labels` is JSON text, given where the session's Opened is the first record.
    """

    session_id: str
    epoch: int
    first: int
    rows: Sequence[tuple[float, str, bytes]]
    labels: str | None = None


class RawClaim(NamedTuple):
    """A claim of the session by `owner`."""

    session_id: str
    owner: str


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


Operation = RawAppend | RawClaim | RawBlob
Answer = Head | JournalError | None
"""A claim is answered with the new head, the others with None; each with its refusal or the journal's failure."""


def encode_append(append: Append) -> RawAppend | JournalError:
    """The append with its entries encoded, or the refusal of a malformed one."""
    if refusal := refuse_shape(append):
        return refusal
    rows = [(record.at, record.entry.kind, encode(record.entry)) for record in append.records]
    first = append.records[0] if append.records else None
    labels = json.dumps(first.entry.labels) if first and isinstance(first.entry, Opened) else None
    return RawAppend(append.session_id, append.epoch, first.seq if first else 0, rows, labels)


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
            return 200
        case RawBlob():
            return 200 + len(operation.data)
        case _:
            assert_never(operation)


_OPERATIONS: dict[str, type[Operation]] = {"RawAppend": RawAppend, "RawClaim": RawClaim, "RawBlob": RawBlob}


def pack_operations(operations: Sequence[Operation]) -> bytes:
    """An envelope of operations."""
    return pickle.dumps([(type(operation).__name__, *operation) for operation in operations], protocol=5)


def unpack_operations(envelope: bytes) -> list[Operation]:
    """What `pack_operations` packed. Envelopes come from our own processes only."""
    return [_OPERATIONS[name](*fields) for name, *fields in pickle.loads(envelope)]  # noqa: S301


_REFUSALS: dict[str, type[JournalError]] = {"Fenced": Fenced, "SequenceGap": SequenceGap}


def pack_answers(answers: Sequence[Answer]) -> bytes:
    """An envelope of answers, in the order of the operations."""
    return pickle.dumps(
        [
            (type(answer).__name__, answer.message, answer.kind)
            if isinstance(answer, JournalError)
            else tuple(answer)
            if answer
            else None
            for answer in answers
        ],
        protocol=5,
    )


def unpack_answers(envelope: bytes) -> list[Answer]:
    """What `pack_answers` packed."""
    answers: list[Answer] = []
    for item in cast("list[tuple[str, str, str] | tuple[int, int] | None]", pickle.loads(envelope)):  # noqa: S301
        if item is None:
            answers.append(None)
        elif len(item) == 2:
            answers.append(Head(*item))
        else:
            name, message, kind = item
            answers.append(_REFUSALS.get(name, JournalError)(message, kind))
    return answers


def pack_page(page: Page) -> bytes:
    """A page of records as bytes."""
    return pickle.dumps(([tuple(record) for record in page.records], page.last), protocol=5)


def unpack_page(envelope: bytes) -> Page:
    """What `pack_page` packed."""
    records, last = pickle.loads(envelope)  # noqa: S301
    return Page([RawRecord(*record) for record in records], last)
