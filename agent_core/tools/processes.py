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
from pathlib import Path
from typing import Any, cast

from agent_core.errors import ToolUnavailable
from agent_core.tools.child import HEADER, PATH_VARIABLE, frame
from agent_core.tools.context import ToolContext
from agent_core.tools.definition import ToolReference
from agent_core.tools.output import CallEnd
from agent_core.tracing.installing import for_children

START_TIMEOUT = 60.0
"""Seconds that a process may take until it is ready, imports of ours included."""
TAIL_CHARACTERS = 1_000
"""How much of a call's standard output and error is kept, to say what it wrote before it died."""
_LAST_WORDS = 0.2
"""Seconds to wait for what a dead child wrote."""
_ROOT = str(Path(__file__).resolve().parents[2])

_log = logging.getLogger("rayconteur.tools.output")


class ChildDied(Exception):
    """The process ended before it answered; the text says how, for the model."""


class _Closed(Exception):
    """The socket closed while an answer was awaited."""


class _Link(asyncio.Protocol):
    """The parent's end of the socket: frames in, one waiting future at a time."""

    def __init__(self, ours: socket.socket) -> None:
        self._socket = ours
        self._closed = False
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._answer: asyncio.Future[bytes] | None = None

    @property
    def closed(self) -> bool:
        """Whether the other end is gone. The kernel is asked, since the loop hears of it only later."""
        if self._closed:
            return True
        try:
            return self._socket.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def write(self, data: bytes) -> None:
        """Send a frame; to a closed socket it is lost, and the awaited answer has failed already."""
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        """Close the socket at once."""
        if self._transport is not None:
            self._transport.abort()

    def expect(self) -> asyncio.Future[bytes]:
        """A future for the next frame; it fails with _Closed when the socket closes instead."""
        self._answer = asyncio.get_running_loop().create_future()
        if self._closed:
            self._answer.set_exception(_Closed())
        return self._answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

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
        self._closed = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(_Closed())


class _Output(asyncio.Protocol):
    """The reading end of a child's standard output and error: the newest characters are kept."""

    def __init__(self) -> None:
        self.tail = ""
        self.ended = asyncio.Event()
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        text = data.decode(errors="replace")
        _log.debug("%s", text)
        self.tail = (self.tail + text)[-TAIL_CHARACTERS:]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.ended.set()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Child:
    """A process that runs tools, one request at a time."""

    def __init__(self, process: asyncio.subprocess.Process, lifeline: int, link: _Link, output: _Output) -> None:
        self.loaded: set[str] = set()
        self.idle_since = 0.0
        self._process = process
        self._lifeline = lifeline
        self._link = link
        self._output = output
        self._killed = False

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
        self._output.tail = ""
        return await self._request(("call", key, values, context, limit))

    async def ready(self) -> None:
        """Give the process the module path and wait until its imports are done.

        Raises ChildDied. Cancelling this kills the process.
        """
        await self._request(list(sys.path))

    def kill(self) -> None:
        """End the process and whatever it has started, at once. Safe to repeat."""
        if self._killed:
            return
        self._killed = True
        # The group outlives its leader while a process that a tool started is left in it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        os.close(self._lifeline)
        self._link.close()

    async def ended(self) -> None:
        """Wait until a killed process is gone."""
        await self._process.wait()
        self._output.close()

    async def _request(self, message: object) -> Any:
        answer = self._link.expect()
        try:
            self._link.write(frame(message))
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
            # A process that the tool has started in a session of its own may hold the pipe open.
            await asyncio.wait_for(self._output.ended.wait(), _LAST_WORDS)
        if code < 0:
            name = signal.Signals(-code).name if -code in signal.valid_signals() else "unknown"
            how = f"its process was killed by signal {-code} ({name})"
            if code == -signal.SIGKILL:
                how += ", as happens when memory runs out"
        else:
            how = f"its process ended by itself with exit code {code}"
        said = self._output.tail.strip()
        return f"{how}. The last that it wrote:\n{said}" if said else f"{how}."


async def start_child() -> Child:
    """Start a process and wait until it is ready.

    Raises ToolUnavailable when it does not come up.
    """
    try:
        async with asyncio.timeout(START_TIMEOUT):
            child = await _launched()
            try:
                await child.ready()
            except BaseException:
                child.kill()
                await child.ended()
                raise
            return child
    except (OSError, TimeoutError, ChildDied) as error:
        raise ToolUnavailable(
            f"no process could be started to run it: {type(error).__name__}: {error}."
            " Look at the machine's free memory and its limits of processes and open files."
        ) from error


async def _launched() -> Child:
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as on_failure, contextlib.ExitStack() as in_any_case:
        # Each pair is made right before the await that takes it over: asyncio closes it when that is cancelled.
        reading, writing = os.pipe()
        in_any_case.callback(os.close, writing)
        output = _Output()
        await loop.connect_read_pipe(lambda: output, open(reading, "rb", buffering=0))  # noqa: ASYNC230, SIM115, PTH123
        on_failure.callback(output.close)
        ours, theirs = socket.socketpair()
        in_any_case.callback(theirs.close)
        ours.setblocking(False)  # noqa: FBT003 - the method's own signature
        link = _Link(ours)
        await loop.create_connection(lambda: link, sock=ours)
        on_failure.callback(link.close)
        end, lifeline = os.pipe()
        on_failure.callback(os.close, lifeline)
        in_any_case.callback(os.close, end)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "agent_core.tools.child", str(theirs.fileno()), str(end)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=writing,
            pass_fds=(theirs.fileno(), end),
            start_new_session=True,
            env=_environment(),
        )
        on_failure.pop_all()
    return Child(process, lifeline, link, output)


def _environment() -> dict[str, str]:
    """The parent's environment, with a module path in which the child finds itself; the child puts the old one back."""
    old = os.environ.get("PYTHONPATH")
    path = _ROOT if not old else f"{_ROOT}{os.pathsep}{old}"
    return {**os.environ, "PYTHONPATH": path, PATH_VARIABLE: old or "", **for_children()}
