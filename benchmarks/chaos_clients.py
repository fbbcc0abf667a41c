"""Who uses the sessions of the chaos soak: for each one somebody who writes and somebody who reads.

The rule here: a client does no more than the documents promise will do. It gives every message a key and sends it again
until it is answered; it reads from a cursor and goes on from there. It ends only when all that it was answered is done.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, field
from random import Random
from typing import Any

from agent_core.cursor import Cursor
from agent_core.entries import Outcome, TurnEnded
from agent_core.errors import RayconteurError
from agent_core.messages import SessionId, TurnId
from agent_core.payloads import Restarted, When
from agent_core.session_protocol import Session
from benchmarks.chaos_check import Answered, Reading
from benchmarks.chaos_tools import TOOLS

_WORDS = ("the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "and", "runs", "on", "to", "a", "river")
_PAUSE = 0.5
_LEAVING = 0.004
"""How likely a reader leaves after an event, to come back with its cursor."""


@dataclass(slots=True)
class Habits:
    """What clients do. `pause` is the mean of the seconds between a turn's end and the next message."""

    ledger: str
    pause: float
    padding: int = 120
    seconds: float = 0.6


@dataclass(slots=True)
class Seen:
    """What all clients saw together. `returns` counts how often a reader came back; `tell` is told of each error."""

    tell: Callable[[str], None]
    answered: list[Answered] = field(default_factory=list[Answered])
    outcomes: Counter[Outcome] = field(default_factory=Counter[Outcome])
    errors: Counter[str] = field(default_factory=Counter[str])
    restarts: int = 0
    returns: int = 0
    retries: int = 0


class Client:
    """The user of one session."""

    def __init__(self, session: Session, habits: Habits, seen: Seen, random: Random) -> None:
        self._session, self._habits, self._seen, self._random = session, habits, seen, random
        self._number = 0
        self._ends: Counter[TurnId] = Counter()
        self._outcome: dict[TurnId, Outcome] = {}
        self._changed = asyncio.Event()
        self.place = Cursor()
        self.reading = Reading()
        self.doing = "it is idle"
        """What the writer waits for, in words."""

    @property
    def id(self) -> SessionId:
        return self._session.id

    # --- writing ----------------------------------------------------------------------------------------------------

    async def write(self, stop: asyncio.Event) -> None:
        """Have turns until `stop`, and return when the last one has ended."""
        await _either(stop, self._random.uniform(0, self._habits.pause))
        while not stop.is_set():
            turns = [await self._accepted("after", self._message())]
            if self._random.random() < 0.15:
                turns.append(await self._accepted("next_step", self._message()))
            if self._random.random() < 0.03:
                await self._quietly_interrupted()
            for turn_id in turns:
                await self._ended(turn_id)
            self.doing = "it is idle"
            await _either(stop, self._random.uniform(0, 2 * self._habits.pause))

    def _message(self) -> str:
        """A text that no other message has, with calls of tools in some."""
        self._number += 1
        words = " ".join(self._random.choices(_WORDS, k=self._habits.padding))
        steps = [self._call() for _ in range(self._random.choice((0, 1, 1, 2)))]
        joint = self._random.choice((" then ", " and "))
        return f"Message {self._number} of {self.id}: {joint.join(steps)} {words}."

    def _call(self) -> str:
        tool = self._random.choice(TOOLS)
        seconds = round(self._random.uniform(0, 2 * self._habits.seconds), 2)
        return f"call {tool.name} {json.dumps({'ledger': self._habits.ledger, 'seconds': seconds})}"

    async def _accepted(self, when: When, text: str) -> TurnId:
        """Send a message until it is answered, now and then by two at once, or by one who dies before the answer."""
        key = f"key-{self._number}"
        self.doing = f"it has not answered the message of {key}"
        if self._random.random() < 0.1:
            await _cut_short(self._submit(text, when, key), self._random.uniform(0, 0.05))
        copies = 2 if self._random.random() < 0.1 else 1
        turns = await asyncio.gather(*(self._submit(text, when, key) for _ in range(copies)))
        return turns[0]

    async def _submit(self, text: str, when: When, key: str) -> TurnId:
        while True:
            try:
                turn_id = await self._session.submit(text, when=when, key=key)
            except RayconteurError as error:
                await self._failed("submit", error)
            else:
                self._seen.answered.append(Answered(self.id, key, turn_id, text))
                return turn_id

    async def _quietly_interrupted(self) -> None:
        self.doing = "it has not answered an interrupt"
        try:
            await self._session.interrupt()
        except RayconteurError as error:
            await self._failed("interrupt", error)

    async def _ended(self, turn_id: TurnId) -> None:
        """Wait for the turn's end. One that failed is tried again sometimes, as a user would."""
        self.doing = f"turn {turn_id} has not ended"
        while not self._ends[turn_id]:
            self._changed.clear()
            await self._changed.wait()
        if self._outcome[turn_id] != "failed" or self._random.random() < 0.5:
            return None
        ends = self._ends[turn_id]
        try:
            retried = await self._session.retry()
        except RayconteurError as error:
            # Another turn may be open by now, or be the last.
            return await self._failed("retry", error)
        self._seen.retries += 1
        self.doing = f"turn {retried} has not ended again"
        while retried == turn_id and self._ends[turn_id] == ends:
            self._changed.clear()
            await self._changed.wait()
        return None

    async def _failed(self, what: str, error: RayconteurError) -> None:
        self._seen.errors[f"{what}: {error.boundary}, {error.kind}"] += 1
        self._seen.tell(f"{self.id} got an error from '{what}': {error}")
        await asyncio.sleep(_PAUSE)

    # --- reading ----------------------------------------------------------------------------------------------------

    async def read(self) -> None:
        """Read every event from the first on, for ever, leaving now and then and coming back with the cursor."""
        while True:
            try:
                async with aclosing(self._session.events(after=self.place)) as events:  # type: ignore[type-var]
                    async for event in events:
                        self.place = event.cursor
                        self.reading.take(event)
                        self._note(event.payload)
                        if self._random.random() < _LEAVING:
                            break
            except RayconteurError as error:
                await self._failed("events", error)
            self._seen.returns += 1

    async def has_read(self, seq: int) -> None:
        """Wait until the reader has come to the journal's entry `seq`."""
        while self.place.seq < seq:
            self._changed.clear()
            await self._changed.wait()

    def _note(self, payload: object) -> None:
        if isinstance(payload, TurnEnded):
            self._seen.outcomes[payload.outcome] += 1
            self._outcome[payload.turn_id] = payload.outcome
            self._ends[payload.turn_id] += 1
        elif isinstance(payload, Restarted):
            self._seen.restarts += 1
        self._changed.set()


async def _either(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event, for so long at most."""
    await asyncio.wait([task := asyncio.ensure_future(event.wait())], timeout=seconds)
    task.cancel()


async def _cut_short(work: Coroutine[Any, Any, object], seconds: float) -> None:
    """Do the work, but leave it after so long."""
    task = asyncio.ensure_future(work)
    await asyncio.wait([task], timeout=seconds)
    task.cancel()
