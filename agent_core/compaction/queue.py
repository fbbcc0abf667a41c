"""The queue of compaction jobs: which may run next, and which has to go.

The rule here: bookkeeping alone, without time or I/O. A ticket is queued, running or gone:

    put      -> queued               an older ticket of the session goes; past the bound, the last of the least urgent
    take     queued -> running       the first of the most urgent
    requeue  running -> queued       the first of its priority; gone after so many starts
    remove   -> gone
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from agent_core.messages import SessionId
from agent_core.ports import CompactionPriority

Work = TypeVar("Work")
Reason = Literal["superseded", "shed", "given_up"]

MOST_URGENT_FIRST: tuple[CompactionPriority, ...] = ("waiting", "manual", "trigger", "soft")


@dataclass(slots=True)
class Ticket(Generic[Work]):
    """A job's place. `work` is what its runner needs, never looked at here; `starts` counts how often it was taken."""

    key: str
    session_id: SessionId
    priority: CompactionPriority
    work: Work
    starts: int = 0


@dataclass(frozen=True, slots=True)
class Dropped(Generic[Work]):
    """A ticket that went without having been done, queued or (if superseded) running."""

    ticket: Ticket[Work]
    reason: Reason


class CompactionQueue(Generic[Work]):
    """At most `running` tickets are out at once, `queued` wait and each session has one.

    `running` may be changed at any time. A ticket that is superseded or removed counts no longer, even while what ran
    it has yet to stop.
    """

    def __init__(self, running: int, queued: int, starts: int = 3) -> None:
        self.running = running
        self._bound, self._starts = queued, starts
        self._queued: dict[CompactionPriority, OrderedDict[str, Ticket[Work]]] = {
            priority: OrderedDict() for priority in MOST_URGENT_FIRST
        }
        self._out: dict[str, Ticket[Work]] = {}
        self._of_session: dict[SessionId, Ticket[Work]] = {}

    @property
    def waiting(self) -> Sequence[Ticket[Work]]:
        """The queued tickets in the order in which they are taken."""
        return [ticket for lane in self._queued.values() for ticket in lane.values()]

    @property
    def out(self) -> Sequence[Ticket[Work]]:
        """The running tickets."""
        return tuple(self._out.values())

    def put(self, ticket: Ticket[Work]) -> Sequence[Dropped[Work]]:
        """Queue a ticket whose key is new here. What goes because of it may be the ticket itself."""
        older = self._of_session.get(ticket.session_id)
        dropped: list[Dropped[Work]] = []
        if older is not None:
            self.remove(older.key)
            dropped.append(Dropped(older, "superseded"))
        self._of_session[ticket.session_id] = ticket
        self._queued[ticket.priority][ticket.key] = ticket
        return dropped + self._shed()

    def take(self) -> Ticket[Work] | None:
        """The next ticket, which is running from now on; None if none waits or enough are running."""
        if len(self._out) >= self.running:
            return None
        for lane in self._queued.values():
            if lane:
                _, ticket = lane.popitem(last=False)
                ticket.starts += 1
                self._out[ticket.key] = ticket
                return ticket
        return None

    def requeue(self, key: str) -> Sequence[Dropped[Work]]:
        """What ran this ticket was lost: it is the next of its priority, or given up."""
        ticket = self._out.get(key)
        if ticket is None:
            return ()
        if ticket.starts >= self._starts:
            self.remove(key)
            return (Dropped(ticket, "given_up"),)
        del self._out[key]
        lane = self._queued[ticket.priority]
        lane[key] = ticket
        lane.move_to_end(key, last=False)
        return self._shed()

    def promote(self, key: str, priority: CompactionPriority) -> None:
        """The ticket is at least so urgent: it joins the end of that priority, unless it is as urgent already."""
        for lane in self._queued.values():
            if (ticket := lane.get(key)) is not None:
                if _rank(priority) < _rank(ticket.priority):
                    del lane[key]
                    ticket.priority = priority
                    self._queued[priority][key] = ticket
                return
        if (ticket := self._out.get(key)) is not None and _rank(priority) < _rank(ticket.priority):
            ticket.priority = priority

    def remove(self, key: str) -> Ticket[Work] | None:
        """The ticket is done, or nobody wants it any more. None if it is not known."""
        ticket = self._out.pop(key, None)
        for lane in self._queued.values():
            ticket = ticket or lane.pop(key, None)
        if ticket is not None:
            del self._of_session[ticket.session_id]
        return ticket

    def _shed(self) -> list[Dropped[Work]]:
        if sum(map(len, self._queued.values())) <= self._bound:
            return []
        lane = next(self._queued[priority] for priority in reversed(MOST_URGENT_FIRST) if self._queued[priority])
        _, ticket = lane.popitem()
        del self._of_session[ticket.session_id]
        return [Dropped(ticket, "shed")]


def _rank(priority: CompactionPriority) -> int:
    return MOST_URGENT_FIRST.index(priority)
