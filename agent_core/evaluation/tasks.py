"""Tasks: what is asked, by which agent, how the answers are judged, and what a sample may take.

The rule here: a task is data and holds no run. A function with `@task` makes one, so that its parameters can be set
from outside, and so that every process that runs samples can make it again.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, ParamSpec, cast, get_type_hints, overload

from pydantic import ConfigDict, Field, SkipValidation, TypeAdapter, ValidationError, field_validator

from agent_core.compaction.settings import Compaction
from agent_core.config import Thinking
from agent_core.endpoint import BaseUrl, KeyReference, ModelName, Wire
from agent_core.errors import ConfigError
from agent_core.evaluation.agents.naming import AgentSpec, agent_of
from agent_core.evaluation.dataset import DatasetFormat
from agent_core.evaluation.limits import SampleLimits
from agent_core.evaluation.notation import value_of
from agent_core.evaluation.program import Agent, chat
from agent_core.evaluation.provided import Items
from agent_core.evaluation.rows import SAME_NAMES, FieldNames
from agent_core.evaluation.score import Scorer
from agent_core.frozen import Frozen

P = ParamSpec("P")


class SessionSettings(Frozen):
    """What a task says of its sessions: fields of SessionConfig. One that is not set is left to flags and defaults.

    `model`, with how it is reached, is only what is asked unless a flag says otherwise.
    """

    model: ModelName | None = None
    api_key: KeyReference | None = None
    base_url: BaseUrl | None = None
    wire: Wire | None = None
    system_prompt: str | None = None
    max_tokens: int = Field(default=4096, ge=1)
    temperature: float | None = Field(default=None, ge=0.0, le=2.0)
    context_limit: int | None = Field(default=None, ge=256)
    compaction: Compaction | None = None
    thinking: Thinking | None = None
    tool_choice: str | None = None
    stop_sequences: tuple[str, ...] = ()
    timeout: float = Field(default=600.0, gt=0.0)
    max_steps: int = Field(default=50, ge=1)
    extra: dict[str, Any] = Field(default_factory=dict)


class Task(SessionSettings):
    """One thing to evaluate. Everything is given by name, and checked when it is made.

    `dataset` is the path of a file, from the directory of the task's own file (`format` where its name does not say
    what it is), or any iterable of `Sample` or of dictionaries, or a function that returns one; `fields` says which
    fields of a row are the sample's. `agent` is `chat`, `react(...)`, an async function of a session and a sample, or
    the name of one. `scorers` are Scorers, functions with `@scorer`, or names with settings; `tools` are tools, typed
    functions or `module:name`. Results are told apart by the metadata fields of `group_by`. `name` is that of the
    function or file unless it is given.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    dataset: SkipValidation[str | Path | Items]
    agent: SkipValidation[Agent | AgentSpec | str | Mapping[str, Any]] = chat
    scorers: SkipValidation[Sequence[Scorer | str | Mapping[str, Any]]] = ()
    limits: SampleLimits = SampleLimits()
    tools: SkipValidation[Sequence[Any]] = ()
    epochs: int = Field(default=1, ge=1)
    group_by: Sequence[str] = ()
    name: str | None = Field(default=None, min_length=1)
    format: DatasetFormat | None = None
    fields: FieldNames = SAME_NAMES

    @field_validator("agent")
    @classmethod
    def _is_agent(cls, given: Any) -> Any:
        # A name is looked up where samples are run, which may be another process.
        return given if isinstance(given, str) else agent_of(given)

    @field_validator("scorers", "tools", "group_by", mode="before")
    @classmethod
    def _several(cls, given: Any) -> Any:
        """One alone is taken for a list of one."""
        return tuple(cast("list[Any]", given)) if isinstance(given, list | tuple) else (given,)

    @property
    def session(self) -> dict[str, Any]:
        """The settings of sessions that were given, for `SessionConfig`."""
        given = self.model_fields_set & SessionSettings.model_fields.keys()
        return {name: getattr(self, name) for name in SessionSettings.model_fields if name in given}


class TaskFunction(Generic[P]):
    """A function that makes a task, as `@task` leaves it. It can still be called as the function that it is."""

    def __init__(self, function: Callable[P, Task], name: str | None = None) -> None:
        if not inspect.isfunction(function) or inspect.iscoroutinefunction(function):
            raise ConfigError("@task is for a plain function that returns a Task: write it above a def.", kind="task")
        self.function: Callable[P, Task] = function
        self.name = name or function.__name__
        self.__doc__ = function.__doc__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Task:
        return self.function(*args, **kwargs)

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    def made(self, arguments: Mapping[str, str]) -> Task:
        """The task for these parameters, each given as text. Raises ConfigError for a wrong one, or no task."""
        task = cast("object", self.function(**self._values(arguments)))  # pyright: ignore[reportCallIssue]
        if not isinstance(task, Task):
            raise ConfigError(
                f"task '{self.name}' returned {type(task).__name__}, not a Task: end it with return Task(...).",
                kind="task",
            )
        return task

    def _values(self, arguments: Mapping[str, str]) -> dict[str, Any]:
        parameters = inspect.signature(self.function).parameters
        named = [p.name for p in parameters.values() if p.kind not in {p.VAR_POSITIONAL, p.VAR_KEYWORD}]
        hints = get_type_hints(self.function, include_extras=True)
        for name in arguments:
            if name not in named:
                known = ", ".join(named) or "none"
                raise ConfigError(f"-T {name}: task '{self.name}' has no such parameter. It has: {known}.", kind="task")
        missing = [
            name for name in named if name not in arguments and parameters[name].default is inspect.Parameter.empty
        ]
        if missing:
            raise ConfigError(f"task '{self.name}' needs a value for {missing[0]}: -T {missing[0]}=VALUE.", kind="task")
        return {name: _typed(name, text, hints.get(name, Any)) for name, text in arguments.items()}


def _typed(name: str, text: str, hint: Any) -> Any:
    """A parameter's value by its annotation: the text itself, or what it is as JSON."""
    if hint is Any:
        return value_of(text)
    adapter: TypeAdapter[Any] = TypeAdapter(hint)
    try:
        return adapter.validate_python(text)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]["msg"]
    try:
        return adapter.validate_python(value_of(text))
    except ValidationError:
        raise ConfigError(f"-T {name}={text}: {problem[:1].lower()}{problem[1:]}.", kind="task") from None


@overload
def task(function: Callable[P, Task], /) -> TaskFunction[P]: ...


@overload
def task(*, name: str | None = None) -> Callable[[Callable[P, Task]], TaskFunction[P]]: ...


def task(
    function: Callable[P, Task] | None = None, /, *, name: str | None = None
) -> TaskFunction[P] | Callable[[Callable[P, Task]], TaskFunction[P]]:
    """Mark a function that returns a `Task`, as `@task` or `@task(name="other")`, so that a file of it can be run.

    Its parameters are set with `-T name=value`, as their annotations say. Raises ConfigError for what is no function.
    """
    if function is None:
        return lambda decorated: TaskFunction(decorated, name)
    return TaskFunction(function, name)


def wrong_fields(error: ValidationError) -> str:
    """What is wrong with the fields of a task, one after the other, each by its name."""
    return "; ".join(
        f"{'.'.join(map(str, item['loc']))}: {item['msg'].removeprefix('Value error, ')}" for item in error.errors()
    )
