"""Failures of the provider, as transcripts: the turn is marked, the session lives on, and the turn can be retried."""

import pytest

from agent_core.content import TextBlock, ToolResultBlock
from agent_core.entries import Compacted, Error, TurnEnded
from agent_core.errors import SessionError
from agent_core.inputs import Clear, Interrupt, Retry
from agent_core.messages import UserMessage
from agent_core.payloads import InterruptMode
from agent_core.ports import ResponseStarted, TextDelta
from tests.core.playbook import LOOKUP, Playbook, configure, report, user


def errors(book: Playbook) -> list[Error]:
    return [entry for entry in book.entries if isinstance(entry, Error)]


def long_book(limit: int = 3_000) -> Playbook:
    """Two turns with a long tool result each, in a small window."""
    book = Playbook(LOOKUP, limit=limit, max_tokens=200)
    for number in (1, 2):
        book.given(user(f"Question {number}."), book.answer_to_next("", calls=[(f"c{number}", "lookup", {})]))
        book.given(report(f"c{number}", "long " * 800), book.answer_to_next(f"Answer {number}."))
    return book


def test_s26_a_failure_is_an_error_event_and_the_turns_end_says_so() -> None:
    book = Playbook()
    book.given(user("Hi."))
    book.given(book.fails("overloaded")).follows("error overloaded", "turn_ended u1 failed")
    ended = book.entries[-1]
    assert isinstance(ended, TurnEnded)
    assert ended.error == errors(book)[0].error
    assert ended.error is not None
    assert ended.error.retryable
    assert book.machine.state == "idle"


def test_s26_the_message_of_a_failed_turn_does_not_stand_before_the_next_one() -> None:
    book = Playbook()
    book.turn("Before.")
    book.given(user("One."))
    book.given(book.fails())
    book.given(user("Two."))
    assert book.said == ["user: Before.", "model: Fine.", "user: Two."]


def test_s26_a_failed_turn_can_be_retried_and_its_message_is_back() -> None:
    book = Playbook()
    book.given(user("Hi."))
    book.given(book.fails())
    assert book.said == []
    book.given(Retry()).follows("turn_retried u1", "answer u1", "call_model 2")
    assert book.said == ["user: Hi."]
    book.given(book.answer("Yes.")).follows("complete u1 end_turn", "turn_ended u1 completed")


def test_s26_a_turn_may_fail_and_be_retried_any_number_of_times() -> None:
    book = Playbook()
    book.given(user("Hi."))
    for _ in range(3):
        book.given(book.fails())
        book.given(Retry())
    book.given(book.answer("Yes."))
    assert book.said == ["user: Hi.", "model: Yes."]


def test_s26_a_turn_that_fails_after_its_tools_ran_keeps_their_results_and_goes_on_from_there() -> None:
    book = Playbook(LOOKUP)
    book.given(user("Hi."), book.answer_to_next("", calls=[("a", "lookup", {})]))
    book.given(report("a", "one"))
    book.given(book.fails("timeout")).follows("error timeout", "turn_ended u1 failed")
    assert book.said == ["user: Hi.", "model calls a: lookup", "result a: one"]
    book.given(Retry()).follows("turn_retried u1", "answer u1", "call_model 3")
    book.given(book.answer("Done."))
    assert book.said[-1] == "model: Done."


def test_s26_only_the_last_turn_can_be_retried_and_only_if_it_failed() -> None:
    book = Playbook()
    error = book.given(Retry()).follows("refuse SessionError").refusal
    assert isinstance(error, SessionError)
    assert error.kind == "nothing_to_retry"
    book.turn("Hi.")
    book.given(Retry()).follows("refuse SessionError")
    book.given(user("Again."))
    error = book.given(Retry()).follows("refuse SessionError").refusal
    assert isinstance(error, SessionError)
    assert error.kind == "busy"


def test_a_failed_turn_that_was_cleared_away_cannot_be_retried() -> None:
    book = Playbook()
    book.given(user("Hi."))
    book.given(book.fails())
    book.given(Clear())
    book.given(Retry()).follows("refuse SessionError")


def test_the_next_message_starts_when_the_open_turn_fails() -> None:
    book = Playbook()
    book.given(user("One."), user("Two."))
    book.given(book.fails()).follows("error server", "turn_ended u1 failed", "turn_started u2", "call_model 2")
    assert book.said == ["user: Two."]


