"""Planted facts: that they are planted, found and lost as they should be, and how many each way to compact keeps."""

import random

import pytest

from agent_core.clock import SystemClock
from agent_core.compaction.summarising import Summariser
from agent_core.config import SessionConfig
from agent_core.content import ToolResultBlock, ToolUseBlock
from agent_core.messages import Message, SessionId
from agent_core.ports import CompactionJob, Patch
from agent_core.providers.dispatch import build_model
from agent_core.scripted.server import ScriptedServer
from benchmarks.facts import KINDS, PLACES, Fact, Story, tell
from benchmarks.retention import STRATEGIES, Score, score
from tests.core.providers.making import assistant, user

STORIES = [tell(seed) for seed in range(2)]


def words_of(story: Story) -> str:
    parts = (exchange for stretch in story.stretches for exchange in stretch)
    return "\n".join("\n".join((e.ask, *(text for _, text in e.pages), e.answer)) for e in parts)


# --- planting -------------------------------------------------------------------------------------------------------


def test_a_story_follows_from_its_seed() -> None:
    assert tell(1) == tell(1)
    assert tell(1) != tell(2)


def test_every_kind_is_planted_in_every_place_of_every_stretch() -> None:
    story = tell(3, stretches=2)
    planted = [(fact.stretch, fact.kind, fact.place) for fact in story.facts]
    assert planted == [(stretch, kind, place) for stretch in range(2) for kind in KINDS for place in PLACES]
    whole = words_of(story)
    assert all(fact.text in whole and fact.is_in(whole) for fact in story.facts)
    assert all(value in whole for fact in story.facts for value in fact.stale)


def test_a_fact_is_in_the_view_only_by_its_exact_newest_value() -> None:
    fact = Fact("changed value", "user", 0, "", "41300", stale=("37000",))
    assert fact.is_in("It was 37000, it is 41300.")
    assert not fact.is_in("It is 41300. No, it is 37000.")
    assert not fact.is_in("It is 413001, or x41300.")
    assert not fact.is_in("Nothing.")


def test_nothing_is_planted_in_what_is_never_compacted() -> None:
    story = tell(3)
    newest = "\n".join(exchange.ask + exchange.answer + exchange.pages[0][1] for *_, exchange in story.stretches)
    assert not any(fact.value in newest for fact in story.facts)
    with pytest.raises(ValueError, match="at least 3 turns"):
        tell(3, turns=2)


# --- what is kept ---------------------------------------------------------------------------------------------------


async def scored(name: str) -> Score:
    return await score(STRATEGIES[name], STORIES)


async def test_summaries_with_room_keep_every_fact_through_five_compactions() -> None:
    result = await scored("llm")
    assert [result.share(compactions) for compactions in range(1, 6)] == [1.0] * 5
    assert result.mean_left < 0.5


async def test_mechanical_compaction_keeps_what_was_said_and_loses_what_tools_gave_back() -> None:
    result = await scored("mechanical")
    for compactions in range(1, 6):
        assert result.share(compactions, place="user") == result.share(compactions, place="answer") == 1.0
        assert result.share(compactions, place="result") == 0.0


async def test_a_short_summary_keeps_what_is_new_and_loses_the_oldest_facts() -> None:
    result = await scored("llm, tight")
    shares = [result.share(compactions) for compactions in range(1, 6)]
    assert result.share(1, kind="number") == 1.0
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] < 0.5


async def test_a_summariser_that_drops_facts_scores_nothing() -> None:
    result = await scored("forgetful")
    assert [result.share(compactions) for compactions in range(1, 6)] == [0.0] * 5


async def test_two_runs_tell_the_same() -> None:
    first, second = await scored("llm, tight"), await scored("llm, tight")
    assert (first.found, first.left) == (second.found, second.left)


async def test_a_small_window_loses_nothing_between_its_chunks() -> None:
    story = STORIES[0]
    config = SessionConfig(model="local/scripted", max_tokens=3_000, compaction=None, request_class="summary")
    async with ScriptedServer() as server:
        model = build_model(4, SystemClock(), random.Random(1))
        try:
            config = config.model_copy(update={"base_url": f"{server.url}/v1"})
            job = CompactionJob("s/1", SessionId("s"), "1", config, messages_of(story), "digest")
            patch = await Summariser(model, SystemClock(), lambda _: 12_000).summarise(job)
        finally:
            await model.aclose()
        assert server.recorder.stats.summaries > 2
    assert isinstance(patch, Patch), patch
    assert [fact for fact in story.facts if not fact.is_in(patch.summary)] == []


def messages_of(story: Story) -> list[Message]:
    messages: list[Message] = []
    for exchange in (exchange for stretch in story.stretches for exchange in stretch):
        messages.append(user(exchange.ask))
        for page, text in exchange.pages:
            messages.append(assistant(ToolUseBlock(id=page, name="read", input={"page": page})))
            messages.append(user(ToolResultBlock(tool_use_id=page, content=text)))
        messages.append(assistant(exchange.answer))
    return messages
