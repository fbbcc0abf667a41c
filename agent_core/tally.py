"""The tally: what the sessions of one process have done since it started, in numbers that only grow.

The rule here: counting is adding to an integer. Another thread may read the numbers at any time: each of them is right,
and together they are of about the same moment.
"""

from agent_core.conversation import Conversation
from agent_core.entries import Compacted, CompactionFailed, ToolSettled, TurnEnded
from agent_core.errors import ProviderError
from agent_core.frozen import Frozen
from agent_core.messages import Usage
from agent_core.observing import CallObserver
from agent_core.ports import (
    CompactionFailure,
    CompactionJob,
    CompactionPriority,
    CompactionReport,
    ModelEvent,
    ModelRequest,
    Patch,
    Record,
    RetryScheduled,
    UsageUpdate,
)

RATE_LIMIT = "rate_limit"


class Totals(Frozen):
    """What was done since `since` (seconds since the epoch).

    `failed_turns` are among the `turns` that ended. `requests` to models are counted when they are made, `retries` are
    those made again, and `rate_limited` the answers 429 among what failed. Tokens are as providers report them:
    `input_tokens` with those that are read from a cache or written there, without the summariser's, which are
    `summary_tokens` (in and out).
    """

    since: float = 0.0
    turns: int = 0
    failed_turns: int = 0
    requests: int = 0
    failed_requests: int = 0
    retries: int = 0
    rate_limited: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    summary_tokens: int = 0
    tool_calls: int = 0
    failed_tool_calls: int = 0
    compactions: int = 0
    failed_compactions: int = 0


COUNTED = tuple(name for name in Totals.model_fields if name != "since")


class Tally:
    """An observer that counts, from `since` on."""

    def __init__(self, since: float) -> None:
        self._since = since
        self._counts = dict.fromkeys(COUNTED, 0)

    def totals(self) -> Totals:
        """The numbers now."""
        return Totals(since=self._since, **self._counts)

    def add(self, name: str, more: int = 1) -> None:
        """Count so many more of what is called so in `Totals`."""
        self._counts[name] += more

    def fact(self, conversation: Conversation, record: Record) -> None:
        del conversation
        entry = record.entry
        if isinstance(entry, TurnEnded):
            self.add("turns")
            self.add("failed_turns", entry.outcome == "failed")
        elif isinstance(entry, ToolSettled):
            self.add("tool_calls")
            self.add("failed_tool_calls", entry.outcome not in {"ok", "external"})
        elif isinstance(entry, Compacted):
            self.add("compactions")
        elif isinstance(entry, CompactionFailed):
            self.add("failed_compactions")

    def model_called(self, request: ModelRequest) -> CallObserver:
        del request
        self.add("requests")
        return _CallTally(self)

    def summary_asked(self, job: CompactionJob, priority: CompactionPriority) -> None:
        """Nothing is counted before it is told what comes of it."""

    def summary_told(self, report: CompactionReport) -> None:
        if isinstance(report, Patch | CompactionFailure):
            usage = report.usage
            self.add("summary_tokens", _read(usage) + usage.output_tokens)


class _CallTally:
    """Counts what comes of one model call."""

    __slots__ = ("_tally", "_usage")

    def __init__(self, tally: Tally) -> None:
        self._tally, self._usage = tally, Usage()

    def heard(self, event: ModelEvent) -> None:
        if isinstance(event, UsageUpdate):
            before, self._usage = self._usage, event.usage
            self._tally.add("input_tokens", max(0, _read(event.usage) - _read(before)))
            self._tally.add("output_tokens", max(0, event.usage.output_tokens - before.output_tokens))
        elif isinstance(event, RetryScheduled):
            self._tally.add("retries")
            self._tally.add("rate_limited", event.error.kind == RATE_LIMIT)
            # The next attempt counts its tokens from the beginning.
            self._usage = Usage()

    def failed(self, failure: ProviderError) -> None:
        self._tally.add("failed_requests")
        self._tally.add("rate_limited", failure.kind == RATE_LIMIT)

    def cancelled(self) -> None:
        """What it took until then is counted already."""


def _read(usage: Usage) -> int:
    return usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
