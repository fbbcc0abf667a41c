"""Tools that a user names on the command line: `package.module:name`, or a module with everything decorated in it.

The rule here: what is wrong is said on one screen, with the author's own line, and never as a traceback of ours.
"""

import importlib
import importlib.util
import inspect
import linecache
import traceback
from collections.abc import Sequence
from types import ModuleType
from typing import Any, cast

from agent_core.errors import ConfigError, ToolError
from agent_core.tools.decorator import Tool, tool

AnyTool = Tool[..., Any]


def load_tools(place: str) -> tuple[AnyTool, ...]:
    """The tools at `module:name` (a tool, a typed function, or a list of them), or every tool of `module`.

    Raises ConfigError for a module that does not import, a name that is not there, something that is no tool, and two
    tools of one name.
    """
    module_name, colon, name = place.partition(":")
    if not all(part.isidentifier() for part in module_name.split(".")) or (colon and not name):
        raise ConfigError(
            f"tools: '{place}' is not of the form package.module:name or package.module (no path, and without .py)."
        )
    module = _imported(module_name, place)
    found = _named(module, name, place) if colon else _all(module)
    seen: dict[str, AnyTool] = {}
    for made in found:
        if seen.setdefault(made.name, made) is not made:
            raise ConfigError(f"tools: {place} holds two tools named '{made.name}'. Give one another @tool(name=...).")
    return tuple(seen.values())


def _imported(module: str, place: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
            raise ConfigError(
                f"tools: there is no module '{module}' (asked for as {place}). Run from the directory that holds it,"
                " and write package.module:name, without .py."
            ) from None
        raise ConfigError(_author_error(module, error)) from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a module may raise anything while it is imported
        raise ConfigError(_author_error(module, error)) from None


def _author_error(module: str, error: BaseException) -> str:
    """One screen: the last line of the author's own file, and what was raised there."""
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError) and error.filename:
        line = (error.text or linecache.getline(error.filename, error.lineno or 0)).strip()
        return f"tools: module '{module}' does not import.\n  {error.filename}:{error.lineno}: {line}\n  {said}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen importlib") and frame.filename not in (__file__, importlib.__file__)
    ]
    origin = _origin(module)
    own = [frame for frame in frames if frame.filename == origin] or frames
    if not own:
        return f"tools: module '{module}' does not import.\n  {said}"
    last = own[-1]
    return f"tools: module '{module}' does not import.\n  {last.filename}:{last.lineno}: {last.line}\n  {said}"


def _origin(module: str) -> str | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, AttributeError, ValueError):
        return None
    return spec.origin if spec is not None else None


def _named(module: ModuleType, name: str, place: str) -> list[AnyTool]:
    found: object = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None:
        known = ", ".join(sorted(made.name for made in _tools_in(module))) or "none"
        raise ConfigError(f"tools: {place}: '{name}' is not in module '{module.__name__}'. Tools in it: {known}.")
    items: Sequence[object] = cast("Sequence[object]", found) if isinstance(found, list | tuple) else [found]
    return [_as_tool(item, place) for item in items]


def _as_tool(item: object, place: str) -> AnyTool:
    if isinstance(item, Tool):
        return cast("AnyTool", item)
    if not inspect.isroutine(item):
        raise ConfigError(
            f"tools: {place} holds {type(item).__name__}, not a typed function, a tool or a list of them."
        )
    try:
        return tool(item)
    except ToolError as error:
        code = getattr(item, "__code__", None)
        where = f"\n  {code.co_filename}:{code.co_firstlineno}" if code is not None else ""
        raise ConfigError(f"tools: {error}{where}") from None


def _all(module: ModuleType) -> list[AnyTool]:
    found = _tools_in(module)
    if not found:
        raise ConfigError(
            f"tools: module '{module.__name__}' has no function decorated with @tool."
            f" Decorate one (from agent_core.tools import tool), or name a function: {module.__name__}:NAME."
        )
    return found


def _tools_in(module: ModuleType) -> list[AnyTool]:
    found = [cast("AnyTool", item) for item in vars(module).values() if isinstance(item, Tool)]
    return list({id(item): item for item in found}.values())
