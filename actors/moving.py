"""Sessions and whole actors moved on purpose, by one router shard: from actor to actor, and from node to node.

The rule here: it only says who is to go where. What a session has under way is waited for by its actor
(`whereabouts.py`), and what was asked of it meanwhile is asked again of the next one by the handle of whoever asked.
"""

import asyncio
import logging
from contextlib import suppress

from actors.calls import Gone, ask
from actors.dedicated import DedicatedActors
from actors.finding import NOT_FOUND, end_actor, find_actor
from actors.journals import RuntimeJournal, journal_of
from actors.router_handle import RouterHandle
from actors.settings import SHARED, RuntimeSettings, is_session_actor
from agent_core.errors import ConfigError, PlacementError, SessionError
from agent_core.messages import SessionId

log = logging.getLogger("rayconteur.router")

PACKED = "packed"
ALONE = "dedicated"


async def check_there(name: str, namespace: str) -> None:
    """Raise PlacementError if there is no such actor, of a kind that is no word of the router's own absence."""
    try:
        await find_actor(name, namespace)
    except PlacementError:
        raise PlacementError(
            f"There is no actor '{name}' in this runtime. `status().actor` of a session says where it is.", "no_actor"
        ) from None


class Moves:
    """The moves of one router shard."""

    def __init__(self, settings: RuntimeSettings, dedicated: DedicatedActors) -> None:
        self._settings, self._dedicated = settings, dedicated
        self._router = RouterHandle(settings)
        self._journal: RuntimeJournal | None = None
        self._moving: dict[str, asyncio.Lock] = {}

    async def move(self, session_id: str, to: str, patience: float) -> str:
        """Move a session of this shard to `packed`, `dedicated` or the shared actor of that name; the actor's name.

        Returns when it has left where it was. Raises SessionError if there is no such session, ConfigError for no
        place, PlacementError if there is no such actor or no room.
        """
        async with self._moving.setdefault(session_id, asyncio.Lock()):
            self._journal = self._journal or journal_of(self._settings)
            info = await self._journal.session_info(SessionId(session_id))
            if info is None:
                raise SessionError(f"There is no session '{session_id}'.", "unknown_session")
            target = await self._target(session_id, to)
            home = self._router.shared_name_of(session_id)
            told = dict.fromkeys([self._dedicated.actor_of(session_id) or info.owner, info.owner, home])
            for name in told:
                if name != target and is_session_actor(name):
                    await self._have(name, session_id, target, patience)
            await self._dedicated.moved(session_id, target)
            return target

    async def _target(self, session_id: str, to: str) -> str:
        if to == ALONE:
            self._dedicated.expect(session_id)
            return await self._dedicated.place(session_id)
        if to == PACKED:
            return await self._router.share(session_id)
        if not to.startswith(SHARED):
            raise ConfigError(
                f"to: '{to}' is no place for a session. Give packed, dedicated or the name of an actor that sessions"
                f" share ({SHARED}0)."
            )
        number = to.removeprefix(SHARED)
        if number.isdecimal() and int(number) < self._settings.session_actors:
            return await self._router.share_numbered(int(number))
        await check_there(to, self._settings.namespace)
        return to

    async def _have(self, name: str, session_id: str, target: str, patience: float) -> None:
        """Have that actor hand the session over, or know at least where it is."""
        try:
            await ask(await find_actor(name, self._settings.namespace), "hand_over", session_id, target, patience)
        except Gone:
            # With it went what it had of the session; whoever wants it finds it in the journal.
            log.info("actor %s was lost while session %s left it", name, session_id)
        except PlacementError as error:
            if error.kind != NOT_FOUND:
                raise

    async def empty(self, name: str, shelters: list[str], patience: float) -> None:
        """Have every session leave that actor and end it. Nothing happens if there is none."""
        with suppress(Gone):
            try:
                actor = await find_actor(name, self._settings.namespace)
            except PlacementError:
                return
            await ask(actor, "empty", shelters, patience)
        await end_actor(name, self._settings.namespace)
