"""What travels to the journal's process comes out as it went in."""

import pickle

from agent_core.errors import Fenced, JournalError, SequenceGap
from agent_core.journals.rules import Head
from agent_core.journals.wire import (
    Page,
    RawAppend,
    RawBlob,
    RawClaim,
    RawRecord,
    encode_append,
    pack_answers,
    pack_operations,
    pack_page,
    unpack_answers,
    unpack_operations,
    unpack_page,
    weigh,
)
from tests.core.journals.making import CLOSED, OPENED, append, said


def test_operations_survive_their_envelope() -> None:
    encoded = encode_append(append("s", 3, 1, OPENED, said("hi")))
    assert isinstance(encoded, RawAppend)
    assert encoded.labels == '{"team": "red"}'
    operations = [encoded, RawClaim("s", "me"), RawBlob("hash", b"\x00\xff")]
    assert unpack_operations(pack_operations(operations)) == operations


def test_envelope_holds_no_object_of_ours() -> None:
    encoded = encode_append(append("s", 1, 1, CLOSED))
    assert isinstance(encoded, RawAppend)
    assert b"agent_core" not in pack_operations([encoded])


def test_answers_survive_their_envelope_with_their_class_text_and_kind() -> None:
    sent = [None, Head(3, 7), Fenced("drop it"), SequenceGap("again"), JournalError("full", "disk_full")]
    got = unpack_answers(pack_answers(sent))
    assert got[:2] == [None, Head(3, 7)]
    for before, after in zip(sent[2:], got[2:], strict=True):
        assert isinstance(before, JournalError)
        assert isinstance(after, JournalError)
        assert (type(after), after.message, after.kind) == (type(before), before.message, before.kind)


def test_pages_survive_their_envelope() -> None:
    page = Page([RawRecord(1, 2, 0.5, b"{}"), RawRecord(2, 2, 0.75, b"{}")], last=False)
    assert unpack_page(pack_page(page)) == page


def test_weight_grows_with_the_bodies() -> None:
    small, large = (encode_append(append("s", 1, 1, said("x" * size))) for size in (1, 10_001))
    assert isinstance(small, RawAppend)
    assert isinstance(large, RawAppend)
    assert weigh(large) - weigh(small) == 10_000
    assert weigh(RawBlob("hash", b"x" * 10_000)) >= 10_000


def test_journal_errors_survive_pickling_with_their_kind() -> None:
    error = pickle.loads(pickle.dumps(JournalError("full", "disk_full")))
    assert (error.message, error.kind) == ("full", "disk_full")
