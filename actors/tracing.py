"""Tracing in the actors: which process a span is of, and where it goes.

The rule here: an endpoint that the program which starts a runtime has in its environment holds for all its actors; one
that only a node has holds there. Headers, which may be secret, never travel: each node has its own.
"""

import logging
import os

import ray

from actors.settings import RuntimeSettings
from agent_core.ports import Clock, Model
from agent_core.session_ports import Ports
from agent_core.tracing.installing import trace_tools, traced_model, traced_ports
from agent_core.tracing.settings import TraceSettings, trace_settings

log = logging.getLogger("rayconteur.tracing")


def traces_that_travel() -> TraceSettings | None:
    """What this program's environment asks for, as far as actors may be told."""
    settings = trace_settings(os.environ)
    if settings is not None and not settings.may_travel:
        log.warning(
            "the OTLP endpoint holds a user, a password or a query, so actors are not told of it: set it in the"
            " environment of the nodes, or put what is secret into OTEL_EXPORTER_OTLP_HEADERS there"
        )
        return None
    return settings


def traced(ports: Ports, settings: RuntimeSettings) -> Ports:
    """The ports of a session actor, traced if there is an endpoint."""
    return traced_ports(ports, _traces(settings), _process(settings, ports.owner))


def traced_summaries(model: Model, clock: Clock, settings: RuntimeSettings, actor: str) -> Model:
    """The model of a compactor, traced if there is an endpoint."""
    return traced_model(model, clock, _traces(settings), _process(settings, actor))


def traced_tools(settings: RuntimeSettings | None, actor: str) -> None:
    """Have the spans of the tools in an executor sent, if there is an endpoint."""
    if settings is not None:
        trace_tools(_traces(settings), _process(settings, actor))


def _traces(settings: RuntimeSettings) -> TraceSettings | None:
    return settings.traces or trace_settings(os.environ)


def _process(settings: RuntimeSettings, actor: str) -> dict[str, str]:
    return {
        "rayconteur.runtime": settings.namespace,
        "rayconteur.actor": actor,
        "rayconteur.node": ray.get_runtime_context().get_node_id(),
    }
