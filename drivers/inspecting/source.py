"""Inspect tasks as tasks of a run: where one is, what is in it, and how it travels to the workers.

The rule here: this module is read without Inspect. A worker loads the task from the same file, and refuses one that has
changed since the run was made.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import JsonValue

from agent_core.errors import ConfigError
from agent_core.evaluation.program import Program
from agent_core.evaluation.result import ResultHead
from agent_core.evaluation.sample import Sample
from agent_core.evaluation.score import Scorer
from drivers.inspecting.required import require_inspect

if TYPE_CHECKING:
    from inspect_ai import Task

    from drivers.inspecting.metrics import MetricValue

Route = Literal["auto", "direct", "slices"]
"""How samples are solved: `direct` runs the solvers over the session that the worker opened; `slices` hands samples to
Inspect's own runner, whose model is that session, for tasks that need what only it has (sandboxes, approvals)."""


@dataclass(frozen=True, slots=True)
class InspectSource:
    """Where an Inspect task is. `path` is absolute, None for a task of an installed package.

    `digest` is that of the file. `grader` are fields of SessionConfig for scorers that ask a model; without it they ask
    as the sample's own session does.
    """

    task: str
    path: str | None = None
    digest: str = ""
    args: Mapping[str, JsonValue] = field(default_factory=dict)
    route: Route = "auto"
    grader: Mapping[str, JsonValue] = field(default_factory=dict)

    def load(self) -> Program:
        """The task's solvers as an agent, and its scorers.

        Raises ConfigError: Inspect is not installed, the file is gone or has changed, the task cannot be made.
        """
        require_inspect()
        from inspect_ai.dataset import MemoryDataset

        from drivers.inspecting.scoring import scorers_of
        from drivers.inspecting.solving import Kept, Solved, Solving

        task = self.made()
        states = Kept[Solved](len(task.scorer or ()))
        route = route_of(task, self.route)
        # The samples come from the run; those of the task would only take memory in each worker.
        task.dataset = MemoryDataset([])
        if route == "slices":
            from drivers.inspecting.slices import Slicing, sliced_scorers

            slicing = Slicing(task)
            return Program(slicing, sliced_scorers(task, slicing))
        scorers = scorers_of(task, states)
        for scorer in scorers:
            scorer.grader_fields = dict(self.grader)
        return Program(Solving(task, list(task.scorer or ()), states), cast("tuple[Scorer, ...]", scorers))

    def made(self) -> "Task":
        """The task itself, made from its file. Raises ConfigError as `load` does."""
        require_inspect()
        from drivers.inspecting.loading import Place, digest_of, load

        place = Place(None if self.path is None else Path(self.path), self.task)
        if digest_of(place) != self.digest:
            raise ConfigError(
                f"The task file {self.path} has changed since the run was made. Put it back, or start another run."
            )
        return load(place, self.args)


def route_of(task: "Task", asked: Route) -> Literal["direct", "slices"]:
    """Which way a task goes: the one that was asked for, else `direct` unless it needs Inspect's own runner."""
    if asked != "auto":
        return asked
    needs: tuple[Any, ...] = (task.sandbox, task.approval, task.review, task.early_stopping, task.sentinel)
    own = any(sample.sandbox or sample.files or sample.setup for sample in task.dataset)
    return "slices" if own or any(need is not None for need in needs) else "direct"


class InspectTask:
    """A task that was written for Inspect, as a driver has it."""

    def __init__(self, source: InspectSource, task: "Task") -> None:
        self.source, self._task = source, task

    @property
    def name(self) -> str:
        return self._task.name

    @property
    def version(self) -> str:
        return str(self._task.version)

    @property
    def epochs(self) -> int:
        """How often each sample is run, unless the user says otherwise."""
        return self._task.epochs or 1

    @property
    def fields(self) -> dict[str, Any]:
        """Fields of SessionConfig that the task sets; the user's own go over them.

        Tools are called in one turn as often as the task's own loop lets them.
        """
        from drivers.inspecting.settings import fields_of

        return {"max_steps": MAX_STEPS, **fields_of(self._task.config)}

    @property
    def limits(self) -> dict[str, JsonValue]:
        """The task's own limits of a sample by Inspect's names. The program holds them; this is for the record."""
        names = ("message_limit", "token_limit", "turn_limit", "time_limit", "working_limit", "cost_limit")
        return {name: value for name in names if (value := getattr(self._task, name)) is not None}

    @property
    def count(self) -> int:
        """How many samples it has."""
        return len(self._task.dataset)

    def samples(self) -> Iterator[Sample]:
        """Its samples in order. Raises ConfigError for one that cannot travel."""
        from drivers.inspecting.samples import samples_of

        return samples_of(self._task)

    def metrics(self, results: Iterable[ResultHead]) -> "list[MetricValue]":
        """What the task's metrics, reducers of epochs included, make of the results of a run."""
        from drivers.inspecting.metrics import metrics_of

        return metrics_of(self._task, results)


MAX_STEPS = 10_000


def inspect_task(
    spec: str, name: str | None = None, args: Mapping[str, JsonValue] | None = None, route: Route = "auto"
) -> InspectTask:
    """The task that `spec` names: `FILE.py`, `FILE.py@TASK` or `PACKAGE/TASK`, made with these arguments.

    Raises ConfigError: Inspect is not installed, there is no such file or task, its code fails.
    """
    require_inspect()
    from drivers.inspecting.loading import digest_of, find, load

    place, given = find(spec, name), dict(args or {})
    digest = digest_of(place)
    task = load(place, given)
    path = None if place.path is None else str(place.path)
    return InspectTask(InspectSource(place.task, path, digest, given, route_of(task, route)), task)
