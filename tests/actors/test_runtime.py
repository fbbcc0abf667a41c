"""Sessions on a real local cluster: the whole way from the public door to a model server and back."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from actors import Runtime, SessionHandle
from agent_core.content import ToolResultBlock
from agent_core.entries import Complete, ToolBatch, ToolSettled, TurnEnded
from agent_core.errors import ConfigError, PlacementError, ProviderError, SessionBusy, SessionClosed, SessionError
from agent_core.payloads import StreamStart, TextChunk, ToolResults
from agent_core.scripted import Fault, Knobs
from agent_core.scripted.server import ScriptedServer
from agent_core.tools import external_tool
from tests.actors.world import add, config, wait

PAUSE = "Take your time over this rather long sentence, please, and then some."


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_turn_with_a_tool_streams_every_event_in_order(runtime: Runtime, server: ScriptedServer) -> None:
    session = await runtime.session(tools=[add], **config(server))
    events = [event async for event in session.send('call add {"a": 1, "b": 2}')]
    kinds = [event.kind for event in events]
    assert kinds[:3] == ["accepted", "turn_started", "stream_start"]
    assert kinds.index("complete") + 1 == kinds.index("tool_batch") < kinds.index("tool_settled")
    assert kinds[-1] == "turn_ended"
    settled = next(event for event in events if isinstance(event, ToolSettled))
    assert settled.result.content == "3"
    assert {event.turn_id for event in events} == {"u1"}  # type: ignore[union-attr]
    history = await session.history()
    assert [message.kind for message in history] == ["user", "assistant", "user", "assistant"]


async def test_many_sessions_of_one_actor_answer_each_its_own(runtime: Runtime, server: ScriptedServer) -> None:
    sessions = [await runtime.session(**config(server)) for _ in range(30)]
    answers = await asyncio.gather(*(session.ask(f"I am {session.id}") for session in sessions))
    assert answers == [f"You said: I am {session.id}" for session in sessions]
    places = {(await session.status()).actor for session in sessions}
    assert places == {"sessions/0"}


async def test_a_dedicated_session_has_an_actor_of_its_own_that_ends_with_it(
    tmp_path: Path, server: ScriptedServer
) -> None:
    async with Runtime(data_dir=tmp_path, max_actors=4) as runtime:
        first, second = [await runtime.session(**config(server)) for _ in range(2)]
        assert await first.ask("one") == "You said: one"
        assert await second.ask("two") == "You said: two"
        places = [(await session.status()).actor for session in (first, second)]
        assert len(set(places)) == 2
        await first.shutdown()
        first_again = await runtime.session(first.id)
        assert await first_again.ask("again") == "You said: again"
        await first_again.shutdown()
        with pytest.raises(SessionClosed):
            await first_again.ask("three")


async def test_more_dedicated_sessions_than_fit_are_refused_with_the_way_out(
    tmp_path: Path, server: ScriptedServer
) -> None:
    async with Runtime(data_dir=tmp_path, max_actors=1) as runtime:
        await runtime.session(**config(server))
        with pytest.raises(PlacementError, match="sessions_per_actor"):
            await runtime.session(**config(server))
        shared = await runtime.session(sessions_per_actor=100, **config(server))
        assert await shared.ask("hello") == "You said: hello"


async def test_s24_interrupt_ends_a_streaming_turn_and_the_session_lives_on(
    runtime: Runtime, server: ScriptedServer
) -> None:
    server.knobs = Knobs(tokens_per_second=20)
    session = await runtime.session(**config(server))
    shown: list[Any] = []
    async for event in session.send(PAUSE):
        shown.append(event)
        if isinstance(event, TextChunk) and not any(isinstance(e, Complete) for e in shown):
            assert await session.interrupt("keep") in (True, False)
    assert isinstance(shown[-1], TurnEnded)
    assert shown[-1].outcome == "interrupted"
    server.knobs = Knobs()
    assert await session.ask("go on") == "You said: go on"
    roles = [message.kind for message in await session.history()]
    assert roles == ["user", "assistant", "user", "assistant"]


async def test_interrupt_with_discard_while_a_tool_runs_takes_the_turn_out(
    runtime: Runtime, server: ScriptedServer
) -> None:
    session = await runtime.session(tools=[wait], **config(server))
    ended: TurnEnded | None = None
    async for event in session.send('call wait {"seconds": 15}'):
        if isinstance(event, ToolBatch):
            assert await session.interrupt("discard")
        if isinstance(event, TurnEnded):
            ended = event
    assert ended is not None
    assert ended.discarded
    assert list(await session.history()) == []
    assert len(await session.history(full=True)) > 0


async def test_messages_sent_while_busy_wait_steer_or_are_refused(runtime: Runtime, server: ScriptedServer) -> None:
    session = await runtime.session(tools=[wait], **config(server))
    turn = await session.submit('call wait {"seconds": 0.5}')
    with pytest.raises(SessionBusy):
        await session.submit("not now", when="reject")
    assert await session.submit("and be brief", when="next_step") == turn
    later = await session.submit("later")
    assert later != turn
    assert await session.ask("last") == "You said: last"
    texts = [block.text for message in await session.history() for block in message.content if block.kind == "text"]
    assert texts.index("and be brief") < texts.index("later")


async def test_the_same_key_is_one_message(runtime: Runtime, server: ScriptedServer) -> None:
    session = await runtime.session(**config(server))
    first, second = [await session.submit("hello", key="k1") for _ in range(2)]
    assert first == second
    await session.ask("bye")
    assert [message.kind for message in await session.history()] == ["user", "assistant"] * 2


async def test_s32_external_results_continue_the_turn(runtime: Runtime, server: ScriptedServer) -> None:
    clerk = external_tool("clerk", "Ask a clerk.", {"type": "object", "properties": {}})
    session = await runtime.session(tools=[clerk], **config(server))
    seen: list[str] = []
    async for event in session.send("call clerk {}"):
        seen.append(event.kind)
        if isinstance(event, ToolBatch):
            assert (await session.status()).state == "awaiting_tools"
            result = ToolResultBlock(tool_use_id=event.calls[0].id, content="approved")
            await session.submit(ToolResults(results=(result,)))
            await session.submit(ToolResults(results=(result,)))
    assert seen.count("tool_settled") == 1
    assert seen[-1] == "turn_ended"


async def test_s26_a_failed_turn_can_be_retried(runtime: Runtime, server: ScriptedServer) -> None:
    session = await runtime.session(**config(server))
    server.knobs = Knobs(faults={"cut": Fault(next=1)})
    with pytest.raises(ProviderError):
        await session.ask("A sentence that is long enough to be cut somewhere in the middle of it.")
    await session.retry()
    assert (await session.ask("and now?")) == "You said: and now?"


async def test_a_reader_that_comes_late_gets_all_facts_from_its_cursor_on(
    runtime: Runtime, server: ScriptedServer
) -> None:
    session = await runtime.session(**config(server))
    await session.ask("one")
    first: list[Any] = []
    from agent_core.cursor import Cursor

    async for event in session.events(after=Cursor()):
        first.append(event)
        if isinstance(event.payload, TurnEnded):
            break
    assert [event.payload.kind for event in first] == ["opened", "accepted", "turn_started", "complete", "turn_ended"]
    again = [event async for event in _until_end(session.events(after=first[2].cursor))]
    assert [event.payload.kind for event in again] == ["complete", "turn_ended"]


async def _until_end(events: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for event in events:
        yield event
        if isinstance(event.payload, TurnEnded):
            return


async def test_settings_change_at_run_time_and_survive_being_opened_again(
    tmp_path: Path, server: ScriptedServer
) -> None:
    async with Runtime(data_dir=tmp_path, sessions_per_actor=10) as runtime:
        session = await runtime.session("kept", **config(server, system_prompt="Be kind."))
        await session.set_max_tokens(77)
        await session.clear_system_prompt()
        await session.set_tools([add.definition])
        await session.ask("remember me")
        with pytest.raises(ConfigError, match="max_tokens"):
            await session.set_max_tokens(0)
    async with Runtime(data_dir=tmp_path, sessions_per_actor=10) as later:
        assert await later.exists("kept")
        session = await later.session("kept")
        assert await session.max_tokens() == 77
        assert await session.system_prompt() is None
        assert [definition.name for definition in await session.tools()] == ["add"]
        assert [message.kind for message in await session.history()] == ["user", "assistant"]
        assert await session.ask("still there?") == "You said: still there?"


async def test_two_runtimes_on_one_cluster_do_not_meet(tmp_path: Path, server: ScriptedServer) -> None:
    async with (
        Runtime(data_dir=tmp_path / "a", sessions_per_actor=10) as one,
        Runtime(data_dir=tmp_path / "b", sessions_per_actor=10) as two,
    ):
        first, second = await one.session("same", **config(server)), await two.session("same", **config(server))
        assert await first.ask("from one") == "You said: from one"
        assert await second.ask("from two") == "You said: from two"
        assert len(await first.history()) == len(await second.history()) == 2


async def test_programs_that_give_the_same_name_meet(tmp_path: Path, server: ScriptedServer) -> None:
    async with Runtime(name="met", data_dir=tmp_path, sessions_per_actor=10) as one:
        session = await one.session("shared", **config(server))
        await session.ask("hello")
        async with Runtime(name="met", data_dir=tmp_path / "other", sessions_per_actor=10) as two:
            same = await two.session("shared")
            assert len(await same.history()) == 2
            follower = asyncio.create_task(_first_text(same))
            await asyncio.sleep(0)
            assert (await session.status()).state == "idle"
            while not follower.done():
                await session.ask("again")
            assert "again" in await follower


async def _first_text(session: SessionHandle) -> str:
    async for event in session.events():
        if isinstance(event.payload, TextChunk):
            return event.payload.text
    return ""


async def test_wrong_settings_are_refused_before_anything_runs(runtime: Runtime, server: ScriptedServer) -> None:
    with pytest.raises(ConfigError, match="provider/name"):
        await runtime.session(model="gpt")
    with pytest.raises(ConfigError, match="context_limit"):
        await runtime.session(model="anthropic/claude-nobody-knows")
    with pytest.raises(ConfigError, match="api_key"):
        await runtime.session(**config(server, api_key="sk-literal"))
    with pytest.raises(SessionError, match="no session"):
        await runtime.session("nobody")
    session = await runtime.session(**config(server))
    with pytest.raises(ConfigError, match="empty"):
        await session.submit("  ")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("sessions_per_actr", 3),
        ("session_actors", 0),
        ("routers", 1.5),
        ("executors", True),
        ("lease", 0),
        ("scale_up_wait", -1),
        ("durability", "maybe"),
    ],
)
async def test_wrong_options_of_a_runtime_are_refused_by_name(option: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=option):
        Runtime(**{option: value})


async def test_a_stream_start_names_the_model(runtime: Runtime, server: ScriptedServer) -> None:
    session = await runtime.session(**config(server))
    starts = [event async for event in session.send("hi") if isinstance(event, StreamStart)]
    assert [start.model for start in starts] == ["claude-test"]


async def test_a_detached_runtime_outlives_every_program_until_it_is_stopped(
    tmp_path: Path, server: ScriptedServer
) -> None:
    async with Runtime(
        name="kept", detached=True, data_dir=tmp_path, sessions_per_actor=10, session_actors=1
    ) as founder:
        session = await founder.session("long", **config(server))
        assert await session.ask("one") == "You said: one"
        process = await founder.process_of("sessions/0")
    async with Runtime(name="kept", data_dir=tmp_path / "not used") as visitor:
        same = await visitor.session("long")
        assert (await same.status()).actor == "sessions/0"
        assert len(await same.history()) == 2
    async with Runtime(name="kept", data_dir=tmp_path) as later:
        assert await later.process_of("sessions/0") == process
        await later.stop()
        with pytest.raises(PlacementError):
            await later.process_of("sessions/0")
