"""The compaction job of a session: started, hurried, taken in or given up, and put in place. One at a time.

The rule here: a summary is laid over exactly the range that it was made for, known by the digest of its messages' ids,
or not at all. What is said meanwhile does not matter; a clear, or a turn taken out, does. Nothing but a summary that
is put in place changes the conversation.
"""

from dataclasses import dataclass
from typing import Literal, assert_never

from agent_core import commands as out
from agent_core.compaction.planning import Range, most_after, summary_limit, summary_tokens
from agent_core.compaction.settings import LLMCompaction
from agent_core.entries import Compacted, CompactionFailed
from agent_core.errors import ErrorInfo
from agent_core.messages import TurnId, Usage
from agent_core.overlays import Summary
from agent_core.payloads import CompactionState, CompactionUpdate
from agent_core.ports import (
    CompactionFailure,
    CompactionJob,
    CompactionPriority,
    CompactionReport,
    CompactionStarted,
    Patch,
)
from agent_core.recorder import Recorder
from agent_core.status import CompactResult
from agent_core.view import digest_of
from agent_core.window import Window

# How much longer than its deadline a job may be silent before it is given up, in seconds.
_GRACE = 30.0
_ORDER: tuple[CompactionPriority, ...] = ("waiting", "manual", "trigger", "soft")
_EMPTY = ErrorInfo(boundary="provider", kind="empty", message="The summary is empty. Try another summariser.")
_SILENT = ErrorInfo(
    boundary="placement", kind="silent", message="Nothing was heard of the compaction. Look at the compactors' log."
)


@dataclass(slots=True)
class Underway:
    """The job that is under way, for `settings`. One with a `patch` is done: its summary is held.

    It was `asked` for by somebody, who waits to hear of it, or by the marks alone.
    """

    job: CompactionJob
    settings: LLMCompaction
    range: Range
    priority: CompactionPriority
    asked: bool
    started_at: float
    timer: int
    running: bool = False
    patch: Patch | None = None

    @property
    def id(self) -> str:
        return self.job.job_id


