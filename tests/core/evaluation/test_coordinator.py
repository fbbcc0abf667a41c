"""The coordinator: whatever becomes of its workers, every sample and epoch has one result."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_core.errors import ConfigError
from agent_core.evaluation.coordinator import Coordinator, CoordinatorPlan, Envelope, Reply, Settled
from agent_core.evaluation.index import RunIndex
from agent_core.evaluation.limits import RunLimits
from agent_core.evaluation.result import Result, ResultHead, SampleOutcome, Timings, encode
from agent_core.evaluation.sample import Assignment, Sample
from agent_core.evaluation.summary import Tally
from agent_core.messages import Usage

UNLIMITED = RunLimits()


class Still:
    """A clock that stands until it is moved."""

    time = 1000.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class Office:
    """A coordinator with its index in memory, and what it wrote."""

    def __init__(self, samples: int, index: RunIndex | None = None, limits: RunLimits = UNLIMITED, **plan: Any) -> None:
        self.index = index or RunIndex()
        for number in range(samples):
            self.index.add_sample(Sample(id=f"q{number}", input="?", line=number + 1))
        self.written: list[bytes] = []
        self.clock = Still()
        epochs = plan.get("epochs", 1)
        self.coordinator = Coordinator(
            self.index,
            self.write,
            Tally(samples * epochs),
            CoordinatorPlan("r", limits=limits, **plan),
            self.clock,
        )
        self._number = 0

    def write(self, settled: Settled) -> None:
        self.written.append(settled.line)

    def keys(self) -> list[tuple[str, int]]:
        return [(row["id"], row["epoch"]) for row in map(json.loads, self.written)]

    def say(
        self, worker: str, want: int = 0, done: tuple[Assignment, ...] = (), home: int | None = None, **more: Any
    ) -> Reply:
        self._number += 1
        settled = [settle(assignment) for assignment in done]
        return self.coordinator.exchange(worker, home, Envelope(self._number, settled, want, **more))

    def enter(self, *workers: str) -> None:
        for worker in workers:
            self.coordinator.enter(worker)


def settle(assignment: Assignment, outcome: SampleOutcome = "completed", **fields: Any) -> Settled:
    result = Result(
        id=assignment.sample.id,
        epoch=assignment.epoch,
        outcome=outcome,
        attempts=assignment.attempt,
        answer="!",
        input="?",
        timings=Timings(queued=0, started=0, ended=1),
        configuration="c",
        **fields,
    )
    return Settled(ResultHead.model_validate(result.model_dump(exclude={"transcript"})), encode(result))


def names(reply: Reply) -> list[str]:
    return [f"{assignment.sample.id}.{assignment.epoch}" for assignment in reply.assignments]


def test_workers_pull_as_much_as_they_want_and_hear_when_there_is_no_more() -> None:
    office = Office(5)
    office.enter("a", "b")
    first, second = office.say("a", 2), office.say("b", 9)
    assert (names(first), names(second)) == (["q0.1", "q1.1"], ["q2.1", "q3.1", "q4.1"])
    assert not first.done
    assert not second.done
    assert office.say("b", 3, tuple(second.assignments)).done
    assert not office.coordinator.is_over
    assert office.say("a", 0, tuple(first.assignments)).done
    assert office.coordinator.is_over
    assert len(office.written) == 5


def test_an_envelope_that_is_sent_again_is_answered_as_before() -> None:
    office = Office(3)
    office.enter("a")
    envelope = Envelope(1, (), 2)
    first, again = (office.coordinator.exchange("a", None, envelope) for _ in range(2))
    assert names(first) == names(again) == ["q0.1", "q1.1"]
    assert office.coordinator.status().open == 2


def test_what_a_lost_worker_had_goes_out_again_as_it_was_and_only_to_its_home() -> None:
    office = Office(4, homes=2)
    office.enter("a#1", "b#1")
    had = office.say("a#1", 2, home=0).assignments
    assert [assignment.home for assignment in had] == [0, 0]
    assert office.coordinator.lost("a#1") == 2
    assert names(office.say("b#1", 9, home=1)) == ["q2.1", "q3.1"]
    assert office.say("a#1", 9, home=0).unknown
    office.enter("a#2")
    again = office.say("a#2", 9, home=0).assignments
    assert {one.sample.id: one for one in again} == {one.sample.id: one for one in had}


def test_a_place_where_no_worker_can_begin_is_told_of_until_one_can() -> None:
    office = Office(1)
    office.coordinator.missing("sessions/0", "no room")
    assert office.coordinator.status().waits_for == "no room"
    office.coordinator.missing("sessions/0")
    assert office.coordinator.status().waits_for == ""


def test_a_late_result_of_a_lost_worker_counts_once() -> None:
    office = Office(1)
    office.enter("a#1", "a#2")
    (assignment,) = office.say("a#1", 1).assignments
    office.coordinator.lost("a#1")
    (again,) = office.say("a#2", 1).assignments
    assert again == assignment
    office.say("a#2", 0, (assignment,))
    office.say("a#2", 0, (assignment,))
    assert office.keys() == [("q0", 1)]
    assert office.coordinator.is_over


def test_further_epochs_wait_for_the_first_word_of_the_first_one_or_its_end() -> None:
    office = Office(2, epochs=3)
    office.enter("a")
    first = office.say("a", 6)
    assert names(first) == ["q0.1", "q1.1"]
    assert names(office.say("a", 4, primed=["q1"])) == ["q1.2", "q1.3"]
    assert names(office.say("a", 4, (first.assignments[0],))) == ["q0.2", "q0.3"]
    free = Office(2, epochs=2, prime=False)
    free.enter("a")
    assert names(free.say("a", 6)) == ["q0.1", "q0.2", "q1.1", "q1.2"]


def test_a_run_that_is_opened_again_gives_what_was_under_way_the_session_that_it_had(tmp_path: Path) -> None:
    office = Office(3, RunIndex(tmp_path / "run.sqlite"), homes=2)
    office.enter("b")
    had = office.say("b", 2, home=1).assignments
    office.index.close()
    again = Office(0, RunIndex(tmp_path / "run.sqlite"), homes=2)
    again.enter("a", "b")
    assert names(again.say("a", 9, home=0)) == ["q2.1"]
    assert list(again.say("b", 9, home=1).assignments) == list(had)
    again.index.close()
    smaller = Office(0, RunIndex(tmp_path / "run.sqlite"), homes=1)
    smaller.enter("a")
    assert sorted(names(smaller.say("a", 9, home=0))) == ["q0.1", "q1.1", "q2.1"]


def test_a_paused_run_hands_out_nothing_and_takes_what_comes() -> None:
    office = Office(3)
    office.enter("a")
    (one,) = office.say("a", 1).assignments
    office.coordinator.command("pause")
    reply = office.say("a", 2, (one,))
    assert (names(reply), reply.done, len(office.written)) == ([], False, 1)
    office.coordinator.command("go_on")
    assert names(office.say("a", 2)) == ["q1.1", "q2.1"]
    with pytest.raises(ConfigError, match="pause, go_on or stop"):
        office.coordinator.command("dance")


def test_a_run_that_is_stopped_ends_when_its_workers_have_told_what_they_had() -> None:
    office = Office(3)
    office.enter("a")
    (one,) = office.say("a", 1).assignments
    office.coordinator.command("stop")
    assert office.say("a", 1).stop
    assert not office.coordinator.is_over
    office.coordinator.exchange("a", None, Envelope(99, [settle(one, "cancelled")]))
    assert office.coordinator.is_over
    assert office.coordinator.status().summary.outcomes["missing"] == 2


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (RunLimits(tokens=50), "tokens"),
        (RunLimits(cost=0.5), "cost"),
        (RunLimits(infrastructure_failures=1), "infrastructure failures"),
        (RunLimits(time=5.0), "time"),
    ],
)
def test_a_limit_of_the_run_stops_it_and_is_named(limits: RunLimits, said: str) -> None:
    office = Office(10, limits=limits)
    office.enter("a")
    had = office.say("a", 4).assignments
    office.clock.time += 6.0
    spent = {"usage": Usage(input_tokens=30), "cost": 0.3}
    envelope = Envelope(98, [settle(assignment, "infrastructure_failed", **spent) for assignment in had[:2]])
    assert office.coordinator.exchange("a", None, envelope).stop
    status = office.coordinator.status()
    assert (status.state, status.reason) == ("stopping", f"The run's limit of {said} was hit.")
    assert status.failure is None


def test_results_that_cannot_be_written_stop_the_run_with_the_reason() -> None:
    office = Office(3)

    def full(_: Settled) -> None:
        raise OSError(28, "No space left on device", "results.jsonl")

    office.coordinator = Coordinator(office.index, full, Tally(3), CoordinatorPlan("r"), office.clock)
    office.enter("a")
    had = office.say("a", 2).assignments
    assert office.say("a", 2, tuple(had)).stop
    assert isinstance(office.coordinator.failure, OSError)
    assert office.coordinator.is_over


Steps = st.lists(
    st.tuples(st.sampled_from(["take", "settle", "lose", "repeat", "prime"]), st.integers(0, 99)), max_size=60
)


@settings(max_examples=150, deadline=None)
@given(steps=Steps, samples=st.integers(1, 6), epochs=st.integers(1, 3), prime=st.booleans())
def test_whatever_happens_every_sample_and_epoch_has_one_result(
    steps: list[tuple[str, int]],
    samples: int,
    epochs: int,
    prime: bool,
) -> None:
    office = Office(samples, epochs=epochs, prime=prime, homes=2)
    workers = _Workers(office)
    for step, number in steps:
        workers.do(step, number)
        assert max(Counter(workers.everything()).values(), default=0) <= 1, "an assignment is with one worker at a time"
    for _ in range(4 * samples * epochs + 4):
        for home in (0, 1):
            workers.do("take", home)
            workers.do("settle", home)
    assert sorted(office.keys()) == [(f"q{n}", e) for n in range(samples) for e in range(1, epochs + 1)]
    assert office.coordinator.is_over
    assert all(office.say(workers.names[home], 1, home=home).done for home in (0, 1))
    office.index.close()


class _Workers:
    """Two places with a worker each, which is lost now and then."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.names = ["0#0", "1#0"]
        self.had: list[list[Assignment]] = [[], []]
        self.late: list[Assignment] = []
        office.enter(*self.names)

    def everything(self) -> Iterator[tuple[str, int]]:
        return ((assignment.sample.id, assignment.epoch) for had in self.had for assignment in had)

    def do(self, step: str, number: int) -> None:
        home = number % 2
        name, had = self.names[home], self.had[home]
        match step:
            case "take":
                had += self.office.say(name, number % 5 + 1, home=home).assignments
            case "settle" if had:
                self.office.say(name, 0, (had.pop(number % len(had)),), home=home)
            case "lose":
                self.office.coordinator.lost(name)
                self.late += had
                had.clear()
                self.names[home] = f"{home}#{int(name.partition('#')[2]) + 1}"
                self.office.enter(self.names[home])
            case "repeat" if self.late:
                # What a lost worker had sent arrives late, by way of whoever is there now.
                done = self.late[number % len(self.late)]
                self.office.say(name, 0, (done,), home=home)
                for others in self.had:
                    others[:] = [other for other in others if other[:2] != done[:2]]
            case "prime" if had:
                self.office.say(name, 0, home=home, primed=[had[0].sample.id])
            case _:
                pass
