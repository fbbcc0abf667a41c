"""What a session's user controls besides messages, as transcripts: settings, tools, clear, shutdown."""

import pytest

from agent_core.entries import Settings
from agent_core.errors import ConfigError, SessionClosed
from agent_core.inputs import Clear, Compact, Configure, Input, Interrupt, Retry, Shutdown
from agent_core.messages import Usage
from agent_core.ports import TextDelta
from tests.core.playbook import APPROVE, LOOKUP, PAY, Playbook, configure, outside, report, user


def stopped(book: Playbook) -> Playbook:
    book.given(Shutdown())
    return book


# --- settings -------------------------------------------------------------------------------------------------------


def test_s14_prompt_tokens_and_tools_change_from_the_next_request_on() -> None:
    book = Playbook(LOOKUP, system_prompt="Be kind.")
    book.given(user("Hi."), book.answer_to_next("", calls=[("a", "lookup", {})]))
    book.given(configure(system_prompt="Be brief.", max_tokens=9)).follows("configured", "answer")
    book.given(Configure(Settings(tools=(PAY,)))).follows("configured", "answer")
    assert book.requests[-1].system == "Be kind."
    book.given(report("a", "one"))
    request = book.requests[-1]
    assert (request.system, request.max_tokens, request.tools) == ("Be brief.", 9, (PAY,))


def test_s14_a_prompt_can_be_cleared_and_tools_too() -> None:
    book = Playbook(LOOKUP, system_prompt="Be kind.")
    book.given(configure(system_prompt=None), Configure(Settings(tools=())), user("Hi."))
    assert (book.requests[-1].system, book.requests[-1].tools) == (None, ())


def test_s14_changed_settings_outlive_their_owner() -> None:
    book = Playbook(LOOKUP)
    book.given(configure(system_prompt="Be brief."), Configure(Settings(tools=(PAY,))))
    book.crashes()
    book.given(user("Hi."))
    assert (book.requests[-1].system, book.requests[-1].tools) == ("Be brief.", (PAY,))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (Settings(fields={"max_tokens": 0}), "max_tokens"),
        (Settings(fields={"maximum": 1}), "maximum"),
        (Settings(fields={"model": "nobody/x"}), "model"),
        (Settings(tools=(LOOKUP, LOOKUP)), "lookup"),
    ],
)
def test_a_wrong_setting_is_refused_by_name_and_changes_nothing(changes: Settings, named: str) -> None:
    book = Playbook(PAY)
    error = book.given(Configure(changes)).follows("refuse ConfigError").refusal
    assert isinstance(error, ConfigError)
    assert named in str(error)
    assert len(book.records) == 1


def test_a_call_of_a_tool_that_was_taken_away_meanwhile_is_answered() -> None:
    book = Playbook(LOOKUP)
    book.given(user("Hi."))
    book.given(Configure(Settings(tools=())))
    book.given(book.answer(calls=[("a", "lookup", {})])).follows(
        "complete u1 tool_use", "tool_batch a", "tool_settled a unknown_tool", "call_model 2"
    )


def test_a_model_whose_window_is_no_longer_known_is_not_asked_and_can_be_replaced() -> None:
    book = Playbook()
    book.turn("Hi.")
    book.forgets("local/fake")
    count = len(book.records)
    error = book.given(user("Again.")).follows("refuse ConfigError").refusal
    assert "context_limit" in str(error)
    assert (book.machine.context_limit, len(book.records)) == (0, count)
    book.crashes().follows("answer")
    book.given(configure(context_limit=9_000)).follows("configured", "answer")
    book.given(user("Again.")).follows("accepted u2", "answer u2", "turn_started u2", "call_model 1")


def test_an_open_turn_of_a_model_whose_window_is_no_longer_known_is_not_taken_up() -> None:
    book = Playbook()
    book.given(user("Hi."))
    book.forgets("local/fake")
    book.crashes().follows("refuse ConfigError")


# --- clear ----------------------------------------------------------------------------------------------------------


def test_s23_clear_empties_the_conversation_and_keeps_prompt_tools_and_counts() -> None:
    book = Playbook(LOOKUP, system_prompt="Be kind.")
    book.given(user("Hi."), book.answer_to_next("Yes.", usage=Usage(input_tokens=5)))
    book.given(Clear()).follows("cleared", "answer")
    assert (book.said, book.conversation.context_used) == ([], 0)
    book.given(user("Again."))
    request = book.requests[-1]
    assert (len(request.messages), request.system, request.tools) == (1, "Be kind.", (LOOKUP,))
    assert book.conversation.usage.request_count == 1


def test_s23_clear_discards_the_open_turn_first_and_what_waits_then_starts() -> None:
    book = Playbook(LOOKUP)
    book.given(user("One."), book.answer_to_next("", calls=[("a", "lookup", {})]))
    book.given(user("Two."))
    book.given(Clear()).follows(
        "cancel_tools a", "turn_ended u1 interrupted discarded", "cleared", "answer", "turn_started u2", "call_model 2"
    )
    assert book.said == ["user: Two."]


