"""Snapshots: a conversation between two turns as a value, so that it need not be replayed from its first entry.

The rule here: a snapshot is a shortcut and never a source. The journal keeps every entry; one that cannot be read, or
is of another version, is passed over and the entries are replayed. It holds what the next turn needs: messages that a
summary or a clear has taken away are left out, and read from the journal by those who ask for the whole history.
"""

import operator
from typing import Any, Literal

from pydantic import Field, ValidationError

from agent_core.config import SessionConfig
from agent_core.conversation import Conversation
from agent_core.entries import Accepted, Outcome, TurnEnded
from agent_core.frozen import Frozen
from agent_core.messages import Message, SessionId, TurnId
from agent_core.sharing import shared, slimmed
from agent_core.status import TokenUsage
from agent_core.tools.definition import ToolDefinition
from agent_core.view import View, ViewState

VERSION = 1


class _State(Frozen):
    """The fields of `Conversation` by their names, but `open` and `steers`, which are empty between turns."""

    version: Literal[1] = VERSION
    epoch: int
    last_seq: int
    created_at: float
    config: SessionConfig
    tools: dict[str, ToolDefinition]
    labels: dict[str, str]
    messages: tuple[Message, ...]
    view: ViewState
    queue: tuple[tuple[int, Accepted], ...]
    last_turn: tuple[TurnId, Outcome] | None
    turns: dict[TurnId, TurnEnded | None]
    keys: dict[str, TurnId]
    performed: dict[str, TurnId | None]
    turn_of_call: dict[str, TurnId]
    usage: TokenUsage
    context_used: int
    compactions: int
    compaction_waited: float
    failed_compactions: int
    failed_at: int
    learned_limits: dict[str, int]
    closed: bool
    left_out: int = Field(ge=0)
    # Left out where it is empty, so that a program that does not know it reads the snapshot too.
    history_digest: str = Field(default="", exclude_if=operator.not_)


_PLAIN = tuple(name for name in _State.model_fields if name not in ("version", "messages", "view", "queue", "left_out"))


def encode_snapshot(conversation: Conversation) -> bytes:
    """The conversation as JSON. No turn is open."""
    assert conversation.open is None, "a snapshot is taken between two turns"
    # The newest message stays in any case: the next one refers to it.
    first = min(conversation.view.start, max(len(conversation.messages) - 1, 0))
    state = _State(
        messages=tuple(conversation.messages[first:]),
        view=conversation.view.state(first),
        queue=tuple(conversation.queue),
        left_out=conversation.left_out + first,
        **{name: getattr(conversation, name) for name in _PLAIN},
    )
    return state.model_dump_json().encode()


def decode_snapshot(session_id: SessionId, data: bytes) -> Conversation | None:
    """The conversation that was encoded, or None if this program cannot read it."""
    try:
        state = _State.model_validate_json(data)
    except ValidationError:
        return None
    messages = [slimmed(message) for message in state.messages]
    plain: dict[str, Any] = {name: getattr(state, name) for name in _PLAIN}
    conversation = Conversation(session_id, **plain)
    conversation.config = shared(state.config)
    conversation.tools = {name: shared(tool) for name, tool in state.tools.items()}
    conversation.turns = {turn_id: ended and slimmed(ended) for turn_id, ended in state.turns.items()}
    conversation.messages = messages
    conversation.view = View.restored(session_id, state.view, messages)
    conversation.queue = list(state.queue)
    conversation.left_out = state.left_out
    return conversation
