"""The ports of a process with tracing put around them.

The rule here: what crosses to another process carries the `traceparent` of the span that it belongs to; nothing else
about it changes.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from agent_core.observing import Observers
from agent_core.ports import (
    CompactionJob,
    CompactionPriority,
    CompactionReport,
    Compactor,
    ToolExecutor,
    ToolInvocation,
    ToolReport,
)
from agent_core.session_ports import Ports
from agent_core.tracing.context import new_trace
from agent_core.tracing.observer import Tracing


def with_tracing(ports: Ports, tracing: Tracing) -> Ports:
    """The ports, watched by `tracing` besides whoever watches them already."""
    return replace(
        ports,
        tools=TracedTools(ports.tools, tracing),
        compactor=TracedCompactor(ports.compactor, tracing),
        observer=Observers(ports.observer, tracing),
        new_trace=new_trace,
    )


class TracedTools:
    """A `ToolExecutor` whose calls know their spans."""

    def __init__(self, tools: ToolExecutor, tracing: Tracing) -> None:
        self._tools, self._tracing = tools, tracing

    def dispatch(self, calls: Sequence[ToolInvocation], deliver: Callable[[ToolReport], None]) -> None:
        """See `ToolExecutor.dispatch`."""
        self._tools.dispatch([replace(call, traceparent=self._traceparent(call)) for call in calls], deliver)

    def cancel(self, keys: Sequence[str]) -> None:
        """See `ToolExecutor.cancel`."""
        self._tools.cancel(keys)

    def _traceparent(self, call: ToolInvocation) -> str | None:
        return self._tracing.traceparent_of_call(call.session_id, call.turn_id, call.call.id)


class TracedCompactor:
    """A `Compactor` whose jobs know their spans."""

    def __init__(self, compactor: Compactor, tracing: Tracing) -> None:
        self._compactor, self._summaries = compactor, tracing.summaries

    def submit(
        self, job: CompactionJob, priority: CompactionPriority, deliver: Callable[[CompactionReport], None]
    ) -> None:
        """See `Compactor.submit`."""
        self._compactor.submit(replace(job, traceparent=self._summaries.traceparent_of(job.key)), priority, deliver)

    def promote(self, key: str, priority: CompactionPriority) -> None:
        """See `Compactor.promote`."""
        self._compactor.promote(key, priority)

    def cancel(self, key: str) -> None:
        """See `Compactor.cancel`."""
        self._summaries.cancel(key)
        self._compactor.cancel(key)
