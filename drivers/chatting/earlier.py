"""The conversation before the reader came: its last turns, and what became of those before.

The rule here: a screenful, however long the conversation is. What the model no longer sees as it was said is told apart
from what it does: a summary stands for it, or it was cleared or left out.
"""

from collections.abc import Container, Sequence
from dataclasses import replace

from agent_core.messages import Message, UserMessage
from drivers.chatting.figures import several
from drivers.chatting.pieces import Noted, Piece, pieces_of, summarised

SHOWN_TURNS = 3
# One turn may call a hundred tools.
SHOWN_MESSAGES = 20
SUMMARY_LINES = 6


def earlier(history: Sequence[Message], view: Sequence[Message], leaving_out: Container[str] = ()) -> list[Piece]:
    """What is shown of a conversation that goes on. Calls with these ids are left out.

    `history` is everything that was ever said, `view` what the model sees of it.
    """
    first = max(_first_shown(history), len(history) - SHOWN_MESSAGES)
    pieces = _left_out(history[:first])
    standing = min(_standing(history, view), len(history))
    if standing:
        pieces += pieces_of(history[first:standing], leaving_out)
        pieces += _boundary(view)
    return pieces + pieces_of(history[max(first, standing) :], leaving_out)


def _first_shown(history: Sequence[Message]) -> int:
    turns = list(dict.fromkeys(message.turn_id for message in history))
    shown = set(turns[-SHOWN_TURNS:])
    return next((index for index, message in enumerate(history) if message.turn_id in shown), len(history))


def _left_out(messages: Sequence[Message]) -> list[Piece]:
    turns = len({message.turn_id for message in messages})
    return [Noted(f"{several(turns, 'earlier turn')}: /history full shows them")] if turns else []


def _standing(history: Sequence[Message], view: Sequence[Message]) -> int:
    """The index of the first message that the model sees in its own place."""
    places = {message.id: index for index, message in enumerate(history)}
    seen = [places[message.id] for message in view if message.id in places]
    if not seen:
        return len(history)
    # A user's last words are repeated behind a summary that ends in the middle of their turn.
    repeated = len(view) > len(seen) and len(seen) > 1 and view[-len(seen) + 1].parent_id != view[-len(seen)].id
    return seen[1] if repeated else seen[0]


def _boundary(view: Sequence[Message]) -> list[Piece]:
    lead = view[0] if view else None
    if isinstance(lead, UserMessage) and lead.marker == "summary":
        summary = summarised(lead, SUMMARY_LINES)
        return [replace(summary, until="here")]
    return [Noted("the model no longer sees what is above: it was cleared or left out")]
