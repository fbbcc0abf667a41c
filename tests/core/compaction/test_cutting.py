"""Where a conversation may be cut, and where it is: tables of conversations, a letter a message.

`u` a user's words, `a` an answer, `c` an answer that calls, `r` its results, `t` an answer that calls and thinks, `p`
an answer that has only paused; a blank parts turns. A cut is the index of the message that it falls before.
"""

import pytest

from agent_core.compaction.cutting import choose_cut, safe_cuts
from agent_core.content import TextBlock, ThinkingBlock, ToolResultBlock, ToolUseBlock
from agent_core.messages import AssistantMessage, Message, SessionId, TurnId, UserMessage

SIZE = 40
TOKENS = 10 + 4
"""What a message takes by estimate where a token is four characters."""


def conversation(shape: str) -> list[Message]:
    messages: list[Message] = []
    for number, turn in enumerate(shape.split(), start=1):
        for letter in turn:
            messages.append(message(letter, f"t{number}", len(messages)))
    return messages


def message(letter: str, turn: str, index: int) -> Message:
    text = TextBlock(text="x" * SIZE)
    common = {"id": f"m{index}", "session_id": SessionId("s"), "turn_id": TurnId(turn)}
    if letter == "u":
        return UserMessage(content=(text,), **common)
    if letter == "r":
        return UserMessage(content=(ToolResultBlock(tool_use_id=f"c{index - 1}", content="x" * SIZE),), **common)
    call = ToolUseBlock(id=f"c{index}", name="x" * (SIZE - 2))
    content = {"a": (text,), "p": (text,), "c": (call,), "t": (ThinkingBlock(signature="s"), call)}[letter]
    stop = "pause_turn" if letter == "p" else "end_turn"
    return AssistantMessage(content=content, provider="local", model="m", finish_reason=stop, **common)


@pytest.mark.parametrize(
    ("shape", "cuts"),
    [
        ("", []),
        ("u", []),
        ("ua", [1, 2]),
        ("ua ua", [1, 2, 3, 4]),
        ("ua u", [1, 2]),
        ("u ua", [1, 2, 3]),
        ("uc", [1]),
        ("ucr", [1]),
        ("ucra", [1, 3, 4]),
        ("ucrcr", [1, 3]),
        ("ucrcra", [1, 3, 5, 6]),
        ("utr", []),
        ("utra ua", [4, 5, 6]),
        ("up", [1]),
        ("up ua", [1, 2, 3, 4]),
        ("uau", [1]),
        ("uaua", [1, 3, 4]),
    ],
)
def test_a_cut_is_safe_where_it_parts_nothing_that_belongs_together(shape: str, cuts: list[int]) -> None:
    assert safe_cuts(conversation(shape)) == cuts


def test_what_stands_for_the_past_is_not_looked_at() -> None:
    assert safe_cuts(conversation("u ua ua"), first=1) == [2, 3, 4, 5]


@pytest.mark.parametrize(
    ("shape", "keep", "budget", "cut"),
    [
        ("", 1, 1_000, None),
        ("u", 0, 0, None),
        ("ua ua ua", 1, 1_000, 4),
        ("ua ua ua", 2, 1_000, 2),
        ("ua ua ua", 3, 1_000, None),
        ("ua ua ua", 0, 1_000, 6),
        # Two turns take more than there is room for: one stays.
        ("ua ua ua", 2, 3 * TOKENS, 4),
        # The newest turn alone takes too much, and is cut inside, before an answer.
        ("ua ucrcrcr", 1, 4 * TOKENS, 5),
        ("ua ucrcrcr", 1, 2 * TOKENS, 7),
        # Its last step stays, however long it is.
        ("ua ucrcrcr", 1, 0, 7),
        # A loop with thinking is not cut: what is before it goes.
        ("ua utrtrtr", 1, 0, 2),
        ("utrtr", 1, 0, None),
    ],
)
def test_the_newest_turns_stay_or_as_much_as_there_is_room_for(
    shape: str, keep: int, budget: int, cut: int | None
) -> None:
    assert choose_cut(conversation(shape), 0, keep, budget, "local") == cut
