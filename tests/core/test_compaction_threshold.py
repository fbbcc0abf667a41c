"""Mechanical compaction: when it is due, what it shortens, what it says of itself, that requests come after it."""

from typing import Any

import pytest

from agent_core.compaction.last_resort import plan_last_resort
from agent_core.compaction.settings import ThresholdCompaction
from agent_core.compaction.threshold import REDACTED, ThresholdCompactor
from agent_core.config import SessionConfig
from agent_core.content import TextBlock, ToolResultBlock
from agent_core.entries import Compacted
from agent_core.errors import ConfigError
from agent_core.inputs import Compact
from agent_core.messages import Usage
from agent_core.overlays import Dropped, ShortenedResult
from tests.core.playbook import APPROVE, LOOKUP, Playbook, outside, report, user

LONG = "long " * 400


def book_of(turns: int, *, summary: str | None = None, **config: Any) -> Playbook:
    """A book of `turns` turns with one long result each, in a window of 10,000 tokens."""
    book = Playbook(LOOKUP, limit=10_000, **config)
    for number in range(1, turns + 1):
        add_turn(book, number, summary=summary)
    return book


def add_turn(book: Playbook, number: int, *, summary: str | None = None, used: int = 100) -> None:
    usage = Usage(input_tokens=used)
    book.given(user(f"Question {number}."), book.answer_to_next("", calls=[(f"c{number}", "lookup", {})]))
    book.given(report(f"c{number}", LONG, summary=summary), book.answer_to_next(f"Answer {number}.", usage=usage))


def compactor(**fields: object) -> ThresholdCompactor:
    return ThresholdCompactor(ThresholdCompaction(**fields), "local")  # type: ignore[arg-type]


def shown_results(book: Playbook) -> dict[str, str]:
    return {
        block.tool_use_id: str(block.content)
        for message in book.conversation.view.shown
        for block in message.content
        if isinstance(block, ToolResultBlock)
    }


# --- S18: the plan --------------------------------------------------------------------------------------------------


def test_s18_it_is_due_past_its_share_of_the_usable_window() -> None:
    assert not compactor(threshold=0.5).due(500, 1_000)
    assert compactor(threshold=0.5).due(501, 1_000)


def test_s18_old_results_are_redacted_and_the_newest_turns_left_alone() -> None:
    plan = compactor(keep_recent_turns=2).plan(book_of(4).conversation.view)
    assert [(overlay.tool_use_id, overlay.how, overlay.text) for overlay in plan.overlays] == [
        ("c1", "redacted", REDACTED),
        ("c2", "redacted", REDACTED),
    ]
    assert (plan.turns, plan.summarized, plan.redacted) == (2, 0, 2)
    assert plan.saved == 2 * (500 - 10)


def test_s18_a_result_with_a_compact_summary_is_shown_by_it() -> None:
    book = book_of(3, summary="found it")
    plan = compactor(keep_recent_turns=1).plan(book.conversation.view)
    assert [(overlay.how, overlay.text) for overlay in plan.overlays] == [("summarized", "found it")] * 2
    assert (plan.summarized, plan.redacted) == (2, 0)


def test_s18_redact_takes_no_notice_of_summaries() -> None:
    book = book_of(2, summary="found it")
    plan = compactor(keep_recent_turns=1, tool_compaction="redact").plan(book.conversation.view)
    assert [overlay.how for overlay in plan.overlays] == ["redacted"]


def test_s18_what_would_not_shrink_is_left_as_it_is() -> None:
    book = Playbook(LOOKUP)
    book.given(user("Hi."), book.answer_to_next("", calls=[("a", "lookup", {})]))
    book.given(report("a", "tiny"), book.answer_to_next("Done."))
    book.turn("Next.")
    assert compactor(keep_recent_turns=1).plan(book.conversation.view).overlays == ()


def test_s18_a_result_is_shortened_once() -> None:
    book = book_of(3, compaction=ThresholdCompaction(keep_recent_turns=1))
    book.given(Compact())
    assert compactor(keep_recent_turns=1).plan(book.conversation.view).overlays == ()


def test_s18_a_result_that_no_answer_has_followed_is_never_shortened() -> None:
    book = Playbook(LOOKUP, limit=10_000, compaction=ThresholdCompaction(threshold=0.01, keep_recent_turns=0))
    book.given(user("Hi."), book.answer_to_next("", calls=[("a", "lookup", {})]))
    book.given(report("a", LONG))
    assert shown_results(book) == {"a": LONG}
    book.given(book.answer(calls=[("b", "lookup", {})]))
    book.given(report("b", LONG)).follows("tool_settled b ok", "compacted threshold", "call_model 3")
    assert shown_results(book) == {"a": REDACTED, "b": LONG}


def test_s18_blocks_of_a_result_are_counted_images_too() -> None:
    book = Playbook(LOOKUP)
    book.given(user("Hi."), book.answer_to_next("", calls=[("a", "lookup", {})]))
    result = ToolResultBlock(tool_use_id="a", content=(TextBlock(text=LONG),))
    given = report("a", "")
    book.given(type(given)(type(given.report)(given.report.key, result, "ok")), book.answer_to_next("Done."))
    book.turn("Next.")
    assert compactor(keep_recent_turns=1).plan(book.conversation.view).saved == 500 - 10


@pytest.mark.parametrize("wrong", [{"threshold": 0.0}, {"threshold": 1.0}, {"keep_recent_turns": -1}])
def test_s18_a_wrong_compactor_is_refused_by_the_name_of_its_field(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"compaction.{next(iter(wrong))}"):
        SessionConfig.of(model="local/fake", compaction=wrong)


# --- S17: before every request --------------------------------------------------------------------------------------


