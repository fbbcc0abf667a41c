"""What a reader sees of compaction: a line when a summary was put in place, came to nothing, or is waited for.

The rule here: what was asked for here is told by its own result, once; what happens in the background is one line.
"""

from agent_core.entries import Compacted, CompactionFailed
from agent_core.messages import Usage
from agent_core.payloads import CompactionState, CompactionUpdate
from agent_core.status import CompactionStatus, CompactResult, SessionStatus
from drivers.chatting.figures import count, duration, several
from drivers.chatting.pieces import Noted, Piece, clean

MAKING_ROOM = "making room: the turn waits for a summary of what was said before"
_DOING: dict[CompactionState, str] = {
    "scheduled": "waiting for a summariser",
    "started": "summarising what was said before",
    "ready": "the summary is put in place",
    "waiting": "summarising what was said before",
}
_STRATEGIES = {
    "llm": "earlier turns summarised",
    "threshold": "old tool results shortened",
    "last_resort": "the oldest left out to make room",
}
_SHORTEST_WAIT = 0.05


class Compactions:
    """The compaction of one session as it is heard of. `asked` counts those that were asked for here and run."""

    def __init__(self) -> None:
        self.asked = 0
        self.state: CompactionState | None = None
        self._told: set[str] = set()
        self._skipped = ""

    @property
    def summarising(self) -> bool:
        """Whether a summary is being made, or waits to be."""
        return self.state in ("scheduled", "started", "waiting")

    @property
    def doing(self) -> str:
        """What is waited for, in words."""
        return _DOING.get(self.state, "") if self.state else "compacting"

    def joined(self, status: CompactionStatus) -> None:
        """The reader comes in while compaction stands so."""
        self.state = None if status.state == "none" else status.state

    def told(self, result: CompactResult) -> None:
        """What came of a job was said: its events say it no more."""
        if result.job_id is not None:
            self._told.add(result.job_id)

    def restarted(self) -> None:
        """The session has a new owner: the job that was under way is forgotten."""
        self.state = None

    def apply(self, payload: CompactionUpdate | Compacted | CompactionFailed) -> list[Piece]:
        """Take an event in and return what is said of it."""
        match payload:
            case CompactionUpdate():
                return self._updated(payload)
            case Compacted():
                return self._compacted(payload)
            case CompactionFailed():
                return self._failed(payload)

    def _updated(self, update: CompactionUpdate) -> list[Piece]:
        """A job stands otherwise."""
        self.state = None if update.state in ("stale", "skipped") else update.state
        if update.state == "waiting":
            return [Noted(MAKING_ROOM)]
        if update.state != "skipped" or self.asked or update.reason == self._skipped:
            return []
        # It is looked at before every request: what is still so is not said again.
        self._skipped = update.reason
        return [Noted(f"no summary was begun: {update.reason}")]

    def _compacted(self, entry: Compacted) -> list[Piece]:
        """Something was put in place."""
        self._ended(entry.job_id)
        if self._is_told(entry.job_id):
            return []
        return [Noted(compacted_text(entry))]

    def _failed(self, entry: CompactionFailed) -> list[Piece]:
        """A job came to nothing."""
        self._ended(entry.job_id)
        text = failed_text(entry)
        return [] if text is None or self._is_told(entry.job_id) else [Noted(text)]

    def _ended(self, job_id: str | None) -> None:
        if job_id is not None:
            self.state, self._skipped = None, ""

    def _is_told(self, job_id: str | None) -> bool:
        return job_id is not None and (self.asked > 0 or job_id in self._told)


def compacted_text(entry: Compacted) -> str:
    """A compaction that happened by itself, in a line."""
    what = _STRATEGIES.get(entry.strategy, "compacted")
    waited = f", the turn waited {duration(entry.waited)}" if entry.waited >= _SHORTEST_WAIT else ""
    return f"{what}: {entry.tokens_before:,} → {entry.tokens_after:,} tokens{waited}"


def failed_text(entry: CompactionFailed) -> str | None:
    """A job that came to nothing, in a line. None: there is nothing to say, for what it was for is gone."""
    match entry.reason:
        case "failed":
            return f"no summary was made ({_why(entry)}); the conversation stays as it is"
        case "unproductive":
            return "a summary was not used: it would not have freed enough"
        case "stale":
            return None


def _why(entry: CompactionFailed) -> str:
    # The advice at a message's end is for who has to act; here it is tried again by itself.
    return clean(entry.error.message).partition(". ")[0].strip().rstrip(".") if entry.error else "the summariser failed"


def result_text(result: CompactResult) -> str:
    """What came of a compaction that was asked for, in a line or two."""
    if not result.compacted:
        return f"nothing was compacted: {_reason(result)}"
    done = [
        (result.turns_compacted if result.strategy == "llm" else 0, "turn", "summarised"),
        (result.results_summarized, "tool result", "summarised"),
        (result.results_redacted, "tool result", "left out"),
    ]
    what = ", ".join(f"{several(number, noun)} {how}" for number, noun, how in done if number) or result.strategy
    length = f" in {result.summary_length:,} characters" if result.summary_length else ""
    took = f", in {duration(result.waited)}" if result.waited >= _SHORTEST_WAIT else ""
    tokens = f"{result.tokens_before:,} → {result.tokens_after:,} tokens{took}"
    return f"{what}{length}, {several(result.turns_kept, 'turn')} kept whole\n{tokens}"


def _reason(result: CompactResult) -> str:
    reason, error = result.reason.removeprefix("nothing to compact: "), clean(result.error or "").strip()
    if error.lower() == reason:
        return "compaction is off (--compaction none)"
    return ": ".join(part for part in (reason, error) if part) or "there is nothing to shorten"


def status_rows(status: SessionStatus) -> list[tuple[str, str]]:
    """Where compaction stands, as rows; none where nothing was ever compacted."""
    compaction, rows = status.compaction, list[tuple[str, str]]()
    if standing := "; ".join(_standing(compaction)):
        rows.append(("compaction", standing))
    if (spent := status.usage.summariser) != Usage():
        tokens_in = spent.context_tokens - spent.output_tokens
        rows.append(("summariser", f"{count(tokens_in)} in, {count(spent.output_tokens)} out"))
    return rows


def _standing(compaction: CompactionStatus) -> list[str]:
    states = {"scheduled": "a summary is scheduled", "started": "a summary is being made", "ready": "a summary is held"}
    said = [f"{compaction.spliced} so far"] if compaction.spliced else []
    if compaction.waited >= _SHORTEST_WAIT:
        said.append(f"turns waited {duration(compaction.waited)} in all")
    if compaction.state in states:
        said.append(states[compaction.state])
    if compaction.failures:
        failed = "the last summary" if compaction.failures == 1 else f"the last {compaction.failures} summaries"
        paused = ", so it pauses until the context has grown" if compaction.paused else ""
        said.append(f"{failed} came to nothing{paused}")
    return said