def test_s23_a_late_report_does_not_bring_a_cleared_turn_back() -> None:
    book = Playbook(LOOKUP)
    book.given(user("One."), book.answer_to_next("", calls=[("a", "lookup", {})]))
    book.given(Clear())
    book.given(report("a", "one")).follows()
    assert book.said == []


# --- shutdown -------------------------------------------------------------------------------------------------------


def test_s25_shutdown_finishes_the_open_turn_and_refuses_new_messages() -> None:
    book = Playbook(LOOKUP)
    book.given(user("Hi."), book.answer_to_next("", calls=[("a", "lookup", {})]))
    book.given(Shutdown("finish")).follows("answer")
    assert book.machine.state == "awaiting_tools"
    error = book.given(user("More.")).follows("refuse SessionClosed").refusal
    assert isinstance(error, SessionClosed)
    assert "Open it again" in str(error)
    book.given(report("a", "one")).follows("tool_settled a ok", "call_model 2")
    book.given(book.answer("Done.")).follows("complete u1 end_turn", "turn_ended u1 completed", "closed")
    assert book.machine.state == "closed"


def test_s25_shutdown_at_once_cancels_the_request_in_flight() -> None:
    book = Playbook()
    book.given(user("Hi."))
    book.given(book.model(TextDelta(0, "Hel")))
    book.given(Shutdown("cancel")).follows(
        "cancel_model 1", "complete u1 interrupted", "turn_ended u1 interrupted", "answer", "closed"
    )


def test_s25_an_idle_session_is_closed_at_once_and_closing_twice_does_nothing() -> None:
    book = Playbook()
    book.given(Shutdown()).follows("answer", "closed")
    book.given(Shutdown("cancel")).follows("answer")


def test_s25_a_graceful_shutdown_can_be_hurried() -> None:
    book = Playbook()
    book.given(user("Hi."))
    book.given(Shutdown("finish"))
    book.given(Shutdown("cancel")).follows("cancel_model 1", "turn_ended u1 interrupted", "answer", "closed")


def test_s25_accepted_messages_that_did_not_run_stay_and_run_when_it_is_opened_again() -> None:
    book = Playbook()
    book.given(user("One."), user("Two."), user("Three."))
    book.given(Shutdown("cancel")).follows("cancel_model 1", "turn_ended u1 interrupted", "answer", "closed")
    book.crashes(reopen=True).follows("reopened", "answer", "turn_started u2", "call_model 1")
    book.given(book.answer("Yes.")).follows(
        "complete u2 end_turn", "turn_ended u2 completed", "turn_started u3", "call_model 2"
    )


def test_s25_a_closed_session_stays_closed_unless_it_is_to_be_reopened() -> None:
    book = stopped(Playbook())
    book.crashes().follows("answer")
    assert book.machine.state == "closed"
    book.given(user("Hi.")).follows("refuse SessionClosed")


def test_s25_a_turn_that_waits_for_results_from_outside_does_not_hold_up_a_shutdown() -> None:
    book = Playbook(APPROVE, LOOKUP)
    book.given(user("Hi."), book.answer_to_next("", calls=[("a", "approve", {}), ("b", "lookup", {})]))
    book.given(Shutdown("finish")).follows("answer")
    book.given(report("b", "two")).follows("tool_settled b ok", "closed")
    book.crashes(reopen=True).follows("reopened", "answer")
    assert book.machine.state == "awaiting_tools"
    book.given(outside(("a", "yes"))).follows("tool_settled a external", "answer u1", "call_model 1")


@pytest.mark.parametrize("given", [Clear(), configure(max_tokens=5), Compact(), Retry(), outside(("a", "yes"))])
def test_s25_nothing_changes_a_closed_session(given: Input) -> None:
    book = Playbook(APPROVE)
    book.given(user("Hi."), book.answer_to_next("", calls=[("a", "approve", {})]))
    stopped(book)
    count = len(book.records)
    book.given(given).follows("refuse SessionClosed")
    assert len(book.records) == count


def test_s25_an_interrupt_of_a_closed_session_does_nothing() -> None:
    book = Playbook(APPROVE)
    book.given(user("Hi."), book.answer_to_next("", calls=[("a", "approve", {})]))
    stopped(book)
    book.given(Interrupt("discard")).follows("answer")
    assert book.conversation.open is not None


def test_a_key_is_still_answered_after_a_shutdown() -> None:
    book = Playbook()
    book.given(user("Hi.", key="k"), book.answer_to_next("Yes."))
    stopped(book)
    book.given(user("Hi.", key="k")).follows("answer u1")


# --- what is asked for again ------------------------------------------------------------------------------------------


def test_the_same_clear_or_interrupt_again_does_nothing_even_if_another_owner_is_asked() -> None:
    book = Playbook()
    book.given(user("One."), Interrupt("keep", "stop"), user("Two."))
    for _ in range(2):
        book.given(Interrupt("keep", "stop")).follows("answer u1")
        book.crashes()
    assert book.conversation.open is not None
    book.given(Clear("empty"), user("Three."))
    shown = len(book.conversation.view.shown)
    book.crashes()
    book.given(Clear("empty")).follows("answer")
    assert len(book.conversation.view.shown) == shown == 1
