"""Compaction at the chat's prompt: asked for, followed, left to the background, and what is kept from it."""

import asyncio

import pytest

from agent_core.entries import Compacted, CompactionFailed
from agent_core.messages import SessionId, TurnId, Usage
from agent_core.payloads import CompactionUpdate
from agent_core.status import CompactionStatus, CompactResult, SessionStatus, TokenUsage
from agent_core.testing import Says
from drivers.chatting.compactions import Compactions, compacted_text, failed_text, result_text, status_rows
from drivers.chatting.pieces import Noted
from tests.drivers.chat_fakes import PATIENCE_SECONDS, Fakes, Talk, connected

LONG = Says(text="word " * 400)


async def until_a_job(fakes: Fakes) -> None:
    """Wait until the compactor has been given a job."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not fakes.compactor.jobs:
            await asyncio.sleep(0)


async def two_turns(talk: Talk) -> None:
    talk.type("first\n")
    await talk.says("second", "You said: second")


async def test_compact_is_followed_and_its_result_said_once() -> None:
    async with connected(LONG) as (talk, fakes):
        await two_turns(talk)
        talk.type("/compact the figures\n")
        await talk.paper.shows("waiting for a summariser (Ctrl-C leaves it to the background)")
        await until_a_job(fakes)
        job = fakes.compactor.jobs[0]
        assert job.focus == "the figures"
        fakes.compactor.start(job)
        await talk.paper.shows("summarising what was said before")
        await talk.paper.shows("idle · summarising")
        fakes.compactor.finish(job, "It was all words.")
        text = await talk.paper.shows("✓ 1 turn summarised in 17 characters, 1 turn kept whole")
        assert " tokens" in text
        text = await talk.says("/status", "summariser    100 in, 10 out")
        assert "compaction    1 so far" in text
        assert "earlier turns summarised" not in text
        text = await talk.says("/history", "≡ summary of what was said before")
        assert "It was all words." in text


async def test_what_comes_after_compact_does_not_wait_for_it() -> None:
    async with connected(LONG) as (talk, fakes):
        await two_turns(talk)
        talk.type("/compact\n")
        await until_a_job(fakes)
        await talk.says("third", "You said: third")
        fakes.compactor.finish(fakes.compactor.jobs[0])
        await talk.paper.shows("1 turn summarised")


async def test_ctrl_c_leaves_the_compaction_to_the_background_where_it_ends() -> None:
    async with connected(LONG) as (talk, fakes):
        await two_turns(talk)
        talk.type("/compact\n")
        await talk.paper.shows("Ctrl-C leaves it to the background")
        talk.type("\x03")
        await talk.paper.shows("the compaction goes on in the background")
        assert not fakes.compactor.cancelled
        fakes.compactor.finish(fakes.compactor.jobs[0])
        await talk.paper.shows("earlier turns summarised: ")


async def test_a_compaction_that_is_waited_for_keeps_nobody_from_leaving() -> None:
    async with connected(LONG) as (talk, _):
        await two_turns(talk)
        talk.type("/compact\n")
        await talk.paper.shows("Ctrl-C leaves it to the background")


async def test_s21_nothing_to_compact_is_said_with_its_reason_and_so_is_a_failure() -> None:
    async with connected(LONG) as (talk, fakes):
        await talk.says("/compact", "nothing was compacted: nothing is old enough to be summarised")
        await two_turns(talk)
        talk.type("/compact\n")
        await until_a_job(fakes)
        fakes.compactor.fail(fakes.compactor.jobs[0])
        await talk.paper.shows("nothing was compacted: the summariser failed: The summariser is overloaded.")
        text = await talk.says("/status", "the last summary came to nothing")
        assert "no summary was made" not in text


async def test_messages_have_numbers_and_are_pinned_by_them() -> None:
    async with connected(LONG) as (talk, _):
        await two_turns(talk)
        text = await talk.says("/history ids", "you: second")
        number = next(line.split()[0] for line in text.splitlines() if "you: first" in line)
        await talk.says(f"/pin {number}", f"{number} is kept word for word (you: first)")
        await talk.says("/pin answer", "is kept word for word (model: You said: second)")
        await talk.says("/pins", "model: You said: second")
        await talk.says("/history ids", "pinned  you: first")
        await talk.says("/status", f"pinned        {number}, #")
        await talk.says(f"/unpin {number}", f"no longer pinned: {number}")
        await talk.says("/unpin all", "no longer pinned: #")
        await talk.says("/pins", "nothing is pinned; /pin last keeps your last message")


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("/pin", "nothing has been said yet"),
        ("/pin answer", "nothing has been said yet"),
        ("/pin 99", "There is no message 's-test/99'"),
        ("/pin everything", "A message is last, answer or a number of /history ids, not 'everything'."),
        ("/unpin", "that is not pinned"),
        ("/history ids", "nothing has been said yet"),
    ],
)
async def test_what_cannot_be_pinned_is_said(line: str, answer: str) -> None:
    async with connected() as (talk, _):
        await talk.says(line, answer)


def compacted(strategy: str, **fields: object) -> Compacted:
    return Compacted.model_validate(
        {"strategy": strategy, "overlays": (), "tokens_before": 91_000, "tokens_after": 30_500, **fields}
    )


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (compacted("llm", job_id="1.1"), "earlier turns summarised: 91,000 → 30,500 tokens"),
        (compacted("threshold"), "old tool results shortened: 91,000 → 30,500 tokens"),
        (
            compacted("last_resort", waited=9.96),
            "the oldest left out to make room: 91,000 → 30,500 tokens, the turn waited 10 s",
        ),
    ],
)
def test_what_was_put_in_place_is_one_line(entry: Compacted, text: str) -> None:
    assert compacted_text(entry) == text


def test_a_job_that_came_to_nothing_is_said_unless_what_it_was_for_is_gone() -> None:
    assert failed_text(CompactionFailed(job_id="1", reason="failed")) == (
        "no summary was made (the summariser failed); the conversation stays as it is"
    )
    assert failed_text(CompactionFailed(job_id="1", reason="unproductive")) == (
        "a summary was not used: it would not have freed enough"
    )
    assert failed_text(CompactionFailed(job_id="1", reason="stale")) is None


def test_a_turn_that_waits_is_said_and_what_is_skipped_is_said_once() -> None:
    heard = Compactions()
    waiting = CompactionUpdate(state="waiting", job_id="1", turn_id=TurnId("t"))
    assert heard.apply(waiting) == [Noted("making room: the turn waits for a summary of what was said before")]
    assert heard.summarising
    skipped = CompactionUpdate(state="skipped", job_id="", reason="what has to stay takes too much by itself")
    assert heard.apply(skipped) == [Noted("no summary was begun: what has to stay takes too much by itself")]
    assert not heard.summarising
    assert heard.apply(skipped) == []


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (
            CompactResult(
                compacted=True,
                strategy="llm",
                turns_compacted=12,
                turns_kept=3,
                tokens_before=91_000,
                tokens_after=30_500,
                summary_length=4_321,
                waited=8.2,
            ),
            "12 turns summarised in 4,321 characters, 3 turns kept whole\n91,000 → 30,500 tokens, in 8.2 s",
        ),
        (
            CompactResult(
                compacted=True,
                strategy="threshold",
                turns_compacted=2,
                turns_kept=1,
                results_summarized=1,
                results_redacted=2,
                tokens_before=9_000,
                tokens_after=500,
            ),
            "1 tool result summarised, 2 tool results left out, 1 turn kept whole\n9,000 → 500 tokens",
        ),
        (
            CompactResult(compacted=False, reason="no compactor configured", error="No compactor configured"),
            "nothing was compacted: compaction is off (--compaction none)",
        ),
    ],
)
def test_s21_the_result_is_said_in_a_line_or_two(result: CompactResult, text: str) -> None:
    assert result_text(result) == text


def test_the_status_says_where_compaction_stands_only_where_there_was_any() -> None:
    quiet = SessionStatus(session_id=SessionId("s"), model="m/n", created_at=0.0, state="idle")
    assert status_rows(quiet) == []
    busy = CompactionStatus(state="started", job_id="1.3", spliced=2, failures=2, paused=True, waited=3.14)
    usage = TokenUsage(summariser=Usage(input_tokens=11_000, output_tokens=900))
    assert status_rows(quiet.model_copy(update={"compaction": busy, "usage": usage})) == [
        (
            "compaction",
            (
                "2 so far; turns waited 3.1 s in all; a summary is being made; the last 2 summaries came to nothing,"
                " so it pauses until the context has grown"
            ),
        ),
        ("summariser", "11k in, 900 out"),
    ]
