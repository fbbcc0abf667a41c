"""A stage whose sessions are traced, with every span that was begun and every one that has ended.

The rule here: a test that leaves the stage closes it, and then no span may be open.
"""

from collections.abc import Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.trace import SpanContext, StatusCode

from agent_core.errors import SessionClosed
from agent_core.hosting import SessionHost
from agent_core.tracing.exporting import TraceIds
from agent_core.tracing.observer import Tracing
from agent_core.tracing.ports import with_tracing
from agent_core.tracing.spans import Spans
from tests.core.stage import Answer, Stage


class Kept(SpanProcessor):
    """The spans of one provider."""

    def __init__(self) -> None:
        self.begun: list[Span] = []
        self.ended: list[ReadableSpan] = []

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self.begun.append(span)

    def on_end(self, span: ReadableSpan) -> None:
        self.ended.append(span)


class TracedStage(Stage):
    """Each of its hosts is a process with its own tracing; all of them send to one place."""

    def __init__(self, *answers: Answer, content: bool = False, linger: float = 60.0, **more: Any) -> None:
        self.kept = Kept()
        self.provider = TracerProvider(id_generator=TraceIds(), shutdown_on_exit=False)
        self.provider.add_span_processor(self.kept)
        self.tracings: list[Tracing] = []
        self._content, self._linger = content, linger
        self._hosts: list[SessionHost] = []
        super().__init__(*answers, **more)

    def another_host(self, *given: Any, **more: Any) -> SessionHost:
        ports = super().another_host(*given, **more).ports
        tracing = Tracing(Spans(self.provider), self.clock, content=self._content, linger=self._linger)
        self.tracings.append(tracing)
        self._hosts.append(SessionHost(with_tracing(ports, tracing)))
        return self._hosts[-1]

    def spans(self, name: str) -> list[ReadableSpan]:
        """The spans that have ended whose names begin so."""
        return [span for span in self.kept.ended if span.name.startswith(name)]

    def span(self, name: str) -> ReadableSpan:
        """The one that has ended."""
        (found,) = self.spans(name)
        return found

    @property
    def open(self) -> list[str]:
        """The names of the spans that have not ended."""
        return [span.name for span in self.kept.begun if span.is_recording()]

    def close(self) -> None:
        """Let go of every session: no span is left, nothing is remembered, none ended before it began or twice."""
        for host in self._hosts:
            host.drop_all(SessionClosed("The end.", "closed"))
        assert not self.open
        assert [tracing.open for tracing in self.tracings] == [0] * len(self.tracings)
        ids = [place(span).span_id for span in self.kept.ended]
        assert len(set(ids)) == len(ids) == len(self.kept.begun)
        assert all((span.start_time or 0) <= (span.end_time or 0) for span in self.kept.ended)


def said(span: ReadableSpan) -> dict[str, Any]:
    """A span's attributes."""
    return dict(span.attributes or {})


def events(span: ReadableSpan) -> list[str]:
    """The names of a span's events."""
    return [event.name for event in span.events]


def place(span: ReadableSpan) -> SpanContext:
    """A span's ids."""
    assert span.context is not None
    return span.context


def failed(span: ReadableSpan) -> bool:
    """Whether a span is marked as failed."""
    return span.status.status_code is StatusCode.ERROR


def is_child(span: ReadableSpan, parent: ReadableSpan) -> bool:
    """Whether a span is another's child, in the same trace."""
    assert span.parent is not None
    return (span.parent.span_id, place(span).trace_id) == (place(parent).span_id, place(parent).trace_id)


def outcomes(spans: Sequence[ReadableSpan], name: str) -> list[Any]:
    """An attribute of each of the spans."""
    return [said(span).get(name) for span in spans]
