"""The mailbox of a session: bounded, in order, and it never holds up what must not wait."""

import asyncio

import pytest

from agent_core.entries import Accepted
from agent_core.errors import ConfigError, SessionBusy, SessionClosed
from agent_core.inputs import Interrupt
from agent_core.local_session import LocalSession
from agent_core.messages import TurnId
from agent_core.session import MAILBOX
from agent_core.testing import Says
from tests.core.stage import Stage, quiet, until


class FullMailbox:
    """A session whose open turn does not end and behind which as many messages wait as may."""

    def __init__(self, session: LocalSession, stage: Stage) -> None:
        self.session, self.stage = session, stage
        self.senders: list[asyncio.Task[TurnId]] = []

    @classmethod
    async def make(cls) -> "FullMailbox":
        stage = Stage()
        stage.model.gate = asyncio.Event()
        session = await stage.session()
        for number in range(MAILBOX + 1):
            await session.submit(f"Message {number}.")
        return cls(session, stage)

    async def send(self, text: str) -> asyncio.Task[TurnId]:
        """Somebody sends a message, and may have to wait."""
        sender = asyncio.create_task(self.session.submit(text))
        self.senders.append(sender)
        await quiet()
        return sender

    async def end_turn(self) -> None:
        """End the open turn, so that the next message leaves the mailbox."""
        await self.session.interrupt("discard")
        await quiet()

    @property
    def waiting(self) -> int:
        return len(self.stage.shell().conversation.queue)


async def test_s06_a_full_mailbox_makes_the_sender_wait_until_there_is_room() -> None:
    mailbox = await FullMailbox.make()
    assert (MAILBOX, mailbox.waiting) == (32, 32)
    sender = await mailbox.send("One more.")
    assert not sender.done()
    assert mailbox.waiting == 32
    await mailbox.end_turn()
    assert await sender == f"u{MAILBOX + 2}"
    assert mailbox.waiting == 32


async def test_s06_senders_that_wait_come_in_one_by_one_and_in_order() -> None:
    mailbox = await FullMailbox.make()
    senders = [await mailbox.send(text) for text in "abc"]
    done: list[int] = []
    for _ in range(3):
        await mailbox.end_turn()
        done.append(sum(sender.done() for sender in senders))
    assert done == [1, 2, 3]
    accepted = [entry for entry in await mailbox.stage.entries() if isinstance(entry, Accepted)]
    assert [entry.payload.content[0].text for entry in accepted[-3:]] == ["a", "b", "c"]  # type: ignore[union-attr]


async def test_s06_a_sender_that_gives_up_leaves_its_room_to_the_next() -> None:
    mailbox = await FullMailbox.make()
    first, second = await mailbox.send("a"), await mailbox.send("b")
    mailbox.stage.shell().feed(Interrupt("discard"))
    first.cancel()
    await quiet()
    assert first.cancelled()
    assert second.done()


async def test_s06_a_sender_whose_message_is_refused_leaves_its_room_to_the_next() -> None:
    mailbox = await FullMailbox.make()
    first, second = await mailbox.send(" "), await mailbox.send("b")
    await mailbox.end_turn()
    with pytest.raises(ConfigError):
        await first
    assert second.done()


async def test_s06_a_closed_session_answers_waiting_senders_with_a_typed_error() -> None:
    mailbox = await FullMailbox.make()
    sender = await mailbox.send("One more.")
    await mailbox.session.shutdown(graceful=False)
    with pytest.raises(SessionClosed, match="Open it again"):
        await sender
    with pytest.raises(SessionClosed, match="Open it again"):
        await mailbox.session.submit("And more.")


async def test_s06_one_who_would_rather_be_refused_does_not_wait() -> None:
    mailbox = await FullMailbox.make()
    with pytest.raises(SessionBusy):
        await mailbox.session.submit("Hi.", when="reject")


async def test_s06_one_who_interrupts_does_not_wait() -> None:
    mailbox = await FullMailbox.make()
    turn_id = await mailbox.session.submit("Stop!", when="interrupt")
    assert (await mailbox.session.status()).turn_id == turn_id
    assert mailbox.waiting == 32


async def test_s06_a_message_that_was_taken_before_does_not_wait() -> None:
    stage = Stage()
    stage.model.gate = asyncio.Event()
    session = await stage.session()
    turn_id = await session.submit("Hi.", key="k")
    for number in range(MAILBOX):
        await session.submit(f"Message {number}.")
    assert await session.submit("Hi.", key="k") == turn_id


async def test_s06_control_answers_while_the_mailbox_is_full() -> None:
    mailbox = await FullMailbox.make()
    assert (await mailbox.session.status()).queued == MAILBOX
    await mailbox.session.set_max_tokens(5)
    assert await mailbox.session.interrupt()


async def test_s06_steering_messages_take_room_too() -> None:
    stage = Stage(Says("One."))
    stage.model.gate = asyncio.Event()
    session = await stage.session()
    await session.submit("Hi.")
    for number in range(MAILBOX):
        await session.submit(f"And {number}?", when="next_step")
    sender = asyncio.create_task(session.submit("And more?", when="next_step"))
    await quiet()
    assert not sender.done()
    stage.model.gate.set()
    await until(lambda: sender.done() and stage.shell().status().state == "idle")
    assert len(stage.model.requests) >= 2
