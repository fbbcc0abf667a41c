"""Tasks that were written for Inspect, resolved as all others are.

The rule here: what such a task says itself, by solvers and scorers of its own, is not said by flags; what is asked of
which model, and which samples, is.
"""

import ast
import importlib.util
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_core.errors import ConfigError
from agent_core.evaluation.agents.chat import Chat
from agent_core.evaluation.dataset import SUFFIXES
from agent_core.evaluation.limits import SampleLimits
from agent_core.evaluation.result import ResultHead
from drivers.evaluating.limit_options import SampleLimitOptions
from drivers.evaluating.task_options import SampleOptions, TaskOptions, names_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from drivers.evaluating.tasks import ResolvedTask
    from drivers.inspecting.source import InspectTask

# What is written with such an ending is a file, whether it is there or not.
_FILES = frozenset({*SUFFIXES, ".json", ".yaml", ".yml"})
_OF_PACKAGE = re.compile(r"([A-Za-z_]\w*)/[\w./-]+")


def is_inspect_task(file: str) -> bool:
    """Whether `FILE.py`, `FILE.py@TASK` or `PACKAGE/TASK` names a task of Inspect. Runs none of its code."""
    path = Path(file.rpartition("@")[0] if ".py@" in file else file)
    if path.suffix == ".py":
        return path.is_file() and _imports_inspect(path)
    named = _OF_PACKAGE.fullmatch(file)
    if named is None or path.exists() or path.suffix.lower() in _FILES:
        return False
    found = importlib.util.find_spec(named[1])
    # Any directory would do for a namespace.
    return found is not None and found.origin is not None


def resolve_inspect(
    file: str, samples: SampleOptions, options: TaskOptions, limits: SampleLimitOptions
) -> "ResolvedTask":
    """The task with all that a run needs of it.

    Raises ConfigError: Inspect is not installed, a flag that means nothing here, what `inspect_task` raises.
    """
    from drivers.evaluating.tasks import ResolvedTask
    from drivers.inspecting.source import inspect_task

    _refuse(options, samples)
    task = inspect_task(file, args=_typed(options.parameters()))
    source = task.source
    if options.grader_model is not None:
        source = replace(source, grader={"model": options.grader_model})
    bounds = limits.over(SampleLimits())
    own = {"limits": bounds.model_dump(mode="json", exclude_none=True)} if bounds != SampleLimits() else {}
    told = {"task": source.task, "digest": source.digest, "args": dict(source.args), "limits": task.limits}
    grader = {"grader": dict(source.grader)} if source.grader else {}
    selection = samples.selection()
    return ResolvedTask(
        name=task.name,
        dataset=f"The dataset of {task.name}",
        place="sample",
        samples=lambda: selection.of(task.samples),
        session=task.fields,
        tools=(),
        agent=Chat(),
        scorers=tuple(scorer.name for scorer in source.load().scorers),
        program=source,
        limits=bounds,
        epochs=samples.epochs or task.epochs,
        group_by=tuple(name for text in options.group_by or () for name in names_of(text)),
        basis={"inspect": told, **grader, **own},
        files=(Path(source.path),) if source.path is not None else (),
        metrics=lambda results: _metrics(task, results),
    )


def _metrics(task: "InspectTask", results: "Iterable[ResultHead]") -> list[tuple[str, float]]:
    """The task's own metrics, by what they are called."""
    return [
        (f"{each.scorer} {each.metric}" + (f" ({each.reducer})" if each.reducer else ""), each.value)
        for each in task.metrics(results)
    ]


def _refuse(options: TaskOptions, samples: SampleOptions) -> None:
    if options.agent is not None:
        raise ConfigError("--agent: a task of Inspect has solvers of its own. Leave it out.")
    if options.scorers:
        raise ConfigError(
            "--scorer: a task of Inspect has scorers of its own. Leave it out, and score the run by others afterwards:"
            " python -m drivers.evaluate score OUT --scorer NAME."
        )
    if samples.format is not None or samples.fields():
        raise ConfigError("A task of Inspect has a dataset of its own: leave out --format and the names of fields.")


def _typed(given: dict[str, str]) -> dict[str, Any]:
    """What `-T` gives, read as YAML, as Inspect does."""
    import yaml

    try:
        return {name: yaml.safe_load(value) for name, value in given.items()}
    except yaml.YAMLError as error:
        raise ConfigError(f"-T: a value is not valid YAML: {' '.join(str(error).split())}. Quote it.") from None


def _imports_inspect(path: Path) -> bool:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        # The one who runs it says what is wrong with it.
        return False
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names) if any(name.name.partition(".")[0] == "inspect_ai" for name in names):
                return True
            case ast.ImportFrom(module=str(module), level=0) if module.partition(".")[0] == "inspect_ai":
                return True
            case _:
                pass
    return False
