"""Interrupts of a session in this process: effective in every state, and the session lives on."""

import asyncio
from collections.abc import AsyncGenerator, Callable

import pytest

from agent_core.entries import TurnEnded
from agent_core.local_session import LocalSession
from agent_core.payloads import InterruptMode
from agent_core.ports import ModelEvent, ModelRequest, PermitWait, ResponseStarted, ResponseStopped, TextDelta
from agent_core.testing import Says
from tests.core.playbook import APPROVE, LOOKUP
from tests.core.stage import Stage, until

MODES: list[InterruptMode] = ["keep", "discard"]


class HangingModel:
    """Says what it is given, then hangs, until it is cancelled; the second request it answers."""

    def __init__(self, *events: ModelEvent) -> None:
        self.events = events
        self.requests: list[ModelRequest] = []
        self.hangs = asyncio.Event()
        self.ended: list[str] = []

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        self.requests.append(request)
        if len(self.requests) > 1:
            yield ResponseStarted("m2", "fake")
            yield TextDelta(0, "Yes?")
            yield ResponseStopped("end_turn")
            return
        try:
            for event in self.events:
                yield event
            self.hangs.set()
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise


async def with_model(model: HangingModel) -> tuple[Stage, LocalSession]:
    stage = Stage()
    stage.model = model  # type: ignore[assignment]
    stage.host = stage.another_host()
    return stage, await stage.session()


WHILE = {
    "the stream opens": (),
    "a permit is awaited": (PermitWait(waiting=True),),
    "nothing has been said": (ResponseStarted("m", "fake"),),
    "the answer streams": (ResponseStarted("m", "fake"), TextDelta(0, "Half an ans")),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("events", WHILE.values(), ids=WHILE.keys())
async def test_s24_the_model_call_is_cancelled_and_the_next_message_is_answered(
    events: tuple[ModelEvent, ...], mode: InterruptMode
) -> None:
    model = HangingModel(*events)
    stage, session = await with_model(model)
    turn_id = await session.submit("Hi.")
    await model.hangs.wait()
    assert await session.interrupt(mode)
    result = await stage.shell().result(turn_id)
    assert result.outcome == "interrupted"
    await until(lambda: model.ended == ["cancelled"])
    assert await session.ask("Again.") == "Yes?"
    texts = str(model.requests[1].messages)
    assert ("Half an ans" in texts) == (mode == "keep" and len(events) > 1)
    assert ("Hi." in texts) == (mode == "keep")


@pytest.mark.parametrize("mode", MODES)
async def test_s24_running_tools_are_cancelled(mode: InterruptMode) -> None:
    stage = Stage(Says(calls=[("lookup", {})] * 2), Says("Yes?"), functions={"lookup": lambda _: "42"}, held=True)
    session = await stage.session("s", LOOKUP)
    turn_id = await session.submit("Hi.")
    await until(lambda: len(stage.tools.waiting) == 2)
    assert await session.interrupt(mode)
    assert stage.tools.cancelled == ["s/call_1_0", "s/call_1_1"]
    assert (await stage.shell().result(turn_id)).outcome == "interrupted"
    assert await session.ask("Again.") == "Yes?"


@pytest.mark.parametrize("mode", MODES)
async def test_s24_a_turn_that_waits_for_results_from_outside_is_ended(mode: InterruptMode) -> None:
    stage = Stage(Says(calls=[("approve", {})]), Says("Yes?"))
    session = await stage.session("s", APPROVE)
    await session.submit("Hi.")
    await until(lambda: stage.shell().status().state == "awaiting_tools")
    assert await session.interrupt(mode)
    assert stage.tools.cancelled == []
    assert await session.ask("Again.") == "Yes?"


async def test_s24_an_interrupt_before_the_turn_is_durable_ends_it_too() -> None:
    stage = Stage(Says("Never."))
    session = await stage.session()
    stage.journal.gate.clear()
    sending = asyncio.create_task(session.submit("Hi."))
    await until(lambda: stage.model.requests)
    interrupting = asyncio.create_task(session.interrupt("keep"))
    await asyncio.sleep(0)
    assert not interrupting.done()
    stage.journal.gate.set()
    assert await interrupting
    assert (await stage.shell().result(await sending)).outcome == "interrupted"


async def test_s24_readers_are_told_and_the_turns_end_is_the_last_that_they_hear() -> None:
    model = HangingModel(ResponseStarted("m", "fake"), TextDelta(0, "Half"))
    _, session = await with_model(model)
    hearing = asyncio.create_task(_all(session))
    await model.hangs.wait()
    await session.interrupt()
    payloads = await hearing
    assert isinstance(payloads[-1], TurnEnded)
    assert (payloads[-1].outcome, payloads[-1].discarded) == ("interrupted", False)


async def _all(session: LocalSession) -> list[object]:
    return [payload async for payload in session.send("Hi.")]


async def test_s24_without_an_open_turn_there_is_nothing_to_interrupt() -> None:
    session = await Stage().session()
    assert not await session.interrupt()
    await session.ask("Hi.")
    assert not await session.interrupt("discard")


@pytest.mark.parametrize("act", [LocalSession.clear, lambda session: session.shutdown(graceful=False)])
async def test_s24_clear_and_shutdown_at_once_cancel_the_model_call_too(
    act: Callable[[LocalSession], object],
) -> None:
    model = HangingModel(ResponseStarted("m", "fake"))
    _, session = await with_model(model)
    await session.submit("Hi.")
    await model.hangs.wait()
    await act(session)  # type: ignore[misc]
    await until(lambda: model.ended == ["cancelled"])
