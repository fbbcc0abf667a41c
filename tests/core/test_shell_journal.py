"""Accepted means durable: what leaves a session waits for the journal, and what becomes of a session that loses it."""

import asyncio

import pytest

from agent_core.config import SessionConfig
from agent_core.cursor import Cursor, Event
from agent_core.entries import Opened, TurnEnded
from agent_core.errors import Fenced, JournalError, RayconteurError, SessionClosed, SessionError
from agent_core.inputs import FromTool
from agent_core.local_session import LocalSession
from agent_core.messages import SessionId, TurnId
from agent_core.outbox import Outbox
from agent_core.ports import Record
from agent_core.testing import Says
from tests.core.playbook import LOOKUP, PAY, SESSION, report
from tests.core.stage import HeldJournal, Stage, quiet, until

CALLS = Says(calls=[("lookup", {}), ("pay", {})])
FUNCTIONS = {"lookup": lambda _: "found", "pay": lambda _: "paid"}


async def read_all(session: LocalSession) -> list[Event]:
    return [event async for event in session.events(Cursor())]


# --- nothing leaves before it is durable ----------------------------------------------------------------------------


async def test_submit_answers_when_its_message_is_durable_and_the_model_is_asked_meanwhile() -> None:
    stage = Stage()
    stage.model.gate = asyncio.Event()
    session = await stage.session()
    stage.journal.gate.clear()
    sending = asyncio.create_task(session.submit("Hi."))
    await until(lambda: stage.model.requests)
    assert not sending.done()
    stage.journal.gate.set()
    assert await sending == "u1"
    assert (await stage.kinds())[:2] == ["opened", "accepted"]


async def test_no_event_leaves_before_its_entry_is_durable_and_deltas_keep_their_place() -> None:
    stage = Stage(Says("Yes.", deltas=1))
    session = await stage.session()
    seen: list[str] = []
    stage.shell().stream.listen(lambda event: seen.append(event.payload.kind) if event else None)
    stage.journal.gate.clear()
    sending = asyncio.create_task(session.submit("Hi."))
    await quiet()
    assert seen == []
    stage.journal.gate.set()
    await sending
    await until(lambda: seen and seen[-1] == "turn_ended")
    assert seen == [
        *("accepted", "turn_started", "stream_start", "text_chunk", "token_update"),
        *("complete", "turn_ended"),
    ]


async def test_no_tool_runs_before_the_start_of_its_call_is_durable() -> None:
    stage = Stage(CALLS, functions=FUNCTIONS, held=True)
    session = await stage.session("s", LOOKUP, PAY)
    await session.submit("Hi.")
    stage.journal.gate.clear()
    await until(lambda: stage.shell().status().state == "awaiting_tools")
    await quiet()
    assert stage.tools.ran == []
    stage.journal.gate.set()
    await until(lambda: len(stage.tools.ran) == 2)
    assert (await stage.kinds())[-1] == "tool_batch"


async def test_what_is_decided_while_an_append_is_under_way_goes_into_the_next_one() -> None:
    stage = Stage()
    stage.model.gate = asyncio.Event()
    session = await stage.session()
    stage.journal.gate.clear()
    before = len(stage.journal.appends)
    sending = [asyncio.create_task(session.submit(f"{number}")) for number in range(5)]
    await quiet()
    stage.journal.gate.set()
    await asyncio.gather(*sending)
    sizes = [len(appends[0].records) for appends in stage.journal.appends[before:]]
    assert sizes == [6]


async def test_an_answer_and_the_starts_of_its_calls_are_one_append() -> None:
    stage = Stage(CALLS, functions=FUNCTIONS, held=True)
    session = await stage.session("s", LOOKUP, PAY)
    await session.submit("Hi.")
    await until(lambda: len(stage.tools.ran) == 2)
    last = [record.entry.kind for record in stage.journal.appends[-1][0].records]
    assert last == ["complete", "tool_batch"]


# --- a journal that fails -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [JournalError("Unreachable. Start it."), RuntimeError("a secret of the disk")])
async def test_a_session_whose_journal_fails_is_dropped_and_everybody_hears_why(failure: Exception) -> None:
    stage = Stage(Says("Never."))
    stage.model.gate = asyncio.Event()
    session = await stage.session()
    await session.submit("Hi.")
    asking = asyncio.create_task(stage.shell().result(TurnId("u1")))
    sending = asyncio.create_task(read_send(session))
    reading = asyncio.create_task(read_all(session))
    await quiet()
    stage.journal.failure = failure
    with pytest.raises(JournalError) as caught:
        await session.set_max_tokens(5)
    assert "secret" not in str(caught.value)
    for waiting in (asking, sending):
        with pytest.raises(JournalError):
            await waiting
    assert [event.payload.kind for event in await reading] == ["opened", "accepted", "turn_started", "accepted"]
    with pytest.raises(JournalError):
        await session.submit("Again.")
    assert session.is_shutdown
    assert stage.host.active == ()


