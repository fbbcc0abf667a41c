"""A tour of everything that compaction goes through, in a fixed order, over and over in a few seconds.

The rule here: a tour claims nothing by itself. What must hold is checked by the `StrainedBook` after every step.
"""

from agent_core import inputs
from tests.core.compaction.strained import StrainedBook, strained
from tests.core.playbook import LOOKUP, PAY, report, user

LONG = "long " * 80


def filled(turns: int = 5, **fields: object) -> StrainedBook:
    """A book of so many turns of about 250 tokens each, of which the window takes 2,700."""
    book = StrainedBook(LOOKUP, PAY, compaction=strained(**fields), thinking={"effort": "low"})
    for number in range(turns):
        turn(book, f"Question {number}. {LONG}")
    return book


def turn(book: StrainedBook, text: str = LONG, reply: str = LONG) -> None:
    """A turn without calls."""
    book.given(user(text))
    book.given(book.says(reply))


def loop(book: StrainedBook, steps: int, result: str = LONG, thinking: str = "") -> None:
    """Steps of a tool loop in the open turn; it does not end."""
    for _ in range(steps):
        if book.machine.state == "compacting":
            book.passes(60.0)
        book.given(book.says(calls=[("lookup", "{}")], thinking=thinking))
        assert book.conversation.open is not None
        (call,) = book.conversation.open.unsettled
        book.given(report(call, result))


def whole_tour() -> None:
    """Every way."""
    ways = (_summaries, _a_clear, _a_discard, _a_huge_summary, _a_loop, _thinking, _a_wait, _pins, _a_turn_taken_out)
    for way in ways:
        way()


def _summaries() -> None:
    book = filled()
    for number in range(4):
        book.finishes(f"Summary {number}.")
        for _ in range(5):
            turn(book)
    book.crashes()
    turn(book)


def _a_clear() -> None:
    book = filled()
    book.given(inputs.Clear())
    book.finishes()
    turn(book)


def _a_discard() -> None:
    book = filled(1, keep_recent_turns=0, keep_tokens=0)
    book.given(user(LONG))
    loop(book, 4)
    book.finishes()
    book.given(inputs.Interrupt("discard"))
    if book.underway:
        book.finishes()
    for _ in range(6):
        turn(book)


def _a_huge_summary() -> None:
    book = filled()
    book.finishes("huge " * 2_000)
    for _ in range(5):
        turn(book)


def _a_loop() -> None:
    book = filled(3, keep_tokens=0)
    book.given(user("Go on and on."))
    for _ in range(5):
        loop(book, 3)
        if book.underway is not None:
            book.finishes()


def _thinking() -> None:
    book = filled(4)
    book.given(user("Think."))
    loop(book, 1, thinking="hm")
    book.finishes()
    loop(book, 4, thinking="hm")
    book.given(book.says("Done."))
    turn(book)


def _a_wait() -> None:
    book = filled(8)
    book.given(user(LONG))
    book.given(book.says(LONG, used=2_600))
    book.given(user("Wait."))
    book.passes(60.0)
    book.begins()


def _pins() -> None:
    book = filled(2)
    for message in book.conversation.messages[:1]:
        book.given(inputs.Pin(message.id))
    for _ in range(4):
        turn(book)
    book.finishes()
    for _ in range(4):
        turn(book)


def _a_turn_taken_out() -> None:
    book = filled(3, keep_tokens=0)
    book.given(user("Go on."))
    loop(book, 2)
    book.given(inputs.Compact("what the turn under way says"))
    book.given(inputs.Interrupt("discard"))
    book.finishes()
    for _ in range(5):
        turn(book)
