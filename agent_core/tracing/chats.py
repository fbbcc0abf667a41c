"""Chat spans: one for each model call, with its retries as events.

The rule here: a span ends with the call's last word, whichever that is.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from opentelemetry.trace import SpanKind

from agent_core.accumulator import Accumulator
from agent_core.errors import ProviderError
from agent_core.messages import Usage
from agent_core.ports import (
    Clock,
    Model,
    ModelEvent,
    ModelRequest,
    PermitWait,
    ResponseStarted,
    ResponseStopped,
    RetryScheduled,
    TextDelta,
    ThinkingDelta,
    ToolUseDelta,
    UsageUpdate,
)
from agent_core.tracing import names
from agent_core.tracing.content import instructions_told, messages_told, output_told, told
from agent_core.tracing.requests import request_attributes, usage_attributes
from agent_core.tracing.spans import OpenSpan, Spans, Value


class Chats:
    """Opens chat spans. With `content` they hold what was said."""

    def __init__(self, spans: Spans, clock: Clock, *, content: bool) -> None:
        self._spans, self._clock, self._content = spans, clock, content

    def open(self, request: ModelRequest, parent: str | None) -> "ChatSpan":
        """The span of a call that is made now."""
        now, config = self._clock.now(), request.config
        said: dict[str, Value] = {
            names.OPERATION: names.CHAT,
            names.CONVERSATION: request.session_id,
            names.TURN_ID: request.turn_id,
            **request_attributes(config, request.max_tokens),
        }
        span = self._spans.open(f"{names.CHAT} {config.model_name}", parent, now, said, kind=SpanKind.CLIENT)
        content = self._content and span.recording
        if content:
            span.set({names.INPUT_MESSAGES: messages_told(request.messages)})
            if request.system is not None:
                span.set({names.SYSTEM_INSTRUCTIONS: instructions_told(request.system)})
        return ChatSpan(span, self._clock, Accumulator(config.provider) if content else None)


class ChatSpan:
    """The watch of one call. `spoken` gathers what is said, if that is to be told."""

    __slots__ = ("_answering", "_began", "_clock", "_span", "_spoken", "_usage")

    def __init__(self, span: OpenSpan, clock: Clock, spoken: Accumulator | None) -> None:
        self._span, self._clock, self._spoken = span, clock, spoken
        self._began = clock.now()
        self._answering = False
        self._usage = Usage()

    def heard(self, event: ModelEvent) -> None:
        """See `CallObserver`."""
        match event:
            case TextDelta() | ThinkingDelta() | ToolUseDelta():
                if not self._answering:
                    self._begin_to_answer()
                if self._spoken is not None:
                    self._spoken.add(event)
            case UsageUpdate():
                self._usage = event.usage
            case ResponseStarted():
                self._span.set({names.RESPONSE_ID: event.message_id, names.RESPONSE_MODEL: event.model})
            case ResponseStopped():
                self._span.set({names.FINISH_REASONS: (event.stop_reason,)})
                self._tell_output(event.stop_reason)
                self._end()
            case RetryScheduled():
                self._retry(event)
            case PermitWait():
                self._span.event(names.PERMIT_AWAITED if event.waiting else names.PERMIT_HAD, self._clock.now())

    def failed(self, failure: ProviderError) -> None:
        """See `CallObserver`."""
        if failure.status is not None:
            self._span.set({names.STATUS_CODE: failure.status})
        self._tell_output("error")
        self._span.fail(failure.kind, told(failure.message) if self._spoken is not None else None)
        self._end()

    def cancelled(self) -> None:
        """See `CallObserver`."""
        if not self._span.ended:
            self._span.set({names.FINISH_REASONS: ("interrupted",)})
            self._tell_output("interrupted")
            self._span.fail("cancelled")
            self._end()

    def _begin_to_answer(self) -> None:
        self._answering = True
        now = self._clock.now()
        self._span.set({names.TIME_TO_FIRST_CHUNK: max(0.0, now - self._began)})
        self._span.event(names.FIRST_CHUNK, now)

    def _retry(self, retry: RetryScheduled) -> None:
        said: dict[str, Value] = {
            names.RETRY_ATTEMPT: retry.attempt,
            names.RETRY_DELAY: retry.delay,
            names.ERROR_TYPE: retry.error.kind,
        }
        if isinstance(retry.error, ProviderError) and retry.error.status is not None:
            said[names.STATUS_CODE] = retry.error.status
        self._span.event(names.RETRY, self._clock.now(), said)

    def _tell_output(self, reason: str) -> None:
        if self._spoken is not None and (blocks := self._spoken.blocks(())):
            self._span.set({names.OUTPUT_MESSAGES: output_told(blocks, reason)})

    def _end(self) -> None:
        self._span.set(usage_attributes(self._usage))
        self._span.end(self._clock.now())


class TracedModel:
    """A model whose calls are spans, for those who make theirs apart from any session: the summarisers."""

    def __init__(self, model: Model, chats: Chats) -> None:
        self._model, self._chats = model, chats

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """See `Model.stream`."""
        watch = self._chats.open(request, request.traceparent)
        try:
            async with aclosing(self._model.stream(request)) as events:
                async for event in events:
                    watch.heard(event)
                    yield event
        except ProviderError as error:
            watch.failed(error)
            raise
        finally:
            # Whatever else ends it, as its reader's leaving does.
            watch.cancelled()
