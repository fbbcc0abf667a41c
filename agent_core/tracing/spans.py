"""Spans, as the rest of tracing sees them: opened under a `traceparent` at a time, and ended once.

The rule here: times are given, in seconds since the epoch, and a span never ends before it began. What is ended is
ended: whatever comes later changes nothing.
"""

from collections.abc import Mapping, Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from agent_core.tracing.context import parent_of, traceparent
from agent_core.tracing.exporting import TraceIds
from agent_core.tracing.names import SCHEMA_URL, SCOPE

Value = str | bool | int | float | Sequence[str]
Attributes = Mapping[str, Value]


class OpenSpan:
    """A span that has not ended."""

    __slots__ = ("_began", "_span", "ended")

    def __init__(self, span: Span, began: float) -> None:
        self._span, self._began, self.ended = span, began, False

    @property
    def traceparent(self) -> str:
        """What its children are given."""
        context = self._span.get_span_context()
        return traceparent(context.trace_id, context.span_id, context.trace_flags)

    @property
    def recording(self) -> bool:
        """Whether anybody will see it: what is expensive to tell need not be told otherwise."""
        return self._span.is_recording()

    def set(self, attributes: Attributes) -> None:
        """Say more of it."""
        self._span.set_attributes(attributes)

    def event(self, name: str, at: float, attributes: Attributes | None = None) -> None:
        """Something happened in its course."""
        self._span.add_event(name, attributes, _nanoseconds(max(at, self._began)))

    def link(self, text: str) -> None:
        """Another span belongs to it, that is not its parent."""
        context = _context_of(text)
        if context is not None:
            self._span.add_link(context)

    def fail(self, kind: str, description: str | None = None) -> None:
        """It came to nothing: `kind` is one of few words, never what was said."""
        self._span.set_attribute("error.type", kind)
        self._span.set_status(Status(StatusCode.ERROR, description or kind))

    def end(self, at: float) -> None:
        """It is over."""
        if not self.ended:
            self.ended = True
            self._span.end(_nanoseconds(max(at, self._began)))


class Spans:
    """Opens spans of one provider."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer(SCOPE, schema_url=SCHEMA_URL)
        self._ids = provider.id_generator if isinstance(provider.id_generator, TraceIds) else None

    def open(
        self, name: str, parent: str | None, at: float, attributes: Attributes, *, kind: SpanKind = SpanKind.INTERNAL
    ) -> OpenSpan:
        """A span that began `at`, a child of `parent`; a root without one, or if it names a trace and no span."""
        above, context = _context_of(parent), Context()
        if above is not None:
            context = set_span_in_context(NonRecordingSpan(above), context)
        elif self._ids is not None and (named := parent_of(parent)) is not None:
            self._ids.give(named.trace_id)
        span = self._tracer.start_span(name, context, kind, attributes, start_time=_nanoseconds(at))
        return OpenSpan(span, at)


def _context_of(text: str | None) -> SpanContext | None:
    parent = parent_of(text)
    if parent is None or not parent.span_id:
        return None
    return SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=TraceFlags(parent.flags))


def _nanoseconds(at: float) -> int:
    return int(at * 1_000_000_000)