async def read_send(session: LocalSession) -> None:
    async for _ in session.send("Waits behind."):
        pass


async def test_a_dropped_session_goes_on_where_its_journal_ends_when_it_is_opened_again() -> None:
    stage = Stage(CALLS, Says("Done."), functions=FUNCTIONS, held=True)
    lost = await stage.session("s", LOOKUP, PAY)
    await lost.submit("Hi.")
    await until(lambda: len(stage.tools.ran) == 2)
    stage.journal.failure = JournalError("Unreachable. Start it.")
    with pytest.raises(JournalError):
        await lost.set_max_tokens(5)
    stage.journal.failure = None
    stage.tools.held = False
    session = await stage.session("s", LOOKUP, PAY)
    assert (await stage.shell().result(TurnId("u1"))).text == "Done."
    assert await session.max_tokens() == 4096
    assert [call.call.name for call in stage.tools.ran] == ["lookup", "pay", "lookup"]
    results = str((await session.history())[2].content)
    assert "found" in results
    assert "Whether the call took effect is unknown" in results


async def test_a_lost_session_cancels_its_work_and_what_comes_of_it_is_ignored() -> None:
    stage = Stage(CALLS, functions=FUNCTIONS, held=True)
    session = await stage.session("s", LOOKUP, PAY)
    await session.submit("Hi.")
    await until(lambda: len(stage.tools.ran) == 2)
    shell = stage.shell()
    shell.drop(SessionClosed("The runtime was closed. Open another.", "closed"))
    assert stage.tools.cancelled == ["s/call_1_0", "s/call_1_1"]
    shell._report(report("call_1_0", "late").report)
    assert "tool_settled" not in await stage.kinds()
    with pytest.raises(SessionClosed):
        shell.feed(FromTool(report("call_1_0", "late").report))


async def test_nothing_leaves_a_dropped_session_not_even_what_becomes_durable_afterwards() -> None:
    stage = Stage(CALLS, functions=FUNCTIONS)
    session = await stage.session("s", LOOKUP, PAY)
    await session.submit("Hi.")
    stage.journal.gate.clear()
    await until(lambda: stage.shell().status().state == "awaiting_tools")
    setting = asyncio.create_task(session.set_max_tokens(5))
    await quiet()
    stage.host.drop_all(SessionClosed("The runtime was closed. Open another.", "closed"))
    stage.journal.gate.set()
    with pytest.raises(SessionClosed):
        await setting
    await quiet()
    assert stage.tools.ran == []
    assert (await stage.kinds())[-1] == "tool_batch"


async def test_a_session_that_is_about_to_be_opened_is_let_go_with_the_others() -> None:
    stage = Stage()
    await (await stage.session("s")).submit("Hi.")
    host = stage.another_host("other")
    stage.journal.gate.clear()
    opening = [asyncio.create_task(host.open(SessionId("s"))) for _ in range(2)]
    await quiet()
    host.drop_all(SessionClosed("The runtime was closed. Open another.", "closed"))
    stage.journal.gate.set()
    results = await asyncio.gather(*opening, return_exceptions=True)
    assert [type(result) for result in results] == [SessionClosed, SessionClosed]
    assert not host.active


async def test_a_model_call_of_a_lost_session_is_cancelled() -> None:
    stage = Stage()
    stage.model.gate = asyncio.Event()
    session = await stage.session()
    await session.submit("Hi.")
    task = stage.shell()._calls._task
    assert task is not None
    stage.host.drop_all(SessionClosed("The runtime was closed. Open another.", "closed"))
    await asyncio.wait([task])
    assert task.cancelled()


# --- two owners -----------------------------------------------------------------------------------------------------


