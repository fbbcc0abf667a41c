"""What `run` is given, resolved: a task file or a file of samples, with the flags that stand in place of its own words.

The rule here: whatever can be wrong in it is found here, before anything is started. Only the samples are read later,
one by one, and as often as they are asked for.
"""

import contextlib
import dataclasses
import shutil
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from agent_core.errors import ConfigError
from agent_core.evaluation.agents.naming import prompt_of, tools_of
from agent_core.evaluation.dataset import SUFFIXES, Dataset, DatasetFormat
from agent_core.evaluation.limits import SampleLimits
from agent_core.evaluation.loading import CarriedFile, chosen_task, made_task
from agent_core.evaluation.program import Agent, Program, ProgramSource
from agent_core.evaluation.provided import Provided
from agent_core.evaluation.result import ResultHead
from agent_core.evaluation.rows import FieldNames, Place
from agent_core.evaluation.sample import Sample
from agent_core.evaluation.task_file import task_of_text
from agent_core.evaluation.task_source import TaskSource, named_in_file
from agent_core.evaluation.tasks import Task
from agent_core.tools import Tool, ToolDefinition, load_tools, tool
from drivers.evaluating.inspect_tasks import is_inspect_task, resolve_inspect
from drivers.evaluating.limit_options import SampleLimitOptions
from drivers.evaluating.task_options import SampleOptions, TaskOptions, names_of
from drivers.options import ModelOptions

STDIN = "-"
_TASKS = frozenset({".yaml", ".yml", ".json"})
# How a model is reached, which a flag that names another model leaves behind.
_OF_MODEL = ("api_key", "base_url", "wire")
AnyTool = Tool[..., Any] | ToolDefinition


