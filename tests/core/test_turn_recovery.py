"""A new owner takes a session up where the last one was lost, as transcripts."""

from agent_core.entries import Settings, ToolSettled, TurnEnded
from agent_core.inputs import Configure, FromModel, Interrupt, Retry, Shutdown
from agent_core.ports import ResponseStopped, TextDelta
from agent_core.tools.definition import ToolDefinition
from tests.core.playbook import APPROVE, LOOKUP, PAY, Playbook, outside, report, user


def test_a_lost_model_call_is_made_again() -> None:
    book = Playbook()
    book.given(user("Hi."))
    book.given(book.model(TextDelta(0, "Hel")))
    book.crashes().follows("answer", "call_model 1")
    book.given(book.answer("Hello."))
    assert book.said == ["user: Hi.", "model: Hello."]


def test_events_for_the_lost_owner_do_not_reach_the_new_one() -> None:
    book = Playbook(LOOKUP)
    book.given(user("Hi."), book.answer_to_next("", calls=[("a", "lookup", {})]))
    book.given(report("a", "one"))
    book.crashes()
    assert book.given(FromModel(2, ResponseStopped("end_turn"))).commands == []


def test_a_started_call_runs_again_only_if_it_is_idempotent() -> None:
    book = Playbook(LOOKUP, PAY)
    book.given(user("Hi."), book.answer_to_next("", calls=[("a", "lookup", {}), ("b", "pay", {})]))
    book.crashes().follows("tool_settled b outcome_unknown", "run_tools a", "answer")
    book.given(report("a", "one")).follows("tool_settled a ok", "call_model 1")
    assert book.said[-2:] == [
        "result a: one",
        "error b: The tool's process was lost. Whether the call took effect is unknown.",
    ]


def test_a_settled_result_is_never_lost() -> None:
    book = Playbook(LOOKUP, PAY)
    book.given(user("Hi."), book.answer_to_next("", calls=[("a", "lookup", {}), ("b", "pay", {})]))
    book.given(report("b", "paid"))
    book.crashes().follows("run_tools a", "answer")
    book.crashes().follows("run_tools a", "answer")
    book.given(report("a", "one"))
    assert book.said[-2:] == ["result a: one", "result b: paid"]


def test_a_call_of_a_tool_that_is_gone_gets_an_error_result() -> None:
    book = Playbook(LOOKUP)
    book.given(user("Hi."), book.answer_to_next("", calls=[("a", "lookup", {})]))
    book.given(Configure(Settings(tools=())))
    book.crashes().follows("tool_settled a unavailable", "answer", "call_model 1")
    assert book.said[-1] == "error a: The tool 'lookup' is no longer available."


def test_s32_results_from_outside_are_waited_for_over_a_crash() -> None:
    book = Playbook(APPROVE)
    book.given(user("Hi."), book.answer_to_next("", calls=[("a", "approve", {}), ("b", "approve", {})]))
    book.given(outside(("a", "yes")))
    book.crashes().follows("answer")
    book.given(outside(("a", "no"))).follows("answer u1")
    book.given(outside(("b", "yes"))).follows("tool_settled b external", "answer u1", "call_model 1")
    assert book.said[-2:] == ["result a: yes", "result b: yes"]


def test_what_waited_behind_a_lost_turn_still_waits() -> None:
    book = Playbook()
    book.given(user("One."), user("Two."), user("And?", when="next_step"))
    book.crashes().follows("answer", "steered u1", "call_model 1")
    book.given(book.answer("Yes.")).follows(
        "complete u1 end_turn", "turn_ended u1 completed", "turn_started u2", "call_model 2"
    )


def test_an_idle_session_recovers_without_a_word() -> None:
    book = Playbook()
    book.turn("Hi.")
    book.crashes().follows("answer")


def test_a_report_that_reaches_the_new_owner_counts() -> None:
    book = Playbook(LOOKUP)
    book.given(user("Hi."), book.answer_to_next("", calls=[("a", "lookup", {})]))
    book.crashes().follows("run_tools a", "answer")
    book.given(report("a", "from the first run"))
    book.given(report("a", "from the second run")).follows()
    settled = [entry.result.content for entry in book.entries if isinstance(entry, ToolSettled)]
    assert settled == ["from the first run"]


def test_records_of_a_new_owner_bear_its_epoch_and_go_on_in_number() -> None:
    book = Playbook()
    book.given(user("Hi."))
    book.crashes()
    book.given(book.answer("Yes."))
    assert [(record.seq, record.epoch) for record in book.records] == [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2)]


def test_an_interrupt_right_after_a_recovery_ends_the_turn() -> None:
    book = Playbook(LOOKUP)
    book.given(user("Hi."), book.answer_to_next("", calls=[("a", "lookup", {})]))
    book.crashes()
    book.given(Interrupt("keep")).follows(
        "cancel_tools a", "tool_settled a interrupted", "turn_ended u1 interrupted", "answer u1"
    )


def failing(*tools: ToolDefinition) -> Playbook:
    return Playbook(*tools, on_recovery="fail")


def test_a_turn_whose_owner_was_lost_fails_where_that_is_wanted() -> None:
    book = failing()
    book.given(user("One."), user("Two."))
    book.crashes().follows("turn_ended u1 failed", "answer", "turn_started u2", "call_model 1")
    ended = next(entry for entry in book.entries if isinstance(entry, TurnEnded))
    assert ended.error is not None
    assert (ended.error.boundary, ended.error.kind) == ("session", "owner_lost")
    assert "Retry the turn" in ended.error.message
    assert book.said == ["user: Two."]


def test_no_call_of_a_turn_that_fails_with_its_owner_runs_again_and_each_has_a_result() -> None:
    book = failing(LOOKUP, PAY, APPROVE)
    asked = [("a", "lookup", {}), ("b", "pay", {}), ("c", "approve", {}), ("d", "lookup", {})]
    book.given(user("Hi."), book.answer_to_next("", calls=asked))
    book.given(report("a", "one"), outside(("c", "yes")))
    book.crashes().follows(
        "tool_settled b outcome_unknown", "tool_settled d outcome_unknown", "turn_ended u1 failed", "answer"
    )
    assert book.given(report("d", "late")).commands == []
    assert [line.partition(":")[0] for line in book.said[-4:]] == ["result a", "error b", "result c", "error d"]


def test_a_turn_that_failed_with_its_owner_goes_on_when_it_is_retried() -> None:
    book = failing(PAY)
    book.given(user("Hi."), book.answer_to_next("", calls=[("a", "pay", {})]))
    book.crashes()
    book.given(Retry()).follows("turn_retried u1", "answer u1", "call_model 1")
    book.given(book.answer("It may have been paid."))
    assert book.said[-2:] == [
        "error a: The process that waited for the result was lost. Whether the call took effect is unknown.",
        "model: It may have been paid.",
    ]


def test_a_turn_that_a_shutdown_left_open_is_not_lost() -> None:
    book = failing(APPROVE)
    book.given(user("Hi."), book.answer_to_next("", calls=[("a", "approve", {})]), Shutdown("finish"))
    book.crashes(reopen=True).follows("reopened", "answer")
    book.given(outside(("a", "yes"))).follows("tool_settled a external", "answer u1", "call_model 1")
