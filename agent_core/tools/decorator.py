"""`@tool`: a typed function becomes something that a model may call.

The rule here: whatever is wrong with a tool is said when it is decorated, by name and with the mend, not when a model
calls it.
"""

import functools
import importlib
import inspect
import string
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, ParamSpec, TypedDict, TypeVar, Unpack, cast, overload

import docstring_parser
from pydantic import ValidationError

from agent_core.errors import ToolError, ToolUnavailable
from agent_core.tools.definition import ToolDefinition
from agent_core.tools.identity import name_in_module, reference_of
from agent_core.tools.schema import Parameters, hints_of, parameters_of

P = ParamSpec("P")
R = TypeVar("R")

Summary = str | Callable[[Mapping[str, Any], Any], str]


class ToolOptions(TypedDict, total=False):
    """How a tool is shown and run; see `ToolDefinition` for units and defaults.

    `compact_summary` makes the text that stands for an old result: a format string over the input's names and `output`
    (`"read {path}: {output:.80}"`), or a function of the input and the output. It runs where the tool runs.
    `pip` is short for `runtime_env={"pip": [...]}`.
    """

    name: str
    description: str
    timeout: float | None
    retries: int
    idempotent: bool
    output_limit: int
    compact_summary: Summary | None
    num_cpus: float
    num_gpus: float
    memory: int
    resources: dict[str, float]
    runtime_env: dict[str, Any]
    pip: Sequence[str]


_SHOWN = ("timeout", "retries", "idempotent", "output_limit")
_RESOURCES = ("num_cpus", "num_gpus", "memory", "resources")


class Tool(Generic[P, R]):
    """A function that a model may call. It can still be called as the function that it is."""

    __name__: str

    def __init__(
        self, function: Callable[P, R], options: ToolOptions | None = None, hints: Mapping[str, Any] | None = None
    ) -> None:
        _check_function(function)
        functools.update_wrapper(self, function)
        self.function = function
        self.options: ToolOptions = options or {}
        self.name = self.options.get("name", function.__name__)
        self.asynchronous = inspect.iscoroutinefunction(function)
        self.compact_summary: Summary | None = self.options.get("compact_summary")
        # Kept, because hints that were written as strings cannot be read again where the code is carried to.
        self.hints = hints_of(function, self.name) if hints is None else hints
        self.parameters: Parameters = parameters_of(function, self.name, self.hints, lambda: _docstring(function)[1])
        self._bare = _definition(self)
        self._check_summary()
        self._code: bytes | None = None
        self._named: ToolDefinition | None = None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<tool {self.name}>"

    @property
    def definition(self) -> ToolDefinition:
        """What a session is opened with.

        Made when it is first asked for, since a function may refer to names that its module defines below it.
        Raises ToolError if the code can be neither named nor pickled.
        """
        if self._named is None:
            reference, self._code = reference_of(self, self.function)
            self._named = self._bare.model_copy(update={"reference": reference})
        return self._named

    @property
    def code(self) -> bytes | None:
        """The pickled code, for a blob store; None if a module holds it."""
        _ = self.definition
        return self._code

    def __reduce__(self) -> tuple[Any, ...]:
        name = name_in_module(self, self.function)
        if name is not None:
            return tool_named, (self.function.__module__, name)
        return Tool, (self.function, self.options, self.hints)

    def _check_summary(self) -> None:
        template = self.compact_summary
        if not isinstance(template, str):
            return
        known = {*self.parameters.fields.values(), "output"}
        for _, field, _, _ in string.Formatter().parse(template):
            if field is not None and field.partition(".")[0].partition("[")[0] not in known:
                raise ToolError(
                    f"tool '{self.name}': compact_summary uses {{{field}}}, which is neither a parameter nor"
                    f" {{output}}. Known: {', '.join(sorted(known))}."
                )


@overload
def tool(function: Callable[P, R], /, **options: Unpack[ToolOptions]) -> Tool[P, R]: ...


