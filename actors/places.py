"""Where the sessions of a runtime are, as its client processes see it: links to actors, kept and made again.

The rule here: a session's actor is found by a pure function of its id (shared) or by asking the router (dedicated). A
link is shared by all sessions of its actor; a lost one is made again by whoever needs it next.
"""

import asyncio
import secrets

from actors.link import Link, LinkLost
from actors.router import RouterHandle
from actors.settings import RuntimeSettings
from agent_core.errors import PlacementError
from agent_core.messages import SessionId

_DEADLINE = 60.0
_PAUSE = 0.1


class Links:
    """The links of this process, one to each session actor that it speaks to."""

    def __init__(self, settings: RuntimeSettings) -> None:
        self._settings = settings
        self._client = f"client-{secrets.token_hex(6)}"
        self._links: dict[str, Link] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def to(self, name: str) -> Link:
        """The live link to an actor. Raises PlacementError if the actor does not come back within a minute."""
        link = self._links.get(name)
        if link is not None and not link.lost:
            return link
        async with self._locks.setdefault(name, asyncio.Lock()):
            link = self._links.get(name)
            if link is None or link.lost:
                link = self._links[name] = await self._connect(name)
            return link

    async def _connect(self, name: str) -> Link:
        until = asyncio.get_running_loop().time() + _DEADLINE
        while True:
            link = Link(name, self._settings.namespace, self._client)
            try:
                await link.connect()
            except LinkLost:
                if asyncio.get_running_loop().time() + _PAUSE >= until:
                    raise PlacementError(
                        f"The session actor '{name}' did not come back within {_DEADLINE:g} seconds. Look at it in the"
                        " Ray dashboard."
                    ) from None
                await asyncio.sleep(_PAUSE)
            else:
                return link

    async def close(self) -> None:
        """Let go of every actor."""
        links, self._links = self._links, {}
        await asyncio.gather(*(link.close() for link in links.values()))


class SharedPlace:
    """Sessions that share actors."""

    def __init__(self, links: Links, router: RouterHandle) -> None:
        self._links, self._router = links, router
        self._ready: set[str] = set()

    async def link(self, session_id: SessionId) -> Link:
        name = self._router.shared_name_of(session_id)
        if name not in self._ready:
            await self._router.share(session_id)
            self._ready.add(name)
        return await self._links.to(name)

    async def release(self, session_id: SessionId) -> None:
        """Nothing to do: the actor stays for the others."""


class DedicatedPlace:
    """Sessions with an actor of their own."""

    def __init__(self, links: Links, router: RouterHandle) -> None:
        self._links, self._router = links, router
        self._names: dict[SessionId, str] = {}

    async def link(self, session_id: SessionId) -> Link:
        name = self._names.get(session_id)
        if name is None:
            name = self._names[session_id] = await self._router.place(session_id)
        return await self._links.to(name)

    async def release(self, session_id: SessionId) -> None:
        if self._names.pop(session_id, None) is not None:
            await self._router.release(session_id)
