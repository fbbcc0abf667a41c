"""What a session actor knows of where sessions are: those that it may have, and those that it has handed to others.

The rule here: a session is wanted of one actor at a time. An actor that cannot know whether a session is its own asks
the one that the journal names as the last; of all who ask that one for it, the first has it. So nothing is stored:
whoever starts again finds out by asking.
"""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress

from actors.calls import Gone, ask
from actors.envelopes import SessionMoved
from actors.finding import find_actor
from actors.journals import RuntimeJournal
from actors.router_handle import RouterHandle
from actors.settings import RuntimeSettings, is_session_actor
from agent_core.errors import PlacementError, RayconteurError
from agent_core.hosting import SessionHost
from agent_core.messages import SessionId
from agent_core.placement import home_of, rendezvous

log = logging.getLogger("rayconteur.actor")
_ANSWER = 10.0
# Who has an actor emptied ends it within so many seconds afterwards.
_END = 60.0


class Whereabouts:
    """Of one actor. `again` says that there was one of this name before, whose knowledge is lost."""

    def __init__(
        self, name: str, settings: RuntimeSettings, host: SessionHost, journal: RuntimeJournal, *, again: bool
    ) -> None:
        self._name, self._settings, self._host, self._journal, self._again = name, settings, host, journal, again
        self._router = RouterHandle(settings)
        self._ours: set[str] = set()
        self._moved: dict[str, str] = {}
        self._looking: dict[str, asyncio.Task[str]] = {}
        self._handing: dict[str, asyncio.Task[None]] = {}
        self._shelters: list[str] | None = None
        self.staying = asyncio.Event()
        """Set unless this actor is to end and takes no sessions any more."""
        self.staying.set()

    # --- who has it -------------------------------------------------------------------------------------------------

    async def check(self, session_id: SessionId) -> None:
        """Return if the session may be active here. Raises SessionMoved if it is elsewhere."""
        shell = self._host.find(session_id)
        if shell is not None and shell.lost is None:
            return
        to = self._moved.get(session_id)
        if to is None and self._shelters is not None:
            to = self._moved[session_id] = self._shelter_of(session_id)
        if to is None and not self._is_ours(session_id):
            to = await self._last_known(session_id)
            if to == self._name:
                self._ours.add(session_id)
                return
            self._moved[session_id] = to
        if to is not None:
            raise _moved(session_id, to)

    def _is_ours(self, session_id: SessionId) -> bool:
        return session_id in self._ours or (not self._again and self._router.shared_name_of(session_id) == self._name)

    async def _last_known(self, session_id: SessionId) -> str:
        """The actor that has the session, by what the journal and its last owner say. They are asked once for all."""
        task = self._looking.get(session_id)
        if task is None:
            task = self._looking[session_id] = asyncio.get_running_loop().create_task(self._look(session_id))
            task.add_done_callback(lambda _: self._looking.pop(session_id, None))
        return await asyncio.shield(task)

    async def _look(self, session_id: SessionId) -> str:
        info = await self._journal.session_info(session_id)
        if info is None or info.owner == self._name or not is_session_actor(info.owner):
            return self._name
        with suppress(Gone, PlacementError, TimeoutError):
            async with asyncio.timeout(_ANSWER):
                owner = await find_actor(info.owner, self._settings.namespace)
                return await ask(owner, "whereabouts", session_id, self._name)
        # There is no such actor any more, or it has only just started again and has nothing.
        return self._name

    def tell(self, session_id: SessionId, asker: str) -> str:
        """The actor that has the session: this one if it is active here, else `asker` from now on."""
        if session_id in self._host.held:
            return self._name
        self._ours.discard(session_id)
        return self._moved.setdefault(session_id, asker)

    def recall(self, session_id: SessionId, gone: str) -> None:
        """The actor that it was handed to is no more."""
        if self._moved.get(session_id) == gone:
            del self._moved[session_id]
            self._ours.add(session_id)

    # --- handing over -----------------------------------------------------------------------------------------------

    def expect(self, session_ids: Iterable[str]) -> None:
        """These sessions are about to come here, wherever they were sent before."""
        for session_id in session_ids:
            self._moved.pop(session_id, None)

    async def adopt(self, session_id: SessionId, *, work: bool) -> None:
        """The session was handed to this actor. If there is `work` it goes on at once, whoever waits for it or not."""
        self._moved.pop(session_id, None)
        self._ours.add(session_id)
        if work:
            await self._host.open(session_id)

    async def hand_over(self, session_id: SessionId, to: str, patience: float) -> None:
        """Let go of the session where nothing is lost by it, or after `patience` seconds, and send everybody to `to`.

        Raises PlacementError, with the session still here, if there is no such actor.
        """
        task = self._handing.get(session_id)
        if task is None:
            work = self._hand_over(session_id, to, patience)
            task = self._handing[session_id] = asyncio.get_running_loop().create_task(work)
            task.add_done_callback(lambda _: self._handing.pop(session_id, None))
        await asyncio.shield(task)

    async def _hand_over(self, session_id: SessionId, to: str, patience: float) -> None:
        if to == self._name:
            return
        if to:
            await self._told(to, "expect", [session_id])
        work = False
        try:
            work = await self._host.hand_over(session_id, _moved(session_id, to), patience)
        except RayconteurError as error:
            # Whoever has it now goes on with it.
            log.warning("session %s was lost while it was handed over: %s", session_id, error.kind)
        self._ours.discard(session_id)
        self._moved[session_id] = to
        if to:
            try:
                await self._told(to, "adopt", session_id, work)
            except (PlacementError, TimeoutError) as error:
                # It goes on there when it is wanted next.
                log.warning("session %s was not taken on at once by %s: %s", session_id, to, error)

    async def _told(self, name: str, method: str, *arguments: object) -> None:
        try:
            async with asyncio.timeout(_ANSWER):
                await ask(await find_actor(name, self._settings.namespace), method, *arguments)
        except (Gone, TimeoutError):
            raise PlacementError(f"The actor '{name}' does not answer. Look at it in the Ray dashboard.") from None

    def leave_for(self, shelters: list[str], patience: float) -> None:
        """Take no session any more: this actor is emptied within `patience` seconds, then ended.

        What is wanted from now on is sent to one of the `shelters`, unless it belongs here by its id: that waits for
        the next actor of this name, and so does everything if there are none.
        """
        self._shelters = shelters
        self.staying.clear()
        asyncio.get_running_loop().call_later(patience + _END, self._stay)

    async def empty(self, patience: float) -> None:
        """Hand every session over."""
        while held := self._host.held:
            handing = [self.hand_over(session_id, self._shelter_of(session_id), patience) for session_id in held]
            for session_id, result in zip(held, await asyncio.gather(*handing, return_exceptions=True), strict=True):
                if isinstance(result, BaseException):
                    log.warning("session %s is let go without a successor: %s", session_id, result)
                    await self._hand_over(session_id, "", 0.0)

    def _shelter_of(self, session_id: SessionId) -> str:
        stays = home_of(session_id) is not None or not self._shelters
        return "" if stays or self._shelters is None else rendezvous(session_id, self._shelters)

    def _stay(self) -> None:
        """Nobody has ended this actor though it was emptied: it takes sessions again."""
        self._shelters = None
        self.staying.set()
        self._moved = {session_id: to for session_id, to in self._moved.items() if to}


def _moved(session_id: SessionId, to: str) -> SessionMoved:
    return SessionMoved(f"Session '{session_id}' is in another actor by now. Open it anew.", to=to)
