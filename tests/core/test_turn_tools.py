"""Tool calls of a turn, as transcripts: batches, bad calls, late reports, results from outside."""

from agent_core.content import ToolUseBlock
from agent_core.entries import Complete, ToolBatch, ToolSettled
from agent_core.errors import ConfigError, ToolError
from agent_core.inputs import Interrupt
from agent_core.messages import UserMessage
from tests.core.playbook import APPROVE, LOOKUP, PAY, Playbook, outside, report, user


def asking(*calls: tuple[str, str]) -> Playbook:
    """A book whose model has just asked for `calls`, as (id, tool)."""
    book = Playbook(LOOKUP, PAY, APPROVE)
    book.given(user("Hi."), book.answer_to_next("", calls=[(id, name, {}) for id, name in calls]))
    return book


def results(book: Playbook) -> list[ToolSettled]:
    return [entry for entry in book.entries if isinstance(entry, ToolSettled)]


def test_the_start_of_every_call_is_journalled_before_any_of_them_leaves() -> None:
    book = Playbook(LOOKUP, PAY)
    book.given(user("Hi."))
    book.given(book.answer(calls=[("a", "lookup", {"q": 1}), ("b", "pay", {})])).follows(
        "complete u1 tool_use", "tool_batch a b", "run_tools a b"
    )
    batch = next(entry for entry in book.entries if isinstance(entry, ToolBatch))
    assert [(call.id, call.input, call.idempotent) for call in batch.calls] == [("a", {"q": 1}, True), ("b", {}, False)]
    assert book.machine.state == "awaiting_tools"


def test_s10_results_that_come_in_any_order_go_back_in_one_message_in_the_order_of_the_calls() -> None:
    book = asking(("a", "lookup"), ("b", "pay"), ("c", "lookup"))
    book.given(report("c", "three")).follows("tool_settled c ok")
    book.given(report("a", "one")).follows("tool_settled a ok")
    book.given(report("b", "two")).follows("tool_settled b ok", "call_model 2")
    assert book.said[-3:] == ["result a: one", "result b: two", "result c: three"]
    assert isinstance(book.requests[-1].messages[-1], UserMessage)
    assert len(book.requests[-1].messages) == 3


def test_the_model_is_called_again_only_after_every_call_has_its_result() -> None:
    book = asking(("a", "lookup"), ("b", "approve"))
    book.given(report("a", "one")).follows("tool_settled a ok")
    assert len(book.requests) == 1
    book.given(outside(("b", "yes"))).follows("tool_settled b external", "answer u1", "call_model 2")


def test_s09_unparsable_tool_input_is_an_error_result() -> None:
    book = Playbook(LOOKUP)
    book.given(user("Hi."))
    book.given(book.answer(calls=[("a", "lookup", '{"q": ')])).follows(
        "complete u1 tool_use", "tool_batch a", "tool_settled a bad_input", "call_model 2"
    )
    assert "error a: The input is not valid JSON" in book.said[-1]
    assert "as one JSON object" in book.said[-1]


def test_s09_tool_input_that_is_no_object_is_an_error_result_and_kept_as_it_came() -> None:
    book = Playbook(LOOKUP)
    book.given(user("Hi."))
    book.given(book.answer(calls=[("a", "lookup", "[1]"), ("b", "lookup", "{}")])).follows(
        "complete u1 tool_use", "tool_batch a b", "tool_settled a bad_input", "run_tools b"
    )
    message = next(entry.message for entry in book.entries if isinstance(entry, Complete))
    first = message.content[0]
    assert isinstance(first, ToolUseBlock)
    assert (first.raw_input, first.input) == ("[1]", {})
    assert "must be a JSON object, not a list" in results(book)[0].result.content


def test_s09_all_calls_of_an_answer_leave_as_one_batch_with_their_whole_input() -> None:
    book = Playbook(LOOKUP)
    book.given(user("Hi."))
    step = book.given(book.answer(calls=[("a", "lookup", {"q": "x"}), ("b", "lookup", "")]))
    step.follows("complete u1 tool_use", "tool_batch a b", "run_tools a b")
    (batch,) = [entry for entry in book.entries if isinstance(entry, ToolBatch)]
    assert [call.input for call in batch.calls] == [{"q": "x"}, {}]


def test_an_unknown_tool_is_an_error_result_that_names_the_known_ones() -> None:
    book = Playbook(LOOKUP, PAY)
    book.given(user("Hi."))
    book.given(book.answer(calls=[("a", "fly", {})])).follows(
        "complete u1 tool_use", "tool_batch a", "tool_settled a unknown_tool", "call_model 2"
    )
    assert book.said[-1] == "error a: There is no tool 'fly'. Known tools: lookup, pay."


def test_without_tools_a_call_is_answered_too() -> None:
    book = Playbook()
    book.given(user("Hi."), book.answer_to_next("", calls=[("a", "fly", {})]))
    assert book.said[-1] == "error a: There is no tool 'fly'. Known tools: none."


