"""How a task's requests reach the sessions: nothing is asked twice, and nothing else than the task asks."""

import asyncio
from typing import Any, cast

import pytest

from agent_core.errors import ConfigError, ProviderError, SessionError
from agent_core.evaluation.attended import AttendedSession, Counters, LimitHit, Watch
from agent_core.evaluation.limits import NO_LIMITS
from agent_core.scripted import HttpError, ParsedRequest, Reply, ToolCall
from agent_core.session_protocol import Session
from drivers.inspecting.source import Route
from tests.drivers.inspecting.world import Here, answering, here, knows, values_of

BOTH: tuple[Route, ...] = ("direct", "slices")


def attended(runner: Here, session: Session) -> Session:
    """The session as a worker hands it to an agent: each message has a key."""
    watch = Watch(NO_LIMITS, runner.clock, Counters(), lambda _: None)
    return cast("Session", AttendedSession(session, watch, cast("Any", session).branch))


async def test_an_agent_that_lost_its_process_goes_on_where_it_was() -> None:
    stalled = asyncio.Event()

    def brain(request: ParsedRequest) -> Reply:
        if request.rounds == 1 and not stalled.is_set():
            stalled.set()
            return Reply(fault="stall")
        return knows(request)

    async with answering(brain) as server, here(server) as runner:
        task = runner.task("ledger.py@ledger_react")
        sample = next(task.samples())
        session = await runner.opened(task, sample, 1)
        lost = asyncio.ensure_future(task.source.load().agent(attended(runner, session), sample))
        await stalled.wait()
        await asyncio.sleep(0)
        lost.cancel()
        with pytest.raises(asyncio.CancelledError):
            await lost
        # The turn is open still, at its second request, which is answered late.
        server.release()
        answer = await task.source.load().agent(attended(runner, session), sample)
        asked = len(server.requests)
        again = await task.source.load().agent(attended(runner, session), sample)
        assert again == answer == "7"
        assert len(server.requests) == asked


async def test_a_session_that_was_told_something_else_before_gives_no_old_answer() -> None:
    async with answering(lambda request: Reply(text=f"<{request.text}>")) as server, here(server) as runner:
        task = runner.task("capitals.py@thinking_capitals")
        first, second = list(task.samples())[:2]
        session = attended(runner, await runner.opened(task, first, 1))
        agent = task.source.load().agent
        assert "France" in await agent(session, first)
        again = attended(runner, await runner.opened(task, first, 1))
        assert "Norway" in await agent(again, second)
        assert len(server.requests) == 2


async def test_settings_of_one_call_hold_for_that_call() -> None:
    async with answering() as server, here(server) as runner:
        await runner.run("odd.py@settings")
        told = [
            {name: request.body.get(name) for name in ("temperature", "max_tokens", "stop", "seed")}
            for request in server.requests
        ]
        assert told == [
            {"temperature": 0.9, "max_tokens": 50, "stop": ["END"], "seed": 7},
            {"temperature": 0.1, "max_tokens": 99, "stop": None, "seed": None},
        ]


async def test_a_forced_tool_is_forced_once() -> None:
    def brain(request: ParsedRequest) -> Reply:
        calls = (ToolCall(name="look", input={"where": "here"}),)
        return Reply(tool_calls=calls) if request.rounds == 0 else Reply(text="hello")

    async with answering(brain) as server, here(server) as runner:
        _, results = await runner.run("odd.py@forced")
        choices = [request.body.get("tool_choice") for request in server.requests]
        assert choices == [{"type": "function", "function": {"name": "look"}}, None]
        assert results[0].scores["includes"].value == 1.0


@pytest.mark.parametrize("route", BOTH)
async def test_requests_beside_each_other_have_sessions_of_their_own(route: Route) -> None:
    async with answering(lambda request: Reply(text=f"<{request.text}>")) as server, here(server) as runner:
        _, (result,) = await runner.run("odd.py@side_by_side", route)
        assert result.answer == "<Say hello.\n\n<Part 0?> <Part 1?> <Part 2?>>"
        assert len(server.requests) == 4
        assert all(len(request.body["messages"]) <= 2 for request in server.requests)


