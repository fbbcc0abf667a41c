"""Starts programs as processes that need not import everything first: each is forked from one that has.

The rule here: what comes of it is a process like any other, with its own streams, signals and exit code. What is about
the start of the interpreter itself, or a shell's redirections, is started in the ordinary way.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
from asyncio.base_subprocess import BaseSubprocessTransport
from asyncio.subprocess import SubprocessStreamProtocol
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

ROOT = Path(__file__).resolve().parents[2]
READ_AT_MOST = 2**16


@dataclass
class Request:
    """What to run, and where: a module with its arguments."""

    arguments: tuple[str, ...]
    cwd: Path
    environment: Mapping[str, str]
    new_session: bool

    def encode(self) -> bytes:
        """The request as the server reads it."""
        return json.dumps({**vars(self), "cwd": str(self.cwd), "environment": dict(self.environment)}).encode()


class ForkServer:
    """A process that has imported what the programs import."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control

    async def start(
        self,
        *arguments: str,
        cwd: Path = ROOT,
        env: Mapping[str, str],
        stdin: int = subprocess.PIPE,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
        start_new_session: bool = False,
    ) -> asyncio.subprocess.Process:
        """Start `python -m` with these arguments. A stream is a descriptor, or as `subprocess` names it."""
        loop = asyncio.get_running_loop()
        protocol = SubprocessStreamProtocol(READ_AT_MOST, loop)
        waiter = loop.create_future()
        request = Request(arguments, cwd, env, start_new_session)
        transport = _Transport(
            *(loop, protocol, arguments, False, stdin, stdout, stderr, 0),
            waiter=waiter,
            start=lambda streams: _Fork(request, streams, self._control),
        )
        await waiter
        return asyncio.subprocess.Process(transport, protocol, loop)


@contextmanager
def serving() -> Iterator[ForkServer]:
    """A server, until the end of the context."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            server = subprocess.Popen(
                [sys.executable, "-m", "tests.drivers.fork_server", str(theirs.fileno())],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        try:
            assert ours.recv(16) == b"ready", "the server of the forks did not start"
            yield ForkServer(ours)
        finally:
            ours.close()
            server.wait()


class _Fork:
    """A forked process, with the part of `subprocess.Popen` that asyncio uses."""

    def __init__(self, request: Request, streams: list[int], control: socket.socket) -> None:
        self.stdin: BinaryIO | None = None
        self.stdout: BinaryIO | None = None
        self.stderr: BinaryIO | None = None
        self.returncode: int | None = None
        theirs: list[int] = []
        for number, (name, given) in enumerate(zip(("stdin", "stdout", "stderr"), streams, strict=True)):
            theirs.append(self._end_of(name, given, writing=number == 0))
        self.report, reporting = socket.socketpair()
        with reporting:
            socket.send_fds(control, [request.encode()], [*theirs, reporting.fileno()])
        for descriptor in theirs:
            os.close(descriptor)
        self.pid = int(self.report.makefile("rb", 0).readline())

    def _end_of(self, name: str, given: int, *, writing: bool) -> int:
        if given == subprocess.DEVNULL:
            return os.open(os.devnull, os.O_RDWR)
        if given != subprocess.PIPE:
            return os.dup(given)
        reader, writer = os.pipe()
        ours, theirs = (writer, reader) if writing else (reader, writer)
        setattr(self, name, open(ours, "wb" if writing else "rb", 0))  # noqa: PTH123, SIM115
        return theirs

    def poll(self) -> int | None:
        """Its exit code, as far as it is known."""
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """End it."""
        self.send_signal(15)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(9)


class _Transport(BaseSubprocessTransport):
    """What asyncio has between a process and its streams; its loop hears of the end from the server."""

    def _start(self, args: Any, shell: Any, stdin: Any, stdout: Any, stderr: Any, bufsize: int, **kwargs: Any) -> None:
        self._proc: Any = kwargs["start"]([stdin, stdout, stderr])
        self._loop: asyncio.AbstractEventLoop
        self._loop.add_reader(self._proc.report, self._ended)

    def _ended(self) -> None:
        self._loop.remove_reader(self._proc.report)
        with self._proc.report as report:
            self._proc.returncode = int(report.recv(64) or 255)
        self._process_exited(self._proc.returncode)
