"""A run: its files, open, and the coordinator that goes by them.

The rule here: whatever the process that had it open came to, a run that is opened again goes on from its files: what
is in the results stands, a torn last line is cut off, what was under way goes out again as it was.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from agent_core.evaluation.coordinator import Coordinator, CoordinatorPlan
from agent_core.evaluation.index import RunIndex
from agent_core.evaluation.result import FINAL, ResultHead, SampleOutcome, decode_head
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

    `planned` counts results, `concurrency` the samples under way at once, in all workers together.
    """

    index: Path
    results: Path
    record: Path
    planned: int
    concurrency: int
    plan: CoordinatorPlan
    work: WorkOrder
    name: str = ""

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

    def __init__(self, order: RunOrder, clock: Clock) -> None:
        self._order, self._clock = order, clock
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        order = self._order
        with ExitStack() as stack:
            index = stack.enter_context(RunIndex(order.index))
            results = stack.enter_context(ResultsFile(Places(order.results, order.record), "append"))
            results.cut_torn()
            self._index, self._results = index, results
            self.coordinator = Coordinator(index, results.write, self._tally(), order.plan, self._clock)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        Places(self._order.results, self._order.record).live.unlink(missing_ok=True)

    def _tally(self) -> Tally:
        """What the results say, and what the index has to know of them."""
        order = self._order
        tally = Tally(order.planned)
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
            self.coordinator.again(heads_dropped, self._tally())
        return dropped