def test_a_failed_tool_is_data_and_the_turn_goes_on() -> None:
    book = asking(("a", "pay"))
    book.given(report("a", "ValueError: no money", outcome="exception", seconds=1.5)).follows(
        "tool_settled a exception", "call_model 2"
    )
    assert book.said[-1] == "error a: ValueError: no money"
    assert results(book)[0].seconds == 1.5


def test_a_second_report_of_a_call_changes_nothing() -> None:
    book = asking(("a", "lookup"), ("b", "lookup"))
    book.given(report("a", "one"))
    book.given(report("a", "another")).follows()
    book.given(report("b", "two"))
    book.given(report("b", "late")).follows()
    assert [entry.result.content for entry in results(book)] == ["one", "two"]


def test_a_report_of_a_call_that_was_never_made_is_ignored() -> None:
    book = asking(("a", "lookup"))
    book.given(report("zzz", "?")).follows()
    assert Playbook(LOOKUP).given(report("a", "?")).commands == []


def test_an_executor_cannot_settle_an_external_call() -> None:
    book = asking(("a", "approve"))
    book.given(report("a", "forged")).follows()
    assert book.machine.state == "awaiting_tools"


def test_s32_a_turn_waits_for_results_from_outside() -> None:
    book = Playbook(APPROVE)
    book.given(user("Hi."))
    book.given(book.answer(calls=[("a", "approve", {"sum": 5})])).follows("complete u1 tool_use", "tool_batch a")
    assert book.machine.state == "awaiting_tools"
    book.given(outside(("a", "granted"))).follows("tool_settled a external", "answer u1", "call_model 2")
    assert book.said[-1] == "result a: granted"


def test_s32_partial_results_wait_for_the_rest() -> None:
    book = asking(("a", "approve"), ("b", "approve"))
    book.given(outside(("b", "yes"))).follows("tool_settled b external", "answer u1")
    book.given(outside(("a", "no"))).follows("tool_settled a external", "answer u1", "call_model 2")
    assert book.said[-2:] == ["result a: no", "result b: yes"]


def test_s32_a_duplicate_result_changes_nothing() -> None:
    book = asking(("a", "approve"), ("b", "approve"))
    book.given(outside(("a", "yes")))
    book.given(outside(("a", "no"))).follows("answer u1")
    book.given(outside(("b", "yes"), ("b", "no"))).follows("tool_settled b external", "answer u1", "call_model 2")
    book.given(outside(("a", "no"))).follows("answer u1")
    assert book.said[-2:] == ["result a: yes", "result b: yes"]


def test_s32_a_duplicate_result_belongs_to_the_turn_of_its_call() -> None:
    book = asking(("a", "approve"))
    book.given(outside(("a", "yes")), book.answer_to_next("Done."))
    book.given(outside(("a", "no"))).follows("answer u1")
    book.given(user("Next."))
    book.given(outside(("a", "no"))).follows("answer u1")


def test_s32_a_result_of_an_unknown_call_is_refused_and_changes_nothing() -> None:
    book = asking(("a", "approve"))
    error = book.given(outside(("a", "yes"), ("b", "?"))).follows("refuse ToolError").refusal
    assert isinstance(error, ToolError)
    assert error.kind == "unknown_call"
    assert "tool_use_id of the ToolBatch" in str(error)
    assert results(book) == []


def test_s32_a_call_that_an_executor_runs_cannot_be_answered_from_outside() -> None:
    book = asking(("a", "lookup"))
    error = book.given(outside(("a", "forged"))).follows("refuse ToolError").refusal
    assert isinstance(error, ToolError)
    assert error.kind == "not_external"


def test_s32_no_results_at_all_are_refused() -> None:
    error = asking(("a", "approve")).given(outside()).follows("refuse ConfigError").refusal
    assert isinstance(error, ConfigError)


def test_s32_a_result_for_an_interrupted_call_comes_too_late() -> None:
    book = asking(("a", "approve"))
    book.given(Interrupt("keep"))
    book.given(outside(("a", "yes"))).follows("answer u1")
    assert book.said[-1].startswith("error a: Interrupted by the user.")


def test_s16_compact_summaries_come_with_results_from_either_side() -> None:
    book = asking(("a", "approve"), ("b", "lookup"))
    book.given(report("b", "long", summary="short b"))
    book.given(outside(("a", "long"), summaries={"a": "short a"}))
    assert {entry.result.tool_use_id: entry.result.compact_summary for entry in results(book)} == {
        "a": "short a",
        "b": "short b",
    }


def test_an_external_call_with_broken_input_is_answered_at_once() -> None:
    book = Playbook(APPROVE)
    book.given(user("Hi."))
    book.given(book.answer(calls=[("a", "approve", "{")])).follows(
        "complete u1 tool_use", "tool_batch a", "tool_settled a bad_input", "call_model 2"
    )
