"""The ladder of the last resort: a rung is taken only if those before it were not enough."""

import pytest

from agent_core import inputs
from agent_core.compaction.last_resort import plan_last_resort
from agent_core.overlays import Dropped, ShortenedResult
from agent_core.tokens import estimate_message
from tests.core.playbook import LOOKUP, Playbook, report, user

LONG = "long " * 400


def loaded() -> Playbook:
    """Two turns, and one that is open, of three steps: each step's result takes 500 tokens."""
    book = Playbook(LOOKUP, limit=100_000)
    for number in range(2):
        book.given(user(f"Question {number}."), book.answer_to_next("", calls=[(f"old{number}", "lookup", {})]))
        book.given(report(f"old{number}", LONG), book.answer_to_next("Fine. " * 100))
    book.given(user("Now."))
    for number in range(3):
        book.given(book.answer(calls=[(f"new{number}", "lookup", {"why": "long " * 100})]))
        book.given(report(f"new{number}", LONG))
    return book


@pytest.mark.parametrize(
    ("target", "rungs"),
    [
        (1_900, ["redacted old0 old1 new0 new1"]),
        (1_250, ["redacted old0 old1 new0 new1", "dropped 4 messages"]),
        (1_000, ["redacted old0 old1 new0 new1", "dropped 8 messages"]),
        (850, ["redacted old0 old1 new0 new1", "dropped 10 messages"]),
        (500, ["redacted old0 old1 new0 new1 new2", "dropped 12 messages"]),
    ],
)
def test_each_rung_is_taken_only_if_the_one_before_was_not_enough(target: int, rungs: list[str]) -> None:
    view = loaded().conversation.view
    overlays, saved = plan_last_resort(view, "local", target)
    shortened = [overlay.tool_use_id for overlay in overlays if isinstance(overlay, ShortenedResult)]
    dropped = [len(overlay.message_ids) for overlay in overlays if isinstance(overlay, Dropped)]
    found = [f"redacted {' '.join(shortened)}", *(f"dropped {number} messages" for number in dropped)]
    assert found == rungs
    assert view.tokens("local") - saved <= target or target == 500


def test_the_newest_result_is_cut_to_its_head_and_tail() -> None:
    overlays, _ = plan_last_resort(loaded().conversation.view, "local", 300)
    (cut,) = [one for one in overlays if isinstance(one, ShortenedResult) and one.tool_use_id == "new2"]
    assert cut.text.startswith("long long")
    assert cut.text.endswith("long ")
    assert "characters left out to save space" in cut.text
    assert len(cut.text) < len(LONG) / 2


def test_the_newest_results_go_with_their_turn_if_it_is_not_the_newest() -> None:
    book = Playbook(LOOKUP, limit=100_000)
    book.given(user("Look."), book.answer_to_next("", calls=[("old", "lookup", {})]))
    book.given(report("old", LONG), book.answer_to_next("Fine."))
    book.given(user("Now. " * 400))
    view = book.conversation.view
    overlays, saved = plan_last_resort(view, "local", 100)
    assert overlays == (Dropped(message_ids=tuple(message.id for message in view.shown[:4])),)
    assert view.tokens("local") - saved == sum(estimate_message(message, "local") for message in view.shown[4:])


def test_a_pinned_message_goes_nowhere_even_if_its_turn_is_dropped() -> None:
    book = loaded()
    id = book.conversation.messages[0].id
    book.given(inputs.Interrupt(), inputs.Pin(id))
    overlays, saved = plan_last_resort(book.conversation.view, "local", 10)
    before = book.conversation.view.tokens("local")
    book.conversation.view.lay(overlays, book.conversation.messages)
    assert "user: Question 0." in book.said
    assert book.conversation.view.tokens("local") <= before - saved


def test_the_question_of_the_open_turn_always_stays() -> None:
    book = loaded()
    overlays, _ = plan_last_resort(book.conversation.view, "local", 0)
    book.conversation.view.lay(overlays, book.conversation.messages)
    assert book.said[0] == "user: Now."
