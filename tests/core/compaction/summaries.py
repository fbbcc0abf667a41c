"""What the tests of compaction jobs share: jobs, a summariser that a test holds the strings of, and the reports."""

import asyncio
from collections import Counter

from agent_core.config import SessionConfig
from agent_core.content import TextBlock
from agent_core.errors import ErrorInfo
from agent_core.messages import SessionId, TurnId, UserMessage
from agent_core.ports import CompactionFailure, CompactionJob, CompactionReport, CompactionStarted, Patch


def job(key: str, session: str | None = None, seconds: float = 60.0) -> CompactionJob:
    """A job of a session of its own, unless it is said of which."""
    session_id = SessionId(session or f"session of {key}")
    said = UserMessage(id="m1", session_id=session_id, turn_id=TurnId("t1"), content=(TextBlock(text="hello"),))
    config = SessionConfig(model="anthropic/summaries", timeout=seconds, compaction=None, request_class="summary")
    return CompactionJob(key, session_id, f"job {key}", config, [said], digest=f"digest of {key}")


class FakeSummariser:
    """Summarises at once, or once `release` is called if it is `held`. Counts what it was asked and what it stopped."""

    def __init__(self, *, held: bool = False) -> None:
        self.gate = asyncio.Event()
        if not held:
            self.gate.set()
        self.asked: list[CompactionJob] = []
        self.cancelled: list[str] = []
        self.running: Counter[str] = Counter()
        self.most_at_once = 0
        self.error: Exception | None = None

    async def summarise(self, job: CompactionJob) -> Patch | CompactionFailure:
        self.asked.append(job)
        self.running[job.key] += 1
        self.most_at_once = max(self.most_at_once, self.running.total())
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(job.key)
            raise
        finally:
            self.running[job.key] -= 1
        if self.error is not None:
            raise self.error
        return Patch(job.key, job.digest, f"summary of {job.key}")

    @property
    def keys(self) -> list[str]:
        """The keys of the jobs in the order in which they were begun."""
        return [job.key for job in self.asked]


class Reports:
    """Takes reports, and waits for the last one of a job."""

    def __init__(self) -> None:
        self.all: list[CompactionReport] = []
        self._changed = asyncio.Event()

    def __call__(self, report: CompactionReport) -> None:
        self.all.append(report)
        self._changed.set()

    def of(self, key: str) -> list[str]:
        """What was reported of a job, in words."""
        return [_said(report) for report in self.all if report.key == key]

    def error(self, key: str) -> ErrorInfo:
        """Why the job failed."""
        (failure,) = [report for report in self.all if isinstance(report, CompactionFailure) and report.key == key]
        return failure.error

    async def reported(self, key: str, what: str) -> None:
        """Return once this was reported of a job."""
        while what not in self.of(key):
            self._changed.clear()
            await self._changed.wait()

    async def ended(self, *keys: str) -> None:
        """Return once each job has ended."""
        while not all(any(report.key == key and not _begins(report) for report in self.all) for key in keys):
            self._changed.clear()
            await self._changed.wait()


def _begins(report: CompactionReport) -> bool:
    return isinstance(report, CompactionStarted)


def _said(report: CompactionReport) -> str:
    match report:
        case CompactionStarted():
            return "started"
        case Patch():
            return "patch"
        case CompactionFailure():
            return f"{'shed' if report.shed else 'failed'}: {report.error.kind}"
