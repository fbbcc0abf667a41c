"""Compaction in the background: when a job starts, when its summary is put in place, and when a turn waits for it.

    share of the window    what happens                                 (looked at whenever no model call is under way)
    ---------------------  ------------------------------------------------------------------------------------------
    soft                   a job starts, unless the last ones in a row came to nothing and little has been said since
    trigger                a summary that is ready is put in place; for one that is not nobody waits
    hard, before a request the turn waits for the job under way, at most max_wait; then the last resort, never a new job

The rule here: below the hard mark no turn waits, and above it none waits for longer than it was told to. A job that was
under way when the session moved to another owner is as good as cancelled.
"""

from collections.abc import Callable
from dataclasses import dataclass

from agent_core.compaction.planning import keep_budget, most_after, plan_range
from agent_core.compaction.settings import LLMCompaction
from agent_core.compaction_jobs import CompactionJobs
from agent_core.content import ThinkingBlock, ToolUseBlock
from agent_core.messages import AssistantMessage, TurnId
from agent_core.payloads import SessionState, StatusChanged
from agent_core.ports import CompactionReport
from agent_core.recorder import Recorder
from agent_core.shrinking import Shrinking
from agent_core.status import CompactionStatus, CompactResult
from agent_core.window import Window

_FAILURES = 2
_GROWTH = 0.1
_THINKING = "the last turn holds thinking that goes with its tool calls: retry it, or send a message, first"
_NO_STRATEGY = CompactResult(compacted=False, error="No compactor configured", reason="no compactor configured")


@dataclass(slots=True)
class _Wait:
    """A turn waits at the hard mark, since `since`, until this timer ends at the latest."""

    timer: int
    since: float


