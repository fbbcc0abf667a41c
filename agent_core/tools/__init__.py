"""Tools: typed functions that a model may call, what they are for the model, and how they are run.

The rule here: a failed tool is data. Nothing that a tool does takes a session down.

The public names are imported when they are first asked for: a child process that only wants `child` must start in
milliseconds, and the types of `agent_core` import `definition` from here.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent_core.tools.blobs import BlobStore, InMemoryBlobs
    from agent_core.tools.context import ToolContext
    from agent_core.tools.decorator import Tool, external_tool, tool
    from agent_core.tools.definition import ToolDefinition, ToolReference, ToolResources
    from agent_core.tools.executor import ExecutorOptions, LocalToolExecutor
    from agent_core.tools.loading import load_tools
    from agent_core.tools.resolving import publish, resolve

__all__ = [
    "BlobStore",
    "ExecutorOptions",
    "InMemoryBlobs",
    "LocalToolExecutor",
    "Tool",
    "ToolContext",
    "ToolDefinition",
    "ToolReference",
    "ToolResources",
    "external_tool",
    "load_tools",
    "publish",
    "resolve",
    "tool",
]

_HOME = {
    "BlobStore": "blobs",
    "ExecutorOptions": "executor",
    "InMemoryBlobs": "blobs",
    "LocalToolExecutor": "executor",
    "Tool": "decorator",
    "ToolContext": "context",
    "ToolDefinition": "definition",
    "ToolReference": "definition",
    "ToolResources": "definition",
    "external_tool": "decorator",
    "load_tools": "loading",
    "publish": "resolving",
    "resolve": "resolving",
    "tool": "decorator",
}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{home}"), name)
