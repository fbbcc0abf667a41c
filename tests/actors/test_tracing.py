"""Traces across a cluster, as a receiver of OTLP gets them: one tree from the program through every actor."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from actors import Runtime, tool
from actors.operations import PAYLOAD_IN
from agent_core.compaction.settings import LLMCompaction
from agent_core.entries import ToolBatch
from agent_core.scripted.server import ScriptedServer
from agent_core.tracing import names
from tests.actors.world import add, config, inside, kill, look
from tests.otlp import OtlpReceiver, Received

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRACER = TracerProvider(shutdown_on_exit=False).get_tracer("program")


@tool
async def work() -> str:
    """Work in the executor's loop."""
    with trace.get_tracer("tools").start_as_current_span("in the executor"):
        return "worked"


@tool
def grind() -> str:
    """Work in a child process of the executor."""
    with trace.get_tracer("tools").start_as_current_span("in its child"):
        return "ground"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def receiver() -> AsyncIterator[OtlpReceiver]:
    async with OtlpReceiver() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def traced(
    cluster: None, receiver: OtlpReceiver, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Runtime]:
    """A runtime whose founder has an endpoint in its environment, as it opens it."""
    data = tmp_path_factory.mktemp("data")
    opening = Runtime(data_dir=data, sessions_per_actor=100, session_actors=1)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        running = await opening.__aenter__()
    try:
        yield running
    finally:
        await running.__aexit__(None, None, None)


def tree(spans: list[Received], trace_id: int) -> list[tuple[str, str]]:
    """The spans of a trace, each with the name of its parent, and whose process they are of."""
    mine = [span for span in spans if span.trace == f"{trace_id:032x}"]
    known = {span.id: span.name for span in mine}
    return sorted((span.name, known.get(span.parent, span.parent)) for span in mine)


async def test_one_trace_goes_from_the_program_through_session_executor_and_child(
    traced: Runtime, receiver: OtlpReceiver, server: ScriptedServer
) -> None:
    session = await traced.session(tools=[work, grind], **config(server))
    with TRACER.start_as_current_span("program") as program:
        await session.ask("call work {}")
        async for _ in session.send("call grind {}"):
            pass
    context = program.get_span_context()
    await receiver.until(lambda spans: len(tree(spans, context.trace_id)) == 10)
    above = f"{context.span_id:016x}"
    assert tree(receiver.spans, context.trace_id) == sorted(
        [
            *[("invoke_agent", above)] * 2,
            *[("chat claude-test", "invoke_agent")] * 4,
            ("execute_tool work", "invoke_agent"),
            ("execute_tool grind", "invoke_agent"),
            ("in the executor", "execute_tool work"),
            ("in its child", "execute_tool grind"),
        ]
    )
    mine = {span.name: span for span in receiver.spans}
    assert mine["invoke_agent"].resource["rayconteur.actor"] == "sessions/0"
    assert mine["invoke_agent"].attributes[names.CONVERSATION] == session.id
    assert mine["in the executor"].resource["rayconteur.actor"] == "tools/0"
    pids = [mine[name].resource["process.pid"] for name in ("invoke_agent", "in the executor", "in its child")]
    assert len({*pids, os.getpid()}) == 4
    assert mine["in its child"].resource["service.name"] == "rayconteur"


async def test_a_turn_keeps_its_trace_when_its_actor_is_killed(
    traced: Runtime, receiver: OtlpReceiver, server: ScriptedServer, tmp_path: Path
) -> None:
    session = await traced.session(tools=[look], **config(server))
    with TRACER.start_as_current_span("program") as program:
        async for event in session.send(f'call look {{"path": "{tmp_path / "ledger"}", "seconds": 0.5}}'):
            if isinstance(event, ToolBatch):
                await kill(traced, "sessions/0")
    trace_id = f"{program.get_span_context().trace_id:032x}"

    def restarted(spans: list[Received]) -> list[Received]:
        mine = [span for span in spans if span.trace == trace_id and span.name == names.INVOKE_AGENT]
        return [span for span in mine if span.attributes.get(names.TURN_RESTARTED)]

    await receiver.until(restarted)
    (turn,) = restarted(receiver.spans)
    assert turn.parent == f"{program.get_span_context().span_id:016x}"
    assert turn.attributes[names.TURN_OUTCOME] == "completed"
    await receiver.until(lambda spans: any(span.parent == turn.id and "look" in span.name for span in spans))


async def test_a_summary_and_what_its_compactor_asks_are_in_one_trace(
    traced: Runtime, receiver: OtlpReceiver, server: ScriptedServer
) -> None:
    session = await traced.session(**config(server, compaction=LLMCompaction(keep_recent_turns=1)))
    for _ in range(3):
        await session.ask("word " * 500)
    result = await session.compact()
    assert result.compacted
    mine = await _of(receiver, session.id, lambda spans: any(span.name == names.COMPACT for span in spans))
    (job,) = [span for span in mine if span.name == names.COMPACT]
    assert job.attributes[names.JOB_OUTCOME] == "applied"
    asked = await _of(receiver, session.id, lambda spans: any(span.parent == job.id for span in spans))
    (chat,) = [span for span in asked if span.parent == job.id]
    assert (chat.name, chat.trace) == ("chat claude-test", job.trace)
    assert chat.resource["rayconteur.actor"] == "compactor/0"


async def _of(receiver: OtlpReceiver, session_id: str, claim: Any) -> list[Received]:
    def mine(spans: list[Received]) -> list[Received]:
        return [span for span in spans if span.attributes.get(names.CONVERSATION) == session_id]

    return mine(await receiver.until(lambda spans: claim(mine(spans))))


async def test_without_an_endpoint_no_actor_imports_what_makes_spans(runtime: Runtime, server: ScriptedServer) -> None:
    session = await runtime.session(tools=[add], **config(server))
    await session.ask('call add {"a": 1, "b": 2}')

    def imported(_: object) -> list[str]:
        # The API alone comes with the SDK of Anthropic, which imports it for itself.
        return [name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))]

    assert await inside(runtime, "sessions/0", imported) == []
    assert await inside(runtime, "tools/0", imported) == []


async def test_an_older_program_that_sends_no_trace_is_understood(runtime: Runtime, server: ScriptedServer) -> None:
    session = await runtime.session(**config(server))
    payload = PAYLOAD_IN.dump_json(
        PAYLOAD_IN.validate_python({"kind": "user_message", "content": [{"kind": "text", "text": "Hello."}]})
    )
    assert await asyncio.wait_for(session.call("submit", payload, "after", "a key"), 60)
