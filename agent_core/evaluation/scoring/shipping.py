"""A synchronous scorer on its way to a child process, and its scores on their way back.

The rule here: a scorer is named if the process can import its module, and carried if not. What comes back is JSON, and
holds either scores or what went wrong.
"""

import contextlib
import importlib.machinery
import inspect
import json
import sys
from collections.abc import Generator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from agent_core.errors import ErrorInfo, ScorerError
from agent_core.evaluation.score import Score
from agent_core.evaluation.scoring.readings import scores_from, told
from agent_core.tools.blobs import hash_of
from agent_core.tools.context import ToolContext
from agent_core.tools.decorator import Tool, tool
from agent_core.tools.output import CallEnd

if TYPE_CHECKING:
    from agent_core.evaluation.scoring.function import FunctionScorer

CALL = ToolContext(session_id="", turn_id="", tool_use_id="", dedupe_key="")
_SCORES: TypeAdapter[dict[str, Score]] = TypeAdapter(dict[str, Score])


def shipped(scorer: "FunctionScorer") -> tuple[str, bytes]:
    """The scorer as a tool of a child process: its key, and its code. Raises ScorerError if it cannot be carried."""
    from agent_core.tools.pickling import pickled

    module = sys.modules.get(scorer.function.__module__)
    carried = None if module is None or is_importable(module) else module
    try:
        with contextlib.nullcontext() if carried is None else carried_whole(carried):
            code = pickled(_as_tool(scorer, by_value=carried is not None))
    except Exception as error:
        raise ScorerError(
            f"The scorer {scorer.name} cannot be carried to the process that it runs in: {type(error).__name__}:"
            f" {error}. Move it to a module, make what it refers to inside the function, or write it as async def.",
            "unavailable",
        ) from error
    return hash_of(code), code


@contextlib.contextmanager
def carried_whole(module: ModuleType) -> Generator[None]:
    """Meanwhile, what the module defines is pickled by value."""
    import cloudpickle  # pyright: ignore[reportMissingTypeStubs] - it has none

    package: Any = cloudpickle
    package.register_pickle_by_value(module)
    try:
        yield
    finally:
        package.unregister_pickle_by_value(module)


def end_of(end: CallEnd) -> Score | Mapping[str, Score]:
    """The scores that came back. Raises ScorerError."""
    if end.outcome != "ok" or not isinstance(end.content, str):
        raise ScorerError(f"The scorer's process could not tell its score: {end.content}", end.outcome)
    found = json.loads(end.content)
    if "error" in found:
        error = ErrorInfo.model_validate(found["error"])
        raise ScorerError(error.message, error.kind)
    scores = _SCORES.validate_python(found["scores"])
    return scores if found["several"] else scores[""]


def is_importable(module: ModuleType) -> bool:
    """Whether another process with the same path finds this very module under its name."""
    name, file = module.__name__, getattr(module, "__file__", None)
    if name == "__main__" or file is None:
        return name != "__main__" and module.__spec__ is not None
    path = None
    spec = None
    for part in range(1, name.count(".") + 2):
        whole = ".".join(name.split(".")[:part])
        try:
            spec = importlib.machinery.PathFinder.find_spec(whole, path)
        except (ImportError, ValueError, OSError):
            return False
        if spec is None:
            # One that an installed package brings in its own way, such as an editable one.
            return part == 1 and _has_own_finder(whole)
        path = spec.submodule_search_locations
    return spec is not None and spec.origin is not None and Path(spec.origin) == Path(file)


def _has_own_finder(name: str) -> bool:
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        if finder is not importlib.machinery.PathFinder and find is not None and find(name, None) is not None:
            return True
    return False


def _as_tool(scorer: "FunctionScorer", *, by_value: bool) -> Tool[..., Any]:
    # A scorer that is carried must not be looked up under its name over there.
    function: Any = scorer.function if by_value else scorer

    def judge(answered: Any) -> str:
        from agent_core.evaluation.scoring.shipping import judged

        return judged(function, answered)

    return tool(judge)


def judged(function: Any, answered: Any) -> str:
    """Run a scorer's function here, in its process, and tell what came of it as JSON."""
    try:
        value = function(answered)
        if inspect.iscoroutine(value):
            import asyncio

            value = asyncio.run(value)
        found = scores_from(value)
    except BaseException as error:  # noqa: BLE001 - whatever a scorer raises is its result, sys.exit() too
        return json.dumps({"error": told(error).model_dump(mode="json")})
    several = isinstance(found, Mapping)
    dumped = _SCORES.dump_python(dict(found) if several else {"": found}, mode="json", exclude_none=True)
    return json.dumps({"several": several, "scores": dumped})
