"""One child process for synchronous tools, and what is said over its socket.

The rule here: whoever stops waiting for a child's answer kills it, so that an answer can never reach the wrong call.
"""

import asyncio
import contextlib
import logging
import os
import pickle
import signal
import socket
import sys
from collections import deque
from pathlib import Path
from typing import Any

from agent_core.errors import ToolUnavailable
from agent_core.tools.child import HEADER, PATH_VARIABLE, frame
from agent_core.tools.context import ToolContext
from agent_core.tools.definition import ToolReference
from agent_core.tools.output import CallEnd

START_TIMEOUT = 60.0
"""Seconds that a process may take until it is ready, imports of ours included."""
TAIL_LINES = 20
"""Lines of a child's standard output and error that are kept, to say what it wrote before it died."""
_LINE_LIMIT = 65_536
_ROOT = str(Path(__file__).resolve().parents[2])

_log = logging.getLogger("rayconteur.tools.output")


class ChildDied(Exception):
    """The process ended before it answered; the text says how, for the model."""


class _Closed(Exception):
    """The socket closed while an answer was awaited."""


class _Link(asyncio.Protocol):
    """The parent's end of the socket: frames in, one waiting future at a time."""

    def __init__(self) -> None:
        self.closed = False
        self._buffer = bytearray()
        self._answer: asyncio.Future[bytes] | None = None

    def expect(self) -> asyncio.Future[bytes]:
        """A future for the next frame; it fails with _Closed when the socket closes instead."""
        self._answer = asyncio.get_running_loop().create_future()
        if self.closed:
            self._answer.set_exception(_Closed())
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) < HEADER.size:
            return
        size = HEADER.size + HEADER.unpack_from(self._buffer)[0]
        if len(self._buffer) < size:
            return
        body = bytes(self._buffer[HEADER.size : size])
        del self._buffer[:size]
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(body)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.closed = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(_Closed())


class Child:
    """A process that runs tools, one request at a time."""

    def __init__(self, process: asyncio.subprocess.Process, lifeline: int, link: _Link) -> None:
        self.loaded: set[str] = set()
        self.idle_since = 0.0
        self._process = process
        self._lifeline = lifeline
        self._link = link
        self._transport: asyncio.WriteTransport | None = None
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._output = asyncio.create_task(self._read_output())
        self._killed = False

    @classmethod
    async def start(cls) -> "Child":
        """Start a process and wait until it is ready.

        Raises ToolUnavailable when it does not come up.
        """
        child: Child | None = None
        try:
            async with asyncio.timeout(START_TIMEOUT):
                child, ours = await cls._launched()
                child._transport, _ = await asyncio.get_running_loop().create_connection(lambda: child._link, sock=ours)
                await child._request(list(sys.path))
        except (OSError, TimeoutError, ChildDied) as error:
            raise ToolUnavailable(
                f"no process could be started to run it: {type(error).__name__}: {error}."
                " Look at the machine's free memory and its limits of processes and open files."
            ) from error
        else:
            ready, child = child, None
            return ready
        finally:
            if child is not None:
                child.kill()

    @classmethod
    async def _launched(cls) -> "tuple[Child, socket.socket]":
        with contextlib.ExitStack() as on_failure, contextlib.ExitStack() as at_once:
            ours, theirs = socket.socketpair()
            on_failure.callback(ours.close)
            at_once.callback(theirs.close)
            end, lifeline = os.pipe()
            on_failure.callback(os.close, lifeline)
            at_once.callback(os.close, end)
            ours.setblocking(False)  # noqa: FBT003 - the method's own signature
            arguments = ("-m", "agent_core.tools.child", str(theirs.fileno()), str(end))
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                limit=_LINE_LIMIT,
                pass_fds=(theirs.fileno(), end),
                start_new_session=True,
                env=_environment(),
            )
            on_failure.pop_all()
            return cls(process, lifeline, _Link()), ours
        raise AssertionError

    @property
    def alive(self) -> bool:
        return not self._killed and not self._link.closed

    @property
    def pid(self) -> int:
        return self._process.pid

    async def load(self, key: str, reference: ToolReference, code: bytes | None) -> None:
        """Load a tool under `key`. Raises ToolUnavailable, or ChildDied if loading it ended the process."""
        problem = await self._request(("load", key, reference, code))
        if problem is not None:
            raise ToolUnavailable(problem)
        self.loaded.add(key)

    async def call(self, key: str, values: dict[str, Any], context: ToolContext, limit: int) -> CallEnd:
        """Run a loaded tool on `values`; `limit` is in characters of its output.

        Raises ChildDied. Cancelling this kills the process.
        """
        return await self._request(("call", key, values, context, limit))

    def kill(self) -> None:
        """End the process and whatever it has started, at once. Safe to repeat."""
        if self._killed:
            return
        self._killed = True
        # The group outlives its leader while a process that a tool started is left in it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        os.close(self._lifeline)
        if self._transport is not None:
            self._transport.abort()

    async def ended(self) -> None:
        """Wait until the process is gone and its output is read."""
        await self._process.wait()
        await asyncio.gather(self._output, return_exceptions=True)

    async def _request(self, message: object) -> Any:
        answer = self._link.expect()
        try:
            if self._transport is not None:
                self._transport.write(frame(message))
            return pickle.loads(await answer)  # noqa: S301 - it comes from our own child
        except _Closed:
            raise ChildDied(await self._how_it_ended()) from None
        except BaseException:
            self.kill()
            raise

    async def _how_it_ended(self) -> str:
        code = await self._process.wait()
        self.kill()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._output), 0.2)
        if code < 0:
            name = signal.Signals(-code).name if -code in signal.valid_signals() else "unknown"
            how = f"its process was killed by signal {-code} ({name})"
            if code == -signal.SIGKILL:
                how += ", as happens when memory runs out"
        else:
            how = f"its process ended by itself with exit code {code}"
        said = "\n".join(self._tail).strip()
        return f"{how}. The last that it wrote:\n{said[-1000:]}" if said else f"{how}."

    async def _read_output(self) -> None:
        stream = self._process.stderr
        if stream is None:
            return
        while data := await stream.read(_LINE_LIMIT):
            text = data.decode(errors="replace")
            _log.debug("process %d: %s", self._process.pid, text)
            self._tail.extend(text.splitlines())


def _environment() -> dict[str, str]:
    """The parent's environment, with a module path in which the child finds itself; the child puts the old one back."""
    old = os.environ.get("PYTHONPATH")
    path = _ROOT if not old else f"{_ROOT}{os.pathsep}{old}"
    return {**os.environ, "PYTHONPATH": path, PATH_VARIABLE: old or ""}
