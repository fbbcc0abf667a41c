"""When compaction acts, waits and rests; what a user who asks for it is told; what is pinned."""

from typing import Any

import pytest

from agent_core import inputs
from agent_core.entries import Compacted, CompactionFailed
from agent_core.errors import ConfigError, SessionError
from agent_core.payloads import CompactionUpdate
from tests.core.compaction.strained import SPENT, StrainedBook, strained
from tests.core.compaction.test_known_bugs import failures, summaries
from tests.core.compaction.tour import LONG, filled, loop, turn
from tests.core.playbook import LOOKUP, Step, user


def told(step: Step) -> list[str]:
    return [shown.state for shown in step.shown if isinstance(shown, CompactionUpdate)]


# --- the marks ------------------------------------------------------------------------------------------------------


def test_a_job_starts_past_the_soft_mark_and_not_before() -> None:
    book = filled(3)
    assert book.jobs == []
    turn(book)
    turn(book)
    assert [job.job_id for job in book.jobs] == ["1.1"]


def test_a_summary_is_held_until_the_trigger() -> None:
    book = filled(5)
    book.finishes()
    assert (book.machine.compaction.state, summaries(book)) == ("ready", [])
    turn(book)
    turn(book)
    assert len(summaries(book)) == 1


def test_past_the_trigger_nobody_waits_for_a_summary_that_is_not_ready() -> None:
    book = filled(7)
    assert book.conversation.context_used > 0.5 * 2_700
    book.given(user("Hi."))
    assert book.machine.state == "running"


@pytest.mark.parametrize("how", ["summary", "failure", "shed", "time", "interrupt", "crash"])
def test_a_wait_at_the_hard_mark_ends(how: str) -> None:
    book = filled(6)
    turn(book)
    book.given(user(LONG), book.model())
    book.given(book.says(LONG, used=2_500))
    step = book.given(user("And now?"))
    assert book.machine.state == "compacting"
    assert "waiting" in told(step)
    ends: dict[str, Any] = {
        "summary": book.finishes,
        "failure": book.fails_to_summarise,
        "shed": lambda: book.fails_to_summarise(shed=True),
        "time": lambda: book.passes(10.0),
        "interrupt": lambda: book.given(inputs.Interrupt()),
        "crash": book.crashes,
    }
    ends[how]()
    # After a crash a job begins anew, and nobody waits for one that has only just begun.
    assert book.machine.state == {"interrupt": "idle"}.get(how, "running")


def test_how_long_turns_waited_is_counted() -> None:
    book = filled(7)
    book.given(user(LONG))
    book.given(book.says(LONG, used=2_500))
    book.given(user("And now?"))
    book.passes(4.0)
    book.finishes()
    assert summaries(book)[0].waited == book.machine.compaction.waited == 5.0


def test_after_two_failures_it_rests_until_the_context_has_grown() -> None:
    book = filled(4)
    for _ in range(2):
        book.given(user("Hi."))
        if book.underway:
            book.fails_to_summarise()
        book.given(book.says("Hi."))
    while book.underway:
        book.fails_to_summarise()
        book.given(user("Hi."))
        book.given(book.says("Hi."))
    started = len(book.jobs)
    assert book.machine.compaction.paused
    turn(book)
    turn(book)
    turn(book)
    assert not book.machine.compaction.paused
    assert len(book.jobs) > started


def test_to_be_turned_away_is_no_failure() -> None:
    book = filled(5)
    book.fails_to_summarise(shed=True)
    assert (failures(book), book.machine.compaction.failures, book.machine.compaction.state) == ([], 0, "none")
    turn(book)
    assert len(book.jobs) == 2


def test_silence_is_a_failure_once_the_deadline_is_long_past() -> None:
    book = filled(5)
    started = book.now
    book.passes(200.0)
    assert book.underway is not None
    book.passes(10.0)
    assert book.now - started == 210.0
    (failed,) = [entry for entry in book.entries if isinstance(entry, CompactionFailed)]
    assert failed.error is not None
    assert failed.error.kind == "silent"


def test_the_summarisers_tokens_are_counted_apart() -> None:
    book = filled(5)
    before = book.conversation.usage.total
    book.fails_to_summarise()
    turn(book)
    book.finishes("huge " * 2_000)
    assert book.conversation.usage.summariser == SPENT + SPENT
    assert book.conversation.usage.total == before


