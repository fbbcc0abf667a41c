"""Messages that come while a turn is open, as transcripts: behind it, at its next step, in its place, or refused."""

from agent_core.errors import SessionBusy
from agent_core.ports import TextDelta
from tests.core.playbook import LOOKUP, Playbook, report, user


def test_a_message_behind_an_open_turn_waits_for_its_end() -> None:
    book = Playbook()
    book.given(user("One."))
    book.given(user("Two.")).follows("accepted u2", "answer u2")
    book.given(book.answer("Yes.")).follows(
        "complete u1 end_turn", "turn_ended u1 completed", "turn_started u2", "call_model 2"
    )


def test_a_steering_message_enters_at_the_next_model_call_behind_the_results() -> None:
    book = Playbook(LOOKUP)
    book.given(user("Hi."), book.answer_to_next("", calls=[("a", "lookup", {})]))
    book.given(user("Be quick.", when="next_step")).follows("accepted u1", "answer u1")
    book.given(report("a", "42")).follows("tool_settled a ok", "steered u1", "call_model 2")
    assert book.said == ["user: Hi.", "model calls a: lookup", "result a: 42", "user: Be quick."]


def test_a_steering_message_that_comes_while_the_last_answer_streams_makes_the_turn_go_on() -> None:
    book = Playbook()
    book.given(user("Hi."))
    book.given(user("And?", when="next_step"), user("Well?", when="next_step"))
    book.given(book.answer("Yes.")).follows("complete u1 end_turn", "steered u1", "call_model 2")
    book.given(book.answer("More.")).follows("complete u1 end_turn", "turn_ended u1 completed")
    assert book.said == ["user: Hi.", "model: Yes.", "user: And?", "user: Well?", "model: More."]


def test_a_steering_message_without_an_open_turn_is_a_turn_of_its_own() -> None:
    book = Playbook()
    book.given(user("Hi.", when="next_step")).follows("accepted u1", "answer u1", "turn_started u1", "call_model 1")


def test_a_steering_message_that_came_too_late_stays_in_the_conversation() -> None:
    book = Playbook()
    book.given(user("Hi."))
    book.given(user("And?", when="next_step"))
    book.given(book.answer("Yes", stop="max_tokens")).follows("complete u1 max_tokens", "turn_ended u1 max_tokens")
    assert book.said == ["user: Hi.", "model: Yes", "user: And?"]


def test_a_message_that_interrupts_goes_first_and_the_open_turn_keeps_what_it_has() -> None:
    book = Playbook()
    book.given(user("One."))
    book.given(user("Two."))
    book.given(book.model(TextDelta(0, "Half an ans")))
    book.given(user("Stop!", when="interrupt")).follows(
        "accepted u3",
        "cancel_model 1",
        "complete u1 interrupted",
        "turn_ended u1 interrupted",
        "answer u3",
        "turn_started u3",
        "call_model 2",
    )
    book.given(book.answer("Yes?")).follows(
        "complete u3 end_turn", "turn_ended u3 completed", "turn_started u2", "call_model 3"
    )
    assert book.said == ["user: One.", "model: Half an ans", "user: Stop!", "model: Yes?", "user: Two."]


def test_a_message_that_wants_no_queue_is_refused_while_a_turn_is_open() -> None:
    book = Playbook()
    book.given(user("Hi.", when="reject")).follows("accepted u1", "answer u1", "turn_started u1", "call_model 1")
    error = book.given(user("Hi.", when="reject")).follows("refuse SessionBusy").refusal
    assert isinstance(error, SessionBusy)
    assert "when='after'" in str(error)
