"""A session that can open others beside it, over whatever opens sessions.

The rule here: it is the session that it was given, and remembers its branches, so that whoever made it can count and
put away all that a sample took.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agent_core.messages import Message, Usage
from agent_core.session_protocol import Session

if TYPE_CHECKING:
    from drivers.inspecting.conversations import Branch


class BranchingSession:
    """A session with `branch`. `branches` are those that were opened, in order."""

    def __init__(self, session: Session, opener: "Branch") -> None:
        self._session, self._opener = session, opener
        self.branches: list[Session] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    async def branch(self, number: int, history: Sequence[Message]) -> Session:
        """See `conversations.Branching`."""
        session = await self._opener(number, history)
        self.branches.append(session)
        return session

    async def usage(self) -> Usage:
        """The tokens that the session and its branches took, summaries apart."""
        total = Usage()
        for session in (self._session, *self.branches):
            total += (await session.status()).usage.total
        return total

    async def shutdown(self, *, graceful: bool = True) -> None:
        """Shut the branches down, then the session."""
        for session in (*self.branches, self._session):
            await session.shutdown(graceful=graceful)
