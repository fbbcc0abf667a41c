"""Raw operations: what travels to the process that holds the journal, with entries as bytes.

The rule here: entries are encoded by the session's process and decoded by the reader's; the journal's own process only
moves bytes. Everything in here is tuples, strings, numbers and bytes, so that an envelope pickles at the speed of C.
"""

import json
import pickle
from collections.abc import Sequence
from typing import NamedTuple, cast

from agent_core.entries import Opened, decode, encode
from agent_core.errors import Fenced, JournalError, SequenceGap
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


class RawRecord(NamedTuple):
    """`Record` with its entry encoded."""

    seq: int
    epoch: int
    at: float
    body: bytes


Operation = RawAppend | RawClaim
Answer = Head | JournalError | None
"""A claim is answered with the new head, an append with None, either with its refusal or with the journal's failure."""


def encode_append(append: Append) -> RawAppend | JournalError:
    """The append with its entries encoded, or the refusal of a malformed one."""
    if refusal := refuse_shape(append):
        return refusal
    rows = [(record.at, record.entry.kind, encode(record.entry)) for record in append.records]
    first = append.records[0] if append.records else None
    labels = json.dumps(first.entry.labels) if first and isinstance(first.entry, Opened) else None
    return RawAppend(append.session_id, append.epoch, first.seq if first else 0, rows, labels)


def decode_records(records: Sequence[RawRecord]) -> tuple[Record, ...]:
    """The records with their entries decoded."""
    return tuple(Record(raw.seq, raw.epoch, raw.at, decode(raw.body)) for raw in records)


def weigh(operation: Operation) -> int:
    """About how many bytes the operation takes."""
    return 200 + (sum(len(row[2]) for row in operation.rows) if isinstance(operation, RawAppend) else 0)


def pack_operations(operations: Sequence[Operation]) -> bytes:
    """An envelope of operations."""
    return pickle.dumps([tuple(operation) for operation in operations], protocol=5)


def unpack_operations(envelope: bytes) -> list[Operation]:
    """What `pack_operations` packed. Envelopes come from our own processes only."""
    return [RawAppend(*item) if len(item) > 2 else RawClaim(*item) for item in pickle.loads(envelope)]  # noqa: S301


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
