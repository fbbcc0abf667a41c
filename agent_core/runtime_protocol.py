"""`SessionKeeper`: what every runtime can do with the sessions of its journal, whether they are active or not.

The rule here: it is about whole sessions by their ids. What goes on in one is the affair of `Session`.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from agent_core.journals.info import SessionInfo
from agent_core.session_protocol import Session


class SessionKeeper(Protocol):
    """A runtime, in this process or on a cluster. Every method may raise JournalError or PlacementError."""

    async def exists(self, id: str) -> bool:
        """Whether there is such a session."""
        ...

    async def sessions(
        self, *, labels: Mapping[str, str] | None = None, limit: int = 100, after: str | None = None
    ) -> Sequence[SessionInfo]:
        """At most `limit` sessions, the newest first; with `labels`, those that bear all of them with these values.

        `after` is the last id of the page before. Activates none.
        """
        ...

    async def fork(self, id: str, *, turn: str | None = None, id_of_fork: str | None = None) -> Session:
        """Open a new session that is what this one was when `turn` ended; without a turn, what it is now.

        A turn that is open and messages that wait are not in it; its label `forked_from` says where it comes from.
        Without `id_of_fork` it is given an id. Raises SessionError if there is no such session or no such turn that has
        ended, or `id_of_fork` exists; ConfigError if that cannot be an id.
        """
        ...

    async def delete(self, id: str) -> bool:
        """Delete the session with everything that was said in it. Whether there was one.

        If it is active, it is dropped in the middle of what it does: whoever waits for it gets an error.
        """
        ...

    async def export(self, id: str) -> Sequence[str]:
        """Everything that is recorded of the session, as lines of JSON: whose it is, then one for each record.

        Raises SessionError if there is no such session.
        """
        ...
