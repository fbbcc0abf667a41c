"""A session in this process as its user has it: send, submit, ask, events, settings, status."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from agent_core.content import ToolResultBlock
from agent_core.cursor import Cursor, Event
from agent_core.entries import FromLLMPayload, TurnEnded
from agent_core.errors import ConfigError, ProviderError, SessionBusy, SessionError
from agent_core.local_session import LocalSession
from agent_core.messages import StopReason, TurnId
from agent_core.payloads import ToolResults, UserInput
from agent_core.ports import ModelEvent, ModelRequest, ResponseStarted, TextDelta
from agent_core.testing import Says
from tests.core.playbook import APPROVE, LOOKUP
from tests.core.stage import Stage, quiet, until

CALL = Says(calls=[("lookup", {"q": "x"})])


async def sent(session: LocalSession, message: str | ToolResults, **options: str) -> list[FromLLMPayload]:
    return [payload async for payload in session.send(message, **options)]  # type: ignore[arg-type]


def kinds(payloads: list[FromLLMPayload]) -> list[str]:
    return [payload.kind for payload in payloads]


def approval(call: str = "call_1_0") -> ToolResults:
    return ToolResults(results=(ToolResultBlock(tool_use_id=call, content="granted"),))


# --- messages -------------------------------------------------------------------------------------------------------


async def test_s05_a_sent_message_gives_the_turns_events_in_order_and_its_end_last() -> None:
    stage = Stage(Says("Let me see.", calls=[("lookup", {})]), Says("Done."), functions={"lookup": lambda _: "42"})
    session = await stage.session("s", LOOKUP)
    payloads = await sent(session, "Hi.")
    assert kinds(payloads) == [
        *("accepted", "turn_started", "stream_start", "text_chunk", "text_chunk", "tool_input_delta"),
        *("tool_input_delta", "token_update", "complete", "tool_batch", "tool_settled"),
        *("stream_start", "text_chunk", "text_chunk", "token_update", "complete", "turn_ended"),
    ]
    assert {getattr(payload, "turn_id", None) for payload in payloads} == {"u1"}


async def test_s07_streaming_or_not_the_events_have_the_same_order() -> None:
    streamed = await sent(await Stage(Says("Yes.", deltas=2)).session(streaming=True), "Hi.")
    whole = await sent(await Stage(Says("Yes.", deltas=1)).session(streaming=False), "Hi.")
    assert list(dict.fromkeys(kinds(streamed))) == kinds(whole)


async def test_ask_gives_the_final_text() -> None:
    session = await Stage(CALL, Says("It is 42."), functions={"lookup": lambda _: "42"}).session("s", LOOKUP)
    assert await session.ask("What is it?") == "It is 42."


async def test_ask_raises_the_providers_error() -> None:
    session = await Stage(Says(error=ProviderError("No such key. Set one.", "authentication", 401))).session()
    with pytest.raises(ProviderError, match="Set one") as caught:
        await session.ask("Hi.")
    assert (caught.value.kind, caught.value.status) == ("authentication", 401)


@pytest.mark.parametrize(
    ("stop", "outcome"),
    [("max_tokens", "max_tokens"), ("refusal", "refused"), ("context_exceeded", "context_exceeded")],
)
async def test_s33_ask_says_why_there_is_no_answer(stop: StopReason, outcome: str) -> None:
    session = await Stage(Says("Well", stop=stop)).session()
    with pytest.raises(SessionError, match="has no answer") as caught:
        await session.ask("Hi.")
    assert caught.value.kind == outcome


async def test_s04_a_payload_may_be_given_whole() -> None:
    session = await Stage().session()
    assert await session.submit(UserInput.of("Hi.", TurnId("mine"))) == "mine"
    with pytest.raises(ConfigError, match="exists already"):
        await session.submit(UserInput.of("Hi.", TurnId("mine")))


async def test_s31_an_empty_message_is_refused() -> None:
    stage = Stage()
    session = await stage.session()
    for attempt in (session.submit(" "), session.ask(""), sent(session, "\n")):
        with pytest.raises(ConfigError, match="The message is empty"):
            await attempt
    assert stage.model.requests == []


async def test_a_message_that_is_no_text_is_refused_with_what_to_do() -> None:
    session = await Stage().session()
    with pytest.raises(ConfigError, match="errors='replace'"):
        await session.submit("caf\udce9")


async def test_leaving_the_loop_does_not_stop_the_turn() -> None:
    stage = Stage(Says("Yes."))
    session = await stage.session()
    async for _ in session.send("Hi."):
        break
    assert (await stage.shell().result(TurnId("u1"))).text == "Yes."


async def test_s32_results_from_outside_continue_the_turn_and_its_events() -> None:
    stage = Stage(Says(calls=[("approve", {})]), Says("Paid."))
    session = await stage.session("s", APPROVE)
    first = asyncio.create_task(sent(session, "Pay."))
    await until(lambda: stage.shell().status().state == "awaiting_tools")
    await stage.shell().settled()
    payloads = await sent(session, approval())
    assert kinds(payloads)[0] == "tool_settled"
    assert isinstance(payloads[-1], TurnEnded)
    assert kinds(await first)[-1] == "turn_ended"


async def test_s32_a_second_result_of_a_turn_that_still_waits_follows_it_from_now_on() -> None:
    stage = Stage(Says(calls=[("approve", {}), ("approve", {})]), Says("Paid."))
    session = await stage.session("s", APPROVE)
    await session.submit("Pay.")
    await until(lambda: stage.shell().status().state == "awaiting_tools")
    await session.submit(approval("call_1_0"))
    again = asyncio.create_task(sent(session, approval("call_1_0")))
    await quiet()
    await session.submit(approval("call_1_1"))
    assert kinds(await again)[0] == "tool_settled"


async def test_s32_results_that_come_again_give_their_turn_again() -> None:
    stage = Stage(Says(calls=[("approve", {})]), Says("Paid."), Says("Other."))
    session = await stage.session("s", APPROVE)
    await session.submit("Pay.")
    await until(lambda: stage.shell().status().state == "awaiting_tools")
    assert await session.ask(approval()) == "Paid."
    assert await session.ask("And?") == "Other."
    stage.model.gate = asyncio.Event()
    await session.submit("A turn that stays open.")
    assert await session.ask(approval()) == "Paid."
    assert kinds(await sent(session, approval()))[-1] == "turn_ended"


async def test_the_same_key_again_gives_the_same_turn_and_its_events_again() -> None:
    stage = Stage(Says("Yes."))
    session = await stage.session()
    first = await sent(session, "Hi.", key="k")
    assert await session.ask("Hi.", key="k") == "Yes."
    again = await sent(session, "Hi.", key="k")
    assert [p for p in again if isinstance(p, TurnEnded)] == [first[-1]]
    assert kinds(again) == ["accepted", "turn_started", "complete", "turn_ended"]
    assert len(stage.model.requests) == 1


async def test_the_same_key_at_the_same_time_runs_once() -> None:
    stage = Stage(Says("Yes."))
    session = await stage.session()
    assert await asyncio.gather(*(session.ask("Hi.", key="k") for _ in range(5))) == ["Yes."] * 5
    assert len(stage.model.requests) == 1


# --- when -----------------------------------------------------------------------------------------------------------


async def test_after_queues_behind_the_open_turn() -> None:
    stage = Stage(Says("One."), Says("Two."))
    session = await stage.session()
    assert await asyncio.gather(session.ask("1"), session.ask("2", when="after")) == ["One.", "Two."]


async def test_next_step_steers_the_open_turn() -> None:
    stage = Stage(CALL, Says("Done."), functions={"lookup": lambda _: "42"}, held=True)
    session = await stage.session("s", LOOKUP)
    first = asyncio.create_task(session.ask("Hi."))
    await until(lambda: stage.tools.waiting)
    second = asyncio.create_task(session.ask("Be quick.", when="next_step"))
    await until(lambda: stage.shell().conversation.steers)
    stage.tools.release(stage.tools.waiting[0])
    assert await first == await second == "Done."
    assert [block.kind for block in stage.model.requests[-1].messages[-1].content] == ["text"]


async def test_interrupt_replaces_the_open_turn() -> None:
    stage = Stage(Says("Never."), Says("Yes?"))
    stage.model.gate = asyncio.Event()
    session = await stage.session()
    first = asyncio.create_task(session.ask("Tell me all."))
    await until(lambda: stage.model.requests)
    second = asyncio.create_task(session.ask("Stop!", when="interrupt"))
    with pytest.raises(SessionError, match="was interrupted"):
        await first
    stage.model.gate.set()
    assert await second == "Yes?"


async def test_reject_raises_while_a_turn_is_open() -> None:
    stage = Stage()
    stage.model.gate = asyncio.Event()
    session = await stage.session()
    await session.submit("Hi.", when="reject")
    with pytest.raises(SessionBusy):
        await session.submit("Hi.", when="reject")


# --- events ---------------------------------------------------------------------------------------------------------


async def first_events(session: LocalSession, count: int, after: Cursor | None = None) -> list[Event]:
    events: list[Event] = []
    async for event in session.events(after):
        events.append(event)
        if len(events) == count:
            break
    return events


async def test_events_come_from_the_moment_on_in_which_they_are_asked_for() -> None:
    session = await Stage(Says("Yes."), Says("Yes.")).session()
    await session.ask("Before.")
    events = session.events()
    await session.ask("Hi.")
    got = [await anext(events) for _ in range(4)]
    assert [event.payload.kind for event in got] == ["accepted", "turn_started", "complete", "turn_ended"]
    assert {getattr(event.payload, "turn_id", None) for event in got} == {"u2"}


async def test_a_reader_goes_on_after_its_cursor_and_a_late_one_gets_finished_messages_whole() -> None:
    session = await Stage(Says("Yes.")).session()
    await session.ask("Hi.")
    events = await first_events(session, 5, Cursor())
    assert [event.payload.kind for event in events] == ["opened", "accepted", "turn_started", "complete", "turn_ended"]
    assert await first_events(session, 2, events[2].cursor) == events[3:]


async def test_a_late_reader_gets_what_has_come_of_the_open_answer() -> None:
    stage = Stage(Says("Hello, world.", deltas=13))
    stage.model.gate = asyncio.Event()
    session = await stage.session()
    await session.submit("Hi.")
    stage.model.gate.set()
    await until(lambda: len(stage.shell().stream.partial) >= 4)
    stage.model.gate.clear()
    text = "".join(
        event.payload.text for event in await first_events(session, 7, Cursor()) if event.payload.kind == "text_chunk"
    )
    assert "Hello, world.".startswith(text)
    assert text


async def test_many_readers_see_the_same() -> None:
    session = await Stage(Says("Yes.")).session()
    readers = [asyncio.create_task(first_events(session, 8)) for _ in range(3)]
    await asyncio.sleep(0)
    await session.ask("Hi.")
    seen = await asyncio.gather(*readers)
    assert seen[0] == seen[1] == seen[2]


# --- a model that does not keep its contract ------------------------------------------------------------------------


class BrokenModel:
    """Says a little, then does something that no model may."""

    def __init__(self, failure: Exception | None) -> None:
        self.failure = failure

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        yield ResponseStarted("m", "fake")
        yield TextDelta(0, "Half an ans")
        if self.failure is not None:
            raise self.failure


@pytest.mark.parametrize(
    ("failure", "kind"),
    [(None, "cut_short"), (ConfigError("No key. Set one."), "bad_request"), (KeyError("usage"), "server")],
)
async def test_s27_a_stream_that_just_ends_or_breaks_fails_the_turn_with_what_came(
    failure: Exception | None, kind: str
) -> None:
    stage = Stage()
    stage.model = BrokenModel(failure)  # type: ignore[assignment]
    stage.host = stage.another_host()
    session = await stage.session()
    payloads = await sent(session, "Hi.")
    assert kinds(payloads)[-2:] == ["error", "turn_ended"]
    error = next(payload for payload in payloads if payload.kind == "error")
    assert (error.error.kind, error.partial) == (kind, "Half an ans")
    assert (await session.status()).state == "idle"
