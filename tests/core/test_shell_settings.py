"""What a session in this process says of itself, what can be changed while it lives, and how it is opened."""

import asyncio

import pytest

from agent_core.compaction.settings import ThresholdCompaction
from agent_core.errors import ConfigError, JournalError, PlacementError, ProviderError, SessionError
from agent_core.messages import SessionId, TurnId, Usage
from agent_core.testing import Says
from tests.core.playbook import LOOKUP, PAY
from tests.core.stage import Stage, quiet, until

CALL = Says(calls=[("lookup", {"q": "x"})])


# --- what is known, what can be changed -----------------------------------------------------------------------------


async def test_s13_a_status_is_filled() -> None:
    usage = Usage(input_tokens=900, output_tokens=100)
    stage = Stage(Says("Yes.", usage=usage))
    session = await stage.session(context_limit=10_000)
    await session.ask("Hi.")
    status = await session.status()
    assert (status.session_id, status.model, status.created_at) == ("s", "local/fake", stage.clock.now())
    assert (status.state, status.turn_id, status.messages, status.queued) == ("idle", None, 2, 0)
    assert (status.context_used, status.context_limit, status.utilization) == (1_000, 10_000, 10.0)
    assert (status.usage.total, status.usage.request_count) == (usage, 1)
    assert (status.epoch, status.last_seq, status.actor) == (1, 5, "local")


async def test_s13_the_state_says_what_is_waited_for() -> None:
    stage = Stage(CALL, Says("Done."), functions={"lookup": lambda _: "42"}, held=True)
    session = await stage.session("s", LOOKUP)
    states = [(await session.status()).state]
    stage.model.gate = asyncio.Event()
    asking = asyncio.create_task(session.ask("Hi."))
    await until(lambda: stage.model.requests)
    states.append((await session.status()).state)
    stage.model.gate.set()
    await until(lambda: stage.tools.waiting)
    status = await session.status()
    states.append(status.state)
    assert status.turn_id == "u1"
    stage.tools.release(stage.tools.waiting[0])
    await asking
    await session.shutdown()
    states.append((await session.status()).state)
    assert states == ["idle", "running", "awaiting_tools", "closed"]


async def test_s13_a_status_can_be_read_by_another_thread() -> None:
    stage = Stage()
    await stage.session()
    assert (await asyncio.to_thread(stage.shell().status)).state == "idle"


async def test_s14_prompt_and_tokens_are_set_read_and_cleared() -> None:
    stage = Stage()
    session = await stage.session(system_prompt="Be kind.", max_tokens=50)
    assert (await session.system_prompt(), await session.max_tokens()) == ("Be kind.", 50)
    await session.set_system_prompt("Be brief.")
    await session.set_max_tokens(60)
    assert (await session.system_prompt(), await session.max_tokens()) == ("Be brief.", 60)
    await session.clear_system_prompt()
    await session.ask("Hi.")
    assert (stage.model.requests[-1].system, stage.model.requests[-1].max_tokens) == (None, 60)
    with pytest.raises(ConfigError, match="max_tokens"):
        await session.set_max_tokens(0)


async def test_s15_tools_are_a_copy_and_can_be_replaced() -> None:
    session = await Stage().session("s", LOOKUP)
    assert await session.tools() == (LOOKUP,)
    await session.set_tools([PAY])
    assert await session.tools() == (PAY,)
    await session.clear_tools()
    assert await session.tools() == ()


async def test_another_model_answers_from_the_next_request_on() -> None:
    stage = Stage()
    session = await stage.session()
    await session.set_model("local/other")
    await session.ask("Hi.")
    assert stage.model.requests[-1].config.model == "local/other"


async def test_s23_a_cleared_session_begins_anew_and_its_history_can_still_be_read_in_full() -> None:
    stage = Stage(Says("Yes."), Says("Yes."))
    session = await stage.session()
    await session.ask("Hi.")
    await session.clear()
    assert await session.history() == ()
    assert len(await session.history(full=True)) == 2
    await session.ask("Again.")
    assert len(stage.model.requests[-1].messages) == 1


async def test_s26_a_failed_turn_is_retried() -> None:
    stage = Stage(Says(error=ProviderError("Overloaded. Wait.", "overloaded")), Says("Yes."))
    session = await stage.session()
    with pytest.raises(ProviderError):
        await session.ask("Hi.")
    assert await session.retry() == "u1"
    assert (await stage.shell().result(TurnId("u1"))).text == "Yes."
    with pytest.raises(SessionError, match="nothing to retry"):
        await session.retry()


async def test_s21_a_compaction_by_hand_tells_what_it_did() -> None:
    stage = Stage(CALL, Says("Done."), functions={"lookup": lambda _: "long " * 200})
    session = await stage.session("s", LOOKUP, compaction=ThresholdCompaction(keep_recent_turns=1))
    await session.ask("Hi.")
    await session.ask("Again.")
    assert (await session.compact()).results_redacted == 1
    assert "long " not in str(await session.history())


# --- opening --------------------------------------------------------------------------------------------------------


async def test_s01_a_session_is_known_by_its_id_and_two_are_apart() -> None:
    stage = Stage(Says("One."), Says("Two."))
    first, second = await stage.session("a"), await stage.session("b")
    assert (first.id, second.id) == ("a", "b")
    assert (await first.ask("Hi."), await second.ask("Hi.")) == ("One.", "Two.")
    assert [message.session_id for message in await second.history()] == ["b", "b"]
    assert stage.host.active == ("a", "b")


async def test_however_many_open_a_session_at_once_it_is_claimed_once() -> None:
    stage = Stage()
    sessions = await asyncio.gather(*(stage.session() for _ in range(10)))
    assert len({id(session._shell) for session in sessions}) == 1
    assert (await sessions[0].status()).epoch == 1
    assert await stage.kinds() == ["opened"]


async def test_one_who_gives_up_opening_a_session_does_not_keep_another_from_it() -> None:
    stage = Stage()
    stage.journal.gate.clear()
    first, second = asyncio.create_task(stage.session()), asyncio.create_task(stage.session())
    await quiet()
    first.cancel()
    await quiet()
    stage.journal.gate.set()
    assert (await (await second).status()).epoch == 1


async def test_one_who_wants_to_write_is_not_given_what_another_opened_for_reading() -> None:
    stage = Stage()
    await (await stage.session()).shutdown()
    reading, writing = await asyncio.gather(stage.host.open(SessionId("s")), stage.session())
    assert reading.id == writing.id
    assert await writing.ask("Hi.") == "You said: Hi."


async def test_a_session_that_was_never_made_is_an_error() -> None:
    with pytest.raises(SessionError, match="Give a model to make it"):
        await Stage().host.open(SessionId("nobody"))


async def test_a_host_takes_as_many_sessions_as_it_may_however_many_come_at_once() -> None:
    stage = Stage()
    host = stage.another_host(capacity=3)
    opened = await asyncio.gather(*(stage.session(f"s{n}", host=host) for n in range(5)), return_exceptions=True)
    refused = [error for error in opened if isinstance(error, PlacementError)]
    assert len(refused) == 2
    assert "sessions_per_actor" in str(refused[0])
    assert len(host.active) == 3


async def test_a_session_that_cannot_be_opened_is_not_kept() -> None:
    stage = Stage()
    stage.journal.failure = JournalError("The disk is full. Make room.")
    with pytest.raises(JournalError, match="Make room"):
        await stage.session()
    assert stage.host.active == ()
    stage.journal.failure = None
    assert await (await stage.session()).ask("Hi.") == "You said: Hi."
