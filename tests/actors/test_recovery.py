"""kill -9 of every process of a runtime while a turn is open: the conversation goes on right, nothing is lost."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from actors import Runtime, SessionHandle
from actors.calls import ask
from actors.finding import find_actor
from actors.router_handle import RouterHandle
from agent_core.entries import ToolBatch, ToolSettled, TurnEnded
from agent_core.payloads import Restarted, TextChunk
from agent_core.scripted import Knobs
from agent_core.scripted.server import ScriptedServer
from agent_core.tools.definition import ToolResources
from tests.actors.world import config, kill, look, note

TALE = "Once upon a time there was a session that was told a very long story which took its time to come to an end."

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def opened(runtime: Runtime, server: ScriptedServer) -> SessionHandle:
    return await runtime.session(tools=[note, look], **config(server))


async def turn(session: SessionHandle, message: str, at: type, then: Any) -> list[Any]:
    """The events of a turn; `then` is awaited once when an event of kind `at` is shown."""
    events: list[Any] = []
    async for event in session.send(message):
        events.append(event)
        if isinstance(event, at) and then is not None:
            await then
            then = None
    return events


def settled(events: list[Any]) -> list[str]:
    return [event.outcome for event in events if isinstance(event, ToolSettled)]


@pytest.mark.parametrize(
    ("name", "outcome", "runs"), [("note", "outcome_unknown", 1), ("look", "ok", 2)], ids=["once", "idempotent"]
)
@pytest.mark.parametrize("victim", ["sessions/0", "tools/0"])
async def test_a_call_whose_process_is_killed_follows_its_declaration(
    runtime: Runtime, server: ScriptedServer, tmp_path: Path, victim: str, name: str, outcome: str, runs: int
) -> None:
    session = await opened(runtime, server)
    ledger = tmp_path / "ledger"
    await session.ask(f'call {name} {{"path": "{tmp_path / "warm"}", "seconds": 0}}')
    call = f'call {name} {{"path": "{ledger}", "seconds": 1.0}}'
    events = await turn(session, call, ToolBatch, _when_it_has_run(runtime, ledger, victim))
    assert isinstance(events[-1], TurnEnded)
    assert events[-1].outcome == "completed"
    assert settled(events) == [outcome]
    assert 1 <= len(ledger.read_text().splitlines()) <= runs
    assert await session.ask("still there?") == "You said: still there?"
    assert not server.stats.invalid


async def _when_it_has_run(runtime: Runtime, ledger: Path, victim: str) -> None:
    while not ledger.exists():
        await asyncio.sleep(0.01)
    await kill(runtime, victim)


@pytest.mark.parametrize("victim", ["journal", "router/0"])
async def test_a_turn_does_not_notice_that_journal_or_router_is_killed(
    runtime: Runtime, server: ScriptedServer, tmp_path: Path, victim: str
) -> None:
    session = await opened(runtime, server)
    call = f'call note {{"path": "{tmp_path / "ledger"}", "seconds": 0.3}}'
    events = await turn(session, call, ToolBatch, kill(runtime, victim))
    assert settled(events) == ["ok"]
    assert [event.kind for event in events][-1] == "turn_ended"
    assert await session.ask("still there?") == "You said: still there?"


async def test_a_reader_of_a_killed_stream_is_told_and_gets_the_whole_answer(
    runtime: Runtime, server: ScriptedServer
) -> None:
    server.knobs = Knobs(tokens_per_second=40)
    session = await opened(runtime, server)
    events = await turn(session, TALE, TextChunk, kill(runtime, "sessions/0"))
    kinds = [event.kind for event in events]
    assert kinds.count("restarted") == 1
    after = events[kinds.index("restarted") + 1 :]
    text = "".join(event.text for event in after if isinstance(event, TextChunk))
    assert text == f"You said: {TALE}"
    assert not any(isinstance(event, Restarted) for event in after)
    assert [message.kind for message in await session.history()] == ["user", "assistant"]


async def test_nothing_accepted_is_lost_when_many_sessions_lose_their_actor(
    runtime: Runtime, server: ScriptedServer
) -> None:
    sessions = [await opened(runtime, server) for _ in range(20)]
    server.knobs = Knobs(tokens_per_second=100)
    asked = [asyncio.create_task(session.ask(f"I am {session.id}")) for session in sessions]
    await server.seen(server.stats.requests + 10)
    await kill(runtime, "sessions/0")
    assert await asyncio.gather(*asked) == [f"You said: I am {session.id}" for session in sessions]
    histories = [await session.history() for session in sessions]
    assert [len(history) for history in histories] == [2] * 20


async def test_actors_end_when_the_program_that_made_them_is_killed(server: ScriptedServer, tmp_path: Path) -> None:
    address = ray.get_runtime_context().gcs_address
    program = (
        "import asyncio, sys\n"
        "from actors import Runtime\n"
        "async def main():\n"
        f"    shared = dict(data_dir={str(tmp_path)!r}, sessions_per_actor=9, session_actors=1)\n"
        f"    async with Runtime({address!r}, **shared) as rt:\n"
        f"        fields = dict(context_limit=9999, base_url={server.url!r}, api_key='env:HOME')\n"
        "        s = await rt.session(model='anthropic/x', **fields)\n"
        "        print(await s.ask('hi'), await rt.process_of('sessions/0'), flush=True)\n"
        "        await asyncio.sleep(100)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode().split()
    assert line[:3] == ["You", "said:", "hi"]
    actor = psutil.Process(int(line[3]))
    process.kill()
    await process.wait()
    await asyncio.to_thread(actor.wait, 60)
    assert not actor.is_running()


async def test_a_lease_that_is_asked_for_while_an_executor_starts_again_is_answered_when_it_has(
    runtime: Runtime,
) -> None:
    router = RouterHandle(runtime.settings)
    name = await router.lease(ToolResources(), "somebody")
    before = psutil.Process(await runtime.process_of(name))
    before.kill()
    await asyncio.to_thread(before.wait, 10)
    assert await router.lease(ToolResources(), "somebody") == name
    executor = await find_actor(name, runtime.settings.namespace)
    assert await ask(executor, "ping") != before.pid
