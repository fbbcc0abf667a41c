"""Tasks for turns: one lasts as long as its turn, fails as it does, costs no more than it may. No cluster is needed."""

import asyncio
from concurrent.futures import Future
from typing import Any

import pytest

from actors.turn_tasks import TurnFailed, TurnTasks
from agent_core.conversation import Conversation
from agent_core.entries import Entry, Outcome, TurnEnded, TurnRetried, TurnStarted
from agent_core.errors import ErrorInfo, SessionError
from agent_core.messages import TurnId
from agent_core.ports import Record
from tests.core.playbook import Playbook, user

U1, U2 = TurnId("u1"), TurnId("u2")


class Reference:
    """What stands for Ray's reference to a task."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self.task, self.looked_at = task, False

    def future(self) -> Future[Any]:
        self.looked_at = True
        return Future()


class Dashboard:
    """The tasks that were begun, by name."""

    def __init__(self, rate: float = 100.0) -> None:
        self.now = 0.0
        self.turns = TurnTasks(self._start, lambda: self.now, rate)
        self.listed: list[tuple[str, Reference]] = []
        self.conversation = Playbook().conversation

    def _start(self, name: str, number: int) -> Reference:
        reference = Reference(asyncio.get_running_loop().create_task(self.turns.lasts(number)))
        self.listed.append((name, reference))
        return reference

    def fact(self, entry: Entry) -> None:
        self.turns.fact(self.conversation, Record(9, 1, 0.0, entry))

    def end(self, turn: TurnId, outcome: Outcome = "completed", error: ErrorInfo | None = None) -> None:
        self.fact(TurnEnded(turn_id=turn, outcome=outcome, error=error))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.listed]


async def test_a_task_is_called_by_session_and_turn_and_lasts_as_long() -> None:
    shown = Dashboard()
    shown.fact(TurnStarted(turn_id=U1))
    ((name, reference),) = shown.listed
    assert name == f"{shown.conversation.session_id} u1"
    await asyncio.sleep(0)
    assert not reference.task.done()
    shown.end(U1)
    await reference.task
    assert not reference.looked_at


async def test_a_turn_that_ends_before_its_task_has_begun_ends_it_all_the_same() -> None:
    shown = Dashboard()
    shown.fact(TurnStarted(turn_id=U1))
    shown.end(U1)
    await shown.listed[0][1].task


async def test_a_failed_turn_is_a_failed_task_that_quotes_nothing_and_retrying_is_another() -> None:
    shown = Dashboard()
    shown.fact(TurnStarted(turn_id=U1))
    error = ErrorInfo(boundary="provider", kind="overloaded", message="the prompt was: my secret")
    shown.end(U1, "failed", error)
    (_, reference) = shown.listed[0]
    with pytest.raises(TurnFailed, match=r"^provider: overloaded$"):
        await reference.task
    assert reference.looked_at
    shown.fact(TurnRetried(turn_id=U1))
    shown.end(U1)
    await shown.listed[1][1].task
    assert len(shown.listed) == 2


async def test_an_interrupted_turn_is_no_failure() -> None:
    shown = Dashboard()
    shown.fact(TurnStarted(turn_id=U1))
    shown.end(U1, "interrupted")
    await shown.listed[0][1].task


async def test_a_turn_that_goes_on_in_another_actor_fails_here_and_is_listed_there() -> None:
    here, there = Dashboard(), Dashboard()
    here.conversation = there.conversation = _with_open_turn()
    here.turns.activated(here.conversation)
    here.turns.let_go(here.conversation, SessionError("another owner has it", "lost"))
    there.turns.activated(there.conversation)
    with pytest.raises(TurnFailed, match="goes on elsewhere: lost"):
        await here.listed[0][1].task
    assert here.names == there.names
    assert not there.listed[0][1].task.done()


async def test_only_so_many_begin_in_a_second_and_what_has_none_ends_without_it() -> None:
    shown = Dashboard(rate=2.0)
    turns = [TurnId(f"u{number}") for number in range(5)]
    for turn in turns:
        shown.fact(TurnStarted(turn_id=turn))
        shown.end(turn)
    assert len(shown.listed) == 2
    shown.now += 0.5
    for turn in turns:
        shown.fact(TurnStarted(turn_id=turn))
        shown.end(turn)
    assert len(shown.listed) == 3
    await asyncio.gather(*(reference.task for _, reference in shown.listed))


def _with_open_turn() -> Conversation:
    book = Playbook()
    book.given(user("Hello"))
    assert book.conversation.open is not None
    return book.conversation
