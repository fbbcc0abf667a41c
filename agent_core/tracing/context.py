"""Trace context as a W3C `traceparent`: read from the caller's open span, and made current again for a tool's code.

The rule here: it is a string wherever it travels or is kept, and nothing is imported to find that there is none.
Source: W3C Trace Context, version 00 (https://www.w3.org/TR/trace-context/).
"""

import os
import re
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

_FORM = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_NO_SPAN = "0" * 16


class Parent(NamedTuple):
    """What a `traceparent` says. Without `span_id` it names a trace that has no span yet."""

    trace_id: int
    span_id: int
    flags: int


def current() -> str | None:
    """The span that the calling program has open, None if it has none or knows nothing of OpenTelemetry."""
    # A program that has a span open has imported this; one that has not need not pay for it.
    trace = cast("Any", sys.modules.get("opentelemetry.trace"))
    if trace is None or not hasattr(trace, "get_current_span"):
        return None
    context = trace.get_current_span().get_span_context()
    return traceparent(context.trace_id, context.span_id, context.trace_flags) if context.is_valid else None


def traceparent(trace_id: int, span_id: int, flags: int) -> str:
    """The three as one string."""
    return f"00-{trace_id:032x}-{span_id:016x}-{flags:02x}"


def new_trace() -> str:
    """A trace of its own, without any span: whoever continues it makes its first one."""
    # Not from `random`, which programs seed: their traces would have the same ids.
    return f"00-{os.urandom(16).hex()}-{_NO_SPAN}-01"


def parent_of(text: str | None) -> Parent | None:
    """What a `traceparent` says; None for none, and for what is none."""
    found = _FORM.fullmatch(text) if text is not None else None
    if found is None:
        return None
    parent = Parent(*(int(part, 16) for part in found.groups()))
    return parent if parent.trace_id else None


@contextmanager
def continued(text: str | None) -> Generator[None]:
    """Make the span of a `traceparent` the current one, so that what is opened within is its child."""
    parent = parent_of(text)
    if parent is None or not parent.span_id:
        yield
        return
    from opentelemetry import context, trace

    flags = trace.TraceFlags(parent.flags)
    span = trace.NonRecordingSpan(trace.SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=flags))
    token = context.attach(trace.set_span_in_context(span, context.Context()))
    try:
        yield
    finally:
        context.detach(token)