@dataclass(frozen=True, slots=True)
class ResolvedTask:
    """A task with all that a run needs of it.

    `samples` gives the samples that are to be run, in their order, each time that it is called; `dataset` is what
    errors call them, and a sample's `line` is the number of its `place`. `session` are fields of SessionConfig that the
    task sets. `tools` are those of the task, the flags and the agent. `program` goes to the workers. `basis` is what of
    the task counts for the configuration of a run, as JSON has it. `files` are those that it was made from. `metrics`
    are the task's own, if it has any, and what they make of results.
    """

    name: str
    dataset: str
    place: Place
    samples: Callable[[], Iterator[Sample]]
    session: Mapping[str, Any]
    tools: tuple[AnyTool, ...]
    agent: Agent
    scorers: tuple[str, ...]
    program: ProgramSource
    limits: SampleLimits
    epochs: int
    group_by: tuple[str, ...]
    basis: Mapping[str, Any]
    files: tuple[Path, ...]
    metrics: Callable[[Iterable[ResultHead]], Sequence[tuple[str, float]]] | None = None

    def model(self, options: ModelOptions) -> ModelOptions:
        """The model options, filled with what the task says where they say nothing."""
        said = {name: self.session.get(name) for name in ("model", "context_limit", *_OF_MODEL)}
        if options.model is not None:
            said.update(dict.fromkeys(("model", *_OF_MODEL)))
        filled = {name: value for name, value in said.items() if value is not None and getattr(options, name) is None}
        return dataclasses.replace(options, **filled)

    def fields(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of SessionConfig: the task's, those that flags have `given` in their place, the agent's prompt."""
        kept = {name: value for name, value in self.session.items() if name not in ("model", *_OF_MODEL)}
        fields = {**kept, **given}
        prompt = prompt_of(self.agent, fields.get("system_prompt"))
        return fields if prompt is None else {**fields, "system_prompt": prompt}

    @property
    def definitions(self) -> tuple[ToolDefinition, ...]:
        """The tools as they count for the configuration: code that is carried along counts by the file it is from."""
        shown = (made if isinstance(made, ToolDefinition) else made.definition for made in self.tools)
        carried = isinstance(self.program, TaskSource) and self.program.file is not None
        return tuple(
            made.model_copy(update={"reference": None})
            if carried and made.reference is not None and made.reference.pickled is not None
            else made
            for made in shown
        )


def resolve(
    file: str,
    samples: SampleOptions,
    options: TaskOptions,
    limits: SampleLimitOptions,
    *,
    tools: Sequence[Tool[..., Any]] = (),
) -> ResolvedTask:
    """The task that `file` and the flags say; `tools` are those of `--tools`.

    Reads and runs the file, and makes agent and scorers once, but reads no sample. Raises ConfigError: the first thing
    that is wrong.
    """
    if is_inspect_task(file):
        if tools:
            raise ConfigError("--tools: a task of Inspect has tools of its own. Leave it out.")
        with contextlib.redirect_stdout(sys.stderr):
            return resolve_inspect(file, samples, options, limits)
    # What a task prints as it is made is no part of the program's own output.
    with contextlib.redirect_stdout(sys.stderr):
        task, source, path = _task_of(file, options)
        source = _with_flags(source, options, task)
        program = source.program(None if source.file is None else task)
        given = [*_tools(task, source.directory), *tools, *tools_of(program.agent)]
    _refuse_twins(given)
    read = _reader(task, samples, source.directory, file)
    selection = samples.selection()
    group_by = tuple(name for text in options.group_by or () for name in names_of(text)) or tuple(task.group_by)
    bounds = limits.over(task.limits)
    return ResolvedTask(
        name=task.name or source.function or _stem(file),
        dataset=read.name,
        place=read.place,
        samples=lambda: selection.of(read.samples),
        session=task.session,
        tools=tuple(given),
        agent=program.agent,
        scorers=tuple(scorer.name for scorer in program.scorers),
        program=source,
        limits=bounds,
        epochs=samples.epochs or task.epochs,
        group_by=group_by,
        basis=_basis(source, program, bounds),
        files=tuple(filter(None, (path, read.path))),
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """How the samples are read: `name` is what errors call them."""

    name: str
    place: Place
    samples: Callable[[], Iterator[Sample]]
    path: Path | None = None


def _task_of(file: str, options: TaskOptions) -> tuple[Task, TaskSource, Path | None]:
    """The task, where its program comes from, and the file that says it (none for samples alone)."""
    path, function = _split(file)
    parameters = options.parameters()
    if path.suffix == ".py":
        carried = CarriedFile.read(path)
        chosen = chosen_task(carried, function)
        task = made_task(carried, chosen, parameters)
        source = TaskSource(carried, chosen.name, tuple(parameters.items()), directory=str(carried.directory))
        return task, source, path
    if parameters:
        raise ConfigError(f"-T {next(iter(parameters))}: {path.name} has no parameters; a task in a Python file has.")
    directory = str(path.absolute().parent) if file != STDIN else str(Path.cwd())
    if path.suffix.lower() in _TASKS:
        carried = CarriedFile.read(path)
        if carried.text.lstrip().startswith("["):
            raise ConfigError(f"{path}: a JSON array holds no task. As samples it becomes JSONL with: jq -c '.[]'.")
        task = task_of_text(carried.text, carried.name)
        agent = task.agent if "agent" in task.model_fields_set else None
        scorers = tuple(cast("Sequence[str | dict[str, Any]]", task.scorers))
        source = TaskSource(agent=_as_data(agent), scorers=scorers, directory=directory)
        return task, source, path
    dataset = file if file == STDIN else path.absolute()
    return Task(dataset=dataset), TaskSource(scorers=(), directory=directory), None


def _as_data(agent: Any) -> Any:
    return agent if agent is None or isinstance(agent, str) else agent.model_dump(mode="json")


def _split(file: str) -> tuple[Path, str | None]:
    """A path and the name of a task in it: `FILE.py@NAME`. Raises ConfigError for what is not there."""
    name, at, function = file.rpartition("@")
    if at and name.endswith(".py") and not Path(file).exists():
        if not function:
            raise ConfigError(f"{file}: name the task behind the @, as in {name}@NAME.")
        return Path(name), function
    before, colon, after = file.rpartition(":")
    if colon and before.endswith(".py") and after.isidentifier() and not Path(file).exists():
        raise ConfigError(f"{file}: name the task behind an @, as in {before}@{after}.")
    if file != STDIN and Path(file).is_dir():
        raise ConfigError(f"{file}: is a directory. Name a task or a file of samples in it.")
    return Path(file), None


def _with_flags(source: TaskSource, options: TaskOptions, task: Task) -> TaskSource:
    """The source with the agent and the scorers of the flags, and with the files that are named by either."""
    here = str(Path.cwd())
    agent = _seen_from(here, options.agent) if options.agent is not None else source.agent
    scorers = source.scorers
    if options.scorers:
        scorers = tuple(_seen_from(here, scorer) for scorer in options.scorers)
    named = (agent if agent is not None else task.agent, *(scorers if scorers is not None else task.scorers))
    paths = {place[0] for name in named if (place := named_in_file(name, source.directory)) is not None}
    files = tuple(CarriedFile.read(Path(path)) for path in sorted(paths))
    return dataclasses.replace(source, agent=agent, scorers=scorers, files=files)


def _seen_from(directory: str, name: str) -> str:
    """A name such as `solver.py:solve` with the whole path: flags count from where the program runs."""
    place = named_in_file(name, directory)
    if place is None and directory not in sys.path and "" not in sys.path:
        sys.path.insert(0, "")
    return name if place is None else ":".join(place)


def _tools(task: Task, directory: str) -> list[AnyTool]:
    """The tools of the task, those that it names imported."""
    if directory not in sys.path:
        sys.path.insert(0, directory)
    made: list[AnyTool] = []
    for given in task.tools:
        if isinstance(given, str):
            made += load_tools(given)
        elif isinstance(given, Tool | ToolDefinition):
            made.append(given)
        elif callable(given):
            made.append(tool(given))
        else:
            raise ConfigError(
                f"tools: {type(given).__name__} is no tool. Give a typed function, a tool or module:name."
            )
    return made


def _refuse_twins(tools: Sequence[AnyTool]) -> None:
    seen: set[str] = set()
    for made in tools:
        if made.name in seen:
            raise ConfigError(f"tools: two are named '{made.name}'. Give one another name: @tool(name=...).")
        seen.add(made.name)


def _reader(task: Task, options: SampleOptions, directory: str, file: str) -> _Reader:
    """How the samples of the task are read, the flags' field names in place of its own."""
    fields = dataclasses.replace(task.fields, **options.fields())
    given = task.dataset
    if not isinstance(given, str | Path):
        name = f"The dataset of {Path(file).name}"
        return _Reader(name, "sample", Provided(given, name, fields).samples)
    path = Path(given) if str(given) == STDIN else Path(directory, Path(given).expanduser())
    return _file_reader(path, options.format or task.format, fields)


def _file_reader(path: Path, form: DatasetFormat | None, fields: FieldNames) -> _Reader:
    piped = str(path) == STDIN
    name = "stdin" if piped else path.name
    form = form or ("jsonl" if piped else SUFFIXES.get(path.suffix.lower()))
    if form is None:
        raise ConfigError(
            f"{name}: the name does not say what it is. Add --format jsonl, csv, tsv or parquet for samples; tasks end"
            " in .py, .yaml or .json."
        )
    dataset = Dataset(name, form, fields)
    opened = _opened(path)

    def samples() -> Iterator[Sample]:
        with opened() as source:
            yield from dataset.samples(source)

    return _Reader(name, "row" if form == "parquet" else "line", samples, None if piped else path)


def _opened(path: Path) -> Callable[[], contextlib.AbstractContextManager[BinaryIO]]:
    """Opens the file from its beginning, again and again; a pipe is copied first. Raises ConfigError."""
    piped = str(path) == STDIN
    if piped and sys.stdin is None:
        raise ConfigError("stdin is closed. Pipe the samples in, as in: cat FILE | python -m drivers.evaluate run -")
    try:
        if not piped and path.is_file():
            path.open("rb").close()
            return lambda: path.open("rb")
        with sys.stdin.buffer if piped else path.open("rb") as source:
            copy = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 - it lives as long as the reader
            shutil.copyfileobj(source, copy)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}). Check the path.") from None

    @contextlib.contextmanager
    def again() -> Iterator[BinaryIO]:
        copy.seek(0)
        yield copy

    weakref.finalize(again, copy.close)
    return again


def _basis(source: TaskSource, program: Program, limits: SampleLimits) -> dict[str, Any]:
    """What of the task changes an answer or its score."""
    basis = source.described()
    if "scorers" not in basis and program.scorers:
        basis["scorers"] = [scorer.name for scorer in program.scorers]
    bounds = limits.model_dump(mode="json", exclude_none=True)
    return {**basis, **({"limits": bounds} if bounds else {})}


def _stem(file: str) -> str:
    return "stdin" if file == STDIN else Path(file).stem
