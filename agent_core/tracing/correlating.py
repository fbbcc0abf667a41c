"""Log lines of a session that bear the ids of their turn's trace and span.

The rule here: it costs nothing while a line is not written, and adds to lines without changing what they say.
"""

import logging
from typing import cast

from agent_core.messages import SessionId, TurnId
from agent_core.tracing.observer import Tracing


class TraceFilter(logging.Filter):
    """Adds `trace_id` and `span_id` to the records of `rayconteur.session`, and `trace=...` to their lines."""

    def __init__(self, tracing: Tracing) -> None:
        super().__init__()
        self._tracing = tracing

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass."""
        session_id = cast("SessionId | None", getattr(record, "session_id", None))
        turn_id = cast("TurnId | None", getattr(record, "turn_id", None))
        found = self._tracing.ids_of(session_id, turn_id) if session_id and turn_id else None
        if found is not None and not hasattr(record, "trace_id"):
            record.trace_id, record.span_id = found
            record.msg = f"{record.msg} trace={found[0]}"
        return True
