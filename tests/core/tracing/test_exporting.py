"""A program with `LocalRuntime`, as a user runs it: with a receiver of OTLP, and without one."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from agent_core.scripted.server import ScriptedServer
from agent_core.tracing import names
from tests.otlp import OtlpReceiver

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import asyncio, sys
from opentelemetry import trace
from agent_core.local_runtime import LocalRuntime
from agent_core.tools import ToolContext, tool

@tool
async def here() -> str:
    "Work in the loop."
    with trace.get_tracer("mine").start_as_current_span("in the loop"):
        return "done"

@tool
def there(context: ToolContext) -> str:
    "Work in a process of its own."
    from opentelemetry import trace
    with trace.get_tracer("mine").start_as_current_span("in a child"):
        return context.traceparent

async def main():
    async with LocalRuntime() as runtime:
        session = await runtime.session(model="anthropic/claude-test", context_limit=100_000, base_url=sys.argv[1],
                                        api_key="env:KEY", tools=[here, there])
        await session.ask("call here {}")
        await session.ask("call there {}")

asyncio.run(main())
"""
OFF = """
import asyncio, sys
from agent_core.local_runtime import LocalRuntime

async def main():
    async with LocalRuntime() as runtime:
        session = await runtime.session(model="openai/gpt-4o", wire="chat", base_url=sys.argv[1] + "/v1",
                                        api_key="env:KEY")
        await session.ask("Hello.")
    print([name for name in sys.modules if name.split(".")[0] == "opentelemetry"])

asyncio.run(main())
"""


async def run(program: str, url: str, **environment: str) -> str:
    """What the program prints."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", program, url),
        env={**clean, "PYTHONPATH": str(ROOT), "KEY": "sk-test-0123456789", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_a_program_with_an_endpoint_sends_one_tree_a_turn_with_the_spans_of_its_tools() -> None:
    async with ScriptedServer() as server, OtlpReceiver() as receiver:
        await run(
            PROGRAM,
            server.url,
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
            OTEL_EXPORTER_OTLP_HEADERS="x-token=let-me-in",
            OTEL_SERVICE_NAME="support",
        )
        spans = receiver.spans
    by_id = {span.id: span for span in spans}
    assert len(by_id) == len(spans) == 10, sorted(span.name for span in spans)
    assert {span.resource["service.name"] for span in spans} == {"support"}
    assert all(headers["x-token"] == "let-me-in" for headers in receiver.headers)
    assert len({span.trace for span in spans}) == 2
    for name, tool in (("in the loop", "execute_tool here"), ("in a child", "execute_tool there")):
        (inner,) = [span for span in spans if span.name == name]
        outer = by_id[inner.parent]
        assert outer.name == tool
        assert by_id[outer.parent].name == names.INVOKE_AGENT
        assert outer.start <= inner.start <= inner.end <= outer.end
        assert inner.trace == outer.trace


async def test_a_program_without_an_endpoint_imports_nothing_of_opentelemetry() -> None:
    async with ScriptedServer() as server:
        assert await run(OFF, server.url) == "[]\n"


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1"])
async def test_an_endpoint_that_does_not_answer_fails_nothing(endpoint: str) -> None:
    async with ScriptedServer() as server:
        await run(OFF.replace("print(", "str("), server.url, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
