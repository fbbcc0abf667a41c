"""The queue of compaction jobs: who goes first, who has to go, and that nobody is forgotten."""

from dataclasses import dataclass, field
from typing import get_args

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent_core.compaction.queue import MOST_URGENT_FIRST, CompactionQueue, Dropped, Ticket
from agent_core.messages import SessionId
from agent_core.ports import CompactionPriority

PRIORITIES = st.sampled_from(MOST_URGENT_FIRST)


def ticket(key: str, priority: CompactionPriority = "soft", session: str | None = None) -> Ticket[None]:
    return Ticket(key, SessionId(session or f"session of {key}"), priority, None)


def filled(queue: CompactionQueue[None], *tickets: Ticket[None]) -> CompactionQueue[None]:
    for each in tickets:
        assert not queue.put(each)
    return queue


def taken(queue: CompactionQueue[None]) -> list[str]:
    keys: list[str] = []
    while (next_one := queue.take()) is not None:
        keys.append(next_one.key)
        queue.remove(next_one.key)
    return keys


def gone(dropped: "list[Dropped[None]] | tuple[Dropped[None], ...] | object") -> list[tuple[str, str]]:
    assert isinstance(dropped, list | tuple)
    return [(item.ticket.key, item.reason) for item in dropped]


def test_every_priority_has_its_rank() -> None:
    assert set(MOST_URGENT_FIRST) == set(get_args(CompactionPriority))


def test_the_most_urgent_is_taken_first_and_within_a_priority_the_oldest() -> None:
    queue = filled(
        CompactionQueue[None](9, 9),
        ticket("s1"),
        ticket("t", "trigger"),
        ticket("w", "waiting"),
        ticket("s2"),
        ticket("m", "manual"),
    )
    assert taken(queue) == ["w", "m", "t", "s1", "s2"]


def test_no_more_run_at_once_than_may() -> None:
    queue = filled(CompactionQueue[None](1, 9), ticket("a"), ticket("b"))
    assert queue.take() is not None
    assert queue.take() is None
    queue.running = 2
    assert queue.take() is not None


def test_a_full_queue_refuses_soft_work_first() -> None:
    queue = filled(CompactionQueue[None](1, 2), ticket("w", "waiting"), ticket("s1"))
    assert gone(queue.put(ticket("s2"))) == [("s2", "shed")]
    assert gone(queue.put(ticket("t", "trigger"))) == [("s1", "shed")]
    assert gone(queue.put(ticket("m", "manual"))) == [("t", "shed")]
    assert taken(queue) == ["w", "m"]


@pytest.mark.parametrize("runs", [False, True])
def test_a_newer_job_of_a_session_takes_the_place_of_the_older(runs: bool) -> None:
    queue = filled(CompactionQueue[None](1, 1), ticket("old", "waiting", session="s"))
    if runs:
        queue.take()
    assert gone(queue.put(ticket("new", session="s"))) == [("old", "superseded")]
    assert taken(queue) == ["new"]


def test_a_job_becomes_more_urgent_and_never_less() -> None:
    queue = filled(CompactionQueue[None](9, 9), ticket("a", "manual"), ticket("b"), ticket("c"))
    queue.promote("c", "waiting")
    queue.promote("a", "soft")
    assert taken(queue) == ["c", "a", "b"]


def test_what_was_lost_is_next_of_its_priority_until_it_is_given_up() -> None:
    queue = filled(CompactionQueue[None](1, 9, starts=2), ticket("a"), ticket("b"))
    queue.take()
    assert not queue.requeue("a")
    assert [each.key for each in queue.waiting] == ["a", "b"]
    queue.take()
    assert gone(queue.requeue("a")) == [("a", "given_up")]
    assert taken(queue) == ["b"]


@dataclass
class Model:
    """The same rules over plain lists, in the plainest words."""

    running: int
    bound: int
    starts: int
    queued: list[Ticket[None]] = field(default_factory=list)
    out: list[Ticket[None]] = field(default_factory=list)
    begun: dict[str, int] = field(default_factory=dict)

    def next(self) -> Ticket[None] | None:
        ordered = sorted(self.queued, key=lambda each: MOST_URGENT_FIRST.index(each.priority))
        return ordered[0] if ordered and len(self.out) < self.running else None

    def shed(self) -> list[tuple[str, str]]:
        if len(self.queued) <= self.bound:
            return []
        rank = max(MOST_URGENT_FIRST.index(each.priority) for each in self.queued)
        last = [each for each in self.queued if MOST_URGENT_FIRST.index(each.priority) == rank][-1]
        self.queued.remove(last)
        return [(last.key, "shed")]