def test_s27_a_stream_that_ends_early_is_an_error_with_what_was_received() -> None:
    book = Playbook()
    book.given(user("Hi."))
    book.given(book.model(ResponseStarted("m", "fake"), TextDelta(0, "Half an "), TextDelta(1, "answer")))
    book.given(book.fails("cut_short")).follows("error cut_short", "turn_ended u1 failed")
    assert errors(book)[0].partial == "Half an answer"
    assert book.said == []


def test_a_late_failure_of_an_earlier_call_is_ignored() -> None:
    book = Playbook()
    book.given(user("Hi."))
    late = book.fails()
    book.given(Interrupt("discard"), user("Again."))
    assert book.given(late).commands == []


def test_a_steering_message_of_a_failed_turn_is_there_when_it_is_retried() -> None:
    book = Playbook()
    book.given(user("Hi."))
    book.given(user("And?", when="next_step"))
    book.given(book.fails())
    assert book.said == []
    book.given(Retry())
    assert book.said == ["user: Hi.", "user: And?"]


# --- a request that is too long -------------------------------------------------------------------------------------


def test_a_request_that_is_too_long_is_shrunk_and_made_once_more() -> None:
    book = long_book()
    book.given(user("Question 3."))
    before = book.requests[-1]
    book.given(book.fails("context_too_long")).follows("compacted last_resort", f"call_model {len(book.requests)}")
    after = book.requests[-1]
    assert len(str(after.messages)) < len(str(before.messages))
    assert book.said[-1] == "user: Question 3."
    book.given(book.answer("Yes.")).follows("complete u3 end_turn", "turn_ended u3 completed")


def test_a_request_that_is_still_too_long_fails() -> None:
    book = long_book()
    book.given(user("Question 3."))
    book.given(book.fails("context_too_long"))
    book.given(book.fails("context_too_long")).follows("error context_too_long", "turn_ended u3 failed")


def test_a_request_with_nothing_to_take_away_fails_at_once() -> None:
    book = Playbook(limit=300)
    book.given(user("word " * 1_000))
    book.given(book.fails("context_too_long")).follows("error context_too_long", "turn_ended u1 failed")


@pytest.mark.parametrize("mode", ["keep", "discard"])
def test_each_turn_may_be_shrunk_anew_however_the_one_before_ended(mode: InterruptMode) -> None:
    book = long_book()
    book.given(user("Question 3."))
    book.given(book.fails("context_too_long"))
    book.given(Interrupt(mode))
    book.given(user("Question 4."))
    book.given(book.fails("context_too_long")).follows("compacted last_resort", f"call_model {len(book.requests)}")


def test_a_shrunk_request_begins_with_a_users_message_and_keeps_the_newest_exchange() -> None:
    book = long_book(limit=1_200)
    book.given(user("Question 3."), book.answer_to_next("", calls=[("c3", "lookup", {})]))
    book.given(report("c3", "new " * 100))
    book.given(book.fails("context_too_long", limit=1_000))
    messages = book.requests[-1].messages
    assert isinstance(messages[0], UserMessage)
    assert isinstance(messages[0].content[0], TextBlock)
    result = messages[-1].content[0]
    assert isinstance(result, ToolResultBlock)
    assert result.content == "new " * 100


def test_a_provider_that_counts_more_than_the_estimate_still_gets_a_smaller_request() -> None:
    book = Playbook()
    book.turn("One.", "a" * 4_000)
    book.turn("Two.", "b" * 4_000)
    book.given(user("Three."))
    book.given(book.fails("context_too_long")).follows("compacted last_resort", "call_model 4")
    assert book.said == ["user: Two.", "model: " + "b" * 4_000, "user: Three."]
    compacted = next(entry for entry in book.entries if isinstance(entry, Compacted))
    assert compacted.tokens_after < compacted.tokens_before


def test_a_limit_that_an_overflow_named_is_learned_downwards_only() -> None:
    book = long_book(limit=3_000)
    book.given(user("Question 3."))
    book.given(book.fails("context_too_long", limit=2_000))
    assert book.machine.context_limit == 2_000
    book.given(book.answer("Yes."))
    book.given(user("Question 4."))
    book.given(book.fails("context_too_long", limit=2_500))
    assert book.machine.context_limit == 2_000


def test_a_limit_that_was_learned_is_that_models_alone() -> None:
    book = long_book(limit=3_000)
    book.given(user("Question 3."))
    book.given(book.fails("context_too_long", limit=2_000))
    book.given(book.answer("Yes."))
    book.given(configure(model="local/larger"))
    assert book.machine.context_limit == 3_000
    book.given(configure(model="local/fake"))
    assert book.machine.context_limit == 2_000
