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
from agent_core.evaluation.result import FINAL
from agent_core.evaluation.results_file import Places, ResultsFile
from agent_core.evaluation.resume import heads
from agent_core.evaluation.standing import RunStatus
from agent_core.evaluation.summary import Tally
from agent_core.evaluation.worker import WorkOrder
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


class Running(Protocol):
    """A run that is under way, here or on a cluster."""

    async def status(self) -> RunStatus | None:
        """Where it stands; None while its files are being opened. Raises PlacementError if it is not there."""
        ...

    async def command(self, word: str) -> RunStatus | None:
        """See `Coordinator.command`."""
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
            tally = Tally(order.planned)
            with index.together():
                for head in heads(results.lines(), name=str(order.results)):
                    if index.line_of(head.id) is None or head.epoch > order.plan.epochs:
                        tally.other_lines += 1
                        continue
                    index.add_result(head, kept=head.outcome in FINAL)
                    tally.add(head, earlier=True)
            self.coordinator = Coordinator(index, results.write, tally, order.plan, self._clock)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
