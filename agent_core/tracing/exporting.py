"""The SDK of OpenTelemetry, set up once in a process: what makes spans, gathers them and sends them by OTLP.

The rule here: sending happens in a thread of its own and holds nobody up; what cannot be sent is dropped and logged by
the SDK. A program that has set up a provider itself keeps it, and gets these spans too.
"""

import atexit
import os
import platform
import threading
from collections.abc import Mapping

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator

from agent_core.tracing.settings import TraceSettings

# Actors are ended by signals: what is older than this has been sent by then. In milliseconds.
_DELAY = 1_000
_QUEUE = 8_192
_LAST_WAIT = 2.0


class TraceIds(IdGenerator):
    """Ids from the system's randomness. The next trace of this thread may be given its id beforehand."""

    def __init__(self) -> None:
        self._given = threading.local()

    def give(self, trace_id: int) -> None:
        """The next root span begins the trace of this id."""
        self._given.trace_id = trace_id

    def generate_span_id(self) -> int:
        return int.from_bytes(os.urandom(8)) or 1

    def generate_trace_id(self) -> int:
        given: int | None = getattr(self._given, "trace_id", None)
        self._given.trace_id = None
        return given or int.from_bytes(os.urandom(16)) or 1

    def is_trace_id_random(self) -> bool:
        return True


def provider_of(settings: TraceSettings, process: Mapping[str, str]) -> TracerProvider:
    """The provider of this process, set up now if there is none. `process` says which one it is, for the resource."""
    known = trace.get_tracer_provider()
    if isinstance(known, TracerProvider):
        return known
    attributes = {"host.name": platform.node(), "process.pid": os.getpid(), **process}
    # What OTEL_RESOURCE_ATTRIBUTES says goes first, but for the service, which the settings have from the environment.
    resource = Resource(attributes).merge(Resource.create({SERVICE_NAME: settings.service}))
    # Its own way to shut down waits for half a minute if the receiver does not answer.
    provider = TracerProvider(resource=resource, id_generator=TraceIds(), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=settings.endpoint)
    delay = None if "OTEL_BSP_SCHEDULE_DELAY" in os.environ else _DELAY
    queue = None if "OTEL_BSP_MAX_QUEUE_SIZE" in os.environ else _QUEUE
    provider.add_span_processor(BatchSpanProcessor(exporter, queue, delay))
    trace.set_tracer_provider(provider)
    atexit.register(flush)
    return provider


class Flusher:
    """Sends what a provider has gathered. The thread is there beforehand: at the end of a program none can be made."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._wanted, self._done = threading.Event(), threading.Event()
        self._done.set()
        threading.Thread(target=self._run, name="rayconteur-traces", daemon=True).start()

    def flush(self, seconds: float) -> None:
        """Send it, and wait for that so long at most; not at all while the receiver has not taken the last."""
        if self._done.is_set():
            self._done.clear()
            self._wanted.set()
            self._done.wait(seconds)

    def _run(self) -> None:
        while self._wanted.wait():
            self._wanted.clear()
            try:
                self._provider.force_flush()
            finally:
                self._done.set()


_flushers: dict[TracerProvider, Flusher] = {}


def flush(seconds: float = _LAST_WAIT) -> None:
    """Have sent what there is, waiting for so long at most. Blocks."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        if provider not in _flushers:
            _flushers[provider] = Flusher(provider)
        _flushers[provider].flush(seconds)
