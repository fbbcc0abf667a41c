"""From a tool's reference back to its code.

The rule here: code that is missing, or no longer what the session was opened with, is never run in its place.
"""

import pickle
from collections.abc import Callable, Sequence
from typing import Any, cast

from agent_core.errors import ToolUnavailable
from agent_core.tools.blobs import BlobStore
from agent_core.tools.decorator import Tool, tool, tool_named
from agent_core.tools.definition import ToolDefinition, ToolReference
from agent_core.tools.identity import digest_of

AnyTool = Tool[..., Any]


async def publish(
    tools: Sequence[AnyTool | ToolDefinition | Callable[..., Any]], blobs: BlobStore
) -> tuple[ToolDefinition, ...]:
    """The definitions of some tools, for a session; code that no module holds is stored first.

    Raises ToolError for a function that cannot be made a tool.
    """
    definitions: list[ToolDefinition] = []
    for given in tools:
        if isinstance(given, ToolDefinition):
            definitions.append(given)
            continue
        made: AnyTool = cast("AnyTool", given) if isinstance(given, Tool) else tool(given)
        if made.code is not None:
            await blobs.put(made.code)
        definitions.append(made.definition)
    return tuple(definitions)


async def resolve(reference: ToolReference, blobs: BlobStore) -> AnyTool:
    """The tool behind a reference. Raises ToolUnavailable."""
    return load(reference, await code_of(reference, blobs))


async def code_of(reference: ToolReference, blobs: BlobStore) -> bytes | None:
    """The stored code that `load` needs; None for a tool that a module holds. Raises ToolUnavailable."""
    if reference.pickled is None:
        return None
    code = await blobs.get(reference.pickled)
    if code is None:
        raise ToolUnavailable(
            "its code was stored by value and is gone from the store. Define it in a module, so that it outlives the"
            " program that made it."
        )
    return code


def load(reference: ToolReference, code: bytes | None) -> AnyTool:
    """The tool behind a reference, given its stored code if it has any.

    Imports the tool's module, so it may take long. Raises ToolUnavailable.
    """
    if reference.pickled is not None:
        return _unpickled(code or b"")
    found = tool_named(reference.module or "", reference.name or "")
    digest = digest_of(found.function)
    if reference.digest and digest != reference.digest:
        raise ToolUnavailable(
            f"the source of {reference.module}:{reference.name} has changed since the session was given it."
            " Give the session its tools anew, or put the old source back."
        )
    return found


def _unpickled(code: bytes) -> AnyTool:
    try:
        found: object = pickle.loads(code)  # noqa: S301 - the user's own code, stored under its hash
    except Exception as error:
        raise ToolUnavailable(
            f"its stored code cannot be loaded here: {type(error).__name__}: {error}."
            " The same packages and Python version are needed as where it was made."
        ) from error
    if isinstance(found, Tool):
        return cast("AnyTool", found)
    raise ToolUnavailable(f"its stored code is {type(found).__name__}, not a tool.")
