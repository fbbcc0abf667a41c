"""What was done but not answered is asked for again, and is not done twice."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from actors import Runtime, SessionHandle
from actors.envelopes import ANSWER, Frame
from actors.link import LinkLost, Moved
from agent_core.errors import ProviderError
from agent_core.scripted import Fault, Knobs
from agent_core.scripted.server import ScriptedServer
from tests.actors.world import config

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def next_answer_is_lost(session: SessionHandle, meanwhile: Callable[[], Awaitable[Any]]) -> None:
    """Break the link when it brings the next answer; `meanwhile` comes before anything is asked for again."""
    link = await session._link()
    take = link._take

    def lose(frame: Frame) -> None:
        if frame[0] == ANSWER:
            link._lose()
        else:
            take(frame)

    async def waited(lost: LinkLost) -> None:
        assert not isinstance(lost, Moved)
        await meanwhile()

    link._take = lose
    session._lost = waited


async def is_idle(session: SessionHandle) -> None:
    """Wait until no turn is open."""
    while (await session.status()).state != "idle":
        await asyncio.sleep(0.01)


async def test_a_clear_that_is_repeated_takes_nothing_that_was_said_since(
    runtime: Runtime, server: ScriptedServer
) -> None:
    session = await runtime.session(**config(server))
    other = await runtime.session(session.id)
    await session.ask("before")
    await next_answer_is_lost(session, lambda: other.ask("since"))
    await session.clear()
    assert [block.text for message in await other.history() for block in message.content if block.kind == "text"] == [
        "since",
        "You said: since",
    ]


async def test_a_retry_that_is_repeated_names_the_turn_that_it_opened(runtime: Runtime, server: ScriptedServer) -> None:
    session = await runtime.session(**config(server))
    other = await runtime.session(session.id)
    server.knobs = Knobs(faults={"cut": Fault(next=1)})
    with pytest.raises(ProviderError):
        await session.ask("A sentence that is long enough to be cut somewhere in the middle of it.")
    await next_answer_is_lost(session, lambda: is_idle(other))
    assert await session.retry() == "u1"
    assert [message.kind for message in await other.history()] == ["user", "assistant"]


async def test_an_interrupt_that_is_repeated_spares_the_next_turn(runtime: Runtime, server: ScriptedServer) -> None:
    session = await runtime.session(**config(server))
    server.knobs = Knobs(faults={"stall": Fault(every=1)})
    seen = server.stats.requests
    await session.submit("Take your time over this one.")
    await session.submit("Take your time over that one, too.")
    await server.seen(seen + 1)
    control = session._control

    async def unanswered(method: str, *arguments: Any) -> Any:
        """The actor's answer is lost, and the next turn has begun when that is known."""
        answer = await control(method, *arguments)
        if method == "status":
            return answer
        assert answer is True
        await server.seen(seen + 2)
        return None

    session._control = unanswered
    assert await session.interrupt()
    status = await session.status()
    assert (status.state, status.turn_id) == ("running", "u2")
    server.knobs = Knobs()
    server.release()
    await is_idle(session)
