"""A client process's side of one session actor: one stream for all its readers and answers, envelopes for its requests.

The rule here: requests of one turn of the loop share an envelope. When the actor dies, or has not got what was sent to
it, everybody who waits hears `LinkLost` and decides what to do; nothing is sent twice in silence.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import RayError

from actors.calls import Gone, ask, tell
from actors.envelopes import ANSWER, END, FAILURE, REFUSAL, Frame, Request, SessionMoved, event_of
from actors.finding import find_actor
from actors.head import Head
from actors.settings import RuntimeSettings
from agent_core.cursor import Event
from agent_core.errors import RayconteurError

READER_LIMIT = 20_000
log = logging.getLogger("rayconteur.link")


class LinkLost(Exception):
    """The session actor died, or has let go of this client."""


class Moved(LinkLost):
    """The session is in the actor `to` by now; where `to` is empty, whoever places sessions knows."""

    def __init__(self, to: str = "") -> None:
        super().__init__(to)
        self.to = to


class RemoteReader:
    """The frames of one subscription. A reader that is too slow loses its buffer and goes on from its cursor."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._events: deque[Frame] = deque()
        self._wake = asyncio.Event()
        self._end: RayconteurError | LinkLost | None = None
        self.ended = False

    def push(self, frame: Frame) -> None:
        """Take a frame of the link."""
        if frame[0] == END:
            self.stop(None)
        elif frame[0] == FAILURE:
            self.stop(_told(frame[2]))
        elif len(self._events) >= READER_LIMIT:
            self._events.clear()
            self.stop(LinkLost())
        elif not self.ended:
            self._events.append(frame)
        self._wake.set()

    def stop(self, reason: RayconteurError | LinkLost | None) -> None:
        """There will be no more events. The first reason counts."""
        if not self.ended:
            self.ended, self._end = True, reason
        self._wake.set()

    async def next(self) -> Event | None:
        """The next event, None at the end. Raises LinkLost if there will be no more though there should be."""
        while not self._events:
            if self.ended:
                if self._end is not None:
                    raise self._end
                return None
            self._wake.clear()
            await self._wake.wait()
        return event_of(self._events.popleft())


