"""Jobs around their queue, in one process: order, room, deadlines, cancellation, lost workers."""

import asyncio
import pickle
from collections.abc import AsyncIterator, Callable

import pytest

from agent_core.compaction.local import LocalCompactor
from agent_core.compaction.queue import CompactionQueue, Ticket
from agent_core.compaction.scheduling import GRACE, CompactionSchedule, WorkerLost
from agent_core.errors import ErrorInfo
from agent_core.ports import CompactionFailure, Patch
from agent_core.testing import ManualClock
from tests.core.compaction.summaries import FakeSummariser, Reports, job

Made = Callable[..., LocalCompactor]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def made(clock: ManualClock) -> AsyncIterator[Made]:
    """Makes compactors; they end with the test."""
    compactors: list[LocalCompactor] = []

    def make(summariser: FakeSummariser, slots: int = 1, bound: int = 9) -> LocalCompactor:
        compactors.append(LocalCompactor(summariser, clock, slots, bound))
        return compactors[-1]

    yield make
    for compactor in compactors:
        await compactor.aclose()


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_job_is_started_and_answered_by_its_patch(made: Made) -> None:
    reports = Reports()
    made(FakeSummariser()).submit(job("a"), "soft", reports)
    assert not reports.all
    await reports.ended("a")
    assert reports.of("a") == ["started", "patch"]
    assert reports.all[-1] == Patch("a", "digest of a", "summary of a")


async def test_so_many_run_at_once_and_the_most_urgent_of_the_rest_is_next(made: Made) -> None:
    summariser, reports = FakeSummariser(held=True), Reports()
    compactor = made(summariser, slots=2)
    for key in ("a", "b", "c", "d", "e"):
        compactor.submit(job(key), "soft", reports)
    compactor.promote("e", "waiting")
    await settle()
    assert summariser.keys == ["a", "b"]
    assert reports.of("c") == []
    summariser.gate.set()
    await reports.ended("a", "b", "c", "d", "e")
    assert summariser.keys == ["a", "b", "e", "c", "d"]
    assert summariser.most_at_once == 2


async def test_soft_work_is_shed_when_there_is_no_room(made: Made) -> None:
    summariser, reports = FakeSummariser(held=True), Reports()
    compactor = made(summariser, slots=1, bound=1)
    for key, priority in (("runs", "soft"), ("s", "soft"), ("late", "soft"), ("w", "waiting")):
        compactor.submit(job(key), priority, reports)  # type: ignore[arg-type]
    await settle()
    assert reports.of("late") == ["shed: shed"]
    assert reports.of("s") == ["shed: shed"]
    summariser.gate.set()
    await reports.ended("runs", "w")
    assert summariser.keys == ["runs", "w"]


@pytest.mark.parametrize("waits", [False, True], ids=["it runs", "it waits"])
async def test_a_newer_job_of_a_session_stops_the_older(made: Made, waits: bool) -> None:
    summariser, reports = FakeSummariser(held=True), Reports()
    compactor = made(summariser, slots=1)
    if waits:
        compactor.submit(job("other"), "soft", reports)
    compactor.submit(job("old", session="s"), "soft", reports)
    await settle()
    compactor.submit(job("new", session="s"), "soft", reports)
    await settle()
    assert reports.of("old")[-1] == "failed: superseded"
    assert summariser.cancelled == ([] if waits else ["old"])
    summariser.gate.set()
    await reports.ended("new")
    assert reports.of("new") == ["started", "patch"]


async def test_a_cancelled_job_stops_and_is_not_reported(made: Made) -> None:
    summariser, reports = FakeSummariser(held=True), Reports()
    compactor = made(summariser)
    for key in ("runs", "waits", "next"):
        compactor.submit(job(key), "soft", reports)
    await settle()
    compactor.cancel("runs")
    compactor.cancel("waits")
    compactor.cancel("nobody")
    await settle()
    assert summariser.cancelled == ["runs"]
    summariser.gate.set()
    await reports.ended("next")
    assert reports.of("runs") == ["started"]
    assert reports.of("waits") == []
    assert summariser.keys == ["runs", "next"]


async def test_one_deadline_holds_for_waiting_and_for_summarising(made: Made, clock: ManualClock) -> None:
    summariser, reports = FakeSummariser(held=True), Reports()
    compactor = made(summariser)
    compactor.submit(job("runs", seconds=100), "soft", reports)
    compactor.submit(job("waits", seconds=10), "soft", reports)
    compactor.submit(job("next", seconds=100), "soft", reports)
    await settle()
    clock.advance(10)
    await reports.ended("waits")
    assert reports.of("waits") == ["shed: timeout"]
    clock.advance(50)
    compactor.cancel("runs")
    await settle()
    assert [round(asked.config.timeout) for asked in summariser.asked] == [100, 40]


