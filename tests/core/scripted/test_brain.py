"""What is answered: the default brain, and the rules of a script."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from agent_core.errors import ConfigError
from agent_core.scripted import Engine, Fault, Knobs, Match, ParsedRequest, Reply, Rule, Script, ToolCall, Wire
from agent_core.scripted import script as script_module
from tests.core.scripted.bodies import (
    ADD,
    CHAT_ADD,
    RESPONSES_ADD,
    assistant,
    chat_body,
    chat_call,
    chat_result,
    function_call,
    function_output,
    messages_body,
    responses_body,
    tool_result,
    tool_use,
    user,
)


def text_of(engine: Engine, body: dict[str, Any], wire: Wire = Wire.ANTHROPIC) -> str:
    return engine.answer(wire, body).message.text


def calls_of(engine: Engine, body: dict[str, Any], wire: Wire = Wire.ANTHROPIC) -> list[tuple[str, Any]]:
    return [(call.name, call.input) for call in engine.answer(wire, body).message.calls]


def test_without_a_script_the_last_user_text_is_echoed() -> None:
    assert text_of(Engine(), messages_body(user("one"), assistant("x"), user("two"))) == "You said: two"


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (Wire.ANTHROPIC, messages_body(user('call add {"a": {"b": 1}} now'), tools=[ADD])),
        (Wire.CHAT, chat_body(user('call add {"a": {"b": 1}} now'), tools=[CHAT_ADD])),
        (Wire.RESPONSES, responses_body(user('call add {"a": {"b": 1}} now'), tools=[RESPONSES_ADD])),
    ],
)
def test_without_a_script_a_named_tool_is_called(wire: Wire, body: dict[str, Any]) -> None:
    assert calls_of(Engine(), body, wire) == [("add", {"a": {"b": 1}})]


@pytest.mark.parametrize("text", ["call sub {}", "call add {oops", "call add", "recall add {}"])
def test_without_a_script_nothing_else_calls_a_tool(text: str) -> None:
    assert calls_of(Engine(), messages_body(user(text), tools=[ADD])) == []


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (
            Wire.ANTHROPIC,
            messages_body(user("call add {}"), assistant([tool_use()]), user([tool_result()]), tools=[ADD]),
        ),
        (Wire.CHAT, chat_body(user("call add {}"), chat_call("c1"), chat_result("c1"), tools=[CHAT_ADD])),
        (
            Wire.RESPONSES,
            responses_body(user("call add {}"), function_call(), function_output(), tools=[RESPONSES_ADD]),
        ),
    ],
)
def test_without_a_script_the_result_is_told(wire: Wire, body: dict[str, Any]) -> None:
    assert text_of(Engine(), body, wire) == "add returned: 3"


def test_then_makes_steps_and_calls_before_it_are_parallel() -> None:
    ask = user('call add {"a": "then"} and call add {"a": 2} then call add {"a": 3}')
    engine = Engine()
    assert calls_of(engine, messages_body(ask, tools=[ADD])) == [("add", {"a": "then"}), ("add", {"a": 2})]
    round_one = [ask, assistant([tool_use()]), user([tool_result()])]
    assert calls_of(engine, messages_body(*round_one, tools=[ADD])) == [("add", {"a": 3})]
    round_two = [*round_one, assistant([tool_use("t2")]), user([tool_result("t2")])]
    assert calls_of(engine, messages_body(*round_two, tools=[ADD])) == []


def test_a_failed_result_is_told_as_failed() -> None:
    failed = tool_result() | {"is_error": True}
    body = messages_body(user("call add {}"), assistant([tool_use()]), user([failed]), tools=[ADD])
    assert text_of(Engine(), body) == "add failed: 3"


def answers(rule: Rule, count: int) -> list[str]:
    engine = Engine(Script(rules=(rule,)))
    return [text_of(engine, messages_body()) for _ in range(count)]


def test_replies_come_in_order_and_then_as_the_rule_repeats() -> None:
    replies = (Reply(text="a"), Reply(text="b"))
    assert answers(Rule(replies=replies), 3) == ["a", "b", "a"]
    assert answers(Rule(replies=replies, repeat="last"), 3) == ["a", "b", "b"]
    assert answers(Rule(replies=replies, repeat="once"), 3) == ["a", "b", "You said: hi"]


def test_replies_may_be_counted_for_each_session_apart() -> None:
    rule = Rule(replies=(Reply(text="a"), Reply(text="b")), per_session=True)
    engine = Engine(Script(rules=(rule,)))
    tags = ["s1", "s2", "s1", "s2"]
    got = [text_of(engine, messages_body(metadata={"user_id": tag})) for tag in tags]
    assert got == ["a", "a", "b", "b"]


@pytest.mark.parametrize(
    ("match", "hits"),
    [
        (Match(text="h."), True),
        (Match(text="^x"), False),
        (Match(model="^m$"), True),
        (Match(model="gpt"), False),
        (Match(session="s1"), True),
        (Match(session="s2"), False),
        (Match(system="brief"), True),
        (Match(system="long"), False),
        (Match(wire=Wire.ANTHROPIC), True),
        (Match(wire=Wire.CHAT), False),
        (Match(nth=1), True),
        (Match(nth=2), False),
        (Match(rounds=0), True),
        (Match(rounds=1), False),
        (Match(has_tool_result=False), True),
        (Match(has_tool_result=True), False),
        (Match(result="3"), False),
        (Match(tool="add"), False),
        (Match(text="h", model="gpt"), False),
    ],
)
def test_a_rule_matches_when_every_field_of_it_holds(match: Match, hits: bool) -> None:
    engine = Engine(Script(rules=(Rule(match=match, replies=(Reply(text="yes"),)),)))
    body = messages_body(metadata={"user_id": "s1"}, system="be brief")
    assert (text_of(engine, body) == "yes") is hits


@pytest.mark.parametrize(
    "match", [Match(has_tool_result=True), Match(tool="^add$"), Match(result="3"), Match(rounds=1)]
)
def test_a_rule_may_match_on_tool_results(match: Match) -> None:
    engine = Engine(Script(rules=(Rule(match=match, replies=(Reply(text="yes"),)),)))
    body = messages_body(user("x"), assistant([tool_use()]), user([tool_result()]))
    assert text_of(engine, body) == "yes"


def test_the_first_rule_that_matches_answers() -> None:
    rules = (
        Rule(match=Match(text="h"), replies=(Reply(text="first"),)),
        Rule(replies=(Reply(text="second"),)),
    )
    assert text_of(Engine(Script(rules=rules)), messages_body()) == "first"


def test_a_reply_may_name_what_was_sent() -> None:
    rule = Rule(replies=(Reply(text="{{number}} {{session}} {{text}} {{results}}"),))
    body = messages_body(user("q"), assistant([tool_use()]), user([tool_result()]), metadata={"user_id": "s1"})
    assert text_of(Engine(Script(rules=(rule,))), body) == "1 s1 q 3"


def test_a_callable_may_be_the_brain() -> None:
    seen: list[ParsedRequest] = []

    def brain(request: ParsedRequest) -> Reply:
        seen.append(request)
        return Reply(text="from a callable")

    assert text_of(Engine(brain=brain), messages_body(tools=[ADD])) == "from a callable"
    assert (seen[0].text, seen[0].tools, seen[0].number) == ("hi", ("add",), 1)


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (Wire.CHAT, chat_body(metadata={"session_id": "s1"})),
        (Wire.CHAT, chat_body(user="s1")),
        (Wire.CHAT, chat_body(safety_identifier="s1")),
        (Wire.RESPONSES, responses_body(metadata={"session_id": "s1"})),
        (Wire.RESPONSES, responses_body(prompt_cache_key="s1")),
        (Wire.ANTHROPIC, messages_body(metadata={"user_id": "s1"})),
    ],
)
def test_the_session_tag_is_read_from_each_wire(wire: Wire, body: dict[str, Any]) -> None:
    assert Engine().answer(wire, body).request.session == "s1"


def test_a_script_survives_its_file(tmp_path: Path) -> None:
    script = Script(
        rules=(Rule(match=Match(text="x"), replies=(Reply(tool_calls=(ToolCall(name="add", input={"a": 1}),)),)),),
        knobs=Knobs(faults={"rate_limited": Fault(every=3)}),
    )
    path = tmp_path / "script.json"
    path.write_text(script.model_dump_json())
    assert Script.load(path) == script


def test_the_documented_example_is_a_script() -> None:
    example = str(script_module.__doc__).split("every tenth request:", 1)[1]
    script = Script.model_validate_json(example)
    assert (len(script.rules), script.knobs.faults["rate_limited"].every) == (2, 10)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1: not JSON"),
        ('{"rules": [{"replies": []}]}', "rules.0.replies: "),
        ('{"rules": [{"match": {"text": "("}, "replies": [{}]}]}', "rules.0.match.text: "),
        ('{"rulez": []}', "rulez: "),
        ("[]", "the top level: "),
    ],
)
def test_a_bad_script_file_is_told_by_its_line_or_field(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "script.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        Script.load(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_or_binary_script_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Cannot read"):
        Script.load(tmp_path / "none.json")
    path = tmp_path / "binary.json"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        Script.load(path)


def test_an_unknown_knob_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="latencies"):
        Knobs.model_validate_json(json.dumps({"latencies": 3}))
