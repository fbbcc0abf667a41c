"""A session that is handed from one host to another: nothing is lost, nothing is done twice."""

import asyncio

import pytest

from agent_core.compaction.settings import LLMCompaction
from agent_core.content import ToolResultBlock
from agent_core.cursor import Cursor, Event
from agent_core.entries import Complete, ToolSettled, TurnEnded
from agent_core.errors import PlacementError, RayconteurError, SessionError
from agent_core.hosting import SessionHost
from agent_core.local_session import LocalSession
from agent_core.messages import SessionId
from agent_core.payloads import Restarted, TextChunk, ToolResults
from agent_core.testing import Says
from agent_core.tools.definition import ToolDefinition
from tests.core.playbook import APPROVE, CODE, SESSION
from tests.core.stage import Stage, quiet, until

ONCE = ToolDefinition(name="lookup", reference=CODE)
CALL = Says("Let me see.", calls=[("lookup", {})])
ELSEWHERE = PlacementError("The session is elsewhere.", "moved")
PATIENCE = 30.0


def leaving(stage: Stage, patience: float = PATIENCE) -> asyncio.Task[bool]:
    return asyncio.create_task(stage.host.hand_over(SessionId(SESSION), ELSEWHERE, patience))


async def arrived(stage: Stage) -> tuple[SessionHost, LocalSession]:
    """The session on another host, which was told nothing but its id."""
    other = stage.another_host("other")
    return other, LocalSession(await other.open(SessionId(SESSION)), other)


async def shown(session: LocalSession, after: Cursor, events: list[Event]) -> None:
    """Read until a turn ends or the stream does."""
    async for event in session.events(after=after):
        events.append(event)
        if isinstance(event.payload, TurnEnded):
            return


async def test_an_idle_session_leaves_at_once_and_whoever_waits_for_it_hears_where_it_is() -> None:
    stage = Stage()
    session = await stage.session()
    assert await session.ask("Hi.") == "You said: Hi."
    closed = asyncio.create_task(stage.shell().wait_closed())
    await quiet()
    assert not await leaving(stage)
    with pytest.raises(PlacementError) as caught:
        await closed
    assert caught.value is ELSEWHERE
    assert stage.host.find(SessionId(SESSION)) is None
    _, there = await arrived(stage)
    assert await there.ask("Still there?") == "You said: Still there?"


async def test_an_answer_under_way_is_waited_for_and_the_next_message_is_answered_elsewhere() -> None:
    stage = Stage()
    session = await stage.session()
    stage.model.gate = asyncio.Event()
    first = asyncio.create_task(session.ask("One."))
    await until(lambda: stage.model.requests)
    going = leaving(stage)
    second = asyncio.create_task(session.ask("Two."))
    await quiet()
    assert not going.done()
    stage.model.gate.set()
    assert await first == "You said: One."
    assert await going
    with pytest.raises(PlacementError):
        await second
    assert len(stage.model.requests) == 1
    await arrived(stage)
    await until(lambda: len(stage.model.requests) == 2)
    await quiet()
    assert [entry.outcome for entry in await stage.entries() if isinstance(entry, TurnEnded)] == ["completed"] * 2


@pytest.mark.parametrize("patience", [0.0, PATIENCE])
async def test_an_answer_that_takes_too_long_is_made_again_and_its_reader_is_told(patience: float) -> None:
    stage = Stage(Says("A long story.", deltas=4), Says("A long story.", deltas=4))
    session = await stage.session()
    events: list[Event] = []
    reading = asyncio.create_task(shown(session, Cursor(), events))
    await session.submit("Tell.")
    await until(lambda: any(isinstance(event.payload, TextChunk) for event in events))
    stage.model.gate = asyncio.Event()
    going = leaving(stage, patience)
    await quiet()
    stage.clock.advance(PATIENCE)
    assert await going
    await reading
    stage.model.gate.set()
    _, there = await arrived(stage)
    await shown(there, events[-1].cursor, events)
    payloads = [event.payload for event in events]
    (again,) = [number for number, payload in enumerate(payloads) if isinstance(payload, Restarted)]
    assert "".join(payload.text for payload in payloads[again:] if isinstance(payload, TextChunk)) == "A long story."
    facts = [
        event.cursor.seq for event in events if event.cursor.delta == 0 and not isinstance(event.payload, Restarted)
    ]
    assert facts == list(range(1, len(await stage.entries()) + 1))


