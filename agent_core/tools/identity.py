"""Who a tool is once the process that made it is gone: a name and a digest of its source, or the hash of its code.

The rule here: code is named when a module holds it and carried only when none does (`__main__`, notebooks, closures).
"""

import ast
import hashlib
import inspect
import sys
import textwrap
from collections.abc import Callable

from agent_core.errors import ToolError
from agent_core.tools.blobs import hash_of
from agent_core.tools.definition import ToolReference


def digest_of(function: Callable[..., object]) -> str:
    """A digest of the function's source; empty if it has none to read.

    Decorators, the docstring, comments and layout do not count: changing a time limit does not make it another tool.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return ""
    node = tree.body[0] if tree.body else None
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        node.decorator_list = []
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:32]


def reference_of(holder: object, function: Callable[..., object]) -> tuple[ToolReference, bytes | None]:
    """The reference of a tool, and its code if no module holds it. `holder` is what resolving must give back.

    Raises ToolError if the code can be neither named nor pickled.
    """
    module = function.__module__
    name = name_in_module(holder, function)
    if name is not None:
        return ToolReference(module=module, name=name, digest=digest_of(function)), None
    code = _pickled(holder, function.__name__)
    key = hash_of(code)
    return ToolReference(pickled=key, digest=key[:32]), code


def name_in_module(holder: object, function: Callable[..., object]) -> str | None:
    """The dotted name under which another process finds the tool in its function's module, None if there is none."""
    module = function.__module__
    loaded = sys.modules.get(module)
    if module == "__main__" or loaded is None or loaded.__spec__ is None:
        return None
    found: object = loaded
    for part in function.__qualname__.split("."):
        found = getattr(found, part, None)
    if found is holder or found is function:
        return function.__qualname__
    return next((name for name, value in vars(loaded).items() if value is holder), None)


def _pickled(holder: object, name: str) -> bytes:
    from agent_core.tools.pickling import pickled

    try:
        return pickled(holder)
    except Exception as error:
        raise ToolError(
            f"tool '{name}' lives in no module, and its code cannot be carried to where tools run:"
            f" {type(error).__name__}: {error}. Move it to a module, or make what it refers to inside the function."
        ) from error
