"""What a journal says of a session without reading its records.

The rule here: these are facts of the journal's own, right even while nobody holds the session.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent_core.messages import SessionId


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session as the journal knows it. Times are in seconds since the epoch; `last_seq` numbers its last record."""

    session_id: SessionId
    owner: str
    epoch: int
    last_seq: int
    created_at: float
    updated_at: float
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
