"""Observers are told what sessions do, each in order, and none of them can harm a session or another observer."""

import asyncio

import pytest

from agent_core.conversation import Conversation
from agent_core.errors import ProviderError, RayconteurError, SessionClosed
from agent_core.observing import CallObserver, Observers
from agent_core.ports import (
    CompactionJob,
    CompactionPriority,
    CompactionReport,
    ModelEvent,
    ModelRequest,
    Record,
    ResponseStopped,
)
from agent_core.testing import Says
from tests.core.playbook import LOOKUP
from tests.core.stage import Stage, until


class Notes:
    """An observer, and the watch of every call, that writes down what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def fact(self, conversation: Conversation, record: Record) -> None:
        assert conversation.last_seq >= record.seq
        self.said.append(record.entry.kind)

    def model_called(self, request: ModelRequest) -> CallObserver:
        self.said.append(f"called {request.turn_id}")
        return self

    def heard(self, event: ModelEvent) -> None:
        if isinstance(event, ResponseStopped):
            self.said.append("stopped")

    def failed(self, failure: ProviderError) -> None:
        self.said.append(f"failed {failure.kind}")

    def cancelled(self) -> None:
        self.said.append("cancelled")

    def summary_asked(self, job: CompactionJob, priority: CompactionPriority) -> None:
        self.said.append(f"summary {priority} {job.job_id}")

    def summary_told(self, report: CompactionReport) -> None:
        self.said.append(type(report).__name__)


class Broken(Notes):
    """An observer that fails at everything that it is told."""

    def fact(self, conversation: Conversation, record: Record) -> None:
        raise RuntimeError("no disk")

    def heard(self, event: ModelEvent) -> None:
        raise RuntimeError("no network")


def watched(stage: Stage, *observers: Notes) -> Stage:
    """The stage, with these observers."""
    stage.host = stage.another_host(observer=Observers(*observers))
    return stage


async def test_an_observer_is_told_of_every_fact_and_of_the_end_of_every_call() -> None:
    notes = Notes()
    answers = Says("look", calls=[("lookup", {"q": "x"})]), Says("found"), Says(error=ProviderError("no", "server"))
    stage = watched(Stage(*answers, functions={"lookup": lambda _: "it"}), notes)
    session = await stage.session("s", LOOKUP)
    await session.ask("q")
    with pytest.raises(ProviderError):
        await session.ask("again")
    calls = [said for said in notes.said if said.startswith(("called", "stopped", "failed"))]
    assert calls == ["called u1", "stopped", "called u1", "stopped", "called u2", "failed server"]
    # The record that opened the session is its journal's, written as it was claimed.
    assert ["opened", *(said for said in notes.said if said not in calls)] == await stage.kinds("s")


async def test_a_call_that_is_interrupted_ends_as_cancelled_even_before_it_began() -> None:
    notes = Notes()
    stage = watched(Stage(Says("never")), notes)
    stage.model.gate = asyncio.Event()
    session = await stage.session("s")
    await session.submit("q")
    await session.interrupt("keep")
    await until(lambda: "cancelled" in notes.said)
    assert notes.said.count("cancelled") == 1
    assert not {"stopped", "failed cut_short"} & set(notes.said)


class Living(Notes):
    """An observer that wants to know which sessions are live, too."""

    def activated(self, conversation: Conversation) -> None:
        self.said.append(f"activated at {conversation.last_seq}")

    def let_go(self, conversation: Conversation, why: RayconteurError) -> None:
        self.said.append(f"let go at {conversation.last_seq}: {why.kind}")


async def test_an_observer_that_wants_to_know_is_told_when_a_session_becomes_live_and_when_it_is_let_go() -> None:
    plain, living = Notes(), Living()
    stage = watched(Stage(), plain, living)
    await stage.session("s")
    stage.host.drop_all(SessionClosed("The end.", "closed"))
    assert living.said == ["activated at 1", "let go at 1: closed"]
    assert plain.said == []


async def test_an_observer_that_fails_harms_no_session_and_no_other_observer(caplog: pytest.LogCaptureFixture) -> None:
    notes = Notes()
    stage = watched(Stage(Says("fine")), Broken(), notes)
    session = await stage.session("s")
    assert await session.ask("q") == "fine"
    assert notes.said[-1:] == ["turn_ended"]
    assert "Broken failed" in caplog.text
