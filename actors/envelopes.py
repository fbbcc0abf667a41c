"""What travels between a client process and a session actor: envelopes of requests one way, frames the other way.

The rule here: everything is tuples, strings, numbers and bytes, so that an envelope pickles at the speed of C; payloads
are JSON, written and read by pydantic at the two ends. Text, the most frequent frame, is not even that.
"""

from typing import Any, Final, NamedTuple

from agent_core.cursor import Cursor, Event
from agent_core.entries import PAYLOAD
from agent_core.errors import PlacementError, RayconteurError
from agent_core.messages import TurnId
from agent_core.payloads import TextChunk


class Request(NamedTuple):
    """One thing that a client wants of a session. `number` is the client's own; its answer bears it."""

    number: int
    session_id: str
    operation: str
    arguments: tuple[Any, ...] = ()


ANSWER: Final = 0
REFUSAL: Final = 1
TEXT: Final = 2
EVENT: Final = 3
END: Final = 4
FAILURE: Final = 5

MOVED: Final = "moved"
"""The kind of error that says: the session is not in this actor."""


class SessionMoved(PlacementError):
    """The session is in the actor `to`; where `to` is empty, whoever places sessions knows. No caller ever sees it."""

    def __init__(self, message: str = "", kind: str = MOVED, to: str = "") -> None:
        super().__init__(message, kind)
        self.args = (message, kind, to)
        self.to = to


Frame = tuple[Any, ...]


def answer_frame(number: int, value: Any) -> Frame:
    """The answer to request `number`."""
    return (ANSWER, number, value)


def refusal_frame(number: int, error: RayconteurError) -> Frame:
    """The error that request `number` ended in."""
    return (REFUSAL, number, error)


def event_frame(number: int, event: Event) -> Frame:
    """An event for the reader that request `number` made."""
    payload = event.payload
    if isinstance(payload, TextChunk):
        return (TEXT, number, *event.cursor, payload.turn_id, payload.index, payload.text)
    return (EVENT, number, *event.cursor, PAYLOAD.dump_json(payload, exclude_none=True))


def end_frame(number: int) -> Frame:
    """The reader that request `number` made gets no more."""
    return (END, number)


def failure_frame(number: int, error: RayconteurError) -> Frame:
    """The reader that request `number` made gets no more, and why."""
    return (FAILURE, number, error)


def event_of(frame: Frame) -> Event:
    """The event in a TEXT or EVENT frame."""
    cursor = Cursor(frame[2], frame[3], frame[4])
    if frame[0] == TEXT:
        return Event(cursor, TextChunk(turn_id=TurnId(frame[5]), index=frame[6], text=frame[7]))
    return Event(cursor, PAYLOAD.validate_json(frame[5]))


def merged(earlier: Frame, later: Frame) -> Frame | None:
    """One frame for two TEXT frames of the same reader, turn and block; None if they do not go together."""
    if earlier[0] == TEXT == later[0] and earlier[1] == later[1] and earlier[5:7] == later[5:7]:
        return (*later[:7], earlier[7] + later[7])
    return None
