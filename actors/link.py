"""A client process's side of one session actor: one stream for all its readers and answers, envelopes for requests.

The rule here: requests of one turn of the loop share an envelope. When the actor dies, everybody who waits hears
`LinkLost` and decides what to do; nothing is sent twice in silence.
"""

import asyncio
from collections import deque
from typing import Any

from ray.exceptions import RayError

from actors.channel import LEASE
from actors.envelopes import ANSWER, END, REFUSAL, Frame, Request, event_of
from actors.spawning import find_actor
from agent_core.cursor import Event

READER_LIMIT = 20_000


class LinkLost(Exception):
    """The session actor died, or has let go of this client."""


class RemoteReader:
    """The frames of one subscription. A reader that is too slow loses its buffer and is told that it is `behind`."""

    def __init__(self, link: "Link", number: int) -> None:
        self._link, self.number = link, number
        self._events: deque[Frame] = deque()
        self._wake = asyncio.Event()
        self.ended = False
        self._lost = False
        self.behind = False

    def push(self, frame: Frame) -> None:
        """Take a frame of the link."""
        if frame[0] == END:
            self.ended = True
        elif len(self._events) >= READER_LIMIT:
            self._events.clear()
            self.behind = True
            self._lost = True
        else:
            self._events.append(frame)
        self._wake.set()

    def lose(self) -> None:
        """The link is gone."""
        self._lost = True
        self._wake.set()

    async def next(self) -> Event | None:
        """The next event, None at the end. Raises LinkLost if there will be no more though there should be."""
        while True:
            if self._events:
                return event_of(self._events.popleft())
            if self.ended:
                return None
            if self._lost:
                raise LinkLost
            self._wake.clear()
            await self._wake.wait()


class Link:
    """The way to one session actor. Made by `Links.to`."""

    def __init__(self, name: str, namespace: str, client: str) -> None:
        self.name, self._namespace, self._client = name, namespace, client
        self.actor: Any = None
        self._numbers = 0
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._readers: dict[int, RemoteReader] = {}
        self._outgoing: list[Request] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.lost = False

    async def connect(self) -> None:
        """Open the stream. Raises PlacementError if there is no such actor, LinkLost if it is not alive."""
        self.actor = await find_actor(self.name, self._namespace)
        stream = self.actor.frames.remote(self._client)
        try:
            await (await anext(stream))
        except (RayError, StopAsyncIteration) as error:
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

    def read(self, session_id: str, operation: str, *arguments: Any) -> tuple[RemoteReader, asyncio.Future[Any]]:
        """Have an operation performed that makes a reader; its answer says that it took effect."""
        number, answer = self._request(session_id, operation, arguments)
        reader = self._readers[number] = RemoteReader(self, number)
        return reader, answer

    def leave(self, session_id: str, reader: RemoteReader) -> None:
        """Tell the actor that nobody reads any more."""
        self._answers.pop(reader.number, None)
        if self._readers.pop(reader.number, None) is not None and not self.lost and not reader.ended:
            self._request(session_id, "leave", (reader.number,))

    def _request(self, session_id: str, operation: str, arguments: tuple[Any, ...]) -> tuple[int, asyncio.Future[Any]]:
        loop = asyncio.get_running_loop()
        self._numbers += 1
        answer: asyncio.Future[Any] = loop.create_future()
        if self.lost:
            answer.set_exception(LinkLost())
            return self._numbers, answer
        self._answers[self._numbers] = answer
        if not self._outgoing:
            loop.call_soon(self._send)
        self._outgoing.append(Request(self._numbers, session_id, operation, arguments))
        return self._numbers, answer

    def _send(self) -> None:
        requests, self._outgoing = self._outgoing, []
        if not self.lost:
            self.actor.deliver.remote(self._client, [tuple(request) for request in requests])

    # --- frames -----------------------------------------------------------------------------------------------------

    async def _pump(self, stream: Any) -> None:
        try:
            async for reference in stream:
                for frame in await reference:
                    self._take(frame)
        except RayError:
            pass
        finally:
            self._lose()

    def _take(self, frame: Frame) -> None:
        kind, number = frame[0], frame[1]
        if kind in (ANSWER, REFUSAL):
            answer = self._answers.pop(number, None)
            if answer is not None and not answer.done():
                if kind == ANSWER:
                    answer.set_result(frame[2])
                else:
                    answer.set_exception(frame[2])
            return
        reader = self._readers.get(number)
        if reader is not None:
            reader.push(frame)
            if kind == END:
                del self._readers[number]

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(LEASE / 3)
            try:
                if not await self.actor.renew.remote(self._client):
                    break
            except RayError:
                break
        self._lose()

    def _lose(self) -> None:
        self.lost = True
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        answers, self._answers = self._answers, {}
        for answer in answers.values():
            if not answer.done():
                answer.set_exception(LinkLost())
                # Nobody may be waiting any more; that is no fault of theirs.
                answer.exception()
        readers, self._readers = self._readers, {}
        for reader in readers.values():
            reader.lose()
