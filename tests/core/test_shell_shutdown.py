"""Shutdown and what comes after: graceful or at once, what stays journalled, opening again."""

import asyncio

import pytest

from agent_core.cursor import Cursor
from agent_core.errors import SessionClosed, SessionError
from agent_core.local_session import LocalSession
from agent_core.messages import SessionId, TurnId
from agent_core.testing import Says
from tests.core.playbook import APPROVE, LOOKUP, SESSION
from tests.core.stage import Stage, quiet, until


async def busy(*answers: Says) -> tuple[Stage, LocalSession]:
    """A session whose model has been asked and does not answer before the gate is opened."""
    stage = Stage(*answers)
    stage.model.gate = asyncio.Event()
    session = await stage.session()
    await session.submit("Hi.")
    return stage, session


def gate(stage: Stage) -> asyncio.Event:
    assert stage.model.gate is not None
    return stage.model.gate


async def test_s25_a_graceful_shutdown_waits_for_the_open_turn_and_refuses_what_comes_meanwhile() -> None:
    stage, session = await busy(Says("Yes."))
    closing = asyncio.create_task(session.shutdown())
    await quiet()
    assert not closing.done()
    with pytest.raises(SessionClosed):
        await session.submit("More.")
    gate(stage).set()
    await closing
    assert session.is_shutdown
    assert (await stage.kinds())[-3:] == ["complete", "turn_ended", "closed"]
    assert stage.host.active == ()


async def test_s25_a_shutdown_at_once_ends_the_open_turn_and_keeps_its_text() -> None:
    stage, session = await busy(Says("Half an answer", deltas=2))
    gate(stage).set()
    await until(lambda: len(stage.shell().stream.partial) >= 2)
    gate(stage).clear()
    asking = asyncio.create_task(stage.shell().result(TurnId("u1")))
    await session.shutdown(graceful=False)
    assert (await asking).outcome == "interrupted"
    assert (await stage.kinds())[-3:] == ["complete", "turn_ended", "closed"]


async def test_s25_a_session_may_be_shut_down_twice_and_while_it_is_idle() -> None:
    stage = Stage()
    session = await stage.session()
    await session.shutdown()
    await session.shutdown(graceful=False)
    assert (await stage.kinds()).count("closed") == 1


async def test_s25_a_graceful_shutdown_can_be_hurried() -> None:
    _, session = await busy(Says("Never."))
    closing = asyncio.create_task(session.shutdown())
    await quiet()
    await session.shutdown(graceful=False)
    await closing


async def test_s25_messages_that_did_not_run_run_when_the_session_is_opened_again() -> None:
    stage, session = await busy(Says("One."), Says("Two."))
    turn_id = await session.submit("Later.")
    asking = asyncio.create_task(stage.shell().result(turn_id))
    closing = asyncio.create_task(session.shutdown())
    gate(stage).set()
    await closing
    with pytest.raises(SessionClosed, match=r"before the turn ended\. Open it again"):
        await asking
    await stage.session()
    assert (await stage.shell().result(turn_id)).text == "Two."


async def test_s25_a_session_that_was_opened_again_is_shut_down_as_gracefully_as_any() -> None:
    stage, session = await busy(Says("One."), Says("Two."))
    gate(stage).set()
    await session.shutdown()
    again = await stage.session()
    gate(stage).clear()
    turn_id = await again.submit("More.")
    closing = asyncio.create_task(again.shutdown())
    await quiet()
    assert not closing.done()
    gate(stage).set()
    await closing
    assert stage.host.active == ()
    assert (await stage.kinds()).count("closed") == 2
    assert turn_id == "u2"


async def test_s25_events_end_with_the_session_and_come_again_when_it_is_opened_again() -> None:
    stage = Stage(Says("Yes."), Says("Yes."))
    session = await stage.session()
    reading = asyncio.create_task(_kinds(session, Cursor()))
    await asyncio.sleep(0)
    await session.ask("Hi.")
    await session.shutdown()
    kinds = await reading
    assert kinds[-2:] == ["turn_ended", "closed"]
    again = await stage.session()
    seen = aiter(again.events())
    next_event = asyncio.ensure_future(anext(seen))
    await quiet()
    await again.ask("Hi.")
    assert (await next_event).payload.kind == "accepted"


async def _kinds(session: LocalSession, after: Cursor) -> list[str]:
    return [event.payload.kind async for event in session.events(after)]


async def test_a_closed_session_can_be_read_and_its_events_end() -> None:
    stage = Stage(Says("Yes."))
    await (await stage.session()).ask("Hi.")
    await (await stage.session()).shutdown()
    host = stage.another_host("reader")
    reader = LocalSession(await host.open(SESSION), host)
    assert reader.is_shutdown
    assert len(await reader.history()) == 2
    assert (await _kinds(reader, Cursor()))[-1] == "closed"
    with pytest.raises(SessionClosed):
        await reader.submit("Hi.")


async def test_a_repeated_message_whose_turn_never_ran_is_answered_with_an_error_while_closed() -> None:
    _, session = await busy(Says("One."))
    await session.submit("Later.", key="k")
    await session.shutdown(graceful=False)
    with pytest.raises(SessionClosed, match="before the turn ended"):
        await session.ask("Later.", key="k")
    with pytest.raises(SessionClosed, match="before the turn ended"):
        _ = [payload async for payload in session.send("Later.", key="k")]


async def test_one_who_follows_a_turn_that_no_longer_ends_is_told() -> None:
    stage = Stage(Says(calls=[("approve", {})]))
    session = await stage.session("s", APPROVE)
    following = asyncio.create_task(_send(session))
    await until(lambda: stage.shell().status().state == "awaiting_tools")
    await session.shutdown()
    with pytest.raises(SessionClosed, match="before the turn ended"):
        await following


async def _send(session: LocalSession) -> None:
    async for _ in session.send("Hi."):
        pass


async def test_s25_a_shutdown_waits_for_running_tools() -> None:
    stage = Stage(Says(calls=[("lookup", {})]), Says("Done."), functions={"lookup": lambda _: "42"}, held=True)
    session = await stage.session("s", LOOKUP)
    await session.submit("Hi.")
    await until(lambda: stage.tools.waiting)
    closing = asyncio.create_task(session.shutdown())
    await quiet()
    stage.tools.release(stage.tools.waiting[0])
    await closing
    assert (await stage.kinds())[-2:] == ["turn_ended", "closed"]


async def test_s25_a_session_that_was_not_shut_down_goes_on_when_it_is_opened_again() -> None:
    stage, session = await busy(Says("Lost."), Says("Hello."))
    await stage.shell().settled()
    stage.host.drop_all(SessionClosed("The runtime was closed. Open another.", "closed"))
    with pytest.raises(SessionClosed, match="The runtime was closed"):
        await session.submit("Hi.")
    gate(stage).set()
    await stage.session()
    assert (await stage.shell().result(TurnId("u1"))).text == "Hello."


async def test_only_a_session_that_was_shut_down_is_let_go() -> None:
    stage = Stage()
    await stage.session()
    stage.host.release(SESSION)
    stage.host.release(SessionId("nobody"))
    assert stage.host.active == ("s",)


async def test_retry_of_a_closed_session_is_refused() -> None:
    session = await Stage().session()
    await session.shutdown()
    with pytest.raises(SessionError):
        await session.retry()
