"""The rules of every journal, in one place.

1. A session's log has a head: its epoch (who may write) and its last sequence number. A claim raises the epoch by one.
2. An append with another epoch than the head's is refused (Fenced), whatever it holds: a repeat too, so that an old
   owner never goes on to do what its record announced.
3. Records follow each other without a gap, from 1. One that would leave a gap is refused (SequenceGap).
4. A record that is already there, with the same epoch and body, is a success and changes nothing. Another one in its
   place is refused (SequenceGap).
5. An append is written whole or not at all; a refused one does not touch its neighbours in the same transaction.
6. A snapshot is judged as an append is: it is of the owner's epoch, and of a record that is there. Of two the one of
   the later record is kept.
7. A session that was deleted is as one that never was, but that a new one of its id gets a higher epoch: an owner of
   the old one is never an owner of the new one.
8. A fence raises the epoch of every session that is there, was or will be: no owner of before it writes any more.
"""

from typing import NamedTuple

from agent_core.errors import Fenced, JournalError, SequenceGap
from agent_core.ports import Append

PUBLISH_GRACE = 600.0
"""Seconds. Tools' code is published before the session that uses it is opened, so it is kept for as long as this
whoever refers to it; afterwards it goes with the first deletion that finds no session using it."""

FENCE = 1_000_000
"""By how much a fence raises epochs: by more than any session can have been claimed since the journal was copied."""


class Head(NamedTuple):
    """Where a session's log ends: `last_seq` is 0 while it is empty, `epoch` 0 before the first claim.

    `snapshot` is the record of the newest snapshot, 0 without one.
    """

    epoch: int
    last_seq: int
    snapshot: int = 0


class Span(NamedTuple):
    """What an append wants to write: `length` records from sequence number `first` on."""

    session_id: str
    epoch: int
    first: int
    length: int


def judge(head: Head | None, span: Span) -> int | JournalError:
    """How many records of the span are in the log already (the rest follows it), or the refusal."""
    if head is None:
        return Fenced(
            f"Session '{span.session_id}' is not in this journal, or not any more: open it anew to go on with it."
        )
    if span.epoch != head.epoch:
        return Fenced(
            f"Session '{span.session_id}' was opened in another place since (epoch {head.epoch}, here {span.epoch}):"
            " drop the session here and open it again if it is wanted. Two programs share one in the same runtime"
            " (--name)."
        )
    if span.length and span.first > head.last_seq + 1:
        return SequenceGap(
            f"Session '{span.session_id}' ends at record {head.last_seq}, this append begins at {span.first}:"
            f" append from record {head.last_seq + 1} on again."
        )
    return min(span.length, max(0, head.last_seq + 1 - span.first))


def judge_snapshot(head: Head | None, span: Span) -> bool | JournalError:
    """Whether a snapshot after record `span.first` is to be kept, or its refusal."""
    judged = judge(head, span)
    if head is None or isinstance(judged, JournalError):
        return judged if isinstance(judged, JournalError) else False
    if not 1 <= span.first <= head.last_seq:
        return SequenceGap(
            f"Session '{span.session_id}' ends at record {head.last_seq}, this snapshot is of record {span.first}:"
            " take it of a record that is in the journal."
        )
    return span.first >= head.snapshot


def taken(span: Span, seq: int) -> SequenceGap:
    """The refusal of a span whose record `seq` stands in the log with another content or epoch."""
    return SequenceGap(
        f"Session '{span.session_id}' holds another record {seq} than this append:"
        " claim the session again and go on from what it holds."
    )


def refuse_shape(append: Append) -> JournalError | None:
    """The refusal of an append whose records do not belong together; None for a well-formed one."""
    for offset, record in enumerate(append.records):
        if record.seq != append.records[0].seq + offset or record.seq < 1:
            return SequenceGap(
                f"The append to session '{append.session_id}' holds record {record.seq} at place {offset}:"
                " number its records from 1 on without a gap."
            )
        if record.epoch != append.epoch:
            return JournalError(
                f"The append to session '{append.session_id}' is of epoch {append.epoch} and its record {record.seq} of"
                f" epoch {record.epoch}: give both the epoch that the claim returned.",
                "bad_append",
            )
    return None
