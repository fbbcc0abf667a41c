"""The log of a session: one line a step, with its session and turn, through the logger `rayconteur.session`.

The rule here: nothing that was said is ever logged, and neither are inputs, results or the texts of errors, which may
repeat them; only ids, names, kinds and counts. Steps are INFO; what the session's caller cannot see is WARNING or
worse. A record bears `session_id` and `turn_id` too, for handlers that want them apart.
"""

import logging

from agent_core.content import ToolUseBlock
from agent_core.entries import (
    Accepted,
    Compacted,
    CompactionFailed,
    Complete,
    Configured,
    Entry,
    Error,
    Pinned,
    ToolBatch,
    ToolSettled,
    TurnEnded,
    Unpinned,
)
from agent_core.errors import RayconteurError
from agent_core.messages import SessionId, TurnId
from agent_core.ports import (
    CompactionFailure,
    CompactionJob,
    CompactionPriority,
    CompactionReport,
    CompactionStarted,
    ModelRequest,
    Patch,
)

log = logging.getLogger("rayconteur.session")


class SessionLog:
    """Writes the lines of one session. Costs next to nothing while the level is off."""

    __slots__ = ("_session_id",)

    def __init__(self, session_id: SessionId) -> None:
        self._session_id = session_id

    def fact(self, entry: Entry) -> None:
        """Something has happened and is durable."""
        if log.isEnabledFor(logging.INFO):
            said = " ".join(filter(None, (entry.kind, _details(entry))))
            self._line(logging.INFO, getattr(entry, "turn_id", None), said)

    def asked(self, request: ModelRequest) -> None:
        """The model is asked."""
        if log.isEnabledFor(logging.INFO):
            said = (
                f"model_called model={request.config.model} messages={len(request.messages)} tokens~{request.estimate}"
            )
            self._line(logging.INFO, request.turn_id, said)

    def summary_asked(self, job: CompactionJob, priority: CompactionPriority) -> None:
        """A compaction job leaves."""
        if log.isEnabledFor(logging.INFO):
            said = f"job={job.job_id} priority={priority} model={job.config.model} messages={len(job.messages)}"
            self._line(logging.INFO, None, f"compaction_submitted {said}")

    def summary_told(self, report: CompactionReport) -> None:
        """A compaction job tells something. What becomes of it is a fact of its own."""
        if log.isEnabledFor(logging.INFO):
            job_id = report.key.rpartition("/")[2]
            self._line(logging.INFO, None, f"compaction_{_told(report)} job={job_id}")

    def lost(self, error: RayconteurError, turn_id: TurnId | None) -> None:
        """Another owner has the session, or the journal failed."""
        self._line(logging.WARNING, turn_id, f"lost {type(error).__name__} kind={error.kind}")

    def snapshot_lost(self, error: RayconteurError) -> None:
        """A snapshot was not kept: the next activation replays more."""
        self._line(logging.WARNING, None, f"snapshot_lost {type(error).__name__} kind={error.kind}")

    def broken(self, part: str, error: Exception, turn_id: TurnId | None) -> None:
        """A part broke its contract. What the error says may be content, so only DEBUG shows it, with its place."""
        said = f"broken {part}: {type(error).__name__} (log level DEBUG shows more)"
        self._line(logging.ERROR, turn_id, said)
        log.debug("session %s: %s", self._session_id, part, exc_info=error)

    def _line(self, level: int, turn_id: TurnId | None, said: str) -> None:
        extra = {"session_id": self._session_id, "turn_id": turn_id}
        log.log(level, "session=%s turn=%s %s", self._session_id, turn_id or "-", said, extra=extra)


def _details(entry: Entry) -> str:
    match entry:
        case Accepted():
            return f"payload={entry.payload.kind} when={entry.when}"
        case Complete():
            calls = sum(isinstance(block, ToolUseBlock) for block in entry.message.content)
            usage = entry.message.usage
            return f"stop={entry.stop_reason} calls={calls} input={usage.input_tokens} output={usage.output_tokens}"
        case ToolBatch():
            return f"calls={len(entry.calls)}"
        case ToolSettled():
            return f"call={entry.result.tool_use_id} outcome={entry.outcome} seconds={entry.seconds:.3f}"
        case Error():
            return f"boundary={entry.error.boundary} kind={entry.error.kind} status={entry.error.status}"
        case TurnEnded():
            return f"outcome={entry.outcome} discarded={entry.discarded}"
        case Compacted():
            job = f"job={entry.job_id} " if entry.job_id else ""
            tokens = f"tokens_before={entry.tokens_before} tokens_after={entry.tokens_after}"
            return f"{job}strategy={entry.strategy} {tokens} waited={entry.waited:.3f}"
        case CompactionFailed():
            return f"job={entry.job_id} reason={entry.reason} kind={entry.error.kind if entry.error else '-'}"
        case Pinned() | Unpinned():
            return f"message={entry.message_id}"
        case Configured():
            return f"fields={','.join(entry.changes.fields) or '-'} tools={entry.changes.tools is not None}"
        case _:
            return ""


def _told(report: CompactionReport) -> str:
    match report:
        case CompactionStarted():
            return "started"
        case Patch():
            return "summarised"
        case CompactionFailure():
            return "shed" if report.shed else "gave_up"
