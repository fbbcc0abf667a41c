"""Tracing put into a process, if an endpoint asks for it.

The rule here: what needs OpenTelemetry is imported once there is one. Without, what comes in goes out as it is.
"""

import asyncio
import json
import logging
from collections.abc import Mapping, MutableMapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from agent_core.tracing.settings import TraceSettings

if TYPE_CHECKING:
    from agent_core.ports import Clock, Model
    from agent_core.session_ports import Ports

CHILDREN_VARIABLE = "RAYCONTEUR_TRACES"
_children: dict[str, str] = {}


def traced_ports(ports: "Ports", settings: TraceSettings | None, process: Mapping[str, str]) -> "Ports":
    """The ports of sessions whose turns are traced. `process` says which one this is, as attributes of its spans."""
    if settings is None:
        return ports
    from agent_core.tracing.correlating import TraceFilter
    from agent_core.tracing.exporting import provider_of
    from agent_core.tracing.observer import Tracing
    from agent_core.tracing.ports import with_tracing
    from agent_core.tracing.spans import Spans

    tracing = Tracing(Spans(provider_of(settings, process)), ports.clock, content=settings.content)
    log = logging.getLogger("rayconteur.session")
    for old in [known for known in log.filters if isinstance(known, TraceFilter)]:
        log.removeFilter(old)
    log.addFilter(TraceFilter(tracing))
    return with_tracing(ports, tracing)


def traced_model(model: "Model", clock: "Clock", settings: TraceSettings | None, process: Mapping[str, str]) -> "Model":
    """The model of a summariser, whose calls are spans under the span of their job."""
    if settings is None:
        return model
    from agent_core.tracing.chats import Chats, TracedModel
    from agent_core.tracing.exporting import provider_of
    from agent_core.tracing.spans import Spans

    return TracedModel(model, Chats(Spans(provider_of(settings, process)), clock, content=settings.content))


def trace_tools(settings: TraceSettings | None, process: Mapping[str, str]) -> None:
    """Have the spans that tools open sent, too: in this process, and in the children that it starts from now on."""
    if settings is not None:
        from agent_core.tracing.exporting import provider_of

        provider_of(settings, process)
        _children[CHILDREN_VARIABLE] = json.dumps([asdict(settings), dict(process)])


def for_children() -> Mapping[str, str]:
    """What the children of this process are told by their environment, so that they trace as it does."""
    return _children


def trace_child(environment: MutableMapping[str, str]) -> None:
    """Trace as the parent of this process does. Its tools' own children are not told of it."""
    told = environment.pop(CHILDREN_VARIABLE, None)
    if told is not None:
        settings, process = json.loads(told)
        trace_tools(TraceSettings(**settings), process)


async def flush(settings: TraceSettings | None) -> None:
    """Send what there is, before the process or its runtime ends; for two seconds at most."""
    if settings is not None:
        from agent_core.tracing import exporting

        await asyncio.to_thread(exporting.flush)
