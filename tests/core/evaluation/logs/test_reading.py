"""What went into a log comes out of it as the same result."""

import json
import zlib
from typing import Any

import pytest

from agent_core.content import ImageBlock, TextBlock, ThinkingBlock, ToolResultBlock, ToolUseBlock
from agent_core.errors import ConfigError, ErrorInfo
from agent_core.evaluation.limits import SampleLimits
from agent_core.evaluation.logs.reading import result_of
from agent_core.evaluation.logs.sample import Asked, member
from agent_core.evaluation.logs.summaries import LONGEST_INPUT, LONGEST_VALUE
from agent_core.evaluation.result import Result
from agent_core.evaluation.score import Score
from agent_core.messages import Usage
from tests.core.evaluation.logs.world import ASKED, assistant, conversation, result, user

PICTURE = ImageBlock(media_type="image/png", data="iVBORw0KGgo=")
REFUSED = ErrorInfo(boundary="provider", kind="bad_request", message="It was refused.", status=400)
FAILED = Score(value=None, error=ErrorInfo(boundary="config", kind="ValueError", message="No number in it."))
RESULTS: dict[str, Result] = {
    "scored": result(),
    "of an id that is no name": result("../../etc/passwd"),
    "completed": result(outcome="completed", scores={}),
    "unscored": result(outcome="unscored", scores={"includes": Score(value=0.5), "judge": FAILED}),
    "graded by a model": result(scores={"judge": Score(value=1.0, usage=Usage(input_tokens=9), cost=0.1)}),
    "failed": result(outcome="model_failed", error=REFUSED, answer=None, scores={}, attempts=3),
    "cancelled": result(outcome="cancelled", answer=None, scores={}, transcript=None, usage=None, cost=None),
    "out of time": result(outcome="limit_hit", limit="time", answer=None, scores={}),
    "cut short": result(outcome="limit_hit", limit="max_steps", answer=None, scores={}),
    "several turns": result(turns=("And page 2?",), choices=("white", "black"), summariser=Usage(input_tokens=7)),
    "no target": result(target=None),
    "targets": result(target=["white", "pale"]),
    "an object as target": result(target={"colour": "white", "pages": [1, 2]}),
    "nothing said": result(transcript=()),
    "nonsense in it": result(metadata={"n": 1e300, "deep": [[{"a": None}]], "": "", "uuid": "x"}, answer="\u2028\x00"),
}


def told(result: Result, asked: Asked = ASKED) -> dict[str, Any]:
    """The sample as a log has it."""
    return json.loads(content(result, asked))


def content(result: Result, asked: Asked = ASKED) -> bytes:
    return zlib.decompress(member(result, asked).member.data, -15)


def figures(result: Result) -> dict[str, Any]:
    return result.model_dump(exclude={"transcript", "history"})


def words(result: Result) -> list[tuple[Any, ...]]:
    return [message.content for message in result.transcript or ()]


@pytest.mark.parametrize("name", RESULTS)
def test_every_figure_and_word_comes_back(name: str) -> None:
    went_in = RESULTS[name]
    came_out = result_of(content(went_in))
    assert figures(came_out) == figures(went_in)
    assert words(came_out) == words(went_in)
    assert [m.id for m in came_out.transcript or ()] == [m.id for m in went_in.transcript or ()]
    assert (came_out.transcript is None) == (went_in.transcript is None)


def test_every_kind_of_block_comes_back() -> None:
    call = ToolUseBlock(id="c1", name="look_up", input={"page": 1})
    unreadable = ToolUseBlock(id="c2", name="look_up", input={}, input_error="no JSON", raw_input='{"page"')
    said = (
        user("u1", "What is this?", PICTURE, ImageBlock(url="https://example.org/whale.png")),
        assistant(
            "a1",
            ThinkingBlock(thinking="Hm. " * 400, signature="c2ln", item_id="rs_1", provider="openai"),
            ThinkingBlock(signature="b3BhcXVl", redacted=True),
            TextBlock(text="I look. " * 400),
            call,
            unreadable,
        ),
        user(
            "u2",
            ToolResultBlock(tool_use_id="c1", content=(TextBlock(text="A whale."), PICTURE)),
            ToolResultBlock(tool_use_id="c2", content="It was no JSON.", is_error=True),
        ),
        assistant("a2", "A whale."),
    )
    came_out = result_of(content(result(transcript=said)))
    provider = ThinkingBlock(thinking="Hm. " * 400, signature="c2ln", item_id="rs_1", provider="openai")
    assert words(came_out)[1][0] == provider
    assert words(came_out) == [message.content for message in said]
    usages = [message.usage for message in came_out.transcript or () if message.kind == "assistant"]
    assert usages == [message.usage for message in said if message.kind == "assistant"]


