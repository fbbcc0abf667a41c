"""Agents on real sessions with a fake model: what they send, when they end, and that they can be run again."""

from collections.abc import Sequence
from typing import Any, cast

import pytest

from agent_core.content import ToolResultBlock
from agent_core.errors import ConfigError, ProviderError, SessionError
from agent_core.evaluation.agents.chat import Chat
from agent_core.evaluation.agents.naming import agent_of, prompt_of, tools_of
from agent_core.evaluation.agents.react import React
from agent_core.evaluation.attended import AttendedSession, Counters, LimitHit, Watch
from agent_core.evaluation.limits import SampleLimits
from agent_core.evaluation.program import Agent, chat
from agent_core.evaluation.sample import Sample
from agent_core.local_session import LocalSession
from agent_core.session_protocol import Session
from agent_core.testing import Says
from tests.core.playbook import LOOKUP
from tests.core.stage import Stage

QUESTION = Sample(id="q", input="How many?")


def submits(answer: Any, **more: Any) -> Says:
    return Says(calls=[("submit", {"answer": answer, **more})])


async def opened(stage: Stage, agent: Agent) -> LocalSession:
    return await stage.session("s", LOOKUP, *tools_of(agent), system_prompt=prompt_of(agent, "Be brief."))


async def answered(stage: Stage, agent: Agent, sample: Sample = QUESTION, limits: SampleLimits | None = None) -> str:
    """What the agent answers on a new session, with the keys that a run gives its messages."""
    return await agent(attended(stage, await opened(stage, agent), limits), sample)


def attended(stage: Stage, session: LocalSession, limits: SampleLimits | None = None) -> Session:
    watch = Watch(limits or SampleLimits(), stage.clock, Counters(), lambda _: None)
    session.listen(watch.event)
    return cast("Session", AttendedSession(session, watch))


def said(stage: Stage) -> list[str]:
    """The user's texts that the last request showed."""
    return [
        block.text
        for message in stage.model.requests[-1].messages
        if message.kind == "user"
        for block in message.content
        if block.kind == "text"
    ]


async def test_chat_says_the_input_with_its_choices_and_then_each_turn() -> None:
    stage = Stage(Says("Blue."), Says("Still blue."))
    sample = Sample(id="q", input="Which?", choices=("red", "blue"), turns=("Sure?",))
    assert await answered(stage, agent_of("chat"), sample) == "Still blue."
    first, second = said(stage)
    assert first.splitlines()[:4] == ["Which?", "", "A) red", "B) blue"]
    assert second == "Sure?"


async def test_react_works_through_its_tools_until_it_submits_and_asks_no_more() -> None:
    stage = Stage(Says(calls=[("lookup", {})]), submits("42"), functions={"lookup": lambda _: "forty-two"})
    agent = React()
    session = await opened(stage, agent)
    assert await agent(attended(stage, session), QUESTION) == "42"
    assert len(stage.model.requests) == 2
    assert session.conversation.open is None
    (result,) = session.conversation.messages[-1].content
    assert isinstance(result, ToolResultBlock)
    assert (result.content, result.is_error) == ("Submitted.", False)


async def test_react_tells_the_model_about_the_tool_that_ends_the_task() -> None:
    stage = Stage(Says(calls=[("done", {"answer": "1"})]))
    assert await answered(stage, React(submit="done")) == "1"
    request = stage.model.requests[0]
    assert [tool.name for tool in request.tools] == ["lookup", "done"]
    assert request.system is not None
    assert request.system.startswith("Be brief.\n\n")
    assert "call the tool done with it" in request.system


async def test_a_model_that_stops_is_told_to_go_on_as_often_as_it_may() -> None:
    stage = Stage(Says("I think so."), submits("yes"))
    assert await answered(stage, React(on_continue="Go on: {submit}.")) == "yes"
    assert said(stage) == ["How many?", "Go on: submit."]

    with pytest.raises(LimitHit, match="no answer in 3 turns") as caught:
        await answered(Stage(*[Says("Hm.")] * 3), React(max_turns=3))
    assert caught.value.limit == "turns"


async def test_every_turn_of_a_sample_has_a_submission_of_its_own() -> None:
    stage = Stage(submits("1"), Says("Wait."), submits("2"))
    assert await answered(stage, React(), Sample(id="q", input="First?", turns=("Second?",))) == "2"
    assert said(stage)[:2] == ["First?", "Second?"]