async def test_a_summariser_that_overstays_is_stopped(made: Made, clock: ManualClock) -> None:
    summariser, reports = FakeSummariser(held=True), Reports()
    made(summariser).submit(job("a", seconds=10), "soft", reports)
    await settle()
    clock.advance(10)
    await settle()
    assert not summariser.cancelled
    clock.advance(GRACE)
    await reports.ended("a")
    assert reports.of("a") == ["started", "failed: timeout"]
    assert summariser.cancelled == ["a"]


async def test_a_summariser_that_breaks_its_word_is_a_failure_and_the_next_job_runs(made: Made) -> None:
    summariser, reports = FakeSummariser(), Reports()
    compactor = made(summariser)
    summariser.error = ValueError("a secret")
    compactor.submit(job("a"), "soft", reports)
    await reports.ended("a")
    assert reports.of("a") == ["started", "failed: unexpected"]
    assert "secret" not in reports.error("a").message
    summariser.error = None
    compactor.submit(job("b"), "soft", reports)
    await reports.ended("b")
    assert reports.of("b") == ["started", "patch"]


async def test_a_closed_compactor_leaves_nothing_running(made: Made) -> None:
    summariser, reports = FakeSummariser(held=True), Reports()
    compactor = made(summariser)
    compactor.submit(job("a"), "soft", reports)
    compactor.submit(job("b"), "soft", reports)
    await settle()
    await compactor.aclose()
    assert summariser.cancelled == ["a"]
    assert summariser.running.total() == 0


class Workers:
    """Runs tickets; the first so many runs of each lose their worker."""

    def __init__(self, losses: int) -> None:
        self.losses = losses
        self.runs: list[str] = []

    async def run(self, ticket: Ticket[None], seconds: float) -> Patch | CompactionFailure:
        self.runs.append(ticket.key)
        await asyncio.sleep(0)
        if ticket.starts <= self.losses:
            raise WorkerLost
        return Patch(ticket.key, "", "done")


def scheduled(workers: Workers, clock: ManualClock, running: int = 1) -> CompactionSchedule[None]:
    return CompactionSchedule(CompactionQueue[None](running, 9), clock, workers.run)


def submit(schedule: CompactionSchedule[None], key: str, reports: Reports) -> None:
    schedule.submit(Ticket(key, job(key).session_id, "soft", None), 60.0, reports)


async def test_a_job_whose_worker_was_lost_is_done_elsewhere_and_answered_once(clock: ManualClock) -> None:
    workers, reports = Workers(losses=2), Reports()
    schedule = scheduled(workers, clock)
    submit(schedule, "a", reports)
    submit(schedule, "b", reports)
    await reports.ended("a", "b")
    assert workers.runs == ["a", "a", "a", "b", "b", "b"]
    assert reports.of("a") == ["started", "started", "started", "patch"]
    await schedule.aclose()


async def test_a_job_that_every_worker_dies_of_is_given_up(clock: ManualClock) -> None:
    workers, reports = Workers(losses=99), Reports()
    schedule = scheduled(workers, clock)
    submit(schedule, "a", reports)
    await reports.ended("a")
    assert reports.of("a")[-1] == "failed: given_up"
    assert workers.runs == ["a"] * 3
    workers.losses = 0
    submit(schedule, "b", reports)
    await reports.ended("b")
    assert reports.of("b") == ["started", "patch"]


async def test_who_submits_a_known_job_again_joins_it(made: Made) -> None:
    summariser, first, second = FakeSummariser(held=True), Reports(), Reports()
    compactor = made(summariser)
    compactor.submit(job("a"), "soft", first)
    await first.reported("a", "started")
    compactor.submit(job("a"), "soft", second)
    summariser.gate.set()
    await second.ended("a")
    assert first.of("a") == second.of("a") == ["started", "patch"]
    assert summariser.keys == ["a"]


async def test_jobs_that_nothing_can_run_are_told_so(clock: ManualClock) -> None:
    workers, reports = Workers(losses=0), Reports()
    schedule = scheduled(workers, clock, running=0)
    submit(schedule, "a", reports)
    submit(schedule, "b", reports)
    await settle()
    schedule.fail_waiting(ErrorInfo(boundary="placement", kind="no_start", message="no"))
    await reports.ended("a", "b")
    assert reports.of("a") == ["shed: no_start"]
    schedule.set_running(1)
    await settle()
    assert workers.runs == []


def test_reports_and_jobs_cross_processes() -> None:
    given = job("a")
    assert pickle.loads(pickle.dumps(given)) == given
