"""Recorded turns as samples: what was asked and answered, and what had been said before."""

import asyncio
import json
from typing import Any

import pytest

from agent_core.compaction.settings import LLMCompaction
from agent_core.content import ImageBlock, TextBlock
from agent_core.entries import Opened, Settings
from agent_core.errors import ConfigError, ProviderError
from agent_core.evaluation.history import messages_of, rows_of
from agent_core.evaluation.recorded import LeftOut, recorded_samples
from agent_core.evaluation.sample import Sample
from agent_core.local_session import LocalSession
from agent_core.messages import SessionId, TurnId
from agent_core.payloads import UserInput
from agent_core.testing import Says
from tests.core.playbook import LOOKUP, lines_of
from tests.core.stage import Stage, until

ID = SessionId("s")


async def made(stage: Stage, turns: str = "every", *, as_seen: bool = False) -> list[Sample | LeftOut]:
    records = await stage.journal.read(ID)
    return list(recorded_samples(ID, records, TurnId(turns), as_seen=as_seen))


def said(sample: Sample | LeftOut) -> list[str]:
    assert isinstance(sample, Sample)
    return [line for message in sample.history for line in lines_of(message)]


async def test_each_turn_is_a_sample_with_what_was_said_before_it() -> None:
    stage = Stage(Says("One."), Says("", calls=[("lookup", {}), ("lookup", {})]), Says("Two."), Says("Three."))
    session = await stage.session(ID, LOOKUP)
    await session.ask("First?")
    await session.set_model("local/other")
    await session.ask("Second?")
    await session.ask("Third?")
    first, second, third = await made(stage)
    assert isinstance(first, Sample)
    assert isinstance(second, Sample)
    assert isinstance(third, Sample)
    assert (first.id, first.input, first.target, first.history) == ("s@u1", "First?", "One.", ())
    assert first.metadata == {"session": "s", "turn": "u1", "model": "local/fake", "labels": {}, "tools": []}
    assert (second.input, second.target) == ("Second?", "Two.")
    assert said(second) == ["user: First?", "model: One."]
    assert (second.metadata["model"], second.metadata["tools"]) == ("local/other", ["lookup"])
    assert len(said(third)) == 8
    assert await made(stage, "last") == [third]
    assert await made(stage, "u2") == [second]


async def test_a_sample_asks_the_same_again_in_a_session_of_its_own() -> None:
    stage = Stage(Says("", calls=[("lookup", {})]), Says("One."), Says("Two."), Says("Another two."))
    session = await stage.session(ID, LOOKUP)
    await session.ask("First?")
    await session.ask("Second?")
    (sample,) = await made(stage, "last")
    assert isinstance(sample, Sample)
    history = messages_of(json.loads(json.dumps(rows_of(sample.history))))
    opened = Opened(config=session.conversation.config.model_copy(update={"model": "local/other"}), history=history)
    again = LocalSession(await stage.host.open(SessionId("again"), opened), stage.host)
    assert await again.ask(sample.input) == "Another two."
    first, other = (stage.model.requests[index].messages for index in (2, 3))
    assert [message.content for message in other] == [message.content for message in first]


async def test_only_turns_with_an_answer_are_samples_and_the_others_are_told() -> None:
    stage = Stage(Says("One."), Says(error=ProviderError("No.", "bad_request")), Says("Three."))
    session = await stage.session(ID)
    await session.ask("First?")
    with pytest.raises(ProviderError):
        await session.ask("Second?")
    await session.ask("Third?")
    stage.model.gate = asyncio.Event()
    await session.submit("Fourth?")
    await session.interrupt("discard")
    await session.submit("Fifth?")
    left, back, first, third = await made(stage)
    assert left == LeftOut(TurnId("u2"), "it has no answer (failed)")
    assert back == LeftOut(TurnId("u4"), "it was taken back")
    assert said(first) == []
    assert said(third) == ["user: First?", "model: One."]
    with pytest.raises(ConfigError, match=r"no sample can be made of turn 'u2': it has no answer \(failed\).*: u1, u3"):
        await made(stage, "u2")
    with pytest.raises(ConfigError, match="no turn 'u5' has ended"):
        await made(stage, "u5")


async def test_a_turn_that_was_tried_again_is_one_sample_with_its_last_answer() -> None:
    stage = Stage(Says(error=ProviderError("No.", "overloaded")), Says("At last."))
    session = await stage.session(ID)
    with pytest.raises(ProviderError):
        await session.ask("First?")
    await stage.shell().result(await session.retry())
    (sample,) = await made(stage)
    assert isinstance(sample, Sample)
    assert (sample.input, sample.target, sample.history) == ("First?", "At last.", ())


async def test_what_was_said_is_exported_whole_or_as_the_model_saw_it() -> None:
    stage = Stage(*(Says(f"Answer {number}.") for number in range(5)))
    session = await stage.session(ID, compaction=LLMCompaction(keep_recent_turns=1, mechanical=None))
    await session.ask("Cleared.")
    await session.clear()
    for number in range(3):
        await session.ask(f"Question {number}. " + "words " * 50)
    asking = asyncio.create_task(session.compact())
    await until(lambda: stage.compactor.jobs)
    stage.compactor.finish(stage.compactor.jobs[0], "Two questions.")
    await asking
    await session.ask("Afterwards?")
    (whole,), (seen,) = await made(stage, "last"), await made(stage, "last", as_seen=True)
    assert [line.partition(". ")[0] for line in said(whole) if line.startswith("user")] == [
        "user: Question 0",
        "user: Question 1",
        "user: Question 2",
    ]
    assert said(seen)[0].endswith("Two questions.")
    assert len(said(seen)) == 3
    assert messages_of(rows_of(seen.history))[0].marker == "summary"  # type: ignore[union-attr]


async def test_a_message_that_steered_a_turn_is_told_and_an_image_makes_no_sample() -> None:
    stage = Stage(Says("", calls=[("lookup", {})]), Says("One."), Says("A cat."), held=True)
    session = await stage.session(ID, LOOKUP)
    await session.submit("First?")
    await until(lambda: stage.tools.waiting)
    await session.submit("Hurry.", when="next_step")
    stage.tools.release(stage.tools.waiting[0])
    await stage.shell().result(TurnId("u1"))
    await session.ask(UserInput(content=(TextBlock(text="What is it?"), ImageBlock(url="https://example.org/a.png"))))
    steered, image = await made(stage)
    assert isinstance(steered, Sample)
    assert steered.metadata["steered"] == ["Hurry."]
    assert image == LeftOut(TurnId("u2"), "its question is not text alone")


async def test_a_session_that_began_with_a_history_exports_it_too() -> None:
    stage = Stage(Says("One."), Says("Two."))
    session = await stage.session(ID)
    await session.ask("First?")
    (first,) = await made(stage)
    history = messages_of(rows_of(await session.history()))
    opened = Opened(config=session.conversation.config, history=history)
    other = LocalSession(await stage.host.open(SessionId("t"), opened), stage.host)
    await other.configure(Settings(fields={"system_prompt": "Be brief."}))
    await other.ask("Second?")
    (second,) = recorded_samples(SessionId("t"), await stage.journal.read(SessionId("t")), "every")
    assert isinstance(first, Sample)
    assert isinstance(second, Sample)
    assert second.id == "t@u2"
    assert said(second) == ["user: First?", "model: One."]


def test_a_session_without_a_turn_makes_no_sample() -> None:
    empty: Any = ()
    assert list(recorded_samples(ID, empty, "every")) == []
    assert list(recorded_samples(ID, empty)) == []