async def test_an_owner_that_was_fenced_drops_the_session_and_the_new_one_goes_on() -> None:
    stage = Stage(Says("Old."), Says("New."))
    stage.model.gate = asyncio.Event()
    old = await stage.session()
    await old.submit("Hi.")
    new_host = stage.another_host("other")
    new = await stage.session(host=new_host)
    assert (await new.status()).epoch == 2
    with pytest.raises(Fenced, match="drop the session here"):
        await old.submit("Am I still the owner?")
    assert (stage.host.active, new_host.active) == ((), ("s",))
    stage.model.gate.set()
    shell = new_host.find(SESSION)
    assert shell is not None
    assert (await shell.result(TurnId("u1"))).outcome == "completed"
    assert sum(isinstance(entry, TurnEnded) for entry in await stage.entries()) == 1


async def test_nothing_of_a_fenced_owner_is_ever_shown() -> None:
    stage = Stage(Says("Old."))
    stage.model.gate = asyncio.Event()
    old = await stage.session()
    await old.submit("Hi.")
    seen: list[str] = []
    stage.shell().stream.listen(lambda event: seen.append(event.payload.kind) if event else None)
    await stage.journal.claim(SESSION, "other")
    with pytest.raises(Fenced):
        await old.interrupt()
    assert seen == []


async def test_the_first_owner_can_have_the_session_back() -> None:
    stage = Stage(Says("One."), Says("Two."), Says("Three."))
    session = await stage.session()
    await session.ask("1")
    other = await stage.session(host=stage.another_host("other"))
    await other.ask("2")
    with pytest.raises(Fenced):
        await session.ask("3")
    again = await stage.session()
    assert await again.ask("3") == "Three."
    assert len(await again.history()) == 6
    assert (await again.status()).epoch == 3


async def test_a_shutdown_that_another_owner_overtakes_is_not_taken_for_done() -> None:
    stage = Stage()
    stage.model.gate = asyncio.Event()
    session = await stage.session()
    await session.submit("Hi.")
    closing = asyncio.create_task(session.shutdown())
    await quiet()
    await stage.journal.claim(SESSION, "other")
    stage.model.gate.set()
    with pytest.raises(Fenced):
        await closing


# --- the outbox itself ----------------------------------------------------------------------------------------------


def record(seq: int) -> Record:
    return Record(seq, 1, 0.0, Opened(config=SessionConfig(model="local/fake")))


async def claimed() -> tuple[HeldJournal, Outbox, list[RayconteurError]]:
    journal, lost = HeldJournal(), list[RayconteurError]()
    await journal.claim(SESSION, "me")
    return journal, Outbox(SESSION, 1, journal, lost.append), lost


async def test_actions_are_done_in_order_each_once_what_was_written_before_it_is_durable() -> None:
    journal, outbox, _ = await claimed()
    done: list[int] = []
    outbox.then(lambda: done.append(0))
    assert done == [0]
    journal.gate.clear()
    outbox.write(record(1), lambda: done.append(1))
    outbox.then(lambda: done.append(2))
    await quiet()
    outbox.write(record(2), lambda: done.append(3))
    outbox.then(lambda: done.append(4))
    assert done == [0]
    journal.gate.set()
    await outbox.settled()
    assert done == [0, 1, 2, 3, 4]
    assert len(await journal.read(SESSION)) == 2


async def test_what_an_action_writes_goes_out_too() -> None:
    journal, outbox, _ = await claimed()
    done: list[str] = []
    outbox.write(record(1), lambda: outbox.write(record(2), lambda: done.append("second")))
    await until(lambda: done)
    assert len(await journal.read(SESSION)) == 2


async def test_an_outbox_with_nothing_to_do_is_settled() -> None:
    _, outbox, _ = await claimed()
    assert outbox.empty
    await outbox.settled()


async def test_a_gap_in_the_records_loses_the_session() -> None:
    _, outbox, lost = await claimed()
    outbox.write(record(7), lambda: None)
    with pytest.raises(JournalError, match="ends at record 0"):
        await outbox.settled()
    assert len(lost) == 1
    with pytest.raises(JournalError):
        await outbox.settled()


async def test_a_writer_that_is_cancelled_leaves_nobody_waiting() -> None:
    journal, outbox, _ = await claimed()
    journal.gate.clear()
    outbox.write(record(1), lambda: None)
    waiting = asyncio.create_task(outbox.settled())
    await quiet()
    assert outbox._task is not None
    outbox._task.cancel()
    with pytest.raises(JournalError, match="cancelled"):
        await waiting


async def test_a_turn_that_nobody_ever_heard_of_is_an_error() -> None:
    stage = Stage()
    await stage.session()
    with pytest.raises(SessionError, match="There is no turn 'u9'"):
        await stage.shell().result(TurnId("u9"))
