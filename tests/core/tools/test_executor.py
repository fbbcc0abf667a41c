"""Asynchronous tools in the executor's loop, and what holds for every call: one report, in any case."""

import asyncio
import json
import threading
from typing import Any

import pytest

from agent_core.errors import ToolError
from agent_core.ports import ToolReport
from agent_core.tools import InMemoryBlobs, LocalToolExecutor, external_tool, publish, tool
from tests.core.tools import sample_tools
from tests.core.tools.conftest import SMALL
from tests.core.tools.harness import Inbox, invocation, live, run, run_all, said


async def test_a_call_gives_one_report_with_its_result(executor: LocalToolExecutor) -> None:
    report = await run(executor, sample_tools.add, a=1, b=4)
    assert (said(report), report.outcome, report.result.is_error) == ("5", "ok", False)
    assert report.seconds >= 0


async def test_input_is_coerced_into_the_annotated_types_and_the_context_is_filled_in(
    executor: LocalToolExecutor,
) -> None:
    call = invocation(sample_tools.describe, "s1/c9", point={"x": 3})
    (report,) = await run_all(executor, call)
    assert json.loads(said(report)) == {"x": 3, "key": "s1/c9", "attempt": 1, "session": "s1"}
    assert report.result.tool_use_id == "c9"


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"a": "one"}, "a: 'one' is not of type 'integer'"),
        ({}, "'a' is a required property"),
        ({"a": 1, "c": 2}, "'c' was unexpected"),
        ({"a": "5"}, "a: '5' is not of type 'integer'"),
    ],
)
async def test_input_that_breaks_the_schema_is_refused_before_the_tool_runs(
    executor: LocalToolExecutor, values: dict[str, Any], problem: str
) -> None:
    for made in (sample_tools.add, sample_tools.subtract):
        report = await run(executor, made, **values)
        assert report.outcome == "bad_input"
        assert problem in said(report)
        assert "nothing was run" in said(report)
    assert executor.status.children_starting == 0


async def test_input_that_fits_the_schema_and_not_the_type_is_refused() -> None:
    from datetime import date

    @tool
    async def act(day: date) -> str:
        """Act."""
        return day.isoformat()

    executor = live(act)
    assert said(await run(executor, act, day="2026-02-28")) == "2026-02-28"
    report = await run(executor, act, day="2026-02-31")
    assert report.outcome == "bad_input"
    assert "day: Input should be a valid date" in said(report)
    await executor.aclose()


async def test_sys_exit_in_an_asynchronous_tool_ends_only_the_call() -> None:
    @tool
    async def act() -> int:
        """Act."""
        raise SystemExit(3)

    executor = live(act, sample_tools.add)
    assert "SystemExit: 3" in said(await run(executor, act))
    assert said(await run(executor, sample_tools.add, a=1)) == "3"
    await executor.aclose()


async def test_a_tool_that_cancels_itself_is_a_failed_call() -> None:
    @tool
    async def act() -> int:
        """Act."""
        raise asyncio.CancelledError

    executor = live(act)
    report = await run(executor, act)
    assert report.outcome == "exception"
    assert "cancelled itself" in said(report)
    await executor.aclose()


async def test_a_tool_out_of_time_is_cancelled_and_told_so(executor: LocalToolExecutor) -> None:
    report = await run(executor, sample_tools.sleep_for_ever)
    assert report.outcome == "timeout"
    assert said(report).startswith("Tool 'sleep_for_ever' was stopped after 0.02 s, its time limit.")
    assert executor.status.leaving == 0


async def test_a_tool_that_answers_its_cancellation_is_still_out_of_time() -> None:
    @tool(timeout=0.01)
    async def act() -> str:
        """Act."""
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "nearly"
        return "not reached"

    executor = live(act)
    report = await run(executor, act)
    assert report.outcome == "timeout"
    assert "nearly" not in said(report)
    await executor.aclose()


async def test_a_tool_that_ignores_cancellation_is_left_behind_and_its_slot_is_free() -> None:
    release = asyncio.Event()

    @tool(timeout=0.01)
    async def act() -> str:
        """Act."""
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return "late"

    executor = live(act, sample_tools.add, slots=1)
    stubborn, after = await run_all(executor, invocation(act), invocation(sample_tools.add, a=1))
    assert stubborn.outcome == "timeout"
    assert "may still be running" in said(stubborn)
    assert said(after) == "3"
    assert executor.status.leaving == 1
    release.set()
    while executor.status.leaving:
        await asyncio.sleep(0)
    assert executor.status.outcomes == {"timeout": 1, "ok": 1}
    await executor.aclose()


async def test_retries_of_an_idempotent_tool_stop_at_the_first_success() -> None:
    attempts: list[int] = []

    @tool(idempotent=True, retries=3)
    async def act() -> str:
        """Act."""
        attempts.append(len(attempts) + 1)
        if len(attempts) < 3:
            raise ConnectionError("down")
        return "up"

    executor = live(act)
    report = await run(executor, act)
    assert (said(report), report.outcome, attempts) == ("up", "ok", [1, 2, 3])
    await executor.aclose()


async def test_the_last_attempt_decides_the_outcome() -> None:
    ran = 0

    @tool(idempotent=True, retries=1, timeout=0.01)
    async def act() -> str:
        """Act."""
        nonlocal ran
        ran += 1
        if ran == 1:
            await asyncio.Event().wait()
        raise ValueError("second")

    executor = live(act)
    report = await run(executor, act)
    assert (report.outcome, ran) == ("exception", 2)
    await executor.aclose()


async def test_a_tool_that_is_not_idempotent_runs_once() -> None:
    ran = 0

    @tool
    async def act() -> str:
        """Act."""
        nonlocal ran
        ran += 1
        raise ValueError("no")

    executor = live(act)
    await run(executor, act)
    assert ran == 1
    await executor.aclose()