class Link:
    """The way to one session actor, of which `client` is a name that no other link has. Made by `Links.to`."""

    def __init__(self, name: str, settings: RuntimeSettings, client: str, head: Head) -> None:
        self.name, self._settings, self._client, self._head = name, settings, client, head
        self.actor: Any = None
        self._numbers = 0
        self._envelopes = 0
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._readers: dict[int, RemoteReader] = {}
        self._leaving: dict[int, str] = {}
        self._outgoing: list[Request] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.lost = False

    async def connect(self) -> None:
        """Open the stream. Raises PlacementError if there is no such actor, LinkLost if it is not alive."""
        self.actor = await find_actor(self.name, self._settings.namespace)
        try:
            job = ray.get_runtime_context().get_job_id()
            stream = tell(self.actor, "frames", self._client, job, task=f"stream to {self._client}")
            await (await anext(stream))
        except (Gone, RayError, StopAsyncIteration) as error:
            raise LinkLost from error
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._pump(stream)), loop.create_task(self._renew())]

    async def close(self) -> None:
        """Let go of the actor."""
        self._lose()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- requests ---------------------------------------------------------------------------------------------------

    async def call(self, session_id: str, operation: str, *arguments: Any) -> Any:
        """Have an operation performed and return its answer. Raises its refusal, or LinkLost."""
        number, answer = self._request(session_id, operation, arguments)
        try:
            return await answer
        finally:
            self._answers.pop(number, None)

    async def control(self, method: str, *arguments: Any) -> Any:
        """Have the actor's control thread answer. Raises as `ask` does, and PlacementError if the head is lost."""
        async with self._head.awaited():
            return await ask(self.actor, method, *arguments)

    def read(self, session_id: str, operation: str, *arguments: Any) -> tuple[RemoteReader, asyncio.Future[Any]]:
        """Have an operation performed that makes a reader; its answer says that it took effect."""
        number, answer = self._request(session_id, operation, arguments)
        reader = RemoteReader(number)
        if not self.lost:
            self._readers[number] = reader
        return reader, answer

    def leave(self, session_id: str, reader: RemoteReader) -> None:
        """Tell the actor that nobody reads any more."""
        if self._readers.pop(reader.number, None) is None:
            return
        if self._answers.pop(reader.number, None) is not None:
            # The actor's reader is yet to be made.
            self._leaving[reader.number] = session_id
        else:
            self._request(session_id, "leave", (reader.number,))

    def _request(self, session_id: str, operation: str, arguments: tuple[Any, ...]) -> tuple[int, asyncio.Future[Any]]:
        loop = asyncio.get_running_loop()
        self._numbers += 1
        answer: asyncio.Future[Any] = loop.create_future()
        if self.lost:
            _give_up(answer, LinkLost())
            return self._numbers, answer
        self._answers[self._numbers] = answer
        if not self._outgoing:
            loop.call_soon(self._send)
        self._outgoing.append(Request(self._numbers, session_id, operation, arguments))
        return self._numbers, answer

    def _send(self) -> None:
        requests, self._outgoing = self._outgoing, []
        if self.lost:
            return
        self._envelopes += 1
        named = _task_name(request.session_id for request in requests)
        try:
            # Not waited for: a call that gets lost shows in the end of the stream, or when the lease is renewed.
            tell(self.actor, "deliver", self._client, [tuple(request) for request in requests], task=named)
        except Gone as error:
            log.info("actor %s cannot be called: %s", self.name, error)
            self._lose()

    # --- frames -----------------------------------------------------------------------------------------------------

    async def _pump(self, stream: Any) -> None:
        try:
            async for reference in stream:
                for frame in await reference:
                    self._take(frame)
        except RayError as error:
            log.info("the stream of actor %s ended: %s", self.name, type(error).__name__)
        finally:
            self._lose()

    def _take(self, frame: Frame) -> None:
        kind, number = frame[0], frame[1]
        if kind in (ANSWER, REFUSAL):
            session_id = self._leaving.pop(number, None)
            if session_id is not None and kind == ANSWER:
                self._request(session_id, "leave", (number,))
            answer = self._answers.pop(number, None)
            if answer is not None and not answer.done():
                if kind == ANSWER:
                    answer.set_result(frame[2])
                else:
                    answer.set_exception(_told(frame[2]))
            return
        reader = self._readers.get(number)
        if reader is not None:
            reader.push(frame)
            if kind in (END, FAILURE):
                del self._readers[number]

    async def _renew(self) -> None:
        """Keep the lease, and see whether the actor got everything that was sent before the last time."""
        sent = 0
        while not self.lost:
            await asyncio.sleep(self._settings.lease / 3)
            known = False
            before, sent = sent, self._envelopes
            with suppress(Gone):
                known = await ask(self.actor, "renew", self._client, before)
            if not known:
                self._lose()

    def _lose(self) -> None:
        if self.lost:
            return
        with suppress(Gone):
            # If it is alive it has to know that this stream is read no more.
            tell(self.actor, "let_go", self._client)
        self.fail(LinkLost)

    def fail(self, reason: Callable[[], LinkLost | RayconteurError]) -> None:
        """Whoever waits hears this: there will be nothing more."""
        self.lost = True
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        answers, self._answers = self._answers, {}
        for answer in answers.values():
            if not answer.done():
                _give_up(answer, reason())
        readers, self._readers = self._readers, {}
        for reader in readers.values():
            reader.stop(reason())


def _told(error: RayconteurError) -> RayconteurError | LinkLost:
    return Moved(error.to) if isinstance(error, SessionMoved) else error


def _give_up(answer: asyncio.Future[Any], reason: Exception) -> None:
    answer.set_exception(reason)
    # Nobody may be waiting any more; that is no fault of theirs.
    answer.exception()


def _task_name(session_ids: Iterable[str]) -> str:
    """What Ray's dashboard shows: which session an envelope is for, and of how many others."""
    first, *others = dict.fromkeys(session_ids)
    return f"session {first} +{len(others)}" if others else f"session {first}"
