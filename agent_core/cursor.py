"""Cursors: a reader's place in a session's stream of events.

The rule here: cursors order the events of a session totally; a reader that resumes after a cursor misses no fact and
gets none twice.
"""

from typing import NamedTuple

from agent_core.entries import FromLLMPayload


class Cursor(NamedTuple):
    """After journal entry `seq`, and `delta` deltas that the owner of `epoch` showed after it.

    Entries order everything; among the deltas after one entry, those of a newer owner come later, since it makes them
    anew.
    """

    seq: int = 0
    epoch: int = 0
    delta: int = 0


class Event(NamedTuple):
    """A payload in its place in the stream."""

    cursor: Cursor
    payload: FromLLMPayload
