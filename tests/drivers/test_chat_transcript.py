"""What a reader of a session's events sees: every word once, in order, however the events were cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it.token import Token

from agent_core.content import TextBlock, ToolResultBlock, ToolUseBlock
from agent_core.cursor import Cursor, Event
from agent_core.entries import (
    Accepted,
    Complete,
    FromLLMPayload,
    Steered,
    ToolBatch,
    ToolCall,
    ToolSettled,
    TurnEnded,
    TurnStarted,
)
from agent_core.errors import ErrorInfo, ProviderError
from agent_core.messages import AssistantMessage, SessionId, TurnId
from agent_core.payloads import Restarted, StreamStart, TextChunk, UserInput
from agent_core.testing import FakeTools, Says
from drivers.chatting.markdown_stream import MarkdownStream, end_of, mended
from drivers.chatting.pieces import Answered, Noted, Piece, Thought, ToolUsed, UserSaid, clean, open_calls, pieces_of
from drivers.chatting.rendering import Renderer
from drivers.chatting.transcript import Live, Transcript
from tests.drivers.chat_fakes import Fakes, events_of

TURN = TurnId("u1")


def transcript() -> Transcript:
    return Transcript(lambda: 0.0)


def told(*payloads: FromLLMPayload) -> list[Piece]:
    reader = transcript()
    return [
        piece
        for number, payload in enumerate(payloads, start=1)
        for piece in reader.apply(Event(Cursor(seq=number, epoch=1), payload))
    ]


def answer(*content: TextBlock | ToolUseBlock, message_id: str = "m1") -> Complete:
    message = AssistantMessage(
        id=message_id, session_id=SessionId("s"), turn_id=TURN, provider="fake", model="fake", content=content
    )
    return Complete(turn_id=TURN, message=message, stop_reason="end_turn")


def chunk(text: str, index: int = 0) -> TextChunk:
    return TextChunk(turn_id=TURN, index=index, text=text)


START = StreamStart(turn_id=TURN, message_id="m1", model="fake")


async def seen(script: list[Says], message: str, tools: FakeTools | None = None) -> tuple[list[Piece], list[Piece]]:
    """What a reader saw of a turn as it happened, and what the history shows of it afterwards."""
    session = await Fakes(script, tools).session()
    reader = transcript()
    pieces = [piece for event in await events_of(session, message) for piece in reader.apply(event)]
    return pieces, pieces_of(await session.history(full=True))


async def test_a_turn_looks_the_same_as_it_happens_and_in_the_history() -> None:
    tools = FakeTools({"look": lambda given: f"saw {given['at']}"})
    calls = [("look", {"at": "a"}), ("look", {"at": "b"})]
    script = [Says(text="One.\n\nTwo.", thinking="Hm.", calls=calls), Says(text="Done.")]
    happened, afterwards = await seen(script, "go", tools)
    assert [piece for piece in happened if isinstance(piece, UserSaid)] == [UserSaid("go")]
    words = "\n\n".join(piece.markdown for piece in happened if isinstance(piece, Answered))
    assert words == "\n\n".join(piece.markdown for piece in afterwards if isinstance(piece, Answered))
    assert words == "One.\n\nTwo.\n\nDone."
    assert [piece.text for piece in happened if isinstance(piece, Thought)] == ["Hm."]
    used = [(piece.name, piece.input, piece.result) for piece in happened if isinstance(piece, ToolUsed)]
    assert used == [("look", {"at": "a"}, "saw a"), ("look", {"at": "b"}, "saw b")]
    assert used == [(piece.name, piece.input, piece.result) for piece in afterwards if isinstance(piece, ToolUsed)]


async def test_a_failed_turn_says_what_the_error_says_and_how_to_try_again() -> None:
    pieces, _ = await seen([Says(error=ProviderError("No route to it. Check --base-url.", "connection"))], "go")
    assert pieces[-1] == Noted("No route to it. Check --base-url.\n/retry tries the turn again.", "error")


def test_results_are_said_in_the_order_of_the_calls_however_they_settle() -> None:
    calls = tuple(ToolCall(id=name, name=name, input={}) for name in ("a", "b", "c"))
    batch = ToolBatch(turn_id=TURN, message_id="m", calls=calls)

    def settled(name: str) -> ToolSettled:
        return ToolSettled(turn_id=TURN, result=ToolResultBlock(tool_use_id=name, content=name), outcome="ok")

    reader = transcript()
    said: list[list[str]] = []
    for payload in (batch, settled("c"), settled("a"), settled("b")):
        pieces = reader.apply(Event(Cursor(seq=1, epoch=1), payload))
        said.append([piece.name for piece in pieces if isinstance(piece, ToolUsed)])
    assert said == [[], [], ["a"], ["b", "c"]]
    assert reader.live.tools == []


def test_a_call_that_never_ran_is_still_shown_by_its_name() -> None:
    use = ToolUseBlock(id="t1", name="look", input={}, input_error="no JSON", raw_input="{")
    result = ToolResultBlock(tool_use_id="t1", content="The input is no JSON.", is_error=True)
    pieces = told(START, answer(use), ToolSettled(turn_id=TURN, result=result, outcome="bad_input"))
    assert pieces == [ToolUsed("look", {}, "The input is no JSON.", is_error=True, outcome="bad_input", seconds=0.0)]


def test_an_answer_whose_beginning_was_missed_is_shown_once_and_whole() -> None:
    assert told(chunk("rest of it"), answer(TextBlock(text="The rest of it"))) == [Answered("The rest of it")]


def test_an_answer_that_did_not_stream_is_shown_when_it_is_whole() -> None:
    assert told(START, answer(TextBlock(text="All at once."))) == [Answered("All at once.")]


def test_text_that_a_crash_made_void_is_dropped_and_the_reader_is_told() -> None:
    pieces = told(
        START,
        chunk("half"),
        Restarted(from_seq=1),
        START,
        chunk("whole"),
        answer(TextBlock(text="whole")),
    )
    assert [piece.markdown for piece in pieces if isinstance(piece, Answered)] == ["whole"]
    assert isinstance(pieces[0], Noted)


def test_an_interrupted_turn_keeps_what_was_said_and_shows_what_still_ran() -> None:
    batch = ToolBatch(turn_id=TURN, message_id="m", calls=(ToolCall(id="a", name="a", input={}),))
    pieces = told(START, chunk("so far"), batch, TurnEnded(turn_id=TURN, outcome="interrupted"))
    assert pieces == [Answered("so far"), ToolUsed("a", {}), Noted("interrupted", "warning")]


def test_a_message_is_shown_when_it_enters_the_conversation_and_not_before() -> None:
    reader = transcript()
    accepted = Accepted(turn_id=TURN, payload=UserInput.of("hello"))
    assert reader.apply(Event(Cursor(seq=5, epoch=1), accepted)) == []
    assert [item.text for item in reader.waiting.values()] == ["hello"]
    assert reader.apply(Event(Cursor(seq=6, epoch=1), TurnStarted(turn_id=TURN))) == [UserSaid("hello")]
    assert not reader.waiting


def test_a_steering_message_is_shown_where_it_joined_the_turn() -> None:
    pieces = told(
        START,
        Accepted(turn_id=TURN, payload=UserInput.of("shorter"), when="next_step"),
        chunk("long"),
        Steered(turn_id=TURN, accepted=(2,)),
    )
    assert pieces == [Answered("long"), UserSaid("shorter", steered=True)]


def test_a_steering_message_that_came_too_late_is_not_left_waiting() -> None:
    pieces = told(
        Accepted(turn_id=TURN, payload=UserInput.of("shorter"), when="next_step"),
        TurnEnded(turn_id=TURN, outcome="interrupted"),
    )
    assert pieces[0] == UserSaid("shorter", steered=True)


def test_a_reader_who_comes_in_while_calls_run_sees_their_results() -> None:
    use = ToolUseBlock(id="t1", name="look", input={"at": 1})
    calls = open_calls([answer(use).message])
    reader = transcript()
    reader.joined(TURN, "awaiting_tools", calls)
    settled = ToolSettled(turn_id=TURN, result=ToolResultBlock(tool_use_id="t1", content="seen"), outcome="ok")
    assert reader.live.tools == [ToolUsed("look", {"at": 1})]
    assert reader.apply(Event(Cursor(seq=9, epoch=1), settled)) == [
        ToolUsed("look", {"at": 1}, "seen", outcome="ok", seconds=0.0)
    ]


def test_an_error_of_the_provider_cannot_write_to_the_terminal() -> None:
    error = ErrorInfo(boundary="provider", kind="server", message="bad\x1b[2J\x1b]0;title\x07 news")
    pieces = told(TurnEnded(turn_id=TURN, outcome="failed", error=error))
    assert pieces == [Noted("bad news", "error")]


# --- Markdown that grows ----------------------------------------------------------------------------------------------

BLOCKS = (
    "# A heading",
    "A paragraph\nof two lines.",
    "- one\n- two\n\n  still two",
    "```python\nx = 1\n\n# no heading\n```",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "> quoted",
    "1. first\n2. second",
    "---",
)


@given(st.lists(st.sampled_from(BLOCKS), min_size=1, max_size=6), st.lists(st.integers(1, 12), min_size=1, max_size=40))
def test_markdown_comes_out_the_same_however_it_was_cut(blocks: list[str], sizes: list[int]) -> None:
    text = "\n\n".join(blocks)
    whole = MarkdownStream()
    expected = [*whole.feed(text), *whole.close()]
    grown, found, at = MarkdownStream(), list[str](), 0
    for size in sizes:
        found += grown.feed(text[at : at + size])
        at += size
    found += [*grown.feed(text[at:]), *grown.close()]
    assert found == expected
    assert "".join("".join(found).split()) == "".join(text.split())


def test_a_block_is_given_out_as_soon_as_the_next_one_begins() -> None:
    stream = MarkdownStream()
    assert stream.feed("One.\n\n") == []
    assert stream.feed("Two") == []
    assert stream.feed(".\n\nThree") == ["One."]
    assert stream.feed("\n") == ["Two."]
    assert stream.rest == "Three\n"


def test_a_code_block_is_never_torn() -> None:
    stream = MarkdownStream()
    assert stream.feed("```\na\n\n# b\n\nc\n") == []
    assert stream.feed("```\n\nafter\n") == ["```\na\n\n# b\n\nc\n```"]


@pytest.mark.parametrize("head", ["", "```python\n", "| a |\n|---|\n"])
def test_the_end_of_a_long_block_is_enough_to_show_its_end(head: str) -> None:
    line = "| row {0} |" if head.startswith("|") else "1. item {0}" if not head else "item {0}"
    block = head + "\n".join(line.format(number) for number in range(500))
    short = end_of(block, 20)
    assert len(short.splitlines()) <= 22
    shown = Renderer(colors=None).live(Live(answer=block), 80, 10)
    assert len(shown) == 10
    assert "499" in shown[-1]


def test_a_long_block_costs_no_more_than_its_length_warrants() -> None:
    stream, parsed = MarkdownStream(), 0
    parse = stream._parser.parse

    def counted(text: str) -> list[Token]:
        nonlocal parsed
        parsed += text.count("\n")
        return parse(text)

    stream._parser.parse = counted  # type: ignore[method-assign]
    for number in range(1000):
        stream.feed(f"- item {number}\n")
    assert parsed < 40 * 1000


def test_open_marks_are_closed_for_show() -> None:
    assert mended("this is **bo") == "this is **bo**"
    assert mended("this is **") == "this is "
    assert mended("some `co") == "some `co`"
    assert mended("all **well** here") == "all **well** here"
    assert mended("```py\na ** b") == "```py\na ** b"


def test_nothing_that_is_shown_can_steer_the_terminal() -> None:
    hostile = "a\x1b[31mb\x1b]8;;http://x\x07c\x07d\x9be\u202ef\rg\r\nh\ti"
    assert clean(hostile) == "abcdef\ng\nh\ti"
