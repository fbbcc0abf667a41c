"""The host: every live session of one process, activated when asked for.

The rule here: one shell a session, however many ask at once. A shell that is lost (another owner claimed its session)
is forgotten, and the next who opens it claims it anew.
"""

import asyncio
from collections.abc import Sequence

from agent_core import inputs
from agent_core.admission import check_windows
from agent_core.entries import Opened
from agent_core.errors import Fenced, PlacementError, RayconteurError, SessionError
from agent_core.messages import SessionId
from agent_core.ports import Record
from agent_core.session import Shell
from agent_core.session_ports import Ports
from agent_core.snapshotting import claimed

# A full host makes room for more than the one that needs it: this part of what it may hold.
_ROOM = 100
_MOMENT = 5.0


class SessionHost:
    """Opens, keeps and drops the sessions of this process."""

    def __init__(self, ports: Ports, capacity: int = 1_000_000) -> None:
        self.ports = ports
        self._capacity = capacity
        self._shells: dict[SessionId, Shell] = {}
        self._opening: dict[SessionId, asyncio.Task[Shell]] = {}
        self._fenced: dict[SessionId, str] = {}
        self._dropped: RayconteurError = SessionError("Opening was cancelled. Open the session again.", "cancelled")

    def find(self, session_id: SessionId) -> Shell | None:
        """The live shell, if the session is active here."""
        return self._shells.get(session_id)

    @property
    def active(self) -> Sequence[SessionId]:
        """The sessions that are live here."""
        return tuple(self._shells)

    @property
    def shells(self) -> Sequence[Shell]:
        """Every live shell. May be asked for from another thread."""
        # A copy is made in one step; whoever iterates over the dictionary itself may find that it changed.
        return tuple(self._shells.copy().values())

    @property
    def working(self) -> int:
        """How many of them have a turn open."""
        return sum(shell.conversation.open is not None for shell in self._shells.values())

    def check_owned(self, session_id: SessionId) -> None:
        """Raise Fenced if another owner has claimed the session from this host, which has not opened it again since.

        Whoever only goes on with a session that was open here asks this first: two owners would take it from each other
        for ever.
        """
        if session_id in self._fenced:
            raise Fenced(self._fenced[session_id])

    async def open(self, session_id: SessionId, opened: Opened | None = None, *, reopen: bool = False) -> Shell:
        """The live shell: as it is, read from the journal, or new as `opened` says.

        A session that was shut down can be read, and takes messages again only if it is to `reopen`. Raises
        SessionError if there is no such session and `opened` is None, ConfigError if its model has no known window,
        PlacementError if the host is full.
        """
        while True:
            shell = self._shells.get(session_id)
            if shell is not None and shell.lost is None and not (reopen and shell.is_shutdown):
                return shell
            task = self._opening.get(session_id)
            if task is None:
                if opened is not None:
                    check_windows(opened.config, self.ports.limit_of)
                activating = self._activate(session_id, opened, inputs.Recover(reopen), full=self._is_full(session_id))
                task = asyncio.get_running_loop().create_task(activating)
                self._opening[session_id] = task
                task.add_done_callback(lambda _: self._opening.pop(session_id, None))
                return await self._opened(task)
            # Somebody else opens it, and may want less (only to read, or nothing new): look again when that is done.
            await asyncio.wait([task])
            if task.cancelled():
                raise self._dropped

    async def _opened(self, task: "asyncio.Task[Shell]") -> Shell:
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise self._dropped from None
            raise

    async def _activate(
        self, session_id: SessionId, opened: Opened | None, recover: inputs.Recover, *, full: bool
    ) -> Shell:
        journal = self.ports.journal
        if full:
            await self._make_room()
        if opened is None and not await journal.exists(session_id):
            raise SessionError(f"There is no session '{session_id}'. Give a model to make it.", "unknown_session")
        first = Record(1, 1, self.ports.clock.now(), opened) if opened is not None else None
        claim = await journal.claim(session_id, self.ports.owner, first)
        shell = Shell(await claimed(claim, journal), claim, self.ports, self._forget)
        try:
            await shell.perform(recover)
        except asyncio.CancelledError:
            shell.drop(self._dropped)
            raise
        if shell.lost is not None:
            raise shell.lost
        self._shells[session_id] = shell
        self._fenced.pop(session_id, None)
        return shell

    def _is_full(self, session_id: SessionId) -> bool:
        return len(self._shells) + len(self._opening) >= self._capacity and session_id not in self._shells

    async def _make_room(self) -> None:
        """Raises PlacementError if the host is full of sessions that are wanted, or were a moment ago."""
        if not await self.put_away(_MOMENT, at_most=max(1, self._capacity // _ROOM)):
            raise PlacementError(
                f"This actor hosts {self._capacity} sessions, as many as it may, and none is idle. Shut some down, or"
                " set sessions_per_actor or session_actors higher.",
                "full",
            )

    async def put_away(self, idle: float = 0.0, at_most: int | None = None) -> int:
        """Let go of sessions that nobody has wanted anything of for `idle` seconds, the longest first: how many.

        They are in the journal, and activated by whoever wants them next.
        """
        until = self.ports.clock.now() - idle
        waiting = [(since, shell) for shell in self._shells.values() if (since := shell.idle_since) is not None]
        waiting = sorted((item for item in waiting if item[0] <= until), key=lambda item: item[0])[:at_most]
        gone = await asyncio.gather(*(shell.rest() for _, shell in waiting))
        for (_, shell), rests in zip(waiting, gone, strict=True):
            if rests:
                self._forget(shell)
        return sum(gone)

    @property
    def held(self) -> Sequence[SessionId]:
        """The sessions that are live here or about to be."""
        return (*self._shells, *(session_id for session_id in self._opening if session_id not in self._shells))

    async def hand_over(self, session_id: SessionId, error: RayconteurError, patience: float) -> bool:
        """Let go of a session for another host to go on with, see `Shell.leave`: whether there is work for it.

        Nothing runs between the moment at which it is let go and the return of this. Raises what lost it meanwhile.
        """
        while (opening := self._opening.get(session_id)) is not None:
            await asyncio.wait([opening])
        shell = self._shells.get(session_id)
        if shell is None or shell.lost is not None:
            return False
        try:
            return await shell.leave(error, patience)
        finally:
            self._forget(shell)

    def _forget(self, shell: Shell) -> None:
        if isinstance(shell.lost, Fenced):
            self._fenced[shell.id] = shell.lost.message
        if self._shells.get(shell.id) is shell:
            del self._shells[shell.id]

    def release(self, session_id: SessionId) -> None:
        """Let go of a session that was shut down."""
        shell = self._shells.get(session_id)
        if shell is not None and shell.is_shutdown:
            del self._shells[session_id]

    def evict(self, session_id: SessionId, error: RayconteurError) -> None:
        """Let go of a session that is no more. Whoever waits for it gets the error."""
        self._fenced.pop(session_id, None)
        task = self._opening.get(session_id)
        if task is not None:
            task.cancel()
        shell = self._shells.pop(session_id, None)
        if shell is not None:
            shell.drop(error)

    def drop_all(self, error: RayconteurError) -> None:
        """Let go of every session as it is, those about to be opened too: open turns resume when opened again."""
        self._dropped = error
        for task in self._opening.values():
            task.cancel()
        for shell in tuple(self._shells.values()):
            shell.drop(error)
        self._shells.clear()
