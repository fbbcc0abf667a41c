"""The snapshots of one live session: when one is taken, and how a session is known again from one.

The rule here: a snapshot that could not be kept is no failure of anything: the records say all of it.
"""

import asyncio

from agent_core.conversation import Conversation
from agent_core.errors import RayconteurError
from agent_core.ports import Claim, Journal, Snapshot
from agent_core.session_log import SessionLog
from agent_core.snapshot import decode_snapshot, encode_snapshot

# What a record takes in a journal, about.
_BYTES_A_RECORD = 1_000


class Snapshots:
    """Takes them often enough that a replay is short, and seldom enough that they take little of the journal.

    Between two there are `least` records, and more after a large one: about as many bytes as it had.
    """

    __slots__ = ("_conversation", "_epoch", "_journal", "_least", "_seq", "_size", "_task")

    def __init__(self, conversation: Conversation, claim: Claim, journal: Journal, least: int) -> None:
        self._conversation, self._epoch, self._journal, self._least = conversation, claim.epoch, journal, least
        self._seq = claim.snapshot.seq if claim.snapshot else 0
        self._size = len(claim.snapshot.data) if claim.snapshot else 0
        self._task: asyncio.Task[None] | None = None

    def take_if_due(self) -> None:
        """Take one if it is time. Everything that the conversation holds is durable."""
        told = self._conversation.last_seq - self._seq
        if told >= max(self._least, self._size // _BYTES_A_RECORD) and self._conversation.open is None:
            self.take()

    def take(self) -> None:
        """Take one now, between two turns. Everything that the conversation holds is durable."""
        if self._task is None:
            snapshot = Snapshot(self._conversation.last_seq, encode_snapshot(self._conversation))
            self._seq, self._size = snapshot.seq, len(snapshot.data)
            self._task = asyncio.get_running_loop().create_task(self._save(snapshot))

    async def kept(self) -> None:
        """Have the newest state kept. It is between two turns, and everything that it holds is durable."""
        if self._task is not None:
            await asyncio.wait([self._task])
        if self._conversation.last_seq > self._seq:
            self.take()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _save(self, snapshot: Snapshot) -> None:
        try:
            await self._journal.save_snapshot(self._conversation.session_id, self._epoch, snapshot)
        except RayconteurError as error:
            SessionLog(self._conversation.session_id).snapshot_lost(error)
        finally:
            self._task = None


async def claimed(claim: Claim, journal: Journal) -> Conversation:
    """The conversation that was claimed: from its snapshot if this program can read it, else from every record."""
    conversation: Conversation | None = None
    records = claim.records
    if claim.snapshot is not None:
        conversation = decode_snapshot(claim.session_id, claim.snapshot.data)
        if conversation is None:
            records = await journal.read(claim.session_id)
    conversation = conversation or Conversation(claim.session_id)
    for record in records:
        conversation.apply(record)
    return conversation


async def whole(conversation: Conversation, journal: Journal) -> Conversation:
    """The conversation with everything that was ever said: itself, or what the journal has of it."""
    if not conversation.left_out:
        return conversation
    replayed = Conversation(conversation.session_id)
    for record in await journal.read(conversation.session_id):
        if record.seq <= conversation.last_seq:
            replayed.apply(record)
    return replayed