async def test_a_call_that_no_tool_can_take_is_answered_and_the_task_goes_on() -> None:
    def brain(request: ParsedRequest) -> Reply:
        if request.rounds == 0:
            return Reply(tool_calls=(ToolCall(name="wish", input={}),))
        if request.rounds == 1:
            assert request.results[0].is_error or "no tool" in request.results[0].text
            spoilt, whole = ToolCall(name="look", raw_input="{not json"), ToolCall(name="look", input={"where": "up"})
            return Reply(tool_calls=(spoilt, whole))
        return Reply(text=" ".join(result.text for result in request.results) + " hello")

    async with answering(brain) as server, here(server) as runner:
        _, (result,) = await runner.run("odd.py@forced")
        assert "Nothing up." in (result.answer or "")
        assert result.scores["includes"].value == 1.0


@pytest.mark.parametrize("route", BOTH)
async def test_what_a_provider_refuses_is_raised_as_it_was(route: Route) -> None:
    refusal = Reply(error=HttpError(status=400, body={"error": {"message": "No such thing."}}))
    async with answering(lambda _: refusal) as server, here(server) as runner:
        with pytest.raises(ProviderError, match="No such thing") as raised:
            await runner.run("odd.py@left_out", route)
        assert raised.value.kind == "bad_request"


@pytest.mark.parametrize(("route", "kind"), [("direct", ValueError), ("slices", SessionError)])
async def test_an_authors_mistake_in_a_solver_ends_the_sample_with_its_words(
    route: Route, kind: type[Exception]
) -> None:
    async with answering() as server, here(server) as runner:
        with pytest.raises(kind, match="The author's mistake"):
            await runner.run("odd.py@mistaken", route)


@pytest.mark.parametrize("route", BOTH)
async def test_a_limit_of_the_task_is_a_limit_here(route: Route) -> None:
    async with answering() as server, here(server) as runner:
        task = runner.task("odd.py@talkative", route)
        sample = next(task.samples())
        with pytest.raises(LimitHit) as hit:
            await task.source.load().agent(await runner.opened(task, sample, 1), sample)
        assert hit.value.limit == "turns"
        assert task.limits == {"turn_limit": 1}


async def test_what_no_session_can_give_is_refused_by_name() -> None:
    async with answering() as server, here(server) as runner:
        with pytest.raises(ConfigError, match="num_choices"):
            await runner.run("odd.py@many_choices")
        assert not server.requests


async def test_a_sandbox_takes_the_way_through_inspects_own_runner() -> None:
    def brain(request: ParsedRequest) -> Reply:
        if request.rounds == 0:
            return Reply(tool_calls=(ToolCall(name="read", input={"file": "note.txt"}),))
        return Reply(text=request.results[0].text)

    async with answering(brain) as server, here(server) as runner:
        task, results = await runner.run("desk.py")
        assert task.source.route == "slices"
        assert values_of(results) == {
            ("tea", 1): {"includes": "C", "was_seen": "C"},
            ("rope", 1): {"includes": "I", "was_seen": "C"},
        }


async def test_many_samples_share_one_evaluation_of_inspects() -> None:
    """Samples handed over at once, one of them given up in the middle: the others come back."""
    async with answering() as server, here(server) as runner:
        task = runner.task("capitals.py@capitals", "slices", epochs=1)
        agent = task.source.load().agent
        samples: list[Any] = list(task.samples())
        sessions = [await runner.opened(task, sample, 1) for sample in samples]
        running = [asyncio.ensure_future(agent(one, sample)) for one, sample in zip(sessions, samples, strict=True)]
        running[0].cancel()
        answers = await asyncio.gather(*running, return_exceptions=True)
        assert isinstance(answers[0], asyncio.CancelledError)
        assert answers[1:] == ["Oslo", "Cusco", "Nairobi"]
