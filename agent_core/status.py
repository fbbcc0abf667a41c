"""What a session says of itself: status, token counts and the result of a compaction.

The rule here: a status is an immutable snapshot, so that it can be read from another thread while everything else is
full.
"""

from typing import Literal

from agent_core.frozen import Frozen
from agent_core.messages import SessionId, TurnId, Usage
from agent_core.payloads import SessionState


class TokenUsage(Frozen):
    """Tokens over the whole life of a session. The summariser's are counted apart."""

    total: Usage = Usage()
    last: Usage = Usage()
    summariser: Usage = Usage()
    request_count: int = 0


class CompactionStatus(Frozen):
    """Where the compaction of a session stands. `waited` is how long turns have waited for it in all, in seconds.

    `failures` counts jobs in a row that came to nothing; `paused` says that no more are started until the context has
    grown.
    """

    state: Literal["none", "scheduled", "started", "ready"] = "none"
    job_id: str | None = None
    spliced: int = 0
    failures: int = 0
    paused: bool = False
    waited: float = 0.0


class SessionStatus(Frozen):
    """A session at one moment. Counts are in tokens, times in seconds since the epoch, `utilization` in percent.

    `pinned` are ids of messages.
    """

    session_id: SessionId
    model: str
    created_at: float
    state: SessionState
    turn_id: TurnId | None = None
    messages: int = 0
    queued: int = 0
    context_used: int = 0
    context_limit: int = 0
    utilization: float = 0.0
    usage: TokenUsage = TokenUsage()
    epoch: int = 0
    last_seq: int = 0
    node: str = ""
    actor: str = ""
    compactions: int = 0
    compaction: CompactionStatus = CompactionStatus()
    pinned: tuple[str, ...] = ()


class CompactResult(Frozen):
    """What a compaction did. `summary_length` is in characters, `waited` in seconds."""

    compacted: bool
    strategy: str = ""
    reason: str = ""
    messages_before: int = 0
    messages_after: int = 0
    turns_compacted: int = 0
    turns_kept: int = 0
    results_summarized: int = 0
    results_redacted: int = 0
    tokens_before: int = 0
    tokens_after: int = 0
    summary_length: int = 0
    job_id: str | None = None
    waited: float = 0.0
    error: str | None = None