def test_s17_the_request_that_needed_it_is_built_from_the_compacted_view() -> None:
    book = book_of(2, compaction=ThresholdCompaction(keep_recent_turns=1))
    add_turn(book, 3, used=8_000)
    book.given(user("Question 4.")).follows(
        "accepted u4", "answer u4", "turn_started u4", "compacted threshold", "call_model 7"
    )
    texts = str(book.requests[-1].messages)
    assert texts.count(REDACTED) == 3
    assert LONG not in texts
    assert book.requests[-1].estimate < 8_000


def test_s17_it_is_checked_inside_a_tool_loop_and_without_streaming_too() -> None:
    book = book_of(2, streaming=False, compaction=ThresholdCompaction(keep_recent_turns=1))
    book.given(user("Question 3."))
    book.given(book.answer(calls=[("c3", "lookup", {})], usage=Usage(input_tokens=8_000)))
    book.given(report("c3", LONG)).follows("tool_settled c3 ok", "compacted threshold", "call_model 6")
    assert shown_results(book) == {"c1": REDACTED, "c2": REDACTED, "c3": LONG}


def test_s17_an_old_count_does_not_trigger_it_again() -> None:
    book = book_of(2, compaction=ThresholdCompaction(keep_recent_turns=1))
    add_turn(book, 3, used=5_000)
    book.given(user("Question 4."), book.answer_to_next("Answer 4."))
    assert book.conversation.compactions == 1
    book.given(user("Question 5.")).follows("accepted u5", "answer u5", "turn_started u5", "call_model 8")


def test_s17_without_a_compactor_nothing_is_compacted() -> None:
    book = book_of(3)
    add_turn(book, 4, used=9_900)
    book.given(user("Question 5."))
    assert book.conversation.compactions == 0


def test_s17_cached_tokens_count_towards_the_mark() -> None:
    book = book_of(3, compaction=ThresholdCompaction(keep_recent_turns=1))
    book.given(user("Question 4."), book.answer_to_next("Yes.", usage=Usage(cache_read_tokens=9_000)))
    book.given(user("Question 5."))
    assert book.conversation.compactions == 1


def test_s16_a_summary_that_came_with_a_result_from_outside_is_used_at_compaction() -> None:
    book = Playbook(APPROVE, compaction=ThresholdCompaction(keep_recent_turns=1))
    book.given(user("Hi."), book.answer_to_next("", calls=[("a", "approve", {})]))
    book.given(outside(("a", LONG), summaries={"a": "approved"}), book.answer_to_next("Done."))
    book.turn("Next.")
    book.given(Compact())
    assert shown_results(book) == {"a": "approved"}


# --- S21: by hand ---------------------------------------------------------------------------------------------------


def test_s21_a_compaction_by_hand_says_what_it_did() -> None:
    book = book_of(4, summary="found", compaction=ThresholdCompaction(keep_recent_turns=1))
    before = book.conversation.context_used
    result = book.given(Compact()).follows("compacted threshold", "answer").compacted
    assert (result.compacted, result.strategy, result.error) == (True, "threshold", None)
    assert (result.messages_before, result.messages_after) == (16, 16)
    assert (result.turns_compacted, result.turns_kept) == (3, 1)
    assert (result.results_summarized, result.results_redacted) == (3, 0)
    assert (result.tokens_before, result.tokens_after) == (before, book.conversation.context_used)


def test_s21_nothing_to_compact_is_no_failure() -> None:
    result = book_of(1, compaction=ThresholdCompaction()).given(Compact()).follows("answer").compacted
    assert (result.compacted, result.error) == (False, None)
    assert "nothing to compact" in result.reason


def test_s21_without_a_compactor_it_says_so() -> None:
    result = book_of(1).given(Compact()).follows("answer").compacted
    assert (result.compacted, result.error) == (False, "No compactor configured")


def test_a_compaction_outlives_its_owner() -> None:
    book = book_of(3, compaction=ThresholdCompaction(keep_recent_turns=1))
    book.given(Compact())
    shown = book.said
    book.crashes()
    assert book.said == shown


# --- the last resort ------------------------------------------------------------------------------------------------


def test_the_last_resort_redacts_all_but_the_newest_results_first() -> None:
    overlays, saved = plan_last_resort(book_of(3).conversation.view, "local", target=1_000)
    assert [overlay.tool_use_id for overlay in overlays if isinstance(overlay, ShortenedResult)] == ["c1", "c2"]
    assert not any(isinstance(overlay, Dropped) for overlay in overlays)
    assert saved == 2 * (500 - 10)


def test_the_last_resort_drops_the_oldest_turns_whole_and_never_the_newest() -> None:
    book = book_of(3)
    overlays, _ = plan_last_resort(book.conversation.view, "local", target=10)
    (dropped,) = [overlay for overlay in overlays if isinstance(overlay, Dropped)]
    messages = book.conversation.messages
    assert dropped.message_ids == tuple(message.id for message in messages if message.turn_id != "u3")


def test_the_last_resort_has_nothing_to_take_from_an_empty_or_a_single_message_view() -> None:
    book = Playbook()
    assert plan_last_resort(book.conversation.view, "local", target=1) == ((), 0)
    book.given(user("word " * 100))
    assert plan_last_resort(book.conversation.view, "local", target=1) == ((), 0)


def test_the_last_resort_does_not_redact_twice() -> None:
    book = book_of(3, compaction=ThresholdCompaction(keep_recent_turns=1))
    book.given(Compact())
    overlays, saved = plan_last_resort(book.conversation.view, "local", target=10_000)
    assert (overlays, saved) == ((), 0)
    assert next(entry for entry in book.entries if isinstance(entry, Compacted)).overlays
