"""Who uses the simulated world: users, readers that come back, and the one who breaks it.

The rule here: a client does what the handle of a cluster does. It sends the same key again when the process died before
it answered, and it reads on from its cursor.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import TypeVar, get_args

from agent_core.content import ToolResultBlock
from agent_core.cursor import Cursor
from agent_core.entries import Settings
from agent_core.errors import RayconteurError, SessionClosed
from agent_core.local_session import LocalSession
from agent_core.messages import SessionId, TurnId
from agent_core.payloads import InterruptMode, ToolResults, When
from agent_core.simulation.world import ProcessDied, World

Answer = TypeVar("Answer")
_PATIENCE = 40
_LONGEST_COMPACTION = 300.0


class User:
    """Somebody who uses one session."""

    def __init__(self, world: World, session_id: SessionId, name: str) -> None:
        self._world, self._id, self._name = world, session_id, name
        self._random = Random(world.random.random())
        self._sent = 0

    async def act(self) -> None:
        """Do one thing, whatever comes to mind."""
        actions: list[tuple[float, Callable[[], Awaitable[None]]]] = [
            (8, self.send),
            (2, self.interrupt),
            (1, lambda: self._quietly(LocalSession.clear)),
            (1, lambda: self._quietly(self._compact)),
            (0.5, lambda: self._quietly(self._pin)),
            (1, lambda: self._quietly(LocalSession.retry)),
            (
                1,
                lambda: self._quietly(
                    lambda session: session.configure(Settings(fields={"system_prompt": "Be brief."}))
                ),
            ),
            (0.5, lambda: self._quietly(lambda session: session.shutdown(graceful=self._random.random() < 0.5))),
        ]
        weights, chosen = zip(*actions, strict=True)
        await self._random.choices(chosen, weights)[0]()

    def pause(self) -> float:
        """How long to wait before the next action, in seconds."""
        return self._random.choice((0.0, 0.01, 1.0, 6.0))

    async def send(self) -> None:
        """Send a message; until it is answered, send it again."""
        self._sent += 1
        key = f"{self._name}-{self._sent}"
        when: When = self._random.choice(get_args(When))
        text = f"Message {key}."
        self._world.evidence.said.add(text)

        async def submit(session: LocalSession) -> TurnId:
            return await session.submit(text, when=when, key=key)

        turn_id = await self._ask(submit)
        if turn_id is not None:
            self._world.evidence.accepted.append((self._id, key, turn_id))

    async def interrupt(self) -> None:
        """End the open turn."""
        mode: InterruptMode = self._random.choice(get_args(InterruptMode))
        open_turn: TurnId | None = None

        async def interrupt(session: LocalSession) -> bool:
            nonlocal open_turn
            open_turn = (await session.status()).turn_id
            return await session.interrupt(mode)

        if await self._ask(interrupt, once=True) and open_turn is not None:
            self._world.evidence.interrupted.append((self._id, open_turn))

    async def answer_external(self) -> None:
        """Give the results that the session waits for from outside, some of them twice or one by one."""

        async def answer(session: LocalSession) -> None:
            history = session.conversation
            batch = history.open.batch if history.open else None
            waiting = [call.id for call in batch.calls if call.external] if batch else []
            for call in waiting:
                await session.submit(ToolResults(results=(ToolResultBlock(tool_use_id=call, content="from outside"),)))

        await self._ask(answer, once=True)

    async def _compact(self, session: LocalSession) -> None:
        """Ask for a compaction. Under a turn with thinking it waits for the turn's end, and nobody waits for ever."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_COMPACTION):
                await session.compact()

    async def _pin(self, session: LocalSession) -> None:
        """Pin any message, or let one go."""
        history = await session.history(full=True)
        message = self._random.choice(history) if history else "none"
        await (session.pin(message) if self._random.random() < 0.7 else session.unpin(message))

    async def _quietly(self, action: Callable[[LocalSession], Awaitable[object]]) -> None:
        await self._ask(action, once=True)

    async def _ask(self, action: Callable[[LocalSession], Awaitable[Answer]], *, once: bool = False) -> Answer | None:
        for _ in range(1 if once else _PATIENCE):
            try:
                process, session = await self._world.session(self._id)
                return await self._world.within(process, lambda s=session: _awaited(action(s)))
            except ProcessDied:
                pass
            except SessionClosed:
                pass
            except RayconteurError as error:
                if error.boundary in ("session", "config", "tool"):
                    return None
            await asyncio.sleep(0.3)
        return None


async def _awaited(work: Awaitable[Answer]) -> Answer:
    return await work


async def read_on(world: World, session_id: SessionId, name: str, *, slow: bool) -> None:
    """Read a session's events from the first on, for ever, coming back with the cursor whenever the stream is lost."""
    random = Random(world.random.random())
    shown = world.evidence.shown.setdefault(f"{session_id} {name}", [])
    place = Cursor()

    async def follow(session: LocalSession) -> None:
        nonlocal place
        async for event in session.events(after=place):
            place = event.cursor
            shown.append(event)
            if slow:
                await asyncio.sleep(random.random())
            if random.random() < 0.02:
                break

    while True:
        try:
            process, session = await world.session(session_id)
            await world.within(process, lambda session=session: follow(session))
        except (RayconteurError, ProcessDied):
            pass
        await asyncio.sleep(0.5)


async def trouble(world: World) -> None:
    """Break things now and then."""
    while True:
        await asyncio.sleep(world.random.expovariate(1 / 8.0))
        break_something = (world.kill_process, world.replace_all, world.tools.kill, world.compactors.kill)
        world.random.choice((*break_something, world.put_away, world.hand_over))()
