"""The conversation is a fold of its records: what a replay gives, what the view shows, what an entry is on disk."""

import json

import pytest
from pydantic import ValidationError

from agent_core.compaction.settings import ThresholdCompaction
from agent_core.config import SessionConfig
from agent_core.content import ImageBlock, TextBlock, ToolResultBlock
from agent_core.entries import (
    Accepted,
    Cleared,
    Compacted,
    Complete,
    Configured,
    Opened,
    Settings,
    ToolBatch,
    ToolSettled,
    TurnEnded,
    decode,
    encode,
)
from agent_core.inputs import Clear, Interrupt
from agent_core.messages import AssistantMessage, SessionId, TurnId, Usage, UserMessage
from agent_core.overlays import Dropped, ShortenedResult
from agent_core.payloads import UserInput
from agent_core.ports import Record, TextDelta
from agent_core.view import View
from tests.core.invariants import replayed
from tests.core.playbook import LOOKUP, SESSION, Playbook, configure, lines_of, report, user


def with_results(*texts: str) -> Playbook:
    """A book of one turn for each text, in which a tool gave it."""
    book = Playbook(LOOKUP)
    for number, text in enumerate(texts, 1):
        book.given(user(f"Question {number}."), book.answer_to_next("", calls=[(f"c{number}", "lookup", {})]))
        book.given(report(f"c{number}", text), book.answer_to_next(f"Answer {number}."))
    return book


def message(turn: str, text: str, number: int) -> UserMessage:
    return UserMessage(id=f"s/{number}", session_id=SESSION, turn_id=TurnId(turn), content=(TextBlock(text=text),))


# --- entries on disk ------------------------------------------------------------------------------------------------


def test_a_session_without_compaction_is_still_without_it_after_a_replay() -> None:
    opened = Opened(config=SessionConfig(model="local/fake", compaction=None))
    assert decode(encode(opened)) == opened


def test_a_setting_that_was_cleared_is_still_cleared_after_a_replay() -> None:
    configured = Configured(changes=Settings(fields={"system_prompt": None, "compaction": None}))
    assert decode(encode(configured)) == configured


def test_a_null_in_a_calls_input_is_kept() -> None:
    book = Playbook(LOOKUP)
    book.given(user("Hi."), book.answer_to_next("", calls=[("a", "lookup", {"q": None})]))
    batch = next(entry for entry in book.entries if isinstance(entry, ToolBatch))
    assert decode(encode(batch)) == batch
    assert batch.calls[0].input == {"q": None}


def test_half_a_character_that_a_tool_returns_does_not_keep_its_result_from_the_journal() -> None:
    result = ToolResultBlock(tool_use_id="a", content=(TextBlock(text="caf\udce9"),), compact_summary="\ud83d")
    settled = decode(encode(ToolSettled(turn_id=TurnId("u1"), result=result, outcome="ok", seconds=1.5)))
    assert isinstance(settled, ToolSettled)
    assert settled.result.content == (TextBlock(text="caf?"),)
    assert (settled.result.compact_summary, settled.seconds) == ("?", 1.5)


def test_an_unknown_kind_of_entry_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="'imagined' found using 'kind' does not match any of the expected tags"):
        decode(json.dumps({"kind": "imagined"}))


def test_an_unknown_field_of_an_entry_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="turn"):
        decode(json.dumps({"kind": "turn_started", "turn_id": "u1", "turn": 1}))


def test_an_entry_says_only_what_is_new() -> None:
    book = with_results(*["x" * 1_000] * 20)
    sizes = [len(encode(entry)) for entry in book.entries]
    assert max(sizes) < 1_500
    assert sum(sizes) < 20 * 3_500


# --- the fold -------------------------------------------------------------------------------------------------------


def test_a_replay_gives_the_state_that_was_lived_through() -> None:
    book = Playbook(LOOKUP)
    book.given(user("One."), book.answer_to_next("", calls=[("a", "lookup", {})]))
    book.given(user("Also.", when="next_step"), report("a", "1"), book.answer_to_next("Done."))
    book.given(configure(max_tokens=5), Clear(), user("Two."), book.answer_to_next("Yes."))
    again = replayed(SESSION, book.records)
    assert [lines_of(message) for message in again.view.shown] == [["user: Two."], ["model: Yes."]]
    assert (again.config.max_tokens, again.last_seq, len(again.messages)) == (5, len(book.records), 7)


def test_an_entry_of_a_turn_without_an_open_turn_is_a_broken_log() -> None:
    book = Playbook()
    book.turn("Hi.")
    ended = [record for record in book.records if isinstance(record.entry, TurnEnded)]
    complete = [record for record in book.records if isinstance(record.entry, Complete)]
    with pytest.raises(AssertionError, match="no turn was open"):
        replayed(SESSION, [*book.records[: ended[0].seq], *complete])


def test_the_newest_answer_of_a_turn_is_its_text() -> None:
    book = Playbook(LOOKUP)
    book.given(user("Hi."), book.answer_to_next("Wait.", calls=[("a", "lookup", {})]))
    assert book.conversation.final_text(TurnId("u1")) == "Wait."
    book.given(report("a", "1"), book.answer_to_next("Done."))
    assert book.conversation.final_text(TurnId("u1")) == "Done."
    assert book.conversation.final_text(TurnId("u7")) == ""


def test_messages_of_a_turn_are_those_of_the_newest_turn_only() -> None:
    book = Playbook()
    book.turn("One.")
    book.turn("Two.")
    assert [item.turn_id for item in book.conversation.of_turn(TurnId("u2"))] == ["u2", "u2"]
    assert book.conversation.of_turn(TurnId("u1")) == []


