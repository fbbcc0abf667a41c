"""The coordinator of a run: hands assignments to workers, takes their results, and knows how far the run is.

The rule here: an assignment is with one worker at a time and ends in one result. Workers pull, so a slow one holds
nobody back. What a lost worker had goes out again as it was, to the place where its sessions are; a result that comes
for what is not under way any more is dropped.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from agent_core.errors import ConfigError, ErrorInfo, RayconteurError
from agent_core.evaluation.index import RunIndex
from agent_core.evaluation.limits import RunLimits
from agent_core.evaluation.logs.sample import EncodedSample
from agent_core.evaluation.result import FINAL, ResultHead
from agent_core.evaluation.sample import Assignment, Sample
from agent_core.evaluation.standing import OpenSample, RunState, RunStatus
from agent_core.evaluation.summary import Tally
from agent_core.ports import Clock

KEPT_SLOWEST = 5


class Settled(NamedTuple):
    """One result: what counts of it, its line for the results file, and its sample of the log if there is one."""

    head: ResultHead
    line: bytes
    sample: EncodedSample | None = None


class Envelope(NamedTuple):
    """What a worker says.

    `want` is how many more assignments it could begin now, `primed` the samples whose first epoch the model has begun
    to answer; the counts are of requests since the worker began. One that is sent again has the same `number`.
    """

    number: int = 0
    settled: Sequence[Settled] = ()
    want: int = 0
    primed: Sequence[str] = ()
    retried: int = 0
    rate_limited: int = 0


class Reply(NamedTuple):
    """What a worker is told.

    `done`: nothing will come any more. `stop`: end what is open as cancelled. `unknown`: another has taken the place
    of this worker, which leaves everything as it is.
    """

    assignments: Sequence[Assignment] = ()
    done: bool = False
    stop: bool = False
    unknown: bool = False


_NOTHING = Reply()


@dataclass(frozen=True, slots=True)
class CoordinatorPlan:
    """How a run is coordinated.

    With `prime` the further epochs of a sample begin when the first one's answer has begun, so that they find the
    provider's prompt cache warm. `homes` is the number of places that sessions can be on, 0 where there is but one.
    """

    run_id: str
    epochs: int = 1
    prime: bool = True
    limits: RunLimits = field(default_factory=RunLimits)
    homes: int = 0


@dataclass(slots=True)
class _Worker:
    open: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])
    retried: int = 0
    rate_limited: int = 0
    heard: int = 0
    told: Reply = _NOTHING


class Coordinator:
    """One run. `write` keeps what a result is to be kept as, and raises OSError if it cannot."""

    def __init__(
        self, index: RunIndex, write: Callable[[Settled], None], tally: Tally, plan: CoordinatorPlan, clock: Clock
    ) -> None:
        self._index, self._write, self._plan, self._clock = index, write, plan, clock
        self.tally = tally
        self._fresh = index.stored()
        # Ready to go out to anybody; what only one place may have; epochs that wait for the first one of their sample.
        self._ready: deque[Assignment] = deque()
        self._bound: dict[int, deque[Assignment]] = {}
        self._held: dict[str, list[Assignment]] = {}
        self._open: dict[tuple[str, int], tuple[Assignment, float, str]] = {}
        self._workers: dict[str, _Worker] = {}
        self._missing: dict[str, str] = {}
        self._exhausted = False
        self._read = 0
        self._began = clock.now()
        self.state: RunState = "running"
        self.reason = ""
        self.failure: Exception | None = None

    # --- workers ----------------------------------------------------------------------------------------------------

    def exchange(self, worker: str, home: int | None, envelope: Envelope) -> Reply:
        """Take what a worker has and give it what it wants, as far as there is any."""
        known = self._workers.get(worker)
        if known is None:
            return Reply(unknown=True)
        if envelope.number and envelope.number == known.heard:
            return known.told
        known.heard, known.told = envelope.number, self._answer(known, worker, home, envelope)
        return known.told

    def _answer(self, known: _Worker, worker: str, home: int | None, envelope: Envelope) -> Reply:
        known.retried, known.rate_limited = envelope.retried, envelope.rate_limited
        for settled in envelope.settled:
            self._settle(settled)
        for sample_id in envelope.primed:
            self._release(sample_id)
        if self.state == "stopping":
            return Reply(stop=True, done=not known.open)
        given: list[Assignment] = []
        if self.state == "running" and envelope.want:
            try:
                self._give(worker, home, envelope.want, given)
            except (OSError, RayconteurError) as failure:
                self.fail(failure)
        return Reply(given, done=self._is_done(known, home))

    def enter(self, worker: str) -> None:
        """A worker is about to begin. Its name is new: one that begins again has another."""
        self._workers[worker] = _Worker()

    def missing(self, place: str, why: str = "") -> None:
        """No worker can begin at that place, and why; without a reason, one can again."""
        if why:
            self._missing[place] = why
        else:
            self._missing.pop(place, None)

    def lost(self, worker: str) -> int:
        """The worker is no more: what it had goes out again. Returns how many assignments that is."""
        known = self._workers.pop(worker, None)
        for key in known.open if known else ():
            assignment = self._open.pop(key)[0]
            self._ready_at(assignment.home).appendleft(assignment)
        return len(known.open) if known else 0

    @property
    def is_over(self) -> bool:
        """Whether every sample has its result, or the run was stopped and nothing is open."""
        return not self._open and (self.state == "stopping" or not self._anything_left())

    def _is_done(self, worker: _Worker, home: int | None) -> bool:
        if worker.open or self._held or not self._exhausted or self._ready:
            return False
        return not self._ready_at(home)

    def _anything_left(self) -> bool:
        while not (self._exhausted or self._ready or self._held or any(self._bound.values())):
            self._read_on()
        return bool(not self._exhausted or self._ready or self._held or any(self._bound.values()))

    # --- handing out ------------------------------------------------------------------------------------------------

    def _give(self, worker: str, home: int | None, want: int, given: list[Assignment]) -> None:
        known = self._workers[worker]
        with self._index.together():
            while len(given) < want and (assignment := self._next(home)) is not None:
                if assignment.home is None and home is not None:
                    assignment = assignment._replace(home=home)
                key = (assignment.sample.id, assignment.epoch)
                self._index.begin(assignment)
                self._open[key] = (assignment, self._clock.now(), worker)
                known.open.add(key)
                given.append(assignment)

    def _next(self, home: int | None) -> Assignment | None:
        bound = self._ready_at(home)
        while not (bound or self._ready or self._exhausted):
            self._read_on()
        first = bound or self._ready
        return first.popleft() if first else None

    def _read_on(self) -> None:
        """Make the assignments of the next sample of the dataset."""
        sample = next(self._fresh, None)
        if sample is None:
            self._exhausted = True
            return
        self._read += 1
        wanted = list(self._outstanding(sample))
        waits = self._plan.prime and len(wanted) > 1 and wanted[0].epoch == 1
        for number, assignment in enumerate(wanted):
            if assignment.home is not None:
                self._ready_at(assignment.home).append(assignment)
            elif waits and number:
                self._held.setdefault(sample.id, []).append(assignment)
            else:
                self._ready.append(assignment)

    def _outstanding(self, sample: Sample) -> Iterator[Assignment]:
        for epoch in range(1, self._plan.epochs + 1):
            known, begun = self._index.known(sample.id, epoch), self._index.begun(sample.id, epoch)
            if known is not None and known.kept:
                continue
            attempt, home = begun or (known.attempts + 1 if known else 1, None)
            yield Assignment(sample, epoch, attempt, home if home is not None and home < self._plan.homes else None)

    def _ready_at(self, home: int | None) -> deque[Assignment]:
        return self._ready if home is None else self._bound.setdefault(home, deque())

    def _release(self, sample_id: str) -> None:
        self._ready.extendleft(reversed(self._held.pop(sample_id, ())))

    # --- taking in --------------------------------------------------------------------------------------------------

    def _settle(self, settled: Settled) -> None:
        key = (settled.head.id, settled.head.epoch)
        opened = self._open.pop(key, None)
        if opened is None:
            return
        self._workers[opened[2]].open.discard(key)
        if self.failure is None:
            try:
                self._write(settled)
                self.tally.add(settled.head)
                self._index.add_result(settled.head, kept=settled.head.outcome in FINAL)
            except OSError as failure:
                self.fail(failure)
            self._check_limits()
        self._release(settled.head.id)

    def _check_limits(self) -> None:
        limits, tally = self._plan.limits, self.tally
        tokens = tally.usage.context_tokens + tally.summariser.context_tokens
        failed = tally.outcomes["infrastructure_failed"]
        for hit, name in (
            (limits.tokens is not None and tokens > limits.tokens, "tokens"),
            (limits.cost is not None and tally.cost > limits.cost, "cost"),
            (limits.time is not None and self._clock.now() - self._began > limits.time, "time"),
            (
                limits.infrastructure_failures is not None and failed >= limits.infrastructure_failures,
                "infrastructure failures",
            ),
        ):
            if hit and self.state != "stopping":
                self.stop(f"The run's limit of {name} was hit.")

    # --- control ----------------------------------------------------------------------------------------------------

    def command(self, word: str) -> None:
        """`pause`: hand out nothing, what is open goes on to its end. `go_on`: hand out again. `stop`: see there.

        Raises ConfigError for another word.
        """
        match word:
            case "pause" if self.state == "running":
                self.state = "paused"
            case "go_on" if self.state == "paused":
                self.state = "running"
            case "stop":
                self.stop()
            case "pause" | "go_on":
                pass
            case _:
                raise ConfigError(f"A run knows no command '{word}': say pause, go_on or stop.")

    def again(self, dropped: Sequence[tuple[str, int]], tally: Tally) -> None:
        """These have no result any more: hand them out again, unless the dataset is not read as far as that."""
        self.tally = tally
        for sample_id, epoch in dropped:
            sample, known = self._index.sample(sample_id), self._index.known(sample_id, epoch)
            if sample is not None and (self._exhausted or self._index.number_of(sample_id) <= self._read):
                self._ready.append(Assignment(sample, epoch, known.attempts + 1 if known else 1))

    def stop(self, reason: str = "") -> None:
        """Hand out nothing more, and have what is open ended as cancelled. The run can be resumed."""
        self.state, self.reason = "stopping", self.reason or reason

    def fail(self, failure: Exception) -> None:
        """Going on is of no use: stop, and remember why."""
        self.failure = self.failure or failure
        self.stop(str(failure))

    def status(self) -> RunStatus:
        """Where the run stands."""
        now = self._clock.now()
        slowest = sorted(self._open.values(), key=lambda item: item[1])[:KEPT_SLOWEST]
        failure = self.failure
        return RunStatus(
            run_id=self._plan.run_id,
            state=self.state,
            reason=self.reason,
            summary=self.tally.summary(),
            open=len(self._open),
            workers=len(self._workers),
            seconds=now - self._began,
            retried=sum(worker.retried for worker in self._workers.values()),
            rate_limited=sum(worker.rate_limited for worker in self._workers.values()),
            slowest=tuple(
                OpenSample(id=assignment.sample.id, epoch=assignment.epoch, seconds=now - since, worker=worker)
                for assignment, since, worker in slowest
            ),
            waits_for=next(iter(self._missing.values()), ""),
            failure=None if failure is None else _told(failure),
        )


def _told(failure: Exception) -> ErrorInfo:
    info = getattr(failure, "info", None)
    if info is not None:
        return info()
    return ErrorInfo(boundary="config", kind=type(failure).__name__, message=str(failure))
