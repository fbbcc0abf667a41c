"""Synchronous tools, each in a child process: what they may do to it, and what nobody else notices."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from agent_core.errors import ToolUnavailable
from agent_core.tools import ExecutorOptions, InMemoryBlobs, LocalToolExecutor, publish, tool
from agent_core.tools import processes as children
from tests.core.tools import sample_tools
from tests.core.tools.conftest import SMALL
from tests.core.tools.harness import Inbox, invocation, run, run_all, said


async def written(path: Path) -> str:
    """What a tool wrote into the file, once it has."""
    while not (path.exists() and path.read_text()):
        await asyncio.sleep(0.002)
    return path.read_text()


async def gone(pid: int) -> None:
    """Wait until the process has ended."""
    with suppress(psutil.NoSuchProcess):
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.002)


async def process_of(executor: LocalToolExecutor) -> int:
    return int(said(await run(executor, sample_tools.process_id)))


async def test_a_synchronous_tool_runs_in_another_process_that_stays(executor: LocalToolExecutor) -> None:
    first = await process_of(executor)
    assert first != os.getpid()
    assert await process_of(executor) == first


async def test_its_summary_is_made_there_too(executor: LocalToolExecutor) -> None:
    report = await run(executor, sample_tools.subtract, a=5, b=3)
    assert (said(report), report.result.compact_summary) == ("2", "5 minus 3 is 2")


async def test_its_exceptions_come_back_as_text(executor: LocalToolExecutor) -> None:
    report = await run(executor, sample_tools.fail, message="no such thing")
    assert report.outcome == "exception"
    assert said(report).startswith("Tool 'fail' failed: ValueError: no such thing (sample_tools.py, line ")
    report = await run(executor, sample_tools.leave_politely)
    assert said(report).startswith("Tool 'leave_politely' failed: SystemExit: enough")


async def test_nothing_that_it_prints_gets_in_the_way(executor: LocalToolExecutor) -> None:
    shouted = await run(executor, sample_tools.shout, words="\x01\x02loud\n" * 5_000)
    assert (said(shouted), shouted.outcome) == ("", "ok")
    assert said(await run(executor, sample_tools.echo, text="and on")) == "and on"


async def test_large_inputs_and_outputs_pass(executor: LocalToolExecutor) -> None:
    definition = sample_tools.echo.definition.model_copy(update={"output_limit": 10_000_000})
    (report,) = await run_all(executor, invocation(definition, text="x" * 3_000_000))
    assert said(report) == "x" * 3_000_000


async def test_a_closure_runs_there_by_its_stored_code() -> None:
    step = 3

    @tool
    def act(number: int) -> int:
        """Act."""
        return number + step

    blobs = InMemoryBlobs()
    (definition,) = await publish([act], blobs)
    by_store, given = LocalToolExecutor(SMALL, blobs=blobs), LocalToolExecutor(SMALL, tools=[act])
    for executor in (by_store, given):
        (report,) = await run_all(executor, invocation(definition, number=4))
        assert said(report) == "7"
        await executor.aclose()


async def test_an_async_function_that_is_not_declared_so_runs_there_too(executor: LocalToolExecutor) -> None:
    definition = sample_tools.add.definition.model_copy(update={"asynchronous": False})
    (report,) = await run_all(executor, invocation(definition, a=1))
    assert said(report) == "3"


@pytest.mark.parametrize(
    ("made", "values", "how"),
    [
        (sample_tools.leave, {"code": 7}, "ended by itself with exit code 7"),
        (sample_tools.crash, {}, "killed by signal 11 (SIGSEGV)"),
    ],
)
async def test_a_tool_that_ends_its_process_is_a_failed_call_and_the_next_one_runs(
    executor: LocalToolExecutor, made: object, values: dict[str, int], how: str
) -> None:
    report = await run(executor, made, **values)  # type: ignore[arg-type]
    assert report.outcome == "killed"
    assert report.result.is_error
    assert how in said(report)
    assert said(await run(executor, sample_tools.subtract, a=3)) == "3"


async def test_kill_9_of_the_process_is_told_with_its_likely_cause(executor: LocalToolExecutor, tmp_path: Path) -> None:
    inbox = Inbox()
    call = invocation(sample_tools.wait_for_ever, started=str(tmp_path / "pid"))
    executor.dispatch([call], inbox.deliver)
    os.kill(int(await written(tmp_path / "pid")), signal.SIGKILL)
    (report,) = await inbox.wait_for(1)
    assert report.outcome == "killed"
    assert "signal 9 (SIGKILL), as happens when memory runs out" in said(report)


async def test_the_last_words_of_a_process_are_told_and_only_those_of_its_last_call(
    executor: LocalToolExecutor,
) -> None:
    await run(executor, sample_tools.shout, words="of another call")
    report = await run(executor, sample_tools.crash)
    assert "The last that it wrote:\nFatal Python error: Segmentation fault" in said(report)
    assert "of another call" not in said(report)


async def test_a_process_killed_while_idle_is_replaced(executor: LocalToolExecutor) -> None:
    first = await process_of(executor)
    os.kill(first, signal.SIGKILL)
    while psutil.pid_exists(first):
        await asyncio.sleep(0.002)
    assert await process_of(executor) != first


async def test_a_tool_out_of_time_is_killed(executor: LocalToolExecutor, tmp_path: Path) -> None:
    report = await run(executor, sample_tools.hang, started=str(tmp_path / "pid"))
    assert report.outcome == "timeout"
    assert "was stopped after 0.05 s" in said(report)
    await gone(int((tmp_path / "pid").read_text()))
    assert said(await run(executor, sample_tools.subtract, a=3)) == "3"


async def test_time_for_loading_does_not_count_against_the_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_to_import.py").write_text(
        "import time\nfrom agent_core.tools import tool\ntime.sleep(0.3)\n\n@tool(timeout=0.25)\ndef act() -> str:\n"
        "    return 'in time'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import slow_to_import  # type: ignore[import-not-found]

    executor = LocalToolExecutor(SMALL)
    report = await run(executor, slow_to_import.act)
    assert (said(report), report.outcome) == ("in time", "ok")
    assert report.seconds < 0.25
    await executor.aclose()


async def test_a_module_that_never_ends_to_import_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "hangs_on_import.py").write_text("import threading\nthreading.Event().wait()\n")
    reference = sample_tools.subtract.definition.reference
    assert reference is not None
    changed = reference.model_copy(update={"module": "hangs_on_import"})
    definition = sample_tools.subtract.definition.model_copy(update={"reference": changed})
    sys.path.insert(0, str(tmp_path))
    try:
        executor = LocalToolExecutor(ExecutorOptions(children=1, max_children=1, load_timeout=0.05))
        (report,) = await run_all(executor, invocation(definition, a=1))
        assert report.outcome == "unavailable"
        assert "was not imported within 0.05 s" in said(report)
        await executor.aclose()
    finally:
        sys.path.remove(str(tmp_path))


async def test_a_retried_tool_gets_a_new_process_each_time(executor: LocalToolExecutor, tmp_path: Path) -> None:
    report = await run(executor, sample_tools.hang_until_third, note=str(tmp_path / "note"))
    assert (said(report), report.outcome) == ("third", "ok")
    assert len((tmp_path / "note").read_text().splitlines()) == 3


async def test_s24_cancelling_kills_the_process_and_all_that_it_started(
    executor: LocalToolExecutor, tmp_path: Path
) -> None:
    inbox = Inbox()
    call = invocation(sample_tools.wait_for_ever, started=str(tmp_path / "pids"), grandchild=True)
    executor.dispatch([call], inbox.deliver)
    pids = [int(pid) for pid in (await written(tmp_path / "pids")).split()]
    assert len(pids) == 2
    executor.cancel([call.key])
    for pid in pids:
        await gone(pid)
    assert said(await run(executor, sample_tools.subtract, a=3)) == "3"
    assert inbox.reports == []


async def test_calls_beyond_the_processes_wait_and_run_in_order(tmp_path: Path) -> None:
    executor = LocalToolExecutor(ExecutorOptions(children=1, max_children=1))
    calls = [invocation(sample_tools.echo, text=str(number), note=str(tmp_path / "note")) for number in range(200)]
    inbox = Inbox()
    executor.dispatch(calls, inbox.deliver)
    reports = await inbox.wait_for(200)
    assert [said(report) for report in reports] == [str(number) for number in range(200)]
    assert len((tmp_path / "note").read_text().splitlines()) == 200
    await executor.aclose()


async def test_asynchronous_calls_pass_synchronous_ones_that_wait_for_a_process(tmp_path: Path) -> None:
    executor = LocalToolExecutor(ExecutorOptions(slots=4, children=1, max_children=1))
    inbox = Inbox()
    stuck = [invocation(sample_tools.wait_for_ever, started=str(tmp_path / f"pid{number}")) for number in range(10)]
    executor.dispatch([*stuck, invocation(sample_tools.add, a=1)], inbox.deliver)
    (report,) = await inbox.wait_for(1)
    assert said(report) == "3"
    await executor.aclose()


async def test_the_pool_grows_while_calls_are_stuck_and_shrinks_again(tmp_path: Path) -> None:
    options = ExecutorOptions(children=1, max_children=3, pool_grow_after=0.01, pool_idle_after=0.01)
    executor = LocalToolExecutor(options)
    stuck = [invocation(sample_tools.wait_for_ever, started=str(tmp_path / f"pid{number}")) for number in range(3)]
    executor.dispatch(stuck, Inbox().deliver)
    pids = {int(await written(tmp_path / f"pid{number}")) for number in range(3)}
    assert len(pids) == 3
    executor.cancel([call.key for call in stuck])
    await asyncio.gather(*(run(executor, sample_tools.process_id) for _ in range(3)))
    while executor.status.children_idle + executor.status.children_starting > 1:
        await asyncio.sleep(0.002)
    assert said(await run(executor, sample_tools.subtract, a=3)) == "3"
    await executor.aclose()


async def test_processes_are_ready_before_the_first_call_when_asked_for(executor: LocalToolExecutor) -> None:
    executor.prepare()
    while not executor.status.children_idle:
        await asyncio.sleep(0.002)
    assert executor.status.children_starting == 0


async def test_a_process_that_does_not_come_up_makes_the_tool_unavailable(
    executor: LocalToolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children.sys, "executable", "/no/such/python")
    report = await run(executor, sample_tools.subtract, a=1)
    assert report.outcome == "unavailable"
    assert "no process could be started" in said(report)
    monkeypatch.undo()
    assert said(await run(executor, sample_tools.subtract, a=3)) == "3"


async def test_a_process_that_dies_as_it_starts_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho out of order >&2\nexit 9\n")
    broken.chmod(0o755)
    monkeypatch.setattr(children.sys, "executable", str(broken))
    with pytest.raises(ToolUnavailable, match=r"exit code 9\. The last that it wrote:\nout of order"):
        await children.start_child()


async def test_closing_ends_every_process(executor: LocalToolExecutor, tmp_path: Path) -> None:
    executor.dispatch([invocation(sample_tools.wait_for_ever, started=str(tmp_path / "pid"))], Inbox().deliver)
    pid = int(await written(tmp_path / "pid"))
    await executor.aclose()
    assert not psutil.pid_exists(pid)


PARENT = """
import asyncio, sys
from agent_core.tools import LocalToolExecutor
from tests.core.tools import sample_tools
from tests.core.tools.harness import invocation, live, said

async def main():
    executor = LocalToolExecutor()
    executor.dispatch([invocation(sample_tools.wait_for_ever, started=sys.argv[1], grandchild=True)], print)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_no_process_outlives_a_parent_that_was_killed(tmp_path: Path, repository: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path / "pids")], cwd=repository) as parent:
        pids = [int(pid) for pid in (await written(tmp_path / "pids")).split()]
        parent.kill()
    for pid in pids:
        await gone(pid)


async def test_a_tool_sees_the_environment_and_module_path_of_its_parent(
    executor: LocalToolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "somewhere")

    @tool
    def act() -> dict[str, object]:
        """Act."""
        import os
        import sys

        return {"path": os.environ.get("PYTHONPATH"), "same": sys.path}

    executor.register([act])
    import json

    assert json.loads(said(await run(executor, act))) == {"path": "somewhere", "same": sys.path}