def test_the_history_keeps_what_the_view_has_lost() -> None:
    book = Playbook()
    book.turn("One.")
    book.given(Clear())
    assert book.said == []
    assert len(book.conversation.messages) == 2


# --- the view -------------------------------------------------------------------------------------------------------


def test_a_message_that_no_overlay_touches_is_the_very_object_of_the_history() -> None:
    book = with_results("long " * 50, "short")
    overlay = ShortenedResult(tool_use_id="c1", text="[gone]", how="redacted")
    book.conversation.view.lay([overlay], book.conversation.messages)
    changed = [
        seen.id
        for seen, told in zip(book.conversation.view.shown, book.conversation.messages, strict=True)
        if seen is not told
    ]
    assert changed == [book.conversation.messages[2].id]
    assert "result c1: [gone]" in book.said


def test_overlays_leave_the_history_as_it_was() -> None:
    book = with_results("long " * 50)
    before = tuple(book.conversation.messages)
    book.conversation.view.lay(
        [ShortenedResult(tool_use_id="c1", text="[gone]", how="redacted"), Dropped(message_ids=(before[0].id,))],
        book.conversation.messages,
    )
    assert tuple(book.conversation.messages) == before
    assert before[0] not in book.conversation.view.shown


def test_a_shortened_result_stays_shortened_when_more_is_taken_away() -> None:
    book = with_results("long " * 50, "short")
    view = book.conversation.view
    view.lay([ShortenedResult(tool_use_id="c1", text="[gone]", how="redacted")], book.conversation.messages)
    view.lay([Dropped(message_ids=tuple(m.id for m in view.shown[4:]))], book.conversation.messages)
    assert book.said == ["user: Question 1.", "model calls c1: lookup", "result c1: [gone]", "model: Answer 1."]
    assert view.is_shortened("c1")
    assert not view.is_shortened("c2")


def test_a_hidden_turn_can_be_shown_again() -> None:
    messages = [message("u1", "One.", 1), message("u2", "Two.", 2)]
    view = View(SessionId("s"))
    for item in messages:
        view.append(item)
    view.hide_turn(TurnId("u1"), messages)
    assert view.shown == messages[1:]
    view.show_turn(TurnId("u1"), messages)
    assert view.shown == messages


def test_a_clear_forgets_overlays_and_hidden_turns() -> None:
    book = with_results("long " * 50)
    view = book.conversation.view
    view.lay([ShortenedResult(tool_use_id="c1", text="[gone]", how="redacted")], book.conversation.messages)
    view.clear(len(book.conversation.messages))
    assert view.shown == []
    assert not view.is_shortened("c1")


def test_the_estimate_of_a_view_counts_blocks_of_every_kind() -> None:
    view = View(SessionId("s"))
    blocks = (TextBlock(text="a" * 40), ImageBlock(url="https://example.org/cat.png"))
    view.append(UserMessage(id="1", session_id=SESSION, turn_id=TurnId("u1"), content=blocks))
    view.append(
        UserMessage(
            id="2",
            session_id=SESSION,
            turn_id=TurnId("u1"),
            content=(ToolResultBlock(tool_use_id="a", content=(TextBlock(text="b" * 80),)),),
        )
    )
    assert view.tokens("local") == (4 + 10 + 1_200) + (4 + 20)
    assert view.tokens("anthropic") > view.tokens("local")


# --- counts ---------------------------------------------------------------------------------------------------------


def test_a_compaction_sets_the_count_to_what_it_left() -> None:
    book = with_results("long " * 50)
    records = book.records
    compacted = Compacted(strategy="threshold", overlays=(), tokens_before=900, tokens_after=123)
    record = Record(len(records) + 1, 1, book.now, compacted)
    conversation = replayed(SESSION, [*records, record])
    assert (conversation.context_used, conversation.compactions) == (123, 1)


def test_a_discarded_turn_leaves_the_count_at_what_is_still_shown() -> None:
    book = Playbook()
    book.turn("One.", "a" * 400)
    before = book.conversation.view.tokens("local")
    book.given(user("b" * 4_000), book.model(TextDelta(0, "Well")), Interrupt("discard"))
    assert book.conversation.context_used == before


def test_the_providers_count_wins_over_the_estimate() -> None:
    book = Playbook()
    book.given(user("a" * 4_000), book.answer_to_next("Yes.", usage=Usage(input_tokens=12, cache_read_tokens=30)))
    assert book.conversation.context_used == 42


def test_a_cleared_conversation_counts_nothing_and_keeps_its_totals() -> None:
    book = Playbook()
    book.given(user("Hi."), book.answer_to_next("Yes.", usage=Usage(input_tokens=12)))
    book.given(Clear())
    assert book.conversation.context_used == 0
    assert book.conversation.usage.total == Usage(input_tokens=12)


def test_kinds_of_entries_are_told_apart_by_their_tag() -> None:
    accepted = Accepted(turn_id=TurnId("u1"), payload=UserInput.of("Hi."), key="k")
    assert decode(encode(accepted)) == accepted
    assert json.loads(encode(Cleared())) == {"kind": "cleared"}
    config = SessionConfig(model="local/fake", compaction=ThresholdCompaction(threshold=0.7))
    assert decode(encode(Opened(config=config, tools=(LOOKUP,), labels={"a": "b"}))).kind == "opened"


def test_an_answer_is_whole_on_disk() -> None:
    book = Playbook()
    book.given(user("Hi."))
    book.given(book.answer("Yes.", thinking="Hm.", usage=Usage(output_tokens=3)))
    (complete,) = [entry for entry in book.entries if isinstance(entry, Complete)]
    again = decode(encode(complete))
    assert isinstance(again, Complete)
    assert isinstance(again.message, AssistantMessage)
    assert again == complete
    assert again.message.session_id == SessionId("s")