@pytest.mark.parametrize("tool", [ONCE, ONCE.model_copy(update={"idempotent": True})], ids=["once", "idempotent"])
async def test_a_call_under_way_is_waited_for_and_its_result_is_answered_elsewhere(tool: ToolDefinition) -> None:
    stage = Stage(CALL, Says("It is 42."), functions={"lookup": lambda _: "42"}, held=True)
    session = await stage.session(SESSION, tool)
    events: list[Event] = []
    reading = asyncio.create_task(shown(session, Cursor(), events))
    asking = asyncio.create_task(session.ask("What is it?"))
    await until(lambda: stage.tools.waiting)
    going = leaving(stage)
    await quiet()
    assert not going.done()
    stage.tools.release(stage.tools.waiting[0])
    assert await going
    with pytest.raises(PlacementError):
        await asking
    await reading
    assert len(stage.model.requests) == 1
    _, there = await arrived(stage)
    await shown(there, events[-1].cursor, events)
    assert [entry.outcome for entry in await stage.entries() if isinstance(entry, ToolSettled)] == ["ok"]
    assert len(stage.tools.ran) == 1
    assert not stage.tools.cancelled
    assert len(stage.model.requests) == 2
    # Nothing that was shown is made again.
    assert not any(isinstance(event.payload, Restarted) for event in events)


@pytest.mark.parametrize(("idempotent", "outcome", "runs"), [(False, "outcome_unknown", 1), (True, "ok", 2)])
async def test_a_call_that_outlasts_the_patience_is_ended_and_follows_its_declaration(
    idempotent: bool, outcome: str, runs: int
) -> None:
    stage = Stage(CALL, Says("Well."), functions={"lookup": lambda _: "42"}, held=True)
    session = await stage.session(SESSION, ONCE.model_copy(update={"idempotent": idempotent}))
    await session.submit("What is it?")
    await until(lambda: stage.tools.waiting)
    going = leaving(stage)
    await quiet()
    stage.clock.advance(PATIENCE)
    assert await going
    assert len(stage.tools.cancelled) == 1
    stage.tools.held = False
    await arrived(stage)
    await quiet()
    entries = await stage.entries()
    assert [entry.outcome for entry in entries if isinstance(entry, ToolSettled)] == [outcome]
    assert len(stage.tools.ran) == runs
    assert entries[-1].kind == "turn_ended"


async def test_a_turn_that_waits_for_a_result_from_outside_leaves_at_once_and_takes_it_elsewhere() -> None:
    stage = Stage(Says(calls=[("approve", {})]), Says("Thank you."))
    session = await stage.session(SESSION, APPROVE)
    await session.submit("May I?")
    await until(lambda: stage.shell().status().state == "awaiting_tools")
    assert await leaving(stage)
    _, there = await arrived(stage)
    await there.submit(ToolResults(results=(ToolResultBlock(tool_use_id="call_1_0", content="granted"),)))
    await quiet()
    assert (await stage.kinds())[-1] == "turn_ended"


async def test_a_turn_that_fails_with_its_owner_is_waited_for_whole() -> None:
    stage = Stage(CALL, Says("It is 42."), functions={"lookup": lambda _: "42"}, held=True)
    session = await stage.session(SESSION, ONCE, on_recovery="fail")
    asking = asyncio.create_task(session.ask("What is it?"))
    await until(lambda: stage.tools.waiting)
    going = leaving(stage)
    stage.tools.release(stage.tools.waiting[0])
    assert await asking == "It is 42."
    assert not await going


async def test_a_summary_under_way_is_waited_for_while_nothing_else_happens() -> None:
    stage = Stage()
    session = await stage.session(SESSION, compaction=LLMCompaction(keep_recent_turns=0, keep_tokens=0))
    for word in ("One.", "Two.", "Three."):
        await session.ask(word)
    asking = asyncio.create_task(session.compact())
    await until(lambda: stage.compactor.jobs)
    going = leaving(stage)
    await quiet()
    assert not going.done()
    stage.compactor.finish(stage.compactor.jobs[0])
    assert (await asking).compacted
    assert not await going
    assert "compacted" in await stage.kinds()


async def test_what_is_decided_is_durable_before_the_session_leaves() -> None:
    stage = Stage()
    session = await stage.session()
    stage.journal.gate.clear()
    waiting = asyncio.create_task(session.submit("One."))
    await quiet()
    going = leaving(stage, 0.0)
    stage.clock.advance(0.0)
    await quiet()
    assert not going.done()
    stage.journal.gate.set()
    assert await waiting == "u1"
    await going
    await arrived(stage)
    await quiet()
    assert sum(isinstance(entry, Complete) for entry in await stage.entries()) == 1


async def test_a_session_that_another_takes_while_it_leaves_is_given_up() -> None:
    stage = Stage(CALL, functions={"lookup": lambda _: "42"}, held=True)
    session = await stage.session(SESSION, ONCE)
    await session.submit("What is it?")
    await until(lambda: stage.tools.waiting)
    going = leaving(stage)
    await arrived(stage)
    stage.tools.release(stage.tools.waiting[0])
    with pytest.raises(RayconteurError, match="opened in another place"):
        await going
    with pytest.raises(SessionError, match="no session 'never'"):
        await stage.host.open(SessionId("never"))
