"""Workers that cannot begin, or are lost: what may yet come is waited for, and said. No cluster is asked."""

from collections.abc import Callable

from actors.calls import Gone
from actors.router_handle import NO_ROUTER
from actors.supervising import LONGEST_ABSENCE, supervise
from agent_core.errors import PlacementError
from agent_core.evaluation.coordinator import Coordinator, CoordinatorPlan
from agent_core.evaluation.index import RunIndex
from agent_core.evaluation.sample import Sample
from agent_core.evaluation.summary import Tally

SILENT = PlacementError("it is silent", NO_ROUTER)


class Clock:
    """A clock that stands until it is moved."""

    time = 0.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(seconds)


class Place:
    """A place for workers, where one thing happens after another."""

    def __init__(self, *happens: Exception | None, passing: float = 60.0) -> None:
        self.clock, self._happens, self._passing = Clock(), list(happens), passing
        index = RunIndex()
        index.add_sample(Sample(id="q0", input="?", line=1))
        self.coordinator = Coordinator(index, lambda _: None, Tally(1), CoordinatorPlan("r"), self.clock)
        self.waited: list[str] = []
        self.began: list[str] = []

    async def work(self, worker: str, begins: Callable[[], None]) -> None:
        self.waited.append(self.coordinator.status().waits_for)
        self.clock.time += self._passing
        what = self._happens.pop(0)
        if isinstance(what, PlacementError):
            raise what
        begins()
        self.began.append(worker)
        assert self.coordinator.status().workers == 1
        if what is not None:
            raise what
        self.coordinator.stop()

    async def supervise(self) -> Coordinator:
        await supervise(self.coordinator, "sessions/0", self.work, self.clock)
        return self.coordinator


async def test_a_place_that_is_silent_for_a_while_is_waited_for_and_told_of() -> None:
    place = Place(SILENT, SILENT, None)
    coordinator = await place.supervise()
    assert coordinator.failure is None
    assert place.waited == ["", "it is silent", "it is silent"]
    assert (coordinator.status().waits_for, coordinator.status().workers, len(place.began)) == ("", 0, 1)


async def test_a_worker_that_was_lost_begins_again_under_another_name() -> None:
    place = Place(Gone("killed"), Gone("killed"), None)
    assert (await place.supervise()).failure is None
    assert len(set(place.began)) == 3


async def test_a_place_that_stays_away_ends_the_run_in_the_end() -> None:
    place = Place(SILENT, SILENT, SILENT, SILENT, passing=LONGEST_ABSENCE / 3 + 1)
    coordinator = await place.supervise()
    assert coordinator.failure is SILENT
    assert len(place.waited) == 3


async def test_time_at_work_is_no_time_of_absence() -> None:
    place = Place(Gone("killed"), SILENT, None, passing=LONGEST_ABSENCE - 1)
    assert (await place.supervise()).failure is None


async def test_what_will_never_come_ends_the_run_at_once() -> None:
    refused = PlacementError("no such module", "no_start")
    place = Place(refused)
    assert (await place.supervise()).failure is refused
