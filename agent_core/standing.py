"""Where a session stands, from its parts.

The rule here: it reads values that are replaced whole, so that another thread may ask at any moment.
"""

from agent_core.conversation import Conversation
from agent_core.session_ports import Ports
from agent_core.status import SessionStatus
from agent_core.turn import Machine


def status_of(conversation: Conversation, machine: Machine, epoch: int, ports: Ports) -> SessionStatus:
    """The status of the session of this conversation, owned here since `epoch`."""
    turn, limit, used = conversation.open, machine.context_limit, conversation.context_used
    return SessionStatus(
        session_id=conversation.session_id,
        model=conversation.config.model,
        created_at=conversation.created_at,
        state=machine.state,
        turn_id=turn.turn_id if turn else None,
        messages=len(conversation.view.shown),
        queued=len(conversation.queue),
        context_used=used,
        context_limit=limit,
        utilization=round(100.0 * used / limit, 2) if limit else 0.0,
        usage=conversation.usage,
        epoch=epoch,
        last_seq=conversation.last_seq,
        node=ports.node,
        actor=ports.owner,
        compactions=conversation.compactions,
        compaction=machine.compaction,
        pinned=tuple(message.id for message in conversation.view.pinned),
    )