async def test_no_more_than_the_slots_run_at_once_and_the_rest_start_in_order() -> None:
    running: list[int] = []
    most = 0
    started: list[int] = []
    gate = asyncio.Event()

    @tool
    async def act(number: int) -> int:
        """Act."""
        nonlocal most
        started.append(number)
        running.append(number)
        most = max(most, len(running))
        await gate.wait()
        running.remove(number)
        return number

    executor = live(act, slots=3)
    inbox = Inbox()
    executor.dispatch([invocation(act, number=number) for number in range(20)], inbox.deliver)
    while len(started) < 3:
        await asyncio.sleep(0)
    assert (executor.status.running, executor.status.queued) == (3, 17)
    gate.set()
    await inbox.wait_for(20)
    assert most == 3
    assert started == list(range(20))
    await executor.aclose()


async def test_thousands_of_calls_are_each_reported_once(executor: LocalToolExecutor) -> None:
    reports = await run_all(executor, *(invocation(sample_tools.add, a=number, b=0) for number in range(5_000)))
    assert [said(report) for report in reports] == [str(number) for number in range(5_000)]
    assert executor.status.running == executor.status.queued == 0


async def test_cancelled_calls_are_never_reported() -> None:
    ended: list[str] = []
    started = asyncio.Event()

    @tool
    async def act() -> str:
        """Act."""
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("act")
        return "not reached"

    executor = live(act, sample_tools.add, slots=1)
    inbox = Inbox()
    first, queued, last = invocation(act), invocation(act), invocation(sample_tools.add, a=1)
    executor.dispatch([first, queued, last], inbox.deliver)
    await started.wait()
    executor.cancel([first.key, queued.key, "never/heard/of"])
    (report,) = await inbox.wait_for(1)
    assert report.key == last.key
    assert ended == ["act"]
    await executor.aclose()
    assert len(inbox.reports) == 1


async def test_a_key_under_way_runs_once_and_reports_to_whoever_asked_last() -> None:
    ran = 0
    gate = asyncio.Event()

    @tool
    async def act() -> str:
        """Act."""
        nonlocal ran
        ran += 1
        await gate.wait()
        return "done"

    executor = live(act)
    first, second = Inbox(), Inbox()
    executor.dispatch([invocation(act, "s1/same")], first.deliver)
    executor.dispatch([invocation(act, "s1/same")], second.deliver)
    gate.set()
    await second.wait_for(1)
    assert (ran, first.reports) == (1, [])
    await executor.aclose()


async def test_a_receiver_that_fails_does_not_stop_the_executor(
    executor: LocalToolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(report: ToolReport) -> None:
        raise RuntimeError(report.key)

    executor.dispatch([invocation(sample_tools.add, a=1)], broken)
    assert said(await run(executor, sample_tools.add, a=2)) == "4"
    assert "could not be delivered" in caplog.text


async def test_a_tool_without_code_here_is_unavailable(executor: LocalToolExecutor) -> None:
    definition = external_tool("ask_human", "Ask.", {"type": "object"})
    (report,) = await run_all(executor, invocation(definition))
    assert report.outcome == "unavailable"
    assert "results come from outside" in said(report)


async def test_missing_code_is_unavailable_and_told_to_the_model(executor: LocalToolExecutor) -> None:
    for made in (sample_tools.add, sample_tools.subtract):
        reference = made.definition.reference
        assert reference is not None
        for change in ({"digest": "0" * 32}, {"name": "gone"}, {"module": "gone"}):
            definition = made.definition.model_copy(update={"reference": reference.model_copy(update=change)})
            (report,) = await run_all(executor, invocation(definition, a=1))
            assert report.outcome == "unavailable"
            assert said(report).startswith(f"Tool '{made.name}' is not available: ")


async def test_asynchronous_closures_without_their_objects_are_found_by_their_stored_code() -> None:
    step = 3

    @tool
    async def act(number: int) -> int:
        """Act."""
        return number + step

    blobs = InMemoryBlobs()
    (definition,) = await publish([act], blobs)
    executor = LocalToolExecutor(SMALL, blobs=blobs)
    reports = await run_all(executor, *(invocation(definition, number=number) for number in range(3)))
    assert [said(report) for report in reports] == ["3", "4", "5"]
    await executor.aclose()


async def test_asynchronous_tools_given_as_they_are_share_their_closures() -> None:
    seen: list[int] = []
    here = threading.get_ident()

    @tool
    async def act(number: int) -> bool:
        """Act."""
        seen.append(number)
        return threading.get_ident() == here

    executor = live(act)
    assert said(await run(executor, act, number=7)) == "true"
    assert seen == [7]
    await executor.aclose()


async def test_a_closed_executor_runs_nothing_and_still_reports() -> None:
    executor = live(sample_tools.add)
    await executor.aclose()
    report = await run(executor, sample_tools.add, a=1)
    assert report.outcome == "not_run"
    assert report.result.is_error


async def test_closing_cancels_without_a_report() -> None:
    started = asyncio.Event()

    @tool
    async def act() -> str:
        """Act."""
        started.set()
        await asyncio.Event().wait()
        return "not reached"

    executor = live(act)
    inbox = Inbox()
    executor.dispatch([invocation(act)], inbox.deliver)
    await started.wait()
    await executor.aclose()
    assert inbox.reports == []
    assert executor.status.leaving == 0


def test_a_definition_that_cannot_be_made_says_so_where_it_is_made() -> None:
    with pytest.raises(ToolError, match="not declared idempotent"):
        tool(sample_tools.plain, retries=1)
