"""Tools with needs of their own, on a real cluster: leased an executor that has them, or refused in words."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import ray

from actors import Runtime, SessionHandle, tool
from agent_core.content import text_of
from agent_core.entries import ToolBatch, ToolSettled, TurnEnded
from agent_core.scripted.server import ScriptedServer
from tests.actors.world import add, config, kill, look, note

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENCE = 1.0


@tool(num_gpus=1)
async def paint() -> str:
    """Needs what no node has."""
    return "painted"


@tool(num_cpus=0.1, memory=1_000_000, runtime_env={"env_vars": {"RAYCONTEUR_TEST_WORD": "here"}})
async def weigh() -> str:
    """Tell what it was given."""
    given = ray.get_runtime_context().get_assigned_resources()
    return f"{given['CPU']:g} {given['memory']:g} {os.environ['RAYCONTEUR_TEST_WORD']}"


@tool(runtime_env={"working_dir": "/nowhere/to/be/found"})
async def lost() -> str:
    """Its runtime environment cannot be made here."""
    return "found"


@tool(runtime_env={"working_dir": "gcs://_ray_pkg_0123456789abcdef.zip"})
async def unmade() -> str:
    """Its runtime environment cannot be made where it runs."""
    return "ran"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def patient(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Runtime]:
    """A runtime that waits a little for the cluster to grow."""
    data = tmp_path_factory.mktemp("patient")
    async with Runtime(data_dir=data, sessions_per_actor=9, session_actors=1, scale_up_wait=PATIENCE) as running:
        yield running


async def settled_in(session: SessionHandle, message: str) -> dict[str, tuple[str, str]]:
    """What a turn's calls came to: outcome and text for each tool. The turn goes on to its end whatever that is."""
    names: dict[str, str] = {}
    results: dict[str, tuple[str, str]] = {}
    events: list[Any] = [event async for event in session.send(message)]
    for event in events:
        if isinstance(event, ToolBatch):
            names.update({call.id: call.name for call in event.calls})
        if isinstance(event, ToolSettled):
            results[names[event.result.tool_use_id]] = (event.outcome, text_of(event.result.content))
    assert isinstance(events[-1], TurnEnded)
    assert events[-1].outcome == "completed"
    return results


async def test_what_cannot_be_had_is_said_to_the_model_at_once_and_the_other_calls_run(
    runtime: Runtime, server: ScriptedServer
) -> None:
    session = await runtime.session(tools=[add, paint, weigh, lost, unmade], **config(server))
    calls = 'call paint {} call add {"a": 1, "b": 2} call weigh {} call lost {} call unmade {}'
    results = await settled_in(session, calls)
    outcome, said = results["paint"]
    assert outcome == "unavailable"
    assert "1 GPU" in said
    assert "scale_up_wait" in said
    assert results["add"] == ("ok", "3")
    assert results["weigh"] == ("ok", "0.1 1e+06 here")
    for name, reason in (("lost", "/nowhere/to/be/found"), ("unmade", "gcs://")):
        outcome, said = results[name]
        assert outcome == "unavailable"
        assert reason in said
        assert "runtime_env" in said
    assert (await settled_in(session, 'call add {"a": 2, "b": 2} call unmade {}'))["add"] == ("ok", "4")


async def test_what_no_node_has_is_waited_for_as_long_as_was_said(patient: Runtime, server: ScriptedServer) -> None:
    session = await patient.session(tools=[paint], **config(server))
    loop = asyncio.get_running_loop()
    begin = loop.time()
    outcome, said = (await settled_in(session, "call paint {}"))["paint"]
    assert outcome == "unavailable"
    assert "1 GPU" in said
    assert loop.time() - begin >= PATIENCE


async def test_s24_interrupt_works_while_a_tool_waits_for_a_node(patient: Runtime, server: ScriptedServer) -> None:
    session = await patient.session(tools=[paint], **config(server))
    events: list[Any] = []
    async for event in session.send("call paint {}"):
        events.append(event)
        if isinstance(event, ToolBatch):
            assert await session.interrupt()
    assert [event.outcome for event in events if isinstance(event, ToolSettled)] == ["interrupted"]
    assert events[-1].outcome == "interrupted"
    assert await session.ask("Go on.")
    assert not server.stats.invalid


async def test_an_executor_that_dies_with_many_calls_of_many_sessions_leaves_each_its_declared_outcome(
    runtime: Runtime, server: ScriptedServer, tmp_path: Path
) -> None:
    sessions = [await runtime.session(tools=[note, look], **config(server)) for _ in range(5)]
    await sessions[0].ask(f'call note {{"path": "{tmp_path / "warm"}", "seconds": 0}}')
    ledgers = {name: [tmp_path / f"{name}-{n}" for n in range(10)] for name in ("note", "look")}

    def message(n: int) -> str:
        calls = [
            f'call {name} {{"path": "{ledgers[name][i]}", "seconds": 0.7}}' for name in ledgers for i in (n, n + 5)
        ]
        return " ".join(calls)

    turns = [asyncio.create_task(_outcomes(session, message(n))) for n, session in enumerate(sessions)]
    everything = [path for paths in ledgers.values() for path in paths]
    while not all(path.exists() for path in everything):
        await asyncio.sleep(0.01)
    await kill(runtime, "tools/0")
    assert sum(await asyncio.gather(*turns), Counter()) == {("note", "outcome_unknown"): 10, ("look", "ok"): 10}
    runs = {name: {len(path.read_text().splitlines()) for path in paths} for name, paths in ledgers.items()}
    assert runs == {"note": {1}, "look": {2}}
    assert await asyncio.gather(*(session.ask("there?") for session in sessions)) == ["You said: there?"] * 5
    assert not server.stats.invalid


async def _outcomes(session: SessionHandle, message: str) -> Counter[tuple[str, str]]:
    names: dict[str, str] = {}
    outcomes: Counter[tuple[str, str]] = Counter()
    async for event in session.send(message):
        if isinstance(event, ToolBatch):
            names.update({call.id: call.name for call in event.calls})
        if isinstance(event, ToolSettled):
            outcomes[names[event.result.tool_use_id], event.outcome] += 1
    return outcomes
