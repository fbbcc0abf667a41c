"""What a session may begin with: made regular if it could have been said there, refused by its message if not."""

from collections.abc import Sequence

import pytest

from agent_core.content import ImageBlock, TextBlock
from agent_core.errors import ConfigError
from agent_core.messages import Message, Usage
from agent_core.seeding import calls_of, digest_of_history, placed, regular
from tests.core.playbook import lines_of
from tests.core.said_before import BEFORE, LINES, answered, call, result, said


def lines(messages: Sequence[Message]) -> list[str]:
    return [line for message in messages for line in lines_of(message)]


def turns(*given: Message) -> list[str]:
    return [message.turn_id for message in regular(given)]


def test_a_history_keeps_what_was_said_and_gets_numbers_and_turns_of_its_own() -> None:
    history = regular(BEFORE)
    assert tuple(lines(history)) == LINES
    assert [message.id for message in history] == ["1", "2", "3", "4", "5", "6"]
    assert [message.turn_id for message in history] == ["u1", "u1", "u1", "u1", "u2", "u2"]
    assert {(message.session_id, message.parent_id) for message in history} == {("", None)}
    assert all(message.usage == Usage() for message in history if message.kind == "assistant")
    assert regular(history) == history


def test_in_its_session_a_history_has_ids_that_lead_from_one_to_the_next() -> None:
    own = list(placed(regular(BEFORE), BEFORE[0].session_id, "s/1"))
    assert [message.id for message in own] == ["s/1.1", "s/1.2", "s/1.3", "s/1.4", "s/1.5", "s/1.6"]
    assert [message.parent_id for message in own] == [None, *(message.id for message in own[:-1])]


def test_results_become_one_message_in_the_order_of_the_calls() -> None:
    asked = (said("Look."), answered(call("a"), call("b"), stop="tool_use"))
    one = regular((*asked, said(result("b"), "Hurry.", result("a"))))
    assert lines(one[2:]) == ["result a: found", "result b: found", "user: Hurry."]
    assert [len(message.content) for message in one] == [1, 2, 2, 1]
    apart = regular((*asked, said(result("b")), said(result("a")), said("Hurry.")))
    assert lines(apart) == lines(one)
    assert turns(*asked, said(result("b"), "Hurry.", result("a"))) == ["u1"] * 4


def test_a_turn_begins_where_the_user_speaks_behind_an_answer_or_the_turn_is_another() -> None:
    assert turns(said("One."), answered("1."), said("Two."), answered("2.")) == ["u1", "u1", "u2", "u2"]
    assert turns(said("One."), said("More of one."), said("Two.", turn="t2")) == ["u1", "u1", "u2"]
    paused = answered("Half", stop="pause_turn", turn="t5")
    assert turns(said("One."), paused, answered("and the rest."), said("Two.")) == ["u1", "u1", "u1", "u2"]


def test_a_call_whose_id_comes_again_is_numbered_with_its_result() -> None:
    step = (answered(call("a"), stop="tool_use"), said(result("a")))
    history = regular((said("Look."), *step, *step, *step, answered("Done.")))
    assert [id for message in history for id in calls_of(message)] == ["a", "a_2", "a_3"]
    assert [line for line in lines(history) if "result" in line] == [
        "result a: found",
        "result a_2: found",
        "result a_3: found",
    ]


def test_an_answer_that_says_nothing_is_left_out() -> None:
    assert lines(regular((said("One."), answered(), said("Two."), answered("2.")))) == [
        "user: One.",
        "user: Two.",
        "model: 2.",
    ]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ((answered("Hello."),), "message 1 is an answer to nothing"),
        ((said("Hi."), answered("1."), answered("2.")), "message 3 is a second answer"),
        ((said("Hi."), said(result("a"))), "message 2 holds a result of 'a'"),
        ((*BEFORE[:2], said(result("a")), said("Hurry.")), "message 4 follows before call 'b'"),
        ((*BEFORE[:2], said(result("a")), answered("Done.")), "message 4 follows before call 'b'"),
        ((*BEFORE[:2], said(result("a"), result("b"), result("b"))), "message 3 holds a second result of 'b'"),
        ((*BEFORE[:3], said(result("a"))), "message 4 holds a result of 'a'"),
        ((*BEFORE[:2],), "message 2 makes call 'a', whose result is missing"),
        ((*BEFORE[:2], said(result("b"))), "message 2 makes call 'a', whose result is missing"),
        ((said("Hi."), answered(call("a"), call("a"))), "message 2 makes two calls with the id 'a'"),
        ((said("Hi."), answered("Hello."), said(" ")), "message 3 is empty"),
        ((said(),), "message 1 is empty"),
        ((said("Look.", ImageBlock()),), "message 1 holds an image with neither"),
        ((said("Half: \ud83d"),), "message 1 cannot be written as JSON"),
        ((said("Hi."), answered(call("a", x=object()))), "message 2 cannot be written as JSON"),
        ((TextBlock(text="Hi."),), "message 1 is of type TextBlock"),
    ],
)
def test_what_no_session_could_have_said_is_refused_by_its_message(given: Sequence[Message], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        regular(given)
    assert caught.value.message.startswith(f"history: {text}")
    assert caught.value.kind == "history"


def test_a_digest_tells_what_was_said_and_not_where_or_when() -> None:
    first = digest_of_history(regular(BEFORE))
    moved = [m.model_copy(update={"session_id": "x", "id": "y", "created_at": 9.0}) for m in BEFORE]
    assert digest_of_history(regular(moved)) == first != digest_of_history(regular(BEFORE[:4]))
    assert digest_of_history(()) == ""
