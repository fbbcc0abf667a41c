"""The actors of Rayconteur, and the public door: `from actors import Runtime, tool`.

The rule here: one file an actor: a plain class that is a thin shell over `agent_core`, and the typed handle that hides
every `.remote`. Importing this package imports nothing: the names below are found when they are first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actors.runtime import Runtime
    from actors.session_handle import SessionHandle
    from agent_core.tools import ToolContext, external_tool, tool

__all__ = ["Runtime", "SessionHandle", "ToolContext", "external_tool", "tool"]

_HOME = {
    "Runtime": "actors.runtime",
    "SessionHandle": "actors.session_handle",
    "ToolContext": "agent_core.tools",
    "external_tool": "agent_core.tools",
    "tool": "agent_core.tools",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)
