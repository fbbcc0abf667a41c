"""The outbox: what leaves a session, in order, each thing only when the entries before it are durable.

The rule here: one append of a session is under way at a time, and it carries everything that was decided meanwhile. A
refused append loses the session: nothing that waited behind it ever leaves.
"""

import asyncio
from collections.abc import Callable

from agent_core.errors import JournalError, RayconteurError
from agent_core.messages import SessionId
from agent_core.ports import Append, Journal, Record
from agent_core.session_log import SessionLog

Action = Callable[[], None]


class Outbox:
    """Writes records and releases what waits for them. `on_lost` hears of the append that was refused."""

    __slots__ = ("_actions", "_epoch", "_journal", "_lost", "_on_lost", "_records", "_session_id", "_task", "_written")

    def __init__(
        self, session_id: SessionId, epoch: int, journal: Journal, on_lost: Callable[[RayconteurError], None]
    ) -> None:
        self._session_id, self._epoch, self._journal, self._on_lost = session_id, epoch, journal, on_lost
        self._records: list[Record] = []
        self._actions: list[tuple[int, Action]] = []
        self._written = 0
        self._task: asyncio.Task[None] | None = None
        self._lost: RayconteurError | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing waits: whatever comes now may leave at once."""
        return not self._actions and not self._records

    def write(self, record: Record, action: Action) -> None:
        """Make the record durable, then do `action`."""
        self._records.append(record)
        self._written = record.seq
        self._actions.append((record.seq, action))
        if self._task is None and self._lost is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def then(self, action: Action) -> None:
        """Do `action` once everything written so far is durable, and after every action before it."""
        if self.empty and self._task is None:
            action()
        else:
            self._actions.append((self._written, action))

    async def settled(self) -> None:
        """Wait until everything so far has left. Raises what lost the session."""
        if self._lost is not None:
            raise self._lost
        if self.empty and self._task is None:
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._actions.append((self._written, lambda: None if done.done() else done.set_result(None)))
        while not done.done():
            if self._lost is not None:
                raise self._lost
            if self._task is None:
                raise JournalError("Writing was cancelled. Open the session again to go on.", "cancelled")
            await asyncio.wait([done, self._task], return_when=asyncio.FIRST_COMPLETED)

    def close(self, error: RayconteurError) -> None:
        """Write no more and let nothing leave any more; whoever waits gets `error`."""
        self._lost = self._lost or error
        self._records.clear()
        self._actions.clear()

    async def _run(self) -> None:
        try:
            while self._records:
                records, self._records = self._records, []
                (refusal,) = await self._journal.append([Append(self._session_id, self._epoch, records)])
                if refusal is not None:
                    return self._lose(refusal)
                self._release(records[-1].seq)
        except RayconteurError as error:
            self._lose(error)
        except Exception as error:  # noqa: BLE001 - the boundary to whatever journal it was given
            # A journal that breaks its contract must not leave anybody waiting for ever.
            SessionLog(self._session_id).broken("journal", error, None)
            self._lose(JournalError(f"The journal failed ({type(error).__name__}). See the log.", "unexpected"))
        finally:
            self._task = None

    def _lose(self, error: RayconteurError) -> None:
        if self._lost is None:
            self.close(error)
            self._on_lost(error)

    def _release(self, durable: int) -> None:
        while self._actions and self._actions[0][0] <= durable:
            self._actions.pop(0)[1]()