class QueueMachine(RuleBasedStateMachine):
    """Any order of calls: the queue does as the model does, and its promises hold after each."""

    @initialize(running=st.integers(0, 3), bound=st.integers(1, 4), starts=st.integers(1, 3))
    def begin(self, running: int, bound: int, starts: int) -> None:
        self.queue = CompactionQueue[None](running, bound, starts)
        self.model = Model(running, bound, starts)
        self.number = 0
        self.put_in: set[str] = set()
        self.gone: list[str] = []

    def drop(self, said: object, expected: list[tuple[str, str]]) -> None:
        assert gone(said) == expected
        self.gone += [key for key, _ in expected]

    @rule(priority=PRIORITIES, session=st.integers(0, 6))
    def put(self, priority: CompactionPriority, session: int) -> None:
        self.number += 1
        key, session_id = f"job {self.number}", SessionId(f"s{session}")
        self.put_in.add(key)
        expected: list[tuple[str, str]] = []
        for each in [*self.model.queued, *self.model.out]:
            if each.session_id == session_id:
                (self.model.queued if each in self.model.queued else self.model.out).remove(each)
                expected.append((each.key, "superseded"))
        self.model.queued.append(Ticket(key, session_id, priority, None))
        expected += self.model.shed()
        self.drop(self.queue.put(Ticket(key, session_id, priority, None)), expected)

    @rule()
    def take(self) -> None:
        expected, took = self.model.next(), self.queue.take()
        assert (took and took.key) == (expected and expected.key)
        if expected is not None:
            self.model.queued.remove(expected)
            self.model.out.append(expected)
            self.model.begun[expected.key] = self.model.begun.get(expected.key, 0) + 1

    @precondition(lambda self: self.model.out)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        lost = data.draw(st.sampled_from(self.model.out))
        self.model.out.remove(lost)
        if self.model.begun[lost.key] >= self.model.starts:
            self.drop(self.queue.requeue(lost.key), [(lost.key, "given_up")])
        else:
            self.model.queued.insert(0, lost)
            self.drop(self.queue.requeue(lost.key), self.model.shed())

    @precondition(lambda self: self.model.out or self.model.queued)
    @rule(data=st.data(), priority=PRIORITIES)
    def promote(self, data: st.DataObject, priority: CompactionPriority) -> None:
        chosen = data.draw(st.sampled_from([*self.model.out, *self.model.queued]))
        if MOST_URGENT_FIRST.index(priority) < MOST_URGENT_FIRST.index(chosen.priority):
            chosen.priority = priority
            if chosen in self.model.queued:
                self.model.queued.remove(chosen)
                self.model.queued.append(chosen)
        self.queue.promote(chosen.key, priority)

    @precondition(lambda self: self.model.out or self.model.queued)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from([*self.model.out, *self.model.queued]))
        (self.model.queued if chosen in self.model.queued else self.model.out).remove(chosen)
        removed = self.queue.remove(chosen.key)
        assert removed is not None
        assert removed.key == chosen.key
        self.gone.append(chosen.key)

    @rule(limit=st.integers(0, 3))
    def change_limit(self, limit: int) -> None:
        self.queue.running = self.model.running = limit

    @rule()
    def ignore_who_is_unknown(self) -> None:
        assert self.queue.remove("nobody") is None
        assert not self.queue.requeue("nobody")
        self.queue.promote("nobody", "waiting")

    @invariant()
    def a_session_has_one_job_and_no_more_wait_than_may(self) -> None:
        live = [*self.queue.waiting, *self.queue.out]
        assert len({each.session_id for each in live}) == len(live)
        assert len(self.queue.waiting) <= self.model.bound

    @invariant()
    def every_job_is_in_one_place_or_its_end_was_told_once(self) -> None:
        live = [each.key for each in [*self.queue.waiting, *self.queue.out]]
        assert sorted([*live, *self.gone]) == sorted(self.put_in)


TestQueueProperties = QueueMachine.TestCase
