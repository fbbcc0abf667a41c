"""Scorers that are functions of a user.

The rule here: an asynchronous one runs in the event loop, any other in a process of its own, since nothing else can end
it when it hangs, and nothing else keeps the samples beside it from its crash.
"""

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any, cast, overload

from agent_core.errors import ConfigError, ScorerError, ToolUnavailable
from agent_core.evaluation.score import Answered, Score, no_grader
from agent_core.evaluation.scoring.instant import LONGEST_NAME
from agent_core.evaluation.scoring.processes import processes_here
from agent_core.evaluation.scoring.readings import scores_from
from agent_core.evaluation.scoring.waiting import within
from agent_core.ports import Clock

Judged = Score | float | bool | Mapping[str, Score | float | bool]
Function = Callable[[Answered], Judged] | Callable[[Answered], Awaitable[Judged]]

# Seconds that the module of a scorer may take to be imported in its process.
LOAD_TIMEOUT = 120.0
# Several scores, with their texts.
_LONGEST_ANSWER = 4_000_000


class FunctionScorer:
    """A function as a scorer, called as the function is unless it has another name. It can still be called as it was.

    Raises ConfigError for what is no function of one answer.
    """

    __name__: str

    def __init__(self, function: Function, name: str | None = None) -> None:
        _check(function, name)
        functools.update_wrapper(self, function)
        self.function = function
        self.name = name or _called(function)
        self.asynchronous = _is_asynchronous(function)
        self._shipped: tuple[str, bytes] | None = None

    def __call__(self, answered: Answered) -> Any:
        return self.function(answered)

    def __repr__(self) -> str:
        return f"<scorer {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        from agent_core.tools.identity import name_in_module

        place = name_in_module(self, cast("Callable[..., object]", self.function))
        if place is not None and _named(self.function.__module__, place) is self:
            return _named, (self.function.__module__, place)
        return FunctionScorer, (self.function, self.name)

    @property
    def described(self) -> dict[str, Any]:
        """What of it counts for the configuration: where it is, and a digest of its source."""
        from agent_core.tools.identity import digest_of

        made = {"kind": "function", "name": self.name, "function": f"{self.function.__module__}:{_called(self)}"}
        digest = digest_of(cast("Callable[..., object]", self.function))
        return made | ({"source": digest} if digest else {})

    async def score(self, answered: Answered) -> Score | Mapping[str, Score]:
        """The scores, however long they take. Raises ScorerError, and what an asynchronous function raises."""
        if self.asynchronous:
            return scores_from(await cast("Awaitable[Any]", self.function(answered)))
        return await self._in_child(answered, None)

    async def score_within(self, answered: Answered, seconds: float, clock: Clock) -> Score | Mapping[str, Score]:
        """As `score`. The time of a process begins when it has the answer: waiting for a free one is not counted."""
        if self.asynchronous:
            return await within(seconds, clock, self.score(answered))
        return await self._in_child(answered, (seconds, clock))

    async def _in_child(self, answered: Answered, limit: tuple[float, Clock] | None) -> Score | Mapping[str, Score]:
        from agent_core.evaluation.scoring.shipping import CALL, end_of, shipped
        from agent_core.tools.definition import ToolReference
        from agent_core.tools.processes import ChildDied

        if self._shipped is None:
            self._shipped = shipped(self)
        key, code = self._shipped
        plain = replace(answered, grader=no_grader)
        try:
            async with processes_here().borrow() as child:
                if key not in child.loaded:
                    load = child.load(key, ToolReference(pickled=key), code)
                    await within(LOAD_TIMEOUT, limit[1], load) if limit else await load
                call: Coroutine[Any, Any, Any] = child.call(key, {"answered": plain}, CALL, _LONGEST_ANSWER)
                return end_of(await within(*limit, call) if limit else await call)
        except ToolUnavailable as error:
            raise ScorerError(f"The scorer {self.name} cannot be run: {error}", "unavailable") from None
        except ChildDied as error:
            raise ScorerError(
                f"The scorer {self.name} ended its process: {error} Mend it, then score the results again.", "killed"
            ) from None


@overload
def scorer(function: Function, /) -> FunctionScorer: ...


@overload
def scorer(*, name: str) -> Callable[[Function], FunctionScorer]: ...


def scorer(
    function: Function | None = None, /, *, name: str | None = None
) -> FunctionScorer | Callable[[Function], FunctionScorer]:
    """Make a scorer of a function, as `@scorer` or `@scorer(name="tone")`.

    It is given what was `Answered` and returns a number, true or false, a `Score`, or a mapping of these. Raises
    ConfigError for what is no such function.
    """
    if function is None:
        return lambda decorated: FunctionScorer(decorated, name)
    return FunctionScorer(function, name)


def _named(module: str, name: str) -> Any:
    """What has this name in a module, which is imported."""
    import importlib

    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _check(function: object, name: str | None) -> None:
    called = _called(function)
    if isinstance(function, FunctionScorer):
        raise ConfigError(f"scorer: {called} is a scorer already: decorate it once.", kind="scorer")
    if isinstance(function, type) or not callable(function):
        raise ConfigError(
            f"scorer: {called} is no function. Write: @scorer, and below it def {called}(answered) -> float.",
            kind="scorer",
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigError(f"scorer: {called} yields. Return one score, or a dict of several.", kind="scorer")
    if name is not None and not 0 < len(name) <= LONGEST_NAME:
        raise ConfigError(f"scorer: a name has 1 to {LONGEST_NAME} characters, that of {called} {len(name)}.")
    try:
        inspect.signature(function).bind(None)
    except TypeError as error:
        raise ConfigError(
            f"scorer: {called} does not take the answer alone: {error}. Write: def {called}(answered) -> float.",
            kind="scorer",
        ) from None
    except ValueError:
        # A function of a compiled module, which does not say what it takes.
        return


def _is_asynchronous(function: Callable[..., object]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _called(function: object) -> str:
    return str(getattr(function, "__name__", type(function).__name__))
