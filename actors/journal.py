"""The journal actor: the one process that writes the journal's file, and the handle through which others reach it.

The rule here: the actor moves bytes. Entries are encoded and decoded in the handle, which sends what all sessions of
its process have to write in one envelope at a time, and sends it again until it is answered: a repeat is a success
(`rules.py`), so nothing accepted is lost and nothing is there twice when the actor dies.
"""

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

import ray
from ray.exceptions import ObjectLostError, RayActorError, RayTaskError

from actors.logs import log_lines
from actors.metrics import export
from actors.settings import RuntimeSettings
from actors.tethers import hold_on, hold_on_again
from actors.threads import in_thread
from agent_core.errors import JournalError
from agent_core.journals.batching import Batcher, Limits
from agent_core.journals.client import JournalClient
from agent_core.journals.failures import failure
from agent_core.journals.info import SessionInfo
from agent_core.journals.wire import (
    Answer,
    Operation,
    Page,
    pack_answers,
    pack_operations,
    pack_page,
    unpack_answers,
    unpack_operations,
    unpack_page,
    weigh,
)
from agent_core.messages import SessionId
from agent_core.metering.journal import JournalMeter
from agent_core.metering.ledger import Ledger
from agent_core.ports import Snapshot

if TYPE_CHECKING:
    from agent_core.journals.sqlite_file import FileOptions

Reply = TypeVar("Reply")

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0


@dataclass(frozen=True, slots=True)
class JournalPlace:
    """Where the actor is and what it writes, for people and for tests."""

    path: str
    node_id: str
    pid: int


class JournalActor:
    """Hosts one `SqliteJournal`. A restart opens the same file again. With a `tether` it ends with its runtime."""

    def __init__(self, path: str, options: "FileOptions | None" = None, tether: RuntimeSettings | None = None) -> None:
        # SQLAlchemy is for this process alone; whoever holds a handle does without.
        from agent_core.journals.sqlite import SqliteJournal

        self._journal = SqliteJournal(path, options)
        self._ledger = Ledger()
        self._journal.watched_by(JournalMeter(self._ledger, "journal"))
        self._exporting: asyncio.Task[None] | None = None
        self._tether = tether
        self._held: asyncio.Task[None] | None = None
        log_lines(tether)
        hold_on_again(tether, "open")

    def __repr__(self) -> str:
        return f"Journal({self._journal.path})"

    async def open(self) -> JournalPlace:
        """Open the file now, so that a path that cannot be used is known before the first session."""
        self._hold()
        await self._journal.open()
        return JournalPlace(str(self._journal.path), ray.get_runtime_context().get_node_id(), os.getpid())

    async def submit(self, envelope: bytes) -> bytes:
        """Perform an envelope of operations (`pack_operations`), answered by `pack_answers`."""
        self._hold()
        return pack_answers(await self._journal.submit(unpack_operations(envelope)))

    async def read_page(self, session_id: str, after: int, upto: int | None) -> bytes:
        """See `JournalClient.read_page`; answered by `pack_page`."""
        return pack_page(await self._journal.read_page(session_id, after, upto))

    async def exists(self, session_id: SessionId) -> bool:
        """See `Journal.exists`."""
        return await self._journal.exists(session_id)

    async def session_info(self, session_id: SessionId) -> SessionInfo | None:
        """See `SqliteJournal.session_info`."""
        return await self._journal.session_info(session_id)

    async def read_snapshot(self, session_id: str) -> tuple[int, bytes] | None:
        """See `JournalClient.read_snapshot`: its record and its data."""
        snapshot = await self._journal.read_snapshot(session_id)
        return (snapshot.seq, snapshot.data) if snapshot else None

    async def list_sessions(
        self, limit: int, after: SessionId | None, labels: Mapping[str, str] | None
    ) -> Sequence[SessionInfo]:
        """See `SessionCatalog.list_sessions`."""
        return await self._journal.list_sessions(limit, after, labels)

    async def get_blob(self, digest: str) -> bytes | None:
        """See `SqliteJournal.get_blob`."""
        return await self._journal.get_blob(digest)

    def _hold(self) -> None:
        # Not in __init__, which Ray runs before the actor's event loop.
        if self._exporting is None:
            self._exporting = asyncio.get_running_loop().create_task(export(self._ledger))
        if self._tether is not None and self._held is None:
            self._held = asyncio.get_running_loop().create_task(hold_on(self._tether))

    async def close(self) -> None:
        """Finish what was submitted and close the file; the actor is of no use afterwards."""
        if self._exporting is not None:
            self._exporting.cancel()
        await self._journal.close()


# Repeating is the handle's affair.
JOURNAL = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=0)(JournalActor)


def spawn(
    name: str,
    namespace: str,
    path: str,
    options: "FileOptions | None" = None,
    tether: RuntimeSettings | None = None,
    **placement: Any,
) -> "JournalHandle":
    """Start the journal actor, or join the one of that name, and return a handle to it.

    `placement` goes to Ray as it is. Where the path is on a node's own disk, it has to bind the actor to that node.
    """
    # Chatty calls stay out of Ray's list of tasks, which is of bounded length.
    chosen = {"name": name, "namespace": namespace, "get_if_exists": True, "enable_task_events": False, **placement}
    return JournalHandle(name, namespace).keeping(JOURNAL.options(**chosen).remote(path, options, tether))


