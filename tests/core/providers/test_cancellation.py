"""A request that is cancelled or closed, wherever it stands, closes its HTTP response and leaves nothing behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from types import CoroutineType
from typing import Any

import pytest

from agent_core.ports import ResponseStarted, TextDelta
from agent_core.providers.retry import RetryingModel
from agent_core.scripted import Fault, Knobs, Reply, Rule, Script
from agent_core.scripted.server import ScriptedServer
from tests.core.providers.making import KEY, MODELS, ask, provider_model, request, settle, wire_config

WIRES = sorted(MODELS)


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
async def model() -> AsyncIterator[RetryingModel]:
    async with provider_model(max_concurrent_requests=1) as made:
        yield made


def script(fault: Any, **knobs: Any) -> Script:
    reply = Reply(text="one two three four five six seven eight nine ten")
    return Script(rules=(Rule(replies=(reply,)),), knobs=Knobs(faults={fault: Fault(next=1)}, **knobs))


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("wire", WIRES)
async def test_s24_cancelled_while_the_answer_opens(wire: str, streaming: bool, model: RetryingModel) -> None:
    async with ScriptedServer(script("slow_first_byte", slow_first_byte_s=600.0)) as server:
        asked = request(wire_config(wire, server.url, streaming=streaming))
        task = asyncio.create_task(ask(model, asked))
        await server.seen(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.idle()
        assert (await ask(model, asked)).stop == "end_turn"


@pytest.mark.parametrize("wire", WIRES)
async def test_s24_cancelled_while_it_streams(wire: str, model: RetryingModel) -> None:
    async with ScriptedServer(script("stall", stall_after_deltas=2)) as server:
        asked = request(wire_config(wire, server.url))
        task = asyncio.create_task(ask(model, asked))
        await server.stalled()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.idle()
        assert (await ask(model, asked)).stop == "end_turn"


@pytest.mark.parametrize("wire", WIRES)
async def test_s24_closed_after_the_first_words(wire: str, model: RetryingModel) -> None:
    async with ScriptedServer(script("stall", stall_after_deltas=1)) as server:
        asked = request(wire_config(wire, server.url))
        async with aclosing(model.stream(asked)) as events:
            assert isinstance(await anext(events), ResponseStarted)
            async for event in events:
                if isinstance(event, TextDelta):
                    break
            await server.stalled()
        await server.idle()
        assert (await ask(model, asked)).stop == "end_turn"


async def test_many_cancelled_requests_leave_no_task_and_no_connection() -> None:
    stalls = Script(
        rules=(Rule(replies=(Reply(text="one two three four five"),)),),
        knobs=Knobs(faults={"stall": Fault(every=1)}, stall_after_deltas=1),
    )
    async with provider_model(max_concurrent_requests=64) as model, ScriptedServer(stalls) as server:
        asked = [request(wire_config(wire, server.url)) for wire in WIRES]
        tasks = [asyncio.create_task(ask(model, asked[number % 3])) for number in range(30)]
        await server.stalled(30)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.idle()
        await settle()
        assert [task for task in asyncio.all_tasks() if "providers" in _file(task)] == [asyncio.current_task()]


def _file(task: "asyncio.Task[Any]") -> str:
    coroutine = task.get_coro()
    return coroutine.cr_code.co_filename if isinstance(coroutine, CoroutineType) else ""
