"""Short ways to make appends, and a journal's content as the tests compare it."""

from typing import Any

from agent_core.config import SessionConfig
from agent_core.entries import Accepted, Closed, Entry, Opened
from agent_core.journals.catalog import FullJournal
from agent_core.messages import SessionId, TurnId
from agent_core.payloads import UserInput
from agent_core.ports import Append, Journal, Record

__all__ = ["CLOSED", "OPENED", "FullJournal", "append", "said", "told"]

OPENED = Opened(config=SessionConfig(model="local/smollm2"), labels={"team": "red"})
CLOSED = Closed()


def said(text: str) -> Accepted:
    """A user's message, accepted."""
    return Accepted(turn_id=TurnId("t"), payload=UserInput.of(text))


def append(session: str, epoch: int, first: int, *entries: Entry) -> Append:
    """An append of the entries from sequence number `first` on, at second `seq`."""
    records = [Record(first + place, epoch, float(first + place), entry) for place, entry in enumerate(entries)]
    return Append(SessionId(session), epoch, records)


async def told(journal: Journal, session: str) -> list[Any]:
    """The session's texts in order, entries that are no message by their kind."""
    records = await journal.read(SessionId(session))
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    return [_text(record.entry) for record in records]


def _text(entry: Entry) -> str:
    if isinstance(entry, Accepted) and isinstance(entry.payload, UserInput):
        return "".join(block.text for block in entry.payload.content if block.kind == "text")
    return entry.kind
