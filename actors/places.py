"""Where the sessions of a runtime are, as its client processes see it: links to actors, kept and made again.

The rule here: a session's actor is found by a pure function of its id (shared) or by asking the router (dedicated), and
the router is asked anew when the actor is not there. An actor that had a session says where it went. A link is shared
by all sessions of its actor; a lost one is made again by whoever needs it next.
"""

import asyncio
import itertools
import secrets
from collections.abc import Awaitable, Callable

from actors.finding import NOT_FOUND
from actors.head import Head
from actors.link import Link, LinkLost, Moved
from actors.router_handle import RouterHandle
from actors.settings import RETURN_DEADLINE, RuntimeSettings
from agent_core.errors import PlacementError, SessionError
from agent_core.messages import SessionId

_PAUSE = 0.1


class Links:
    """The links of this process, one to each session actor that it speaks to."""

    def __init__(self, settings: RuntimeSettings, head: Head) -> None:
        self._settings, self.head = settings, head
        head.on_lost.append(self._lose)
        self._client = f"client-{secrets.token_hex(4)}"
        self._numbers = itertools.count(1)
        self._links: dict[str, Link] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._closed = False

    async def to(self, name: str) -> Link:
        """The live link to an actor.

        Raises PlacementError if there is none (of kind NOT_FOUND) or it does not come back in time,
        SessionError once the runtime is closed.
        """
        link = self._links.get(name)
        if link is not None and not link.lost:
            return link
        async with self._locks.setdefault(name, asyncio.Lock()):
            link = self._links.get(name)
            if link is None or link.lost:
                link = self._links[name] = await self._connect(name)
            return link

    async def _connect(self, name: str) -> Link:
        until = asyncio.get_running_loop().time() + RETURN_DEADLINE
        while True:
            # A link that was lost may still have requests on their way: its successor has another name.
            client = f"{self._client}/{next(self._numbers)}"
            link = Link(name, self._settings, client, self.head)
            self._check_open()
            try:
                await link.connect()
            except LinkLost:
                if asyncio.get_running_loop().time() + _PAUSE >= until:
                    raise PlacementError(
                        f"The session actor '{name}' did not come back within {RETURN_DEADLINE:g} seconds. Look at"
                        " it in the Ray dashboard."
                    ) from None
                await asyncio.sleep(_PAUSE)
            else:
                if self._closed:
                    await link.close()
                self._check_open()
                return link

    def _check_open(self) -> None:
        # Ray would start a cluster for a call that comes too late.
        self.head.check()
        if self._closed:
            raise SessionError("The runtime was closed. Open another to go on.", "closed")

    def _lose(self) -> None:
        for link in self._links.values():
            link.fail(self.head.error)

    async def close(self) -> None:
        """Let go of every actor."""
        self._closed = True
        links, self._links = self._links, {}
        await asyncio.gather(*(link.close() for link in links.values()))


class SharedPlace:
    """Sessions that share actors."""

    def __init__(self, links: Links, router: RouterHandle) -> None:
        self._links, self._router = links, router
        self._ready: set[str] = set()
        self._elsewhere: dict[SessionId, str] = {}

    async def link(self, session_id: SessionId) -> Link:
        elsewhere = self._elsewhere.get(session_id)
        if elsewhere is None:
            return await self._home(session_id)
        try:
            async with self._links.head.awaited():
                return await self._links.to(elsewhere)
        except PlacementError as error:
            if error.kind != NOT_FOUND:
                raise
        # The actor that sent it there has to hear that there is nobody.
        self._elsewhere.pop(session_id, None)
        home = await self._home(session_id)
        await home.call(session_id, "recall", elsewhere)
        return home

    async def _home(self, session_id: SessionId) -> Link:
        name = self._router.shared_name_of(session_id)
        return await _reached(self._links, lambda: self._ask(session_id), name if name in self._ready else None)

    async def _ask(self, session_id: SessionId) -> str:
        name = await self._router.share(session_id)
        self._ready.add(name)
        return name

    def moved(self, session_id: SessionId, to: str) -> None:
        """The session is in the actor `to`, or (empty) where its id says."""
        home = self._router.shared_name_of(session_id)
        self._elsewhere.pop(session_id, None)
        if to and to != home:
            self._elsewhere[session_id] = to
        elif not to:
            self._ready.discard(home)

    async def release(self, session_id: SessionId) -> None:
        """Nothing to do: the actor stays for the others."""

    async def evict(self, session_id: SessionId) -> None:
        """Have the actor let go of a session that is no more, if there is such an actor."""
        try:
            async with self._links.head.awaited():
                name = self._elsewhere.pop(session_id, None) or self._router.shared_name_of(session_id)
                while name:
                    name = await self._evict(name, session_id)
        except LinkLost:
            # It died, and what it had in memory with it.
            return
        except PlacementError as error:
            if error.kind != NOT_FOUND:
                raise

    async def _evict(self, name: str, session_id: SessionId) -> str:
        """Have that actor let go of it; where the actor says it is instead."""
        try:
            await (await self._links.to(name)).call(session_id, "evict")
        except Moved as moved:
            return moved.to
        return ""


class DedicatedPlace:
    """Sessions with an actor of their own."""

    def __init__(self, links: Links, router: RouterHandle) -> None:
        self._links, self._router = links, router
        self._names: dict[SessionId, str] = {}

    async def link(self, session_id: SessionId) -> Link:
        return await _reached(self._links, lambda: self._ask(session_id), self._names.get(session_id))

    async def _ask(self, session_id: SessionId) -> str:
        name = self._names[session_id] = await self._router.place(session_id)
        return name

    def moved(self, session_id: SessionId, to: str) -> None:
        """The session is in the actor `to`, or (empty) where the router says."""
        self._names.pop(session_id, None)
        if to:
            self._names[session_id] = to

    async def release(self, session_id: SessionId) -> None:
        """The session was shut down: its actor is not needed any more."""
        self._names.pop(session_id, None)
        async with self._links.head.awaited():
            await self._router.release(session_id)


async def _reached(links: Links, ask: Callable[[], Awaitable[str]], known: str | None) -> Link:
    """The link to the actor of the name that is known, or else of the one that the router says."""
    async with links.head.awaited():
        if known is not None:
            try:
                return await links.to(known)
            except PlacementError as error:
                if error.kind != NOT_FOUND:
                    raise
        return await links.to(await ask())
