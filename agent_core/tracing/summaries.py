"""Compaction spans: one for each summary that is asked for, from there until it is had or given up.

    rayconteur.compaction.outcome    what became of the summary
    -----------------------------    --------------------------------------------------------------------------------
    applied                          it was put in place
    ready                            it was made, and is held or thrown away later than a few seconds after
    failed, stale, unproductive      see `CompactionFailed`
    shed                             there was no room for the job
    cancelled                        nobody waits for it any more
    lost                             its session was let go of

The rule here: a span ends when the work does, however long the summary is held, so that none is open for hours.
"""

import asyncio
from dataclasses import dataclass

from agent_core.entries import Compacted, CompactionFailed
from agent_core.messages import SessionId
from agent_core.ports import (
    Clock,
    CompactionFailure,
    CompactionJob,
    CompactionPriority,
    CompactionReport,
    CompactionStarted,
    Patch,
)
from agent_core.tracing import names
from agent_core.tracing.requests import model_attributes, usage_attributes
from agent_core.tracing.spans import OpenSpan, Spans, Value

LINGER = 5.0
"""Seconds for which a summary that was made may still be told to be applied, or not."""


@dataclass(slots=True)
class _Job:
    session_id: SessionId
    span: OpenSpan
    made_at: float | None = None
    timer: asyncio.TimerHandle | None = None


class Summaries:
    """The compaction jobs of one process that have not ended."""

    def __init__(self, spans: Spans, clock: Clock, linger: float) -> None:
        self._spans, self._clock, self._linger = spans, clock, linger
        self._jobs: dict[str, _Job] = {}

    @property
    def open(self) -> int:
        """How many there are."""
        return len(self._jobs)

    def ask(self, job: CompactionJob, priority: CompactionPriority, parent: str | None) -> None:
        """A job leaves."""
        said: dict[str, Value] = {
            names.OPERATION: names.COMPACT,
            names.CONVERSATION: job.session_id,
            names.JOB_ID: job.job_id,
            names.JOB_PRIORITY: priority,
            **model_attributes(job.config),
        }
        span = self._spans.open(names.COMPACT, parent, self._clock.now(), said)
        self._end(job.key, "lost")
        self._jobs[job.key] = _Job(job.session_id, span)

    def traceparent_of(self, key: str) -> str | None:
        """What whoever makes the summary is given."""
        job = self._jobs.get(key)
        return job.span.traceparent if job is not None else None

    def tell(self, report: CompactionReport) -> None:
        """A job tells something."""
        job, now = self._jobs.get(report.key), self._clock.now()
        if job is None or job.made_at is not None:
            return
        match report:
            case CompactionStarted():
                job.span.event(names.SUMMARY_STARTED, now)
            case Patch():
                job.made_at = now
                job.span.event(names.SUMMARY_READY, now)
                job.span.set({names.JOB_SECONDS: report.seconds, **usage_attributes(report.usage)})
                job.timer = asyncio.get_running_loop().call_later(self._linger, self._end, report.key, "ready")
            case CompactionFailure():
                job.span.set(usage_attributes(report.usage))
                job.span.fail(report.error.kind)
                self._end(report.key, "shed" if report.shed else "failed")

    def applied(self, session_id: SessionId, entry: Compacted) -> None:
        """A summary was put in place."""
        key = f"{session_id}/{entry.job_id}"
        job = self._jobs.get(key)
        if job is not None:
            job.span.set({names.TOKENS_BEFORE: entry.tokens_before, names.TOKENS_AFTER: entry.tokens_after})
            job.span.set({names.WAITED: entry.waited})
            self._end(key, "applied")

    def undone(self, session_id: SessionId, entry: CompactionFailed) -> None:
        """A job came to nothing."""
        key = f"{session_id}/{entry.job_id}"
        job = self._jobs.get(key)
        if job is not None:
            job.span.fail(entry.error.kind if entry.error else entry.reason)
            self._end(key, entry.reason)

    def cancel(self, key: str) -> None:
        """Nobody waits for the job any more. One that was done is done all the same."""
        job = self._jobs.get(key)
        self._end(key, "cancelled" if job is None or job.made_at is None else "ready")

    def lose(self, session_id: SessionId) -> None:
        """A session is let go of."""
        for key, job in tuple(self._jobs.items()):
            if job.session_id == session_id:
                self._end(key, "lost" if job.made_at is None else "ready")

    def _end(self, key: str, outcome: str) -> None:
        job = self._jobs.pop(key, None)
        if job is None:
            return
        if job.timer is not None:
            job.timer.cancel()
        job.span.set({names.JOB_OUTCOME: outcome})
        job.span.end(self._clock.now() if job.made_at is None else job.made_at)
