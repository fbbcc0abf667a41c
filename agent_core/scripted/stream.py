"""Sends a stream of events: in one piece, or paced, cut, stalled and failed as the knobs say.

The rule here: with k deltas before a fault, exactly k deltas and whatever stands before the next one are on the wire
when it falls.
"""

import asyncio

from aiohttp import web

from agent_core.scripted.engine import Answer
from agent_core.scripted.frames import Frames, encoded
from agent_core.scripted.http_faults import stream_error
from agent_core.scripted.render_anthropic import PING, error_event
from agent_core.scripted.render_chat import KEEP_ALIVE, error_chunk
from agent_core.scripted.render_responses import failure_event
from agent_core.scripted.wire import Wire


class Stalls:
    """Everyone who waits for `release`."""

    def __init__(self) -> None:
        self._gate = asyncio.Event()
        self.waiting = 0

    def release(self) -> None:
        """Lets all that wait now go on; later ones wait again."""
        self._gate.set()
        self._gate = asyncio.Event()

    async def wait(self, seconds: float | None) -> None:
        """Waits for `release`, at most `seconds`."""
        gate = self._gate
        self.waiting += 1
        try:
            async with asyncio.timeout(seconds):
                await gate.wait()
        except TimeoutError:
            pass
        finally:
            self.waiting -= 1


def fault_position(answer: Answer) -> int | None:
    """How many deltas are sent before the fault falls, None without a fault of the stream."""
    match answer.fault:
        case "cut":
            return answer.knobs.cut_after_deltas
        case "stall":
            return answer.knobs.stall_after_deltas
        case "stream_error":
            return answer.knobs.error_after_deltas
        case _:
            return None


def with_pings(frames: Frames, every: int, wire: Wire) -> Frames:
    """The same events with a ping behind every nth delta; OpenAI has none, there it is a comment line."""
    ping = PING if wire is Wire.ANTHROPIC else KEEP_ALIVE
    pinged = Frames()
    places = set(frames.deltas)
    for index, text in enumerate(frames.data):
        if index not in places:
            pinged.add(text)
            continue
        pinged.delta(text)
        if len(pinged.deltas) % every == 0:
            pinged.add(ping)
    return pinged


def error_text(answer: Answer, sent: int, created: int) -> str:
    """The event of an error in mid-stream, behind `sent` events; `created` is in Unix seconds."""
    wire = answer.request.wire
    match wire:
        case Wire.ANTHROPIC:
            return error_event(stream_error(wire, answer.knobs))
        case Wire.CHAT:
            return error_chunk(stream_error(wire, answer.knobs))
        case Wire.RESPONSES:
            return failure_event(answer.message, answer.request.body, created, sent, answer.knobs)


class Pacer:
    """Writes events to a prepared response, a delta at a time where a rate is set."""

    def __init__(self, response: web.StreamResponse, frames: Frames, answer: Answer) -> None:
        self._response = response
        self._frames = frames
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._paced = 0
        rate = answer.knobs.tokens_per_second
        tokens = answer.message.output_tokens
        self._interval = tokens / max(1, len(frames.deltas)) / rate if rate is not None else 0.0
        self.sent = 0

    async def up_to(self, deltas: int | None) -> None:
        """Sends until `deltas` deltas are out and the next one would follow; all the rest without a number."""
        places = self._frames.deltas
        end = self._end(deltas)
        if self._interval:
            for place in [place for place in places if self.sent <= place < end]:
                await self._wait()
                await self._write(place + 1)
        await self._write(end)

    async def fail(self, text: str) -> None:
        """Sends an event that was not planned."""
        await self._response.write(encoded(text))

    def resume(self) -> None:
        """Starts the clock anew, so that a stall is not made up for."""
        self._started = self._loop.time()
        self._paced = 0

    def _end(self, deltas: int | None) -> int:
        places = self._frames.deltas
        if deltas is None:
            return len(self._frames.data)
        if deltas < len(places):
            return places[deltas]
        return places[-1] + 1 if places else max(0, len(self._frames.data) - 2)

    async def _wait(self) -> None:
        self._paced += 1
        # Deadlines are counted from the start, so that the rate holds on a busy machine.
        await asyncio.sleep(max(0.0, self._started + self._paced * self._interval - self._loop.time()))

    async def _write(self, end: int) -> None:
        if end > self.sent:
            await self._response.write(encoded("".join(self._frames.data[self.sent : end])))
            self.sent = end
