"""How the chat looks: no line wider than the terminal, nothing padded, one look for what streams and what was said."""

import re

import pytest

from agent_core.messages import SessionId, Usage
from agent_core.payloads import SessionState
from agent_core.status import SessionStatus, TokenUsage
from drivers.chatting.figures import count, duration
from drivers.chatting.pieces import Answered, Listed, Noted, Piece, Printed, Thought, ToolUsed, UserSaid, answered
from drivers.chatting.rendering import Renderer
from drivers.chatting.status_line import Facts, status_line
from drivers.chatting.transcript import Live

LONG = (
    "A sentence that goes on for longer than any terminal is wide, with an_unbreakable_word_of_" + "x" * 90 + " in it."
)
MARKDOWN = f"""# Heading

{LONG}

- one **bold** and `code`
- two

```python
def f(x: int) -> str:
    return f"{{x}}"  # {"y" * 90}
```

| city | weather |
|---|---|
| Oslo | {"rain " * 30} |

> quoted
"""
EVERYTHING: list[Piece] = [
    UserSaid(f"What?\n{LONG}"),
    UserSaid("shorter", steered=True),
    Thought("\n".join(f"thought {number}" for number in range(20)), 3.2),
    ToolUsed("look", {"where": "x" * 300, "deep": {"a": [1, 2]}}, "\n".join(["line"] * 9), outcome="ok", seconds=1.5),
    ToolUsed("fall", {}, "ValueError: " + "z" * 200, is_error=True, outcome="exception"),
    ToolUsed("wait", {"for": 1}),
    Answered(MARKDOWN),
    Noted(LONG, "error"),
    Noted("fine", "good"),
    Listed("Session", (("model", "m"), ("context", LONG))),
    Printed("a line of somebody else"),
]
PLAIN = Renderer(colors=None)


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.parametrize("width", [30, 80, 132])
def test_no_line_is_wider_than_the_terminal_and_none_is_padded(width: int) -> None:
    lines = plain(Renderer().above(EVERYTHING, width)).split("\r\n")
    assert max(len(line) for line in lines) <= width
    assert [line for line in lines if line != line.rstrip()] == []


def test_without_colours_there_is_no_code_for_any() -> None:
    assert "\x1b" not in PLAIN.above(EVERYTHING, 80)
    assert "\x1b[" in Renderer().above(EVERYTHING, 80)


def test_markdown_is_shown_as_what_it_means() -> None:
    text = PLAIN.above([Answered(MARKDOWN)], 80)
    assert "**" not in text
    assert "```" not in text
    assert "# Heading" not in text
    assert "\r\nHeading\r\n" in text
    assert " • one bold and code" in text
    assert "  def f(x: int) -> str:" in text
    assert " Oslo" in text


def test_pieces_are_parted_by_one_empty_line_and_calls_stand_together() -> None:
    calls = [ToolUsed("a", {}, "1"), ToolUsed("b", {}, "2")]
    text = PLAIN.above([UserSaid("hi"), *calls, *answered("# One\n\n| a |\n|---|\n| b |\n\ntwo")], 80)
    assert "\r\n\r\n\r\n" not in text
    assert "\r\n● a()\r\n  ⎿ 1\r\n● b()\r\n  ⎿ 2\r\n\r\nOne\r\n" in text


def test_long_results_inputs_and_thoughts_are_shown_short() -> None:
    text = PLAIN.above(EVERYTHING, 80)
    assert text.count("line\r\n") == 4
    assert "… 5 more lines  (1.5 s)" in text
    assert "thought 5" in text
    assert "thought 6" not in text
    assert "14 more lines" in text
    assert "x" * 61 not in text.split("fall")[0].rpartition("look")[2]
    assert "thought 19" in PLAIN.above(EVERYTHING, 80, whole=True)


def test_the_live_part_shows_its_end_when_there_is_no_room_for_all() -> None:
    live = Live(answer="\n".join(f"{number}. item" for number in range(1, 60)))
    lines = PLAIN.live(live, 80, 10)
    assert len(lines) == 10
    assert lines[-1].endswith("59 item")
    assert PLAIN.live(live, 80, 0) == []


def test_what_streams_looks_as_it_will_look_when_it_is_whole() -> None:
    for end in range(1, len(MARKDOWN), 5):
        PLAIN.live(Live(answer=MARKDOWN[:end]), 80, 50)
    text = "Some **bold words** and `code`."
    assert PLAIN.live(Live(answer=text), 80, 50)[1:] == PLAIN.above([Answered(text)], 80).split("\r\n")[1:-1]
    assert PLAIN.live(Live(answer="Some **bold wo"), 80, 50) == ["", "Some bold wo"]


# --- the status line --------------------------------------------------------------------------------------------------

STATUS = SessionStatus(
    session_id=SessionId("s-0123456789ab"),
    model="anthropic/claude-test-1",
    created_at=0.0,
    state="idle",
    context_used=9_000,
    context_limit=200_000,
    usage=TokenUsage(total=Usage(input_tokens=1_000, cache_read_tokens=400, output_tokens=250)),
)


def line_of(width: int, state: SessionState = "idle", **more: object) -> str:
    facts = Facts(model="m/n", **{"status": STATUS, "state": state, "request": Usage(), **more})
    return "".join(text for _, text in status_line(facts, width))


def test_the_status_line_has_model_state_tokens_context_and_session() -> None:
    line = line_of(80, "running", elapsed=12.7)
    assert line == "  claude-test-1 · answering 12 s · ↑1.4k ↓250 · 4% of 200k · s-0123456789ab"


def test_tokens_of_the_request_under_way_are_counted_in() -> None:
    assert "↑2.0k ↓260 · 0% of 200k" in line_of(80, request=Usage(input_tokens=600, output_tokens=10))


@pytest.mark.parametrize("width", range(1, 90))
def test_the_status_line_fits_and_drops_what_matters_least_first(width: int) -> None:
    line = line_of(width, "awaiting_tools", elapsed=3.0)
    assert len(line) <= width
    present = [part in line for part in ("claude", "running tools", "↑1.4k", "4% of", "s-0123456789ab")]
    assert present == sorted(present, reverse=True)


def test_before_the_session_is_there_the_line_says_what_is_awaited() -> None:
    assert line_of(80, status=None, connecting="connecting…") == "  n · connecting…"


def test_a_hint_takes_the_place_of_the_state() -> None:
    assert "idle" not in line_of(80, hint="Ctrl-C again leaves")
    assert "Ctrl-C again leaves" in line_of(80, hint="Ctrl-C again leaves")


def test_figures_are_short() -> None:
    assert [count(n) for n in (0, 999, 1000, 9_949, 12_345, 999_499, 1_250_000)] == [
        "0", "999", "1.0k", "9.9k", "12k", "999k", "1.2M"
    ]  # fmt: skip
    assert [duration(s) for s in (0.04, 9.94, 12.3, 60, 125)] == ["0.0 s", "9.9 s", "12 s", "1 min 0 s", "2 min 5 s"]
