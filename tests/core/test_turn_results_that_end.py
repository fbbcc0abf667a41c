"""Results from outside that end their turn: no model is asked again, and what follows is a valid conversation."""

from agent_core import inputs
from agent_core.content import ToolResultBlock
from agent_core.payloads import ToolResults
from tests.core.playbook import APPROVE, LOOKUP, Playbook, outside, report, user


def ending(call: str, text: str = "Submitted.") -> inputs.Submit:
    return inputs.Submit(ToolResults(results=(ToolResultBlock(tool_use_id=call, content=text),), ends_turn=True))


def asking(*calls: tuple[str, str]) -> Playbook:
    book = Playbook(LOOKUP, APPROVE)
    book.given(user("Hi."))
    book.given(book.answer(calls=[(call, name, {}) for call, name in calls]))
    return book


def test_the_turn_ends_completed_without_another_model_call() -> None:
    book = asking(("a", "approve"))
    book.given(ending("a")).follows("tool_settled a external", "turn_ended u1 completed", "answer u1")
    assert len(book.requests) == 1


def test_what_was_called_along_with_it_is_given_up_with_a_result() -> None:
    book = asking(("a", "approve"), ("b", "lookup"))
    book.given(ending("a")).follows(
        "tool_settled a external",
        "cancel_tools b",
        "tool_settled b interrupted",
        "turn_ended u1 completed",
        "answer u1",
    )
    book.given(report("b", "late")).follows()


def test_sent_again_it_ends_no_later_turn() -> None:
    book = asking(("a", "approve"))
    book.given(ending("a"), user("Next."), book.answer_to_next("", calls=[("b", "approve", {})]))
    book.given(ending("a")).follows("answer u1")
    assert book.machine.state == "awaiting_tools"
    book.given(outside(("b", "yes"))).follows("tool_settled b external", "answer u2", "call_model 3")


def test_the_next_message_follows_the_results() -> None:
    book = asking(("a", "approve"))
    book.given(ending("a"), user("And now?"))
    assert book.said[-2:] == ["result a: Submitted.", "user: And now?"]