@dataclass(frozen=True, slots=True)
class Patience:
    """How a handle sends. Both in seconds.

    `distance` is kept between two envelopes while many sessions write at once (an envelope costs two milliseconds of
    CPU, however little it holds); `deadline` is the longest that an operation waits for an actor that does not answer.
    """

    distance: float = 0.004
    deadline: float = 60.0


class JournalHandle(JournalClient):
    """Implements `Journal` by the journal actor. One for each process and event loop: what goes through it is batched.

    Every method raises JournalError of kind `unreachable` when the deadline passes without an answer. What was sent may
    then still be written: the same append again is a success in either case.
    """

    def __init__(self, name: str, namespace: str, patience: Patience | None = None) -> None:
        self.name = name
        """The actor's name."""
        self.envelopes = 0
        """How many envelopes were sent so far, repetitions left out."""
        self.namespace = namespace
        self._patience = patience or Patience()
        self._actor: Any = None
        self._kept: Any = None
        self._batcher = Batcher[Operation, Answer](self._send, weigh, Limits(distance=self._patience.distance))

    def __reduce__(self) -> tuple[type[Self], tuple[str, str, Patience]]:
        return type(self), (self.name, self.namespace, self._patience)

    def keeping(self, actor: Any) -> Self:
        """This handle, which now keeps the actor alive: Ray ends one that is not detached with its maker's handle."""
        self._actor = self._kept = actor
        return self

    async def open(self) -> JournalPlace:
        """Have the actor open its file now. Raises JournalError with what is wrong with the path."""
        return await self._ask(lambda actor: actor.open.remote())

    async def submit(self, operations: Sequence[Operation]) -> Sequence[Answer]:
        """See `JournalClient.submit`."""
        return await self._batcher.submit(operations)

    async def read_page(self, session_id: str, after: int, upto: int | None = None) -> Page:
        """See `JournalClient.read_page`."""
        return unpack_page(await self._ask(lambda actor: actor.read_page.remote(session_id, after, upto)))

    async def exists(self, session_id: SessionId) -> bool:
        """See `Journal.exists`."""
        return await self._ask(lambda actor: actor.exists.remote(session_id))

    async def session_info(self, session_id: SessionId) -> SessionInfo | None:
        """See `SqliteJournal.session_info`."""
        return await self._ask(lambda actor: actor.session_info.remote(session_id))

    async def read_snapshot(self, session_id: str) -> Snapshot | None:
        """See `JournalClient.read_snapshot`."""
        found = await self._ask(lambda actor: actor.read_snapshot.remote(session_id))
        return None if found is None else Snapshot(*found)

    async def list_sessions(
        self, limit: int = 100, after: SessionId | None = None, labels: Mapping[str, str] | None = None
    ) -> Sequence[SessionInfo]:
        """See `SessionCatalog.list_sessions`."""
        return await self._ask(lambda actor: actor.list_sessions.remote(limit, after, labels))

    async def get_blob(self, digest: str) -> bytes | None:
        """See `SqliteJournal.get_blob`."""
        return await self._ask(lambda actor: actor.get_blob.remote(digest))

    async def drain(self) -> None:
        """Wait until nothing that was submitted is under way."""
        await self._batcher.drain()

    async def close(self) -> None:
        """Have the actor close its file. Raises JournalError for everything that comes after."""
        await self.drain()
        await self._ask(lambda actor: actor.close.remote())

    async def _send(self, operations: Sequence[Operation]) -> Sequence[Answer]:
        envelope = pack_operations(operations)
        self.envelopes += 1
        try:
            return unpack_answers(await self._ask(lambda actor: actor.submit.remote(envelope)))
        except JournalError as error:
            return [error] * len(operations)

    async def _ask(self, call: Callable[[Any], Awaitable[Reply]]) -> Reply:
        """Call the actor, again after a pause while it is dead, restarting or silent, until the deadline."""
        until = time.monotonic() + self._patience.deadline
        pause = _FIRST_PAUSE
        while True:
            try:
                async with asyncio.timeout(max(0.0, until - time.monotonic())):
                    return await call(self._actor or await self._find())
            except RayTaskError as error:
                raise _own(error) from None
            except (RayActorError, ObjectLostError, TimeoutError, LookupError) as error:
                if time.monotonic() + pause >= until:
                    raise self._unreachable(error) from None
            self._actor = None
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _find(self) -> Any:
        """The actor by its name. Raises LookupError while there is none."""
        try:
            # Asks the cluster and blocks meanwhile.
            self._actor = await in_thread(ray.get_actor, self.name, self.namespace)
        except ValueError:
            raise LookupError(f"no actor is named '{self.name}' in namespace '{self.namespace}'") from None
        return self._actor

    def _unreachable(self, error: Exception) -> JournalError:
        return failure(
            "unreachable",
            f"The journal actor '{self.name}' did not answer for {self._patience.deadline:g} seconds"
            f" ({str(error).splitlines()[0] if str(error) else 'it is silent'}): see whether its node is up; what was"
            " sent may be sent again.",
        )


def _own(error: RayTaskError) -> JournalError:
    """The journal's own error out of Ray's wrapping."""
    cause = cast("Exception", error.cause)
    if isinstance(cause, JournalError):
        return type(cause)(cause.message, cause.kind)
    return failure("io", f"The journal actor failed ({type(cause).__name__}: {cause}): see its log in the dashboard.")