class CompactionJobs:
    """The jobs of one conversation, of which `current` is under way."""

    def __init__(self, recorder: Recorder, window: Window) -> None:
        self._recorder, self._window = recorder, window
        self._conversation = recorder.conversation
        self._started = self._timers = 0
        self._given_up: frozenset[str] = frozenset()
        self.current: Underway | None = None

    # --- starting ---------------------------------------------------------------------------------------------------

    def start(self, settings: LLMCompaction, found: Range, priority: CompactionPriority, focus: str = "") -> str:
        """Have the range summarised: the job's id. There is none under way."""
        conversation = self._conversation
        self._started += 1
        job_id = f"{self._recorder.epoch}.{self._started}"
        summary = conversation.view.summary
        job = CompactionJob(
            key=f"{conversation.session_id}/{job_id}",
            session_id=conversation.session_id,
            job_id=job_id,
            config=conversation.config.summariser(settings, summary_limit(settings, self._window)),
            messages=found.messages,
            digest=found.digest,
            previous=summary.text if summary else None,
            focus=focus,
            turn_id=self._turn_id,
            traceparent=conversation.open.traceparent if conversation.open else None,
        )
        timer = self.start_timer(settings.deadline + _GRACE)
        asked = priority == "manual"
        self.current = Underway(job, settings, found, priority, asked, self._recorder.now, timer)
        self._recorder.do(out.StartCompaction(job, priority))
        self.tell("scheduled", job_id)
        return job_id

    def promote(self, priority: CompactionPriority) -> None:
        """The job under way is wanted at least so urgently."""
        job = self.current
        if job is not None and job.patch is None and _ORDER.index(priority) < _ORDER.index(job.priority):
            job.priority = priority
            self._recorder.do(out.PromoteCompaction(job.job.key, priority))

    def start_timer(self, seconds: float) -> int:
        """Have a time measured; its number comes back when it is over."""
        self._timers += 1
        self._recorder.do(out.StartTimer(self._timers, seconds))
        return self._timers

    # --- what a job tells -------------------------------------------------------------------------------------------

    def on_report(self, report: CompactionReport) -> None:
        """Take a report. One of a job that is over, or done already, changes nothing but the summariser's bill."""
        job = self.current
        if job is None or job.job.key != report.key or job.patch is not None:
            return self._late(report)
        match report:
            case CompactionStarted():
                if not job.running:
                    job.running = True
                    self.tell("started", job.id)
            case CompactionFailure():
                if report.shed:
                    self._end(job, "too many compactions wait already")
                    self.tell("skipped", job.id, reason="too many compactions wait already")
                else:
                    self._fail(job, "failed", report.error, report.usage)
            case Patch():
                self._take(job, report)
            case _:
                assert_never(report)
        return None

    def on_timer(self, timer: int) -> None:
        """A time is over: a job that was silent for so long is given up."""
        job = self.current
        if job is not None and job.timer == timer and job.patch is None:
            self._given_up |= {job.id}
            self._recorder.do(out.CancelCompaction(job.job.key))
            self._fail(job, "failed", _SILENT)

    def _take(self, job: Underway, patch: Patch) -> None:
        if not self._stands(job, patch.digest):
            return self._fail(job, "stale", None, patch.usage)
        if not patch.summary.strip():
            return self._fail(job, "failed", _EMPTY, patch.usage)
        tokens = summary_tokens(patch.summary, self._conversation.config.provider)
        after = self._window.with_shown(job.range.kept_tokens + job.range.repeated_tokens + tokens)
        worth = job.asked or after <= most_after(job.settings, self._window)
        # What was said since the job began stays too.
        shown = self._shown_after(job, patch)
        if not worth or shown is None:
            return self._fail(job, "unproductive", None, patch.usage)
        job.patch = patch
        self.tell("ready", job.id, tokens_after=self._window.with_shown(shown))
        return None

    def _stands(self, job: Underway, digest: str) -> bool:
        """Compare and swap: whether the range that a summary is for stands as it did."""
        conversation = self._conversation
        standing = conversation.view.range_to(job.range.through, conversation.messages)
        return digest == digest_of(standing)

    def _late(self, report: CompactionReport) -> None:
        """The summariser of a job that was given up has worked all the same: it is paid for, once."""
        job_id = report.key.rpartition("/")[2]
        if isinstance(report, CompactionStarted) or job_id not in self._given_up or self._conversation.closed:
            return
        self._given_up -= {job_id}
        if report.usage.context_tokens:
            self._recorder.record(CompactionFailed(job_id=job_id, reason="stale", usage=report.usage))

    # --- putting in place -------------------------------------------------------------------------------------------

    def splice(self, waited: float) -> None:
        """Put the summary that is held in place. A turn has waited for it for so many seconds."""
        job = self.current
        assert job is not None, "no job is under way"
        assert job.patch is not None, "no summary is held"
        if not self._stands(job, job.patch.digest):
            return self._fail(job, "stale", None, job.patch.usage)
        conversation, found, patch = self._conversation, job.range, job.patch
        before, messages = conversation.context_used, len(conversation.view.shown)
        shown = self._shown_after(job, patch)
        if shown is None:
            # What it covers may have been shortened or dropped since.
            return self._fail(job, "unproductive", None, patch.usage)
        self.current = None
        self._recorder.record(
            Compacted(
                strategy="llm",
                overlays=(_overlay(job, patch),),
                tokens_before=before,
                tokens_after=min(self._window.with_shown(shown), before),
                job_id=job.id,
                turn_id=self._turn_id,
                usage=patch.usage,
                waited=waited,
            )
        )
        view = conversation.view
        self._answer(
            job,
            CompactResult(
                compacted=True,
                strategy="llm",
                messages_before=messages,
                messages_after=len(view.shown),
                turns_compacted=found.turns,
                turns_kept=len({message.turn_id for message in view.shown[view.front :]}),
                tokens_before=before,
                tokens_after=conversation.context_used,
                summary_length=len(patch.summary),
                job_id=job.id,
                waited=self._recorder.now - job.started_at,
            ),
        )
        return None

    def _shown_after(self, job: Underway, patch: Patch) -> int | None:
        """Tokens of the view with the summary in place, by estimate; None if that is no less than without."""
        conversation, provider = self._conversation, self._conversation.config.provider
        after = conversation.view.with_summary(_overlay(job, patch), conversation.messages).tokens(provider)
        return after if after < conversation.view.tokens(provider) else None

    # --- ends -------------------------------------------------------------------------------------------------------

    def verify(self) -> None:
        """The history has changed otherwise than by growing: give the job up if its range stands no more."""
        job = self.current
        if job is not None and not self._stands(job, job.range.digest):
            self.cancel("what it covered is no longer part of the conversation")

    def cancel(self, reason: str) -> None:
        """Give the job up, if there is one."""
        job = self.current
        if job is None:
            return None
        if job.patch is not None:
            return self._fail(job, "stale", None, job.patch.usage, reason)
        self._given_up |= {job.id}
        self._recorder.do(out.CancelCompaction(job.job.key))
        self._end(job, reason)
        self.tell("stale", job.id, reason=reason)
        return None

    def _fail(
        self,
        job: Underway,
        how: Literal["failed", "stale", "unproductive"],
        error: ErrorInfo | None = None,
        usage: Usage | None = None,
        reason: str = "",
    ) -> None:
        """Record that the job came to nothing, and forget it."""
        paid = usage if usage is not None and usage.context_tokens else None
        self._recorder.record(
            CompactionFailed(job_id=job.id, reason=how, error=error, usage=paid, turn_id=self._turn_id)
        )
        self._end(job, reason or _REASONS[how], error)

    def put_off(self, reason: str) -> None:
        """Whoever asked for the job that is done waits no longer; its summary is held all the same."""
        job = self.current
        assert job is not None, "no job is under way"
        self._tell_undone(job, reason)
        job.asked = False

    def _end(self, job: Underway, reason: str, error: ErrorInfo | None = None) -> None:
        self.current = None
        self._tell_undone(job, reason, error)

    def _tell_undone(self, job: Underway, reason: str, error: ErrorInfo | None = None) -> None:
        conversation = self._conversation
        self._answer(
            job,
            CompactResult(
                compacted=False,
                strategy="llm",
                reason=reason,
                error=error.message if error else None,
                messages_before=len(conversation.view.shown),
                messages_after=len(conversation.view.shown),
                tokens_before=conversation.context_used,
                tokens_after=conversation.context_used,
                job_id=job.id,
                waited=self._recorder.now - job.started_at,
            ),
        )

    def _answer(self, job: Underway, result: CompactResult) -> None:
        if job.asked:
            self._recorder.do(out.CompactionEnded(job.id, result))

    # --- what is said of it -----------------------------------------------------------------------------------------

    def tell(self, state: CompactionState, job_id: str, *, reason: str = "", tokens_after: int = 0) -> None:
        """Show where a job stands."""
        self._recorder.emit(
            CompactionUpdate(
                state=state,
                job_id=job_id,
                turn_id=self._turn_id,
                tokens_before=self._conversation.context_used,
                tokens_after=tokens_after,
                reason=reason,
            )
        )

    @property
    def _turn_id(self) -> TurnId | None:
        return self._conversation.open.turn_id if self._conversation.open else None


def _overlay(job: Underway, patch: Patch) -> Summary:
    repeated = job.range.repeated
    return Summary(
        job_id=job.id,
        through=job.range.through,
        text=patch.summary,
        repeated=repeated.id if repeated else None,
    )


_REASONS = {
    "failed": "the summariser failed",
    "stale": "what it covered has changed meanwhile",
    "unproductive": "the summary would not have freed enough",
}
