"""What every journal here can do besides the port: its sessions as rows, and the blobs that they need.

The rule here: what is listed was true when it was read; what `delete` has answered is gone for whoever looks later.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from agent_core.journals.blobs import BlobJournal
from agent_core.journals.info import SessionInfo
from agent_core.messages import SessionId


class SessionCatalog(Protocol):
    """Sessions as rows. Every method raises JournalError when the journal itself fails."""

    async def session_info(self, session_id: SessionId) -> SessionInfo | None:
        """What is known of a session; None if it was never claimed."""
        ...

    async def list_sessions(
        self, limit: int = 100, after: SessionId | None = None, labels: Mapping[str, str] | None = None
    ) -> Sequence[SessionInfo]:
        """At most `limit` sessions that have a record, newest first, from after the one named on.

        With `labels`, those that bear all of them, with exactly these values.
        """
        ...

    async def delete(self, session_id: SessionId) -> bool:
        """Delete a session with its records, its snapshot and what nobody else refers to. Whether there was one.

        Its owner is fenced. The id may be used anew, for a session that has nothing of the old one.
        """
        ...

    async def delete_idle(self, before: float, limit: int = 100) -> Sequence[SessionId]:
        """Delete sessions whose last record is older than `before` (seconds since the epoch), and return which.

        They are at most `limit`, the oldest first: ask again until none is left.
        """
        ...

    async def fence(self) -> int:
        """Fence every owner that there is or was, also of sessions that are not here; of how many sessions that are.

        For a journal that is older than some of its owners: one that was restored. Each session goes on with whoever
        claims it next.
        """
        ...


class FullJournal(BlobJournal, SessionCatalog, Protocol):
    """The port with everything that goes beside it."""