def test_a_limit_that_an_overflow_names_is_learned_and_never_raised() -> None:
    book = filled(5)
    for limit, known in ((2_000, 2_000), (2_900, 2_000)):
        book.given(user(LONG))
        book.given(book.fails("context_too_long", limit))
        assert book.machine.context_limit == known
        book.given(book.says(LONG))
        turn(book)


# --- asked for ------------------------------------------------------------------------------------------------------


def test_s21_asked_for_twice_it_is_one_job_and_both_are_told() -> None:
    book = filled(5)
    book.given(inputs.Compact(), inputs.Compact()).follows("promote_compaction 1.1 manual", "answer", "answer")
    assert len(book.jobs) == 1


def test_s21_another_focus_takes_the_place_of_the_job_under_way() -> None:
    book = filled(5)
    book.given(inputs.Compact("the code"))
    assert book.given_up == ["s/1.1"]
    assert (book.job.job_id, book.job.focus) == ("1.2", "the code")


def test_s21_nothing_to_compact_is_said_at_once() -> None:
    result = filled(1).given(inputs.Compact()).compacted
    assert (result.compacted, result.error) == (False, None)
    assert "nothing to compact" in result.reason


def test_s21_with_none_configured_it_says_so() -> None:
    book = filled(5)
    book.given(inputs.Configure(inputs.Settings(fields={"compaction": None})))
    assert book.given(inputs.Compact()).compacted.error == "No compactor configured"


def test_s21_while_a_turn_runs_the_summary_is_put_in_place_between_its_steps() -> None:
    book = filled(3)
    book.given(user("Go on."))
    book.given(inputs.Compact())
    book.finishes()
    assert summaries(book) == []
    loop(book, 1)
    assert len(summaries(book)) == 1


def test_a_shutdown_tells_whoever_waits_for_a_compaction() -> None:
    book = filled(5)
    book.given(inputs.Compact())
    step = book.given(inputs.Shutdown())
    assert "compaction_ended 1.1 not done" in step.lines


# --- pins -----------------------------------------------------------------------------------------------------------


def pinned(book: StrainedBook, index: int = 0) -> str:
    id = book.conversation.messages[index].id
    book.given(inputs.Pin(id))
    return id


def summarised(text: str = "Keep this.") -> StrainedBook:
    book = filled(0)
    turn(book, text)
    pinned(book)
    for _ in range(6):
        turn(book)
    book.finishes()
    turn(book)
    assert len(summaries(book)) == 1
    return book


def test_a_pinned_message_that_is_covered_stands_word_for_word_behind_the_summary() -> None:
    assert summarised().said[:3] == [
        "user: [Previous conversation summary]\n\nA summary.",
        "user: [Pinned message, word for word]",
        "user: Keep this.",
    ]


def test_a_message_that_is_pinned_no_longer_goes_with_what_covers_it() -> None:
    book = summarised()
    book.given(inputs.Pin(book.conversation.messages[0].id, kept=False))
    assert "user: Keep this." not in book.said


def test_a_clear_takes_pins_along() -> None:
    book = summarised()
    book.given(inputs.Clear())
    assert (book.said, list(book.conversation.view.pinned)) == ([], [])


def test_a_message_that_is_not_there_cannot_be_pinned() -> None:
    assert isinstance(filled(1).given(inputs.Pin("s/99")).refusal, SessionError)


def test_more_than_a_tenth_of_the_window_cannot_be_pinned() -> None:
    book = StrainedBook(LOOKUP, compaction=strained())
    turn(book, "long " * 400)
    turn(book)
    assert isinstance(book.given(inputs.Pin(book.conversation.messages[0].id)).refusal, ConfigError)
    book.given(inputs.Pin(book.conversation.messages[2].id)).follows("pinned", "answer")


def test_a_pinned_message_outlives_the_last_resort_and_a_crash() -> None:
    book = filled(0)
    turn(book, "Keep this.")
    pinned(book)
    for _ in range(3):
        turn(book)
    book.given(user(LONG))
    book.given(book.fails("context_too_long", 700))
    assert any(isinstance(entry, Compacted) for entry in book.entries)
    book.crashes()
    assert "user: Keep this." in book.said