@pytest.mark.parametrize(
    ("answer", "text"), [(7, "7"), ({"a": [True]}, '{"a": [true]}'), ("", "")], ids=["number", "object", "empty"]
)
async def test_what_is_submitted_becomes_text(answer: Any, text: str) -> None:
    assert await answered(Stage(submits(answer)), React()) == text


async def test_a_submission_without_an_answer_is_sent_back() -> None:
    stage = Stage(Says(calls=[("submit", {"text": "42"})]), Says(calls=[("submit", "{")]), submits("42"))
    assert await answered(stage, React()) == "42"
    results = [block for message in stage.model.requests[-1].messages for block in message.content]
    told = [block.content for block in results if isinstance(block, ToolResultBlock)]
    assert "needs the field 'answer'" in str(told[0])
    assert "Send the input again" in str(told[1])


async def test_a_failure_of_the_model_is_the_failure_of_the_agent() -> None:
    with pytest.raises(ProviderError, match="too hot"):
        await answered(Stage(Says(error=ProviderError("too hot", "bad_request"))), React())
    with pytest.raises(SessionError, match="max_tokens"):
        await answered(Stage(Says("Long", stop="max_tokens")), React())


async def test_a_limit_that_is_hit_within_a_turn_is_what_ends_the_agent() -> None:
    stage = Stage(Says(calls=[("lookup", {})]), Says("Hm."), held=True)
    with pytest.raises(LimitHit) as caught:
        await answered(stage, React(), limits=SampleLimits(tokens=14))
    assert caught.value.limit == "tokens"
    assert len(stage.model.requests) == 1


@pytest.mark.parametrize("agent", [React(), Chat()], ids=["react", "chat"])
async def test_an_agent_that_is_run_again_gets_the_same_answer_without_a_model_call(agent: Agent) -> None:
    sample = Sample(id="q", input="First?", turns=("Second?",))
    script: Sequence[Says] = (
        [Says("Hm."), submits("1"), Says(calls=[("lookup", {})]), submits("2")]
        if isinstance(agent, React)
        else [Says("1"), Says("2")]
    )
    stage = Stage(*script, functions={"lookup": lambda _: "x"})
    session = await opened(stage, agent)
    assert await agent(attended(stage, session), sample) == "2"
    entries = await stage.kinds()
    assert await agent(attended(stage, session), sample) == "2"
    assert len(stage.model.requests) == len(script)
    assert await stage.kinds() == entries


async def twice(session: Session, sample: Sample) -> str:
    return await session.ask(await session.ask(sample.input))


def test_agents_are_named_by_text_by_fields_or_are_functions() -> None:
    assert agent_of("react") == React()
    assert agent_of("react(max_turns=3, submit='done')") == React(max_turns=3, submit="done")
    assert agent_of({"kind": "react", "max_turns": 3}) == React(max_turns=3)
    assert agent_of(chat) == agent_of("chat") == Chat()


async def test_a_users_function_is_an_agent_by_itself_or_by_name() -> None:
    for named in (twice, f"{__name__}:twice"):
        assert await answered(Stage(Says("Again?"), Says("Yes.")), agent_of(named)) == "Yes."


def blocking(session: Session, sample: Sample) -> str:
    return "no"


async def short(session: Session) -> str:
    return "no"


async def silent(session: Session, sample: Sample) -> None: ...


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (blocking, "blocking is not asynchronous. Write: async def blocking(session, sample)"),
        (short, "short does not take a session and a sample"),
        (React, "React is no function"),
        ("writer", "there is no agent 'writer'"),
        ("react(turns=3)", "react: turns: Extra inputs are not permitted. Its settings: description, max_turns"),
        ("react(3)", "'react(3)' cannot be read"),
        ("react(submit=done)", "the value of submit is no literal"),
        ({"kind": "react", "max_turns": 0}, "max_turns: Input should be greater than or equal to 1"),
        ("no_such_module:solve", "there is no module 'no_such_module'"),
        (f"{__name__}:nobody", "'nobody' is not in module"),
    ],
)
def test_what_is_no_agent_is_refused(given: object, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        agent_of(given)
    assert said in str(caught.value)


async def test_an_agent_that_returns_no_text_is_told_so() -> None:
    with pytest.raises(ConfigError, match="The agent silent returned NoneType, not text"):
        await answered(Stage(), agent_of(silent))