@overload
def tool(**options: Unpack[ToolOptions]) -> Callable[[Callable[P, R]], Tool[P, R]]: ...


def tool(
    function: Callable[P, R] | None = None, /, **options: Unpack[ToolOptions]
) -> Tool[P, R] | Callable[[Callable[P, R]], Tool[P, R]]:
    """Make a tool of a typed function, as `@tool` or `@tool(timeout=5)`.

    Raises ToolError for a function whose schema cannot be made or options that do not go together.
    """
    if function is None:
        return lambda decorated: Tool(decorated, options)
    return Tool(function, options)


def external_tool(name: str, description: str, schema: Mapping[str, Any]) -> ToolDefinition:
    """A tool without code: its results come from outside, by `submit(ToolResults)`.

    Raises ToolError for a name or a schema that no provider takes.
    """
    from agent_core.tools.validation import check_schema

    check_schema(name, schema)
    return _checked(name=name, description=description, input_schema=dict(schema))


def tool_named(module: str, name: str) -> "Tool[..., Any]":
    """The tool of that name in a module, or one made of the function that has it.

    Imports the module, so it may take long. Raises ToolUnavailable.
    """
    try:
        found: object = importlib.import_module(module)
    except Exception as error:
        raise ToolUnavailable(
            f"its module '{module}' does not import where tools run: {type(error).__name__}: {error}."
            " Ship it with the working directory, or name its packages with @tool(pip=[...])."
        ) from error
    for part in name.split("."):
        found = getattr(found, part, None)
    if isinstance(found, Tool):
        return cast("Tool[..., Any]", found)
    if isinstance(found, types.FunctionType):
        return tool(found)
    raise ToolUnavailable(f"module '{module}' has no tool named '{name}' any more.")


def _check_function(function: Callable[..., object]) -> None:
    if isinstance(function, Tool):
        raise ToolError(f"'{function.name}' is a tool already: decorate it once.")
    if not inspect.isroutine(function):
        raise ToolError(f"@tool makes a tool of a function, not of {type(function).__name__}: wrap it in a def.")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ToolError(
            f"tool '{function.__name__}' yields: a tool returns its whole result, so return a list instead."
        )


def _definition(made: Tool[..., Any]) -> ToolDefinition:
    options = cast("dict[str, Any]", made.options)
    if unknown := sorted(options.keys() - ToolOptions.__annotations__.keys()):
        raise ToolError(
            f"tool '{made.name}': unknown option {', '.join(unknown)}."
            f" Known: {', '.join(sorted(ToolOptions.__annotations__))}."
        )
    environment: dict[str, Any] = dict(options.get("runtime_env") or {})
    if pip := options.get("pip"):
        environment["pip"] = list(pip)
    needs = {key: options[key] for key in _RESOURCES if key in options}
    return _checked(
        name=made.name,
        description=options.get("description") or _docstring(made.function)[0],
        input_schema=made.parameters.json_schema(),
        asynchronous=made.asynchronous,
        resources={**needs, "runtime_env": environment},
        **{key: options[key] for key in _SHOWN if key in options},
    )


def _checked(**fields: Any) -> ToolDefinition:
    try:
        return ToolDefinition(**fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ToolError(f"tool '{fields['name']}': {where + ': ' if where else ''}{first['msg']}") from None


def _docstring(function: Callable[..., object]) -> tuple[str, dict[str, str]]:
    """The description for the model and the words for each parameter: Google, NumPy, Sphinx or Epydoc style."""
    text = inspect.getdoc(function) or ""
    if not text:
        return "", {}
    try:
        parsed = docstring_parser.parse(text)
    except docstring_parser.ParseError:
        return text, {}
    words = {item.arg_name: " ".join((item.description or "").split()) for item in parsed.params}
    return (parsed.description or "").strip(), {name: said for name, said in words.items() if said}
