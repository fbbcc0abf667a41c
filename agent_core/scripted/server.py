"""The scripted model server: the engine behind HTTP, on the running loop. `process.py` gives it a process of its own.

The rule here: a request costs as little as aiohttp allows (its low-level server, no routes, one write for an answer
that is neither paced nor broken), since this server must never be the slowest part of what it measures.
"""

import asyncio
from typing import TYPE_CHECKING, Self

from aiohttp import web

from agent_core.scripted.answering import PATHS, Answering
from agent_core.scripted.brain import Brain
from agent_core.scripted.control import Control
from agent_core.scripted.engine import Engine
from agent_core.scripted.http_faults import MAXIMUM_BODY_BYTES
from agent_core.scripted.knobs import Knobs
from agent_core.scripted.record import Recorder, RequestRecord, Stats
from agent_core.scripted.script import Script
from agent_core.scripted.stream import Stalls

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.http import RawRequestMessage
    from aiohttp.streams import StreamReader
    from aiohttp.web_protocol import RequestHandler

_BACKLOG = 4_096
_SHUTDOWN_S = 0.1


class ScriptedServer:
    """`async with ScriptedServer(script) as server: server.url` serves on the running loop.

    `script` says what is answered, or `brain`, a callable, does. `port` 0 takes a free one. Raises OSError if the
    port is in use. `recorder.wait_for` awaits a state of the counters, so that a test needs no sleep.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        brain: Brain | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.engine = Engine(script, brain=brain)
        self.recorder = Recorder()
        self.stalls = Stalls()
        self._answering = Answering(self.engine, self.recorder, self.stalls)
        self._control = Control(self.engine, self.recorder, self.stalls)
        self._address = (host, port)
        self._runner: web.ServerRunner | None = None

    async def __aenter__(self) -> Self:
        server = web.Server(self._handle, request_factory=_request, handler_cancellation=True, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, *self._address, backlog=_BACKLOG).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def url(self) -> str:
        """`http://host:port`: the base URL for Anthropic's SDK; OpenAI's takes it with `/v1`."""
        if self._runner is None:
            raise RuntimeError("The server does not run. Use it as `async with ScriptedServer() as server`.")
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    @property
    def knobs(self) -> Knobs:
        """The global knobs. Assigning turns them and starts the seed and the counters of the faults anew."""
        return self.engine.knobs

    @knobs.setter
    def knobs(self, knobs: Knobs) -> None:
        self.engine.set_knobs(knobs)

    @property
    def stats(self) -> Stats:
        """The counters."""
        return self.recorder.stats

    @property
    def requests(self) -> list[RequestRecord]:
        """The last requests, oldest first."""
        return self.recorder.requests

    def release(self) -> None:
        """Lets every stalled answer go on."""
        self.stalls.release()

    async def stalled(self, count: int = 1) -> None:
        """Returns once at least `count` answers stall."""
        await self.recorder.wait_for(lambda stats: stats.stalled >= count)

    async def seen(self, count: int) -> None:
        """Returns once at least `count` requests have come in."""
        await self.recorder.wait_for(lambda stats: stats.requests >= count)

    async def idle(self) -> None:
        """Returns once no request is in flight."""
        await self.recorder.wait_for(lambda stats: stats.in_flight == 0)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        wire = PATHS.get(request.path)
        if wire is None:
            return await self._control.handle(request)
        return await self._answering.handle(request, wire)


def _request(
    message: "RawRequestMessage",
    payload: "StreamReader",
    protocol: "RequestHandler",
    writer: "AbstractStreamWriter",
    task: "asyncio.Task[None]",
) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MAXIMUM_BODY_BYTES)
