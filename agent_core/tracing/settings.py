"""Whether and where spans go, as the standard variables of OpenTelemetry say it.

    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT    the whole URL of the receiver
    OTEL_EXPORTER_OTLP_ENDPOINT           its base, to which /v1/traces is added
    OTEL_SERVICE_NAME                     the service, else the one in OTEL_RESOURCE_ATTRIBUTES, else `rayconteur`
    OTEL_SDK_DISABLED, OTEL_TRACES_EXPORTER    `true`, `none`: no traces all the same
    OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT    `true` or `span_only`: prompts and outputs, too

The rule here: what travels to other processes is never a secret. Headers and certificates are read by the exporter
itself, in each process that exports. Source: OpenTelemetry's "OTLP Exporter Configuration" and "Environment Variable
Specification".
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

log = logging.getLogger("rayconteur.tracing")

SERVICE = "rayconteur"
_CONTENT = frozenset({"true", "1", "span_only", "span_and_event"})
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """Traces are on. `endpoint` is the whole URL that they go to; with `content` they hold prompts and outputs."""

    endpoint: str
    service: str = SERVICE
    content: bool = False

    @property
    def may_travel(self) -> bool:
        """Whether the endpoint holds nothing that may be a secret: no user, no password, no query."""
        parts = urlsplit(self.endpoint)
        return parts.username is None and parts.password is None and not parts.query


def trace_settings(environment: Mapping[str, str]) -> TraceSettings | None:
    """What these variables ask for, None if that is no traces."""
    whole = environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip()
    base = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()
    exporters = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    disabled = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if disabled or not (whole or base) or (exporters and "otlp" not in exporters.split(",")):
        return None
    protocol = next((environment[name] for name in _PROTOCOLS if environment.get(name)), "http/protobuf")
    if protocol != "http/protobuf":
        log.warning("traces go by http/protobuf, not by %s: name a receiver of that, usually at port 4318", protocol)
    asked = environment.get("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "").strip().lower()
    return TraceSettings(
        endpoint=whole or f"{base.rstrip('/')}/v1/traces",
        service=environment.get("OTEL_SERVICE_NAME", "").strip() or _service_among(environment) or SERVICE,
        content=asked in _CONTENT,
    )


def _service_among(environment: Mapping[str, str]) -> str:
    said = environment.get("OTEL_RESOURCE_ATTRIBUTES", "").split(",")
    pairs = [item.partition("=") for item in said]
    return next((unquote(value.strip()) for name, _, value in pairs if name.strip() == "service.name"), "")
