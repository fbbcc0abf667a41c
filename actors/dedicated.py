"""Actors that belong to one session each: which there are, whose they are, and one that stands by for the next.

The rule here: an actor knows whose it is, and the journal knows which actor had a session last. So a router that starts
again finds every session in its actor, and no session gets a second one.
"""

import asyncio
import itertools
import logging
from collections.abc import Sequence
from contextlib import suppress

from actors.calls import Gone, ask
from actors.finding import end_actor, find_actor, names_in
from actors.journals import RuntimeJournal, journal_of
from actors.nodes import Rooms
from actors.settings import DEDICATED, LAST_WORDS, RuntimeSettings, dedicated_name
from actors.spawning import SessionSpawn, spawn_session
from agent_core.errors import PlacementError
from agent_core.messages import SessionId

log = logging.getLogger("rayconteur.router")

_ANSWER = 10.0
_PAUSE = 0.1


class DedicatedActors:
    """The dedicated actors of one router shard, at most its share of `max_actors`, the one that stands by included."""

    def __init__(self, settings: RuntimeSettings, shard: int) -> None:
        self._settings, self._shard = settings, shard
        self._limit = max(1, (settings.max_actors + settings.routers - 1 - shard) // settings.routers)
        self._names: dict[str, str] = {}
        self._placing: dict[str, asyncio.Task[str]] = {}
        self._vacant: list[str] = []
        self._standby: asyncio.Task[str] | None = None
        self._numbers = itertools.count(shard, settings.routers)
        self._finding: asyncio.Task[None] | None = None
        self._found_some = False
        self._journal: RuntimeJournal | None = None
        self._packed: dict[str, str] = {}
        self._rooms = Rooms()

    async def place(self, session_id: str) -> str:
        """The name of the session's actor, a new one if it has none. Raises PlacementError."""
        await self._find_again()
        if session_id in self._packed:
            return self._packed[session_id]
        task = self._placing.get(session_id)
        if task is None:
            task = self._placing[session_id] = asyncio.get_running_loop().create_task(self._place(session_id))
            task.add_done_callback(lambda _: self._placing.pop(session_id, None))
        return await asyncio.shield(task)

    async def release(self, session_id: str) -> None:
        """The session was shut down: end its actor."""
        await self._find_again()
        self._packed.pop(session_id, None)
        if session_id in self._placing:
            with suppress(PlacementError):
                await self.place(session_id)
        name = self._names.pop(session_id, None)
        if name is not None:
            await end_actor(name, self._settings.namespace)
            await self.prepare()

    async def prepare(self) -> None:
        """Have an actor stand by, if there is room for one more and none does."""
        await self._find_again()
        if self._standby is None and not self._vacant and len(self._taken) < self._limit:
            self._standby = asyncio.get_running_loop().create_task(self._spawn())
            # Whoever takes it hears of its failure; if nobody does, it is no failure.
            self._standby.add_done_callback(lambda task: task.cancelled() or task.exception())

    @property
    def _taken(self) -> set[str]:
        """The sessions that have an actor or are about to."""
        return {*self._names, *self._placing}

    async def _place(self, session_id: str) -> str:
        name = self._names.get(session_id) or await self._last_place(session_id)
        if name is None or not await self._give(name, session_id):
            self._names.pop(session_id, None)
            name = await self._next()
            while not await self._give(name, session_id):
                name = await self._next()
        self._names[session_id] = name
        if name in self._vacant:
            self._vacant.remove(name)
        await self.prepare()
        return name

    async def _last_place(self, session_id: str) -> str | None:
        """The actor that had the session last, if an earlier router may have placed it."""
        if not self._found_some:
            return None
        self._journal = self._journal or journal_of(self._settings)
        info = await self._journal.session_info(SessionId(session_id))
        return info.owner if info is not None and self._is_mine(info.owner) else None

    def _is_mine(self, name: str) -> bool:
        """Whether the name is of an actor of this shard's."""
        number = name.removeprefix(DEDICATED)
        return number != name and number.isdigit() and int(number) % self._settings.routers == self._shard

    async def _give(self, name: str, session_id: str) -> bool:
        """Have the actor belong to the session: whether it does."""
        try:
            tenant = await self._answer(name, "assign", session_id)
        except PlacementError:
            return False
        except TimeoutError:
            # It starts again, and then belongs to the session that asks for it first.
            return session_id in self._names
        if tenant is not None and tenant != session_id:
            self._names[tenant] = name
        return tenant == session_id

    async def _answer(self, name: str, method: str, *arguments: str) -> str | None:
        """What the actor answers, once it has started again if it is about to. Raises PlacementError, TimeoutError."""
        async with asyncio.timeout(_ANSWER):
            while True:
                with suppress(Gone):
                    return await ask(await find_actor(name, self._settings.namespace), method, *arguments)
                await asyncio.sleep(_PAUSE)

    async def _next(self) -> str:
        """An actor that belongs to nobody yet. Raises PlacementError if there may be no more."""
        if self._vacant:
            return self._vacant.pop()
        if len(self._taken) > self._limit:
            raise PlacementError(
                f"{len(self._names)} sessions have an actor of their own, as many as this cluster's memory allows"
                " (max_actors). Shut some down, or open sessions with sessions_per_actor > 1: they share actors.",
                "full",
            )
        standby, self._standby = self._standby, None
        if standby is not None:
            try:
                return await standby
            except PlacementError as error:
                log.warning("the actor that stood by could not be started: %s", error)
        return await self._spawn()

    async def _spawn(self) -> str:
        name = dedicated_name(next(self._numbers))
        try:
            node = await self._rooms.choose(name, DEDICATED)
            await spawn_session(self._settings, SessionSpawn(name, 1, node))
        finally:
            self._rooms.settle(name)
        return name

    # --- sessions that move -----------------------------------------------------------------------------------------

    def actor_of(self, session_id: str) -> str | None:
        """The session's actor, if it has one of its own."""
        return self._names.get(session_id)

    def expect(self, session_id: str) -> None:
        """The session is to have an actor of its own from now on."""
        self._packed.pop(session_id, None)

    async def moved(self, session_id: str, to: str) -> None:
        """The session is in the actor `to` now: one that it had for its own is ended."""
        name = self._names.get(session_id)
        if name == to:
            return
        self._packed[session_id] = to
        if name is not None:
            del self._names[session_id]
            await self._end(name)

    async def leave(self, names: Sequence[str], patience: float) -> None:
        """End these actors; the session of each goes on in another one. Raises PlacementError if there is no room."""
        await self._find_again()
        for name in names:
            if name in self._vacant:
                self._vacant.remove(name)
        if self._standby is not None:
            standby, self._standby = self._standby, None
            with suppress(PlacementError):
                if (name := await standby) not in names:
                    self._vacant.append(name)
        owners = {name: session_id for session_id, name in self._names.items()}
        await asyncio.gather(*(self._leave(name, owners.get(name), patience) for name in names))

    async def _leave(self, name: str, session_id: str | None, patience: float) -> None:
        if session_id is not None:
            successor = await self._next()
            while not await self._give(successor, session_id):
                successor = await self._next()
            with suppress(Gone, PlacementError):
                actor = await find_actor(name, self._settings.namespace)
                await ask(actor, "hand_over", session_id, successor, patience)
            self._names[session_id] = successor
        await self._end(name)

    async def _end(self, name: str) -> None:
        # What was said last has to reach those who read it.
        await asyncio.sleep(LAST_WORDS)
        await end_actor(name, self._settings.namespace)
        await self.prepare()

    # --- after a restart --------------------------------------------------------------------------------------------

    async def _find_again(self) -> None:
        """Learn once from the actors that are there whose they are."""
        failed = self._finding is not None and self._finding.done() and self._finding.exception() is not None
        if self._finding is None or failed:
            self._finding = asyncio.get_running_loop().create_task(self._survey())
        await asyncio.shield(self._finding)

    async def _survey(self) -> None:
        mine = [name for name in await names_in(self._settings.namespace) if self._is_mine(name)]
        for name, tenant in zip(mine, await asyncio.gather(*map(self._tenant, mine)), strict=True):
            if tenant is None:
                self._vacant.append(name)
            else:
                self._names[tenant] = name
        self._found_some = bool(mine)
        numbers = (int(name.removeprefix(DEDICATED)) for name in mine)
        step = self._settings.routers
        self._numbers = itertools.count(max(numbers, default=self._shard - step) + step, step)

    async def _tenant(self, name: str) -> str | None:
        """Whose the actor is. One that is silent is taken for nobody's: it is asked again when it is given away."""
        with suppress(PlacementError, TimeoutError):
            return await self._answer(name, "tenant")
        return None
