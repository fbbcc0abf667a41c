"""A run: its files, open, and the coordinator that goes by them.

The rule here: whatever the process that had it open came to, a run that is opened again goes on from its files: what
is in the results stands, a torn last line is cut off, what was under way goes out again as it was.
"""

from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

from agent_core.evaluation.coordinator import Coordinator, CoordinatorPlan, Settled
from agent_core.evaluation.index import RunIndex
from agent_core.evaluation.live import Live
from agent_core.evaluation.logs.closing import Ending
from agent_core.evaluation.logs.log import EvalLog
from agent_core.evaluation.logs.sample import member
from agent_core.evaluation.mirror import Mirror
from agent_core.evaluation.result import FINAL, ResultHead, SampleOutcome, decode, decode_head
from agent_core.evaluation.results_file import Places, ResultsFile
from agent_core.evaluation.resume import heads
from agent_core.evaluation.standing import RunStatus
from agent_core.evaluation.summary import Tally
from agent_core.evaluation.worker import WorkOrder
from agent_core.frozen import Frozen
from agent_core.ports import Clock


@dataclass(frozen=True, slots=True)
class RunOrder:
    """All that a run needs to be coordinated somewhere else: where its files are, and how it goes.

    `planned` counts results, `concurrency` the samples under way at once, in all workers together. With `log` an
    `.eval` log is written there too, which begins with `log_start` (see `LogSpec.start`). With `mirror` whoever
    coordinates the run sends its files to their address; without it, whoever started the run does, if they have one.
    """

    index: Path
    results: Path
    record: Path
    planned: int
    concurrency: int
    plan: CoordinatorPlan
    work: WorkOrder
    log: Path | None = None
    log_start: Mapping[str, Any] = field(default_factory=dict[str, Any])
    mirror: Mirror | None = None

    def share(self, worker: int, workers: int) -> int:
        """How many samples one of so many workers has under way at once."""
        return self.concurrency // workers + (worker < self.concurrency % workers)


@dataclass(frozen=True, slots=True)
class RunEnded:
    """How a run ended. `failure` is what made going on useless."""

    status: RunStatus
    failure: Exception | None = None


class Requeue(Frozen):
    """Which results are to be had again: those with one of the outcomes, of one of the samples; None is any."""

    outcomes: frozenset[SampleOutcome] | None = None
    ids: frozenset[str] | None = None

    def has(self, head: ResultHead) -> bool:
        """Whether this result is one of them."""
        outcome = self.outcomes is None or head.outcome in self.outcomes
        return outcome and (self.ids is None or head.id in self.ids)


class Running(Protocol):
    """A run that is under way, here or on a cluster."""

    async def status(self) -> RunStatus | None:
        """Where it stands; None while its files are being opened. Raises PlacementError if it is not there."""
        ...

    async def command(self, word: str) -> RunStatus | None:
        """See `Coordinator.command`."""
        ...

    async def requeue(self, chosen: Requeue) -> int:
        """See `Run.requeue`."""
        ...

    async def ended(self) -> RunEnded:
        """Wait for the end. Raises ConfigError if its files cannot be had, PlacementError if it is not there."""
        ...


class Run:
    """The files of a run, held open. Use it as a context manager; raises ConfigError if another process has them."""

    coordinator: Coordinator

    def __init__(self, order: RunOrder, clock: Clock) -> None:
        self._order, self._clock = order, clock
        self._stack = ExitStack()
        self._log: EvalLog | None = None

    def __enter__(self) -> Self:
        order = self._order
        with ExitStack() as stack:
            index = stack.enter_context(RunIndex(order.index))
            results = stack.enter_context(ResultsFile(Places(order.results, order.record), "append"))
            results.cut_torn()
            self._index, self._results = index, results
            if order.log is not None:
                self._log = stack.enter_context(EvalLog(order.log, order.log_start))
            self.coordinator = Coordinator(index, self._keep, self._tally(), order.plan, self._clock)
            self._match_log()
            self._stack = stack.pop_all()
        return self

    def finish(self) -> None:
        """Write the end of the log, if there is one: the run is over, whole or not. Raises OSError."""
        if self._log is None:
            return
        coordinator, planned = self.coordinator, self._order.planned
        status = "error" if coordinator.failure else "success" if coordinator.tally.done >= planned else "cancelled"
        with _named(self._order.log):
            self._log.finish(Ending(status=status))

    def _keep(self, settled: Settled) -> None:
        self._results.write(settled.line)
        if self._log is None or settled.sample is None:
            return
        try:
            with _named(self._order.log):
                self._log.append(settled.sample)
        except OSError as failure:
            # The result stands and counts; that no more can follow it is another matter.
            self.coordinator.fail(failure)

    def _match_log(self) -> None:
        """Have the log hold what the results hold.

        One of them has more where a process was killed between the two, where there was no log before, and where
        results were taken out to be had again.
        """
        asked = self._order.work.asked
        if self._log is None or asked is None:
            return
        for sample in self._index.stored():
            for epoch in range(1, self._order.plan.epochs + 1):
                known = self._index.known(sample.id, epoch)
                if known is None or not known.kept:
                    self._log.discard(sample.id, epoch)
        for line in self._results.lines():
            head = decode_head(line)
            if self._index.line_of(head.id) is None or head.epoch > self._order.plan.epochs:
                self._log.discard(head.id, head.epoch)
            elif (head.id, head.epoch) not in self._log:
                self._log.append(member(decode(line), asked))

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        live = Places(self._order.results, self._order.record).live
        if (left := Live.read(live)) is not None and left.run_id == self._order.plan.run_id:
            live.unlink(missing_ok=True)

    def _tally(self) -> Tally:
        """What the results say, and what the index has to know of them."""
        order = self._order
        tally = Tally(order.planned, order.work.opened.config.model)
        with self._index.together():
            for head in heads(self._results.lines(), name=str(order.results)):
                if self._index.line_of(head.id) is None or head.epoch > order.plan.epochs:
                    tally.other_lines += 1
                    continue
                self._index.add_result(head, kept=head.outcome in FINAL)
                tally.add(head, earlier=True)
        return tally

    def requeue(self, chosen: Requeue) -> int:
        """Have the samples with such results run again: how many. Raises OSError if the results cannot be rewritten."""
        heads_dropped: list[tuple[str, int]] = []

        def drops(line: bytes) -> bool:
            head = decode_head(line)
            if not chosen.has(head) or self._index.line_of(head.id) is None:
                return False
            heads_dropped.append((head.id, head.epoch))
            return True

        dropped = self._results.without(drops)
        if dropped:
            for sample_id, epoch in heads_dropped:
                self._index.forget(sample_id, epoch)
                if self._log is not None:
                    self._log.discard(sample_id, epoch)
            self.coordinator.again(heads_dropped, self._tally())
        return dropped


@contextmanager
def _named(path: Path | None) -> Generator[None]:
    """Say of which file it is that something could not be done."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
