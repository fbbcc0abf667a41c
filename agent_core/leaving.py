"""A session that is about to be handed to another owner: it waits for a moment at which nothing is lost by that.

The rule here: such a moment is between two steps. No turn is open; or the model was about to be asked, which is left to
the next owner; or nothing runs but what answers from outside. A call that has left is waited for, since the next owner
could not tell what became of it; and a turn that is to fail when its owner is lost is waited for whole.
"""

import asyncio
from contextlib import suppress

from agent_core.conversation import Conversation
from agent_core.ports import Clock
from agent_core.providers.deadline import Deadline
from agent_core.turn import Machine


class Leaving:
    """Of one session, from when it is to leave until it has."""

    __slots__ = ("_conversation", "_machine", "_safe", "_withheld")

    def __init__(self, conversation: Conversation, machine: Machine) -> None:
        self._conversation, self._machine = conversation, machine
        self._safe = asyncio.Event()
        self._withheld = False
        self.look()

    def withholds(self) -> bool:
        """Whether the model is not asked any more: the next owner does it."""
        self._withheld = not self._ends_with_its_owner
        return self._withheld

    def look(self) -> None:
        """Something was decided: see whether the moment has come."""
        if self._is_safe():
            self._safe.set()

    def end(self) -> None:
        """The session is gone, one way or another."""
        self._safe.set()

    def _is_safe(self) -> bool:
        if self._conversation.open is None:
            return self._machine.compaction.job_id is None
        if self._ends_with_its_owner:
            return False
        # A request that waits for its permit has shown nothing and cost nothing.
        return self._withheld or self._machine.only_external or self._machine.state == "awaiting_permit"

    @property
    def _ends_with_its_owner(self) -> bool:
        return self._conversation.config.on_recovery == "fail"

    async def wait(self, clock: Clock, patience: float) -> None:
        """Return when the moment has come, or after `patience` seconds."""
        with suppress(TimeoutError):
            async with Deadline(clock, patience) as deadline:
                await deadline.wait(self._safe.wait())