def test_a_conversation_takes_room_for_its_length_and_not_for_its_square() -> None:
    sizes = [len(content(result(transcript=conversation(turns)))) for turns in (10, 20, 40)]
    assert (sizes[2] - sizes[1]) / (sizes[1] - sizes[0]) < 2.1


def test_an_image_is_kept_once_however_often_it_is_told() -> None:
    picture = ImageBlock(media_type="image/png", data="QUJD" * 5_000)
    said = [user("u1", "Look.", picture), assistant("a1", "I see."), user("u2", "And?"), assistant("a2", "A whale.")]
    assert content(result(transcript=said)).count(b"QUJD" * 5_000) == 1


def test_a_history_is_told_apart_from_what_the_model_was_asked_for() -> None:
    before = (user("h1", "Do you know the book?"), assistant("h2", "I do."))
    went_in = result(history=before, transcript=(*before, *conversation()))
    sample = told(went_in)
    assert [message["content"] for message in sample["input"]] == ["Do you know the book?", "I do.", went_in.input]
    asked = [event for event in sample["events"] if event["event"] == "model"]
    assert len(asked) == sample["turn_count"] == 2
    came_out = result_of(content(went_in))
    assert [message.content for message in came_out.history] == [message.content for message in before]
    assert words(came_out) == words(went_in)


def test_a_model_is_told_to_have_seen_the_summary_in_place_of_what_was_before_it() -> None:
    said = (
        *conversation(1),
        user("s", "It was white.", marker="summary"),
        user("u9", "So?"),
        assistant("a9", "White."),
    )
    sample = told(result(transcript=said))
    (*_, last) = [event for event in sample["events"] if event["event"] == "model"]
    pool = sample["events_data"]["messages"]
    seen = [pool[at]["content"] for begin, end in last["input_refs"] for at in range(begin, end)]
    assert seen == ["Answer from the book.", "It was white.", "So?"]


def test_a_limit_is_told_with_its_bound_where_that_is_known() -> None:
    out_of_time = RESULTS["out of time"]
    assert told(out_of_time, Asked(limits=SampleLimits(time=30)))["limit"]["limit"] == 30
    assert told(out_of_time, Asked())["limit"]["limit"] == -1


def test_a_summary_stays_small_however_much_was_said() -> None:
    big = result(input="why? " * 5_000, metadata={"text": "x" * 9_000, "rows": list(range(9_000))})
    summary = json.loads(member(big, ASKED).summary)
    assert len(summary["input"]) < LONGEST_INPUT + 40
    assert len(summary["metadata"]["text"]) == LONGEST_VALUE
    assert summary["metadata"]["rows"] == "Key removed from summary (> 1k)"


def test_half_of_a_surrogate_pair_becomes_a_question_mark() -> None:
    cut = result().model_copy(update={"answer": "cut \ud83d"})
    assert result_of(content(cut)).answer == "cut ?"


def test_the_same_result_makes_the_same_bytes_and_another_score_another_name() -> None:
    assert member(result(), ASKED) == member(result(), ASKED)
    assert told(result())["uuid"] != told(result(value=0.0))["uuid"]


@pytest.mark.parametrize(
    "spoilt", [b"", b"[]", b"{}", b'{"id":"q1"}', b'{"id":"q1","epoch":"many","input":"?"}', b"\xff"]
)
def test_what_is_no_sample_is_refused(spoilt: bytes) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        result_of(spoilt)
