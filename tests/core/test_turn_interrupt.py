"""Interrupts, as transcripts: always effective, whatever the session is doing, and the next request is valid."""

import pytest

from agent_core.content import TextBlock, ThinkingBlock
from agent_core.entries import Complete
from agent_core.inputs import Interrupt
from agent_core.messages import Usage
from agent_core.payloads import InterruptMode
from agent_core.ports import PermitWait, TextDelta, ThinkingDelta, ToolUseDelta, UsageUpdate
from tests.core.playbook import APPROVE, LOOKUP, PAY, Playbook, report, user

MODES: list[InterruptMode] = ["keep", "discard"]


def test_s24_keep_leaves_the_partial_text_and_discard_removes_the_turn() -> None:
    for mode, left in (("keep", ["user: Hi.", "model: Hel"]), ("discard", [])):
        book = Playbook()
        book.given(
            user("Hi."),
        )
        book.given(book.model(TextDelta(0, "Hel")))
        book.given(Interrupt(mode))  # type: ignore[arg-type]
        assert book.said == left


def test_s24_an_interrupt_while_the_model_streams_is_told_and_the_session_lives_on() -> None:
    book = Playbook()
    book.given(user("Hi."))
    book.given(book.model(TextDelta(0, "Hel")))
    book.given(Interrupt("keep")).follows(
        "cancel_model 1", "complete u1 interrupted", "turn_ended u1 interrupted", "answer u1"
    )
    assert book.machine.state == "idle"
    book.given(user("Again.")).follows("accepted u2", "answer u2", "turn_started u2", "call_model 2")


@pytest.mark.parametrize("mode", MODES)
def test_s24_an_interrupt_before_anything_has_come_keeps_no_answer(mode: InterruptMode) -> None:
    book = Playbook()
    book.given(user("Hi."))
    ended = f"turn_ended u1 interrupted{' discarded' if mode == 'discard' else ''}"
    book.given(Interrupt(mode)).follows("cancel_model 1", ended, "answer u1")
    assert book.said == (["user: Hi."] if mode == "keep" else [])


@pytest.mark.parametrize("mode", MODES)
def test_s24_an_interrupt_while_a_permit_is_awaited(mode: InterruptMode) -> None:
    book = Playbook()
    book.given(user("Hi."))
    book.given(book.model(PermitWait(waiting=True)))
    assert book.given(Interrupt(mode)).lines[0] == "cancel_model 1"
    book.given(user("Again."))
    assert book.machine.state == "running"


def test_s24_keep_gives_open_calls_an_error_result() -> None:
    book = Playbook(LOOKUP, PAY, APPROVE)
    book.given(
        user("Hi."), book.answer_to_next("", calls=[("a", "lookup", {}), ("b", "pay", {}), ("c", "approve", {})])
    )
    book.given(report("a", "one"))
    book.given(Interrupt("keep")).follows(
        "cancel_tools b",
        "tool_settled b interrupted",
        "tool_settled c interrupted",
        "turn_ended u1 interrupted",
        "answer u1",
    )
    assert book.said[-3] == "result a: one"
    assert [line.partition(":")[0] for line in book.said[-2:]] == ["error b", "error c"]
    book.given(report("b", "late")).follows()
    book.given(user("Again.")).follows("accepted u2", "answer u2", "turn_started u2", "call_model 2")


def test_s24_discard_removes_the_calls_with_their_turn() -> None:
    book = Playbook(LOOKUP)
    book.turn("Before.")
    book.given(user("Hi."), book.answer_to_next("", calls=[("a", "lookup", {})]))
    book.given(Interrupt("discard")).follows("cancel_tools a", "turn_ended u2 interrupted discarded", "answer u2")
    assert book.said == ["user: Before.", "model: Fine."]
    book.given(report("a", "late")).follows()
    book.given(user("Again."))
    assert book.said == ["user: Before.", "model: Fine.", "user: Again."]


def test_s24_an_interrupt_between_two_requests_of_a_turn() -> None:
    book = Playbook(LOOKUP)
    book.given(user("Hi."), book.answer_to_next("", calls=[("a", "lookup", {})]))
    book.given(report("a", "one"))
    book.given(Interrupt("keep")).follows("cancel_model 2", "turn_ended u1 interrupted", "answer u1")
    assert book.said == ["user: Hi.", "model calls a: lookup", "result a: one"]
    book.given(user("Again."))


def test_s24_a_partial_answer_keeps_signed_thinking_and_drops_what_would_not_be_taken_back() -> None:
    book = Playbook(LOOKUP)
    book.given(user("Hi."))
    book.given(
        book.model(
            ThinkingDelta(0, "Signed."),
            ThinkingDelta(0, signature="sig"),
            TextDelta(1, "Hel"),
            ThinkingDelta(2, "Not signed ye"),
            ToolUseDelta(3, '{"q', id="a", name="lookup"),
            UsageUpdate(Usage(input_tokens=8, output_tokens=1)),
        )
    )
    book.given(Interrupt("keep"))
    (kept,) = [entry.message for entry in book.entries if isinstance(entry, Complete)]
    assert kept.content == (
        ThinkingBlock(thinking="Signed.", signature="sig", provider="local"),
        TextBlock(text="Hel"),
    )
    assert (kept.finish_reason, kept.usage.input_tokens) == ("interrupted", 8)


def test_s24_a_partial_answer_without_text_is_not_kept() -> None:
    book = Playbook(LOOKUP)
    book.given(user("Hi."))
    book.given(book.model(TextDelta(0, " \n"), ToolUseDelta(1, "{", id="a", name="lookup")))
    book.given(Interrupt("keep")).follows("cancel_model 1", "turn_ended u1 interrupted", "answer u1")
    assert book.said == ["user: Hi."]


@pytest.mark.parametrize("mode", MODES)
def test_s24_an_interrupt_without_an_open_turn_does_nothing(mode: InterruptMode) -> None:
    book = Playbook()
    book.turn("Hi.")
    book.given(Interrupt(mode)).follows("answer")
    assert book.said == ["user: Hi.", "model: Fine."]


def test_s24_a_waiting_message_starts_when_the_open_turn_is_interrupted() -> None:
    book = Playbook()
    book.given(user("One."), user("Two."))
    book.given(Interrupt("discard")).follows(
        "cancel_model 1", "turn_ended u1 interrupted discarded", "answer u1", "turn_started u2", "call_model 2"
    )
    assert book.said == ["user: Two."]


def test_a_steering_message_of_an_interrupted_turn_stays_with_what_is_kept() -> None:
    book = Playbook()
    book.given(user("Hi."))
    book.given(user("And?", when="next_step"))
    book.given(Interrupt("keep"))
    assert book.said == ["user: Hi.", "user: And?"]


def test_a_steering_message_of_a_discarded_turn_goes_with_it() -> None:
    book = Playbook()
    book.given(user("Hi."))
    book.given(user("And?", when="next_step"))
    book.given(Interrupt("discard"))
    assert book.said == []


def test_a_second_interrupt_finds_nothing_to_end() -> None:
    book = Playbook()
    book.given(user("Hi."))
    book.given(Interrupt("keep"))
    book.given(Interrupt("discard")).follows("answer")
    assert book.said == ["user: Hi."]