class Compacting:
    """The compaction of one conversation."""

    def __init__(self, recorder: Recorder, window: Window) -> None:
        self._recorder, self._window = recorder, window
        self._conversation = recorder.conversation
        self._shrinking = Shrinking(recorder, window)
        self._jobs = CompactionJobs(recorder, window)
        self._wait: _Wait | None = None
        self._waited_for: tuple[TurnId, int] | None = None
        self._waited = 0.0
        # Nothing starts before the model is asked: sessions that are opened again in thousands start no storm. After a
        # job that came to nothing, nothing starts before it is asked again.
        self._resting = True

    # --- on the way to a request ------------------------------------------------------------------------------------

    @property
    def waiting(self) -> bool:
        """Whether the open turn waits for a job at the hard mark."""
        return self._wait is not None

    def before_request(self) -> bool:
        """Make room for the next request: whether it may be made now, or the turn waits."""
        self._resting = False
        self.go_on()
        self._shrinking.if_due()
        settings = self._settings
        if settings is not None and self._window.past(settings.hard):
            if self._worth_waiting(settings):
                self._begin_to_wait(settings)
                return False
            self._shrinking.to(most_after(settings, self._window), self._waited)
        self._waited = 0.0
        return True

    def after_overflow(self, named_limit: int | None) -> bool:
        """The provider refused the request as too long: whether it is worth making it once more."""
        spliced = self._held and self._may_splice
        if spliced:
            self._jobs.splice(0.0)
        return self._shrinking.after_overflow(named_limit) or spliced

    def go_on(self) -> None:
        """Start a job, hurry it or put its summary in place, as the marks say. No model call is under way."""
        settings, job = self._settings, self._jobs.current
        if settings is None or self._conversation.closed:
            return
        if job is None:
            if not self._resting and self._window.past(settings.soft) and not self._paused:
                self._start(settings)
        elif job.patch is None:
            if self._window.past(settings.trigger):
                self._jobs.promote("trigger")
        elif (job.asked or self._window.past(settings.trigger)) and self._may_splice:
            self._jobs.splice(self._waited)
            self._waited = 0.0
        elif job.asked and self._conversation.open is None:
            # Whoever asked would wait until somebody retries the turn, or says something else.
            self._jobs.put_off(_THINKING)

    def _start(self, settings: LLMCompaction) -> None:
        # Looked at once for each request: what cannot be done now cannot be done a moment later.
        self._resting = True
        found = plan_range(self._conversation, settings.keep_recent_turns, keep_budget(settings, self._window))
        if found is None:
            return
        kept = self._window.with_shown(found.kept_tokens + found.repeated_tokens)
        if kept > most_after(settings, self._window):
            self._jobs.tell("skipped", "", reason="what has to stay takes too much by itself")
            return
        self._jobs.start(settings, found, "trigger" if self._window.past(settings.trigger) else "soft")

    # --- what is known ----------------------------------------------------------------------------------------------

    @property
    def _settings(self) -> LLMCompaction | None:
        chosen = self._conversation.config.compaction
        return chosen if isinstance(chosen, LLMCompaction) else None

    @property
    def _held(self) -> bool:
        job = self._jobs.current
        return job is not None and job.patch is not None

    @property
    def _paused(self) -> bool:
        conversation = self._conversation
        grown = conversation.context_used - conversation.failed_at
        return conversation.failed_compactions >= _FAILURES and grown < _GROWTH * self._window.usable

    @property
    def _may_splice(self) -> bool:
        """Whether the view may change now: thinking that goes with tool calls belongs to what it followed.

        That is so under the open turn, under one that failed and may be tried again, and as long as the newest answer
        is one with calls: a provider takes the loop for open, though the turn was interrupted.
        """
        conversation = self._conversation
        turn, last = conversation.open, conversation.last_turn
        turns = {turn.turn_id if turn else last[0] if last and last[1] == "failed" else None}
        shown = conversation.view.shown
        newest = next((message for message in reversed(shown) if isinstance(message, AssistantMessage)), None)
        if newest is not None and any(isinstance(block, ToolUseBlock) for block in newest.content):
            turns.add(newest.turn_id)
        return not any(
            isinstance(block, ThinkingBlock)
            for message in shown
            if message.turn_id in turns
            for block in message.content
        )

    # --- asked for --------------------------------------------------------------------------------------------------

    def now(self, focus: str) -> CompactResult | str:
        """Compact whatever the marks say: what came of it, or the id of the job that will tell."""
        chosen, job = self._conversation.config.compaction, self._jobs.current
        if chosen is None:
            return _NO_STRATEGY
        if not isinstance(chosen, LLMCompaction):
            return self._shrinking.now(chosen)
        if job is not None and focus in ("", job.job.focus):
            job.asked = True
            self._jobs.promote("manual")
            return job.id
        if self._conversation.open is None and not self._may_splice:
            return self._nothing(_THINKING)
        keep = min(chosen.keep_recent_turns, 1)
        found = plan_range(self._conversation, keep, keep_budget(chosen, self._window))
        if found is None:
            return self._nothing("nothing to compact: nothing is old enough to be summarised")
        self.cancel("another compaction was asked for")
        return self._jobs.start(chosen, found, "manual", focus)

    def _nothing(self, reason: str) -> CompactResult:
        shown, used = self._conversation.view.shown, self._window.used
        return CompactResult(
            compacted=False,
            strategy="llm",
            reason=reason,
            messages_before=len(shown),
            messages_after=len(shown),
            turns_kept=len({message.turn_id for message in shown}),
            tokens_before=used,
            tokens_after=used,
        )

    def cancel(self, reason: str) -> None:
        """Give the job up, if there is one, and wait no longer."""
        self.stop_waiting()
        self._jobs.cancel(reason)

    def verify(self) -> None:
        """The history has changed otherwise than by growing: give up a job whose range stands no more."""
        self._jobs.verify()

    # --- waiting at the hard mark -----------------------------------------------------------------------------------

    def _worth_waiting(self, settings: LLMCompaction) -> bool:
        """Whether a job may end in time; a request waits once, and never for a job that has only just begun."""
        turn, job = self._conversation.open, self._jobs.current
        if turn is None or job is None or job.patch is not None or not settings.max_wait or not self._may_splice:
            return False
        return job.started_at < self._recorder.now and self._waited_for != (turn.turn_id, turn.steps)

    def _begin_to_wait(self, settings: LLMCompaction) -> None:
        turn, job = self._conversation.open, self._jobs.current
        assert turn is not None, "only a turn waits"
        assert job is not None, "only a job is waited for"
        self._jobs.promote("waiting")
        self._waited_for = (turn.turn_id, turn.steps)
        self._wait = _Wait(self._jobs.start_timer(settings.max_wait), self._recorder.now)
        self._jobs.tell("waiting", job.id)
        self._show("compacting")

    def stop_waiting(self) -> None:
        """The turn waits no longer: the job is done, the time is over, or the turn is."""
        if self._wait is not None:
            self._waited = self._recorder.now - self._wait.since
            self._wait = None
            self._show("running")

    def _show(self, state: SessionState) -> None:
        turn = self._conversation.open
        if turn is not None:
            self._recorder.emit(StatusChanged(turn_id=turn.turn_id, state=state))

    # --- what comes in ----------------------------------------------------------------------------------------------

    def on_report(self, report: CompactionReport) -> None:
        """A job tells something."""
        self._follow(lambda: self._jobs.on_report(report))

    def on_timer(self, timer: int) -> None:
        """A time that was asked for is over. That of something that is over too is ignored."""
        if self._wait is not None and self._wait.timer == timer:
            self.stop_waiting()
        self._follow(lambda: self._jobs.on_timer(timer))

    def _follow(self, step: Callable[[], None]) -> None:
        """Take a step of the job; once it is done or over, nobody waits for it, and a failed one is rested from."""
        before = self._jobs.current
        step()
        if before is not None and self._jobs.current is None:
            self._resting = True
        if self._jobs.current is None or self._held:
            self.stop_waiting()

    @property
    def status(self) -> CompactionStatus:
        """A snapshot."""
        job, conversation = self._jobs.current, self._conversation
        return CompactionStatus(
            state="none" if job is None else "ready" if job.patch else "started" if job.running else "scheduled",
            job_id=job.id if job else None,
            spliced=conversation.compactions,
            failures=conversation.failed_compactions,
            paused=self._window.known_limit > 0 and self._paused,
            waited=conversation.compaction_waited,
        )
