"""One operation's failure is its own: its neighbours are written, those that follow it in its session are not."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from agent_core.errors import JournalError
from agent_core.journals.isolation import write_apart
from agent_core.journals.wire import Answer, Operation, RawAppend, RawBlob


class Disk:
    """Writes transactions whole or not at all; those with a poisoned operation fail."""

    def __init__(self, poisoned: set[int], kind: str = "disk_full") -> None:
        self.poisoned = poisoned
        self.kind = kind
        self.written: list[int] = []
        self.transactions = 0

    def write(self, operations: Sequence[Operation]) -> Sequence[Answer]:
        self.transactions += 1
        numbers = [number(operation) for operation in operations]
        if self.poisoned & set(numbers):
            raise JournalError("no space is left", self.kind)
        self.written += numbers
        return [None] * len(operations)


def number(operation: Operation) -> int:
    return operation.first if isinstance(operation, RawAppend) else -1


def operation(session: str, place: int) -> Operation:
    return RawAppend(session, 1, place, [])


@given(st.lists(st.sampled_from("abcdef"), max_size=40), st.sets(st.integers(0, 39), max_size=2))
def test_all_are_written_but_the_failing_ones_and_what_follows_them(sessions: list[str], poisoned: set[int]) -> None:
    disk = Disk(poisoned)
    answers = write_apart(disk.write, [operation(session, place) for place, session in enumerate(sessions)])
    lost: set[str] = set()
    expected = []
    for place, session in enumerate(sessions):
        if place in poisoned:
            lost.add(session)
        expected.append(session not in lost)
    assert [answer is None for answer in answers] == expected
    assert disk.written == [place for place, fine in enumerate(expected) if fine]


def test_group_without_a_failure_is_one_transaction() -> None:
    disk = Disk(set())
    assert write_apart(disk.write, [operation("a", 1), RawBlob("hash", b"x")]) == [None, None]
    assert disk.transactions == 1


def test_disk_that_is_really_full_is_not_tried_for_ever() -> None:
    disk = Disk(set(range(2000)))
    answers = write_apart(disk.write, [operation(f"s{place}", place) for place in range(2000)])
    assert all(isinstance(answer, JournalError) for answer in answers)
    assert disk.transactions < 100


def test_failure_that_no_operation_caused_fails_the_group_at_once() -> None:
    disk = Disk({3}, kind="locked")
    answers = write_apart(disk.write, [operation("a", place) for place in range(10)])
    assert {answer.kind for answer in answers if isinstance(answer, JournalError)} == {"locked"}
    assert disk.transactions == 1
