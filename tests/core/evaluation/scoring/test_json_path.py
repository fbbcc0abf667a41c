"""JSON in answers."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agent_core.evaluation.scoring import JsonPath
from agent_core.evaluation.scoring.json_values import NOTHING, json_in, same
from agent_core.evaluation.scoring.judging import judge_all
from agent_core.evaluation.scoring.processes import processes_here
from agent_core.testing import ManualClock
from tests.core.evaluation.scoring.world import answered, refused, until_slept, value

FENCED = 'Here:\n```json\n{"a": 1}\n```\nor rather\n```\n{"a": 2}\n```\nDone {"a": 3}.'


@pytest.mark.parametrize(
    ("settings", "answer", "target", "right"),
    [
        ({"path": "$.a"}, '{"a": 5}', 5, 1),
        ({"path": "$.a"}, '{"a": 5.0}', 5, 1),
        ({"path": "$.a"}, '{"a": true}', 1, 0),
        ({"path": "$.a"}, FENCED, 2, 1),
        ({"path": "$.a"}, 'I think {"a": "Paris"} it is, {x}', "Paris", 1),
        ({"path": "$.a"}, '{"a": "paris "}', "Paris", 0),
        ({"path": "$.a", "ignore_case": True}, '{"a": "paris "}', "Paris", 1),
        ({"path": "$.items[*].n"}, '{"items": [{"n": 1}, {"n": 2}]}', [7, 2], 1),
        ({"path": "$.items[?@.ok].n"}, '{"items": [{"n": 1}, {"n": 2, "ok": true}]}', 1, 0),
        ({"path": "$.a"}, '{"a": [1, 2]}', [[1, 2]], 1),
        ({}, '{"a": 1, "b": null}', {"b": None, "a": 1}, 1),
        ({"path": "$.a"}, '{"a": 5}', "5", 1),
        ({"path": "$.a", "tolerance": 0.1}, '{"a": 3.1}', 3.05, 1),
        ({"path": "$.a"}, "no JSON", 1, 0),
        ({"path": "$.a"}, '{"a": NaN}', 1, 0),
        ({"path": "$.b"}, '{"a": 1}', 1, 0),
        ({"path": "$.a"}, "5", 5, 0),
        ({}, "5", 5, 1),
        ({"path": "$.a", "expect": "exists"}, '{"a": null}', None, 1),
        ({"path": "$.b", "expect": "exists"}, '{"a": null}', None, 0),
        ({}, "[" * 100_000, 1, 0),
    ],
)
async def test_a_value_is_right_if_it_is_the_target(
    settings: dict[str, Any], answer: str, target: Any, right: float
) -> None:
    assert await value(JsonPath(**settings), answer, target) == right


async def test_without_a_target_there_is_an_error() -> None:
    assert (await refused(JsonPath(path="$.a"), '{"a": 1}')).kind == "no_target"


async def test_a_path_that_goes_too_deep_is_an_error_of_this_answer() -> None:
    deep = '{"a":' * 500 + "1" + "}" * 500
    assert (await refused(JsonPath(path="$..a"), deep, 1)).kind == "JSONPathRecursionError"


async def test_a_path_with_an_expression_is_followed_where_it_can_be_ended() -> None:
    scorer = JsonPath(path="$[?match(@, '(a|a|aa)+c')]")
    clock = ManualClock()
    answer = answered(json.dumps(["a" * 60 + "b"]), "a")
    judging = asyncio.create_task(judge_all([scorer], answer, timeout=5.0, clock=clock))
    await until_slept(clock, 2)
    clock.advance(5.0)
    error = (await judging)["json_path"].error
    assert error is not None
    assert error.kind == "timeout"
    assert await value(scorer, '["aac", "b"]', "aac") == 1
    await processes_here().aclose()


def test_a_path_that_is_none_is_refused_when_it_is_made() -> None:
    with pytest.raises(ValidationError, match=r"no JSON path \(RFC 9535\)"):
        JsonPath(path="a..[")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_every_value_is_read_and_is_the_same_as_itself(document: Any) -> None:
    text = json.dumps(document)
    assert same(json_in(text), document)
    if isinstance(document, dict | list):
        assert same(json_in(f"So:\n```json\n{text}\n```\n"), document)


@given(st.text(alphabet='{}[]",:1a\n` '))
def test_no_text_makes_looking_for_json_fail(text: str) -> None:
    found = json_in(text)
    assert found is NOTHING or same(found, found)
