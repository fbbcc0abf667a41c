"""The process in which synchronous tools run, one call at a time: `python -m agent_core.tools.child FD LIFELINE`.

The rule here: it never outlives its parent, and nothing that a tool prints can reach the protocol. Frames are a length
of four bytes (big-endian) and a pickle, both ways over the socket FD. LIFELINE is the reading end of a pipe whose other
end only the parent has.

Only the interpreter's own modules are imported at the top: the rest waits for the parent's module path.
"""

import os
import pickle
import struct
import sys
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from agent_core.tools.context import ToolContext
    from agent_core.tools.definition import ToolReference
    from agent_core.tools.output import CallEnd
    from agent_core.tools.resolving import AnyTool

HEADER = struct.Struct(">I")
PATH_VARIABLE = "RAYCONTEUR_PYTHONPATH"
"""Carries the PYTHONPATH that tools shall see."""
# F_SETSIG of Linux (fcntl.h), which Python 3.11 does not name.
_F_SETSIG = 10
_LONGEST_FLUSH = 0.2


def frame(message: object) -> bytes:
    """A message as it is sent. Raises whatever pickling raises."""
    body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return HEADER.pack(len(body)) + body


def main() -> None:
    """Answer requests until the parent closes the socket."""
    link = open(int(sys.argv[1]), "r+b", buffering=0)  # noqa: SIM115, PTH123 - a descriptor, open to the end
    _die_with_parent(int(sys.argv[2]))
    _detach_output(link)
    reader = open(link.fileno(), "rb", closefd=False)  # noqa: SIM115
    _restore_environment()
    sys.path[:] = _read(reader)
    worker = _Worker()
    _write(link, ("ready", os.getpid()))
    while (request := _read(reader)) is not None:
        answer = worker.answer(request)
        _flush()
        _write(link, answer)
        if "agent_core.tracing.exporting" in sys.modules:
            # The next call, or the end of this process, may come at any moment.
            sys.modules["agent_core.tracing.exporting"].flush(_LONGEST_FLUSH)


class _Worker:
    """The tools that this process has loaded."""

    def __init__(self) -> None:
        # Every tool needs these: importing them now takes the time while nobody waits.
        from agent_core.tools import output, resolving
        from agent_core.tracing import context, installing

        self._output = output
        self._resolving = resolving
        self._context = context
        installing.trace_child(os.environ)
        self._tools: dict[str, AnyTool] = {}

    def answer(self, request: tuple[Any, ...]) -> object:
        if request[0] == "load":
            return self._load(request[1], request[2], request[3])
        return self._call(request[1], request[2], request[3], request[4])

    def _load(self, key: str, reference: "ToolReference", code: bytes | None) -> str | None:
        """Load a tool under a key of the parent's choice. Returns what is wrong, None if nothing is."""
        from agent_core.errors import RayconteurError

        try:
            self._tools[key] = self._resolving.load(reference, code)
        except RayconteurError as error:
            return str(error)
        except BaseException as error:  # noqa: BLE001 - a module may raise anything while it is imported
            return f"it cannot be loaded: {type(error).__name__}: {error}"
        return None

    def _call(self, key: str, values: dict[str, Any], context: "ToolContext", limit: int) -> "CallEnd":
        from pydantic import ValidationError

        tool = self._tools[key]
        try:
            positional, named = tool.parameters.bind(values, context)
        except ValidationError as error:
            return self._output.end_of_bad_arguments(tool, error)
        try:
            with self._context.continued(context.traceparent):
                value = tool.function(*positional, **named)
                if tool.asynchronous:
                    import asyncio

                    value = asyncio.run(value)
            return self._output.end_of_value(tool, values, value, limit)
        except BaseException as error:  # noqa: BLE001 - whatever a tool raises is its result, sys.exit() too
            return self._output.end_of_error(tool, error)


def _die_with_parent(lifeline: int) -> None:
    import _thread
    import signal

    os.set_inheritable(lifeline, False)  # noqa: FBT003 - the function's own signature
    if sys.platform == "linux":
        import fcntl

        # The kernel itself kills the whole process group when the parent's end closes, so that neither code which holds
        # the interpreter's lock nor a process that a tool started lives on.
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, _F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)

    def watch() -> None:
        os.read(lifeline, 1)
        os.killpg(os.getpgrp(), signal.SIGKILL)

    # Where the kernel cannot be asked, and for a parent that was gone before it was.
    _thread.start_new_thread(watch, ())


def _detach_output(link: BinaryIO | Any) -> None:
    import faulthandler

    os.set_inheritable(link.fileno(), False)  # noqa: FBT003
    os.dup2(2, 1)
    faulthandler.enable(all_threads=False)


def _restore_environment() -> None:
    path = os.environ.pop(PATH_VARIABLE, "")
    if path:
        os.environ["PYTHONPATH"] = path
    else:
        os.environ.pop("PYTHONPATH", None)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            # The tool closed it, or the parent reads it no more: its output is lost, its result is not.
            continue


def _read(reader: BinaryIO) -> Any:
    head = reader.read(HEADER.size)
    if len(head) < HEADER.size:
        return None
    return pickle.loads(reader.read(HEADER.unpack(head)[0]))  # noqa: S301 - it comes from the parent


def _write(link: Any, message: object) -> None:
    view = memoryview(frame(message))
    while view:
        view = view[link.write(view) :]


if __name__ == "__main__":
    main()
