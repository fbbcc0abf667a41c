"""The tool executor actor on a real cluster: whatever a tool does, its call is answered and the others go on."""

import asyncio
import contextlib
import os
import pickle
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from ray.exceptions import RayActorError

from actors.tool_executor import ToolExecutorActor
from agent_core.content import text_of
from agent_core.ports import ToolInvocation, ToolReport
from agent_core.tools import ExecutorOptions, InMemoryBlobs, publish, tool
from tests.core.tools import sample_tools
from tests.core.tools.harness import invocation

pytestmark = pytest.mark.usefixtures("cluster")

OPTIONS = ExecutorOptions(slots=64, children=1, max_children=2, grace=0.05)


class ClientActor:
    """A client as a session actor is one: gets envelopes of reports."""

    def __init__(self) -> None:
        self._envelopes: list[list[ToolReport]] = []
        self._changed = asyncio.Event()

    async def settle(self, reports: Sequence[ToolReport]) -> None:
        """Take an envelope."""
        self._envelopes.append(list(reports))
        self._changed.set()

    async def wait_for(self, number: int) -> list[list[ToolReport]]:
        """All envelopes, once they hold that many reports."""
        while sum(map(len, self._envelopes)) < number:
            self._changed.clear()
            await self._changed.wait()
        return self._envelopes


class Client:
    """A client actor, and the executor that it is attached to."""

    def __init__(self, executor: Any) -> None:
        self.executor = executor
        self.actor: Any = ray.remote(ClientActor).options(num_cpus=0).remote()

    async def attach(self) -> None:
        await self.executor.attach.remote("client", self.actor)

    def end(self) -> None:
        ray.kill(self.executor)
        ray.kill(self.actor)

    def send(self, *calls: ToolInvocation) -> None:
        self.executor.run.remote("client", list(calls))

    async def reports(self, number: int) -> list[ToolReport]:
        return [report for envelope in await self.actor.wait_for.remote(number) for report in envelope]

    async def run(self, *calls: ToolInvocation) -> list[ToolReport]:
        """Send calls and wait until there are as many reports, in the order of their coming."""
        self.send(*calls)
        return await self.reports(len(calls))


async def attached(options: ExecutorOptions, **named: Any) -> Client:
    made = ray.remote(ToolExecutorActor).options(num_cpus=0, max_concurrency=1000)
    client = Client(made.remote("test", options, **named))
    await client.attach()
    return client


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """A client attached to an executor of its own; both end with the test."""
    made = await attached(OPTIONS)
    yield made
    made.end()


def said(report: ToolReport) -> str:
    return text_of(report.result.content)


async def written(path: Path) -> str:
    while not (path.exists() and path.read_text()):
        await asyncio.sleep(0.005)
    return path.read_text()


async def gone(pid: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.005)


async def test_calls_run_in_the_actor_and_its_children_and_are_reported_one_way(client: Client) -> None:
    actor = await client.executor.ping.remote()
    reports = await client.run(
        invocation(sample_tools.describe, "s1/c1", point={"x": 1}), invocation(sample_tools.process_id)
    )
    by_outcome = {report.key: said(report) for report in reports}
    assert '"key":"s1/c1"' in by_outcome.pop("s1/c1")
    (child,) = by_outcome.values()
    assert psutil.Process(int(child)).ppid() == actor
    assert actor != os.getpid()


async def test_thousands_of_calls_come_back_once_each_in_few_envelopes(client: Client) -> None:
    calls = [invocation(sample_tools.add, a=number, b=0) for number in range(3_000)]
    for at in range(0, 3_000, 100):
        client.executor.run.remote("client", pickle.dumps(calls[at : at + 100]))
    numbers = [int(said(report)) for report in await client.reports(3_000)]
    assert sorted(numbers) == list(range(3_000))
    envelopes = await client.actor.wait_for.remote(3_000)
    assert len(envelopes) <= 3_000 / 10


async def test_results_come_as_they_settle_and_a_slow_tool_holds_none_back(client: Client, tmp_path: Path) -> None:
    slow = invocation(sample_tools.wait_for_ever, started=str(tmp_path / "pid"))
    quick = [invocation(sample_tools.add, a=number) for number in range(3)]
    client.send(slow, *quick)
    assert [report.key for report in await client.reports(3)] == [call.key for call in quick]


@pytest.mark.parametrize(
    ("made", "values", "outcome"),
    [
        (sample_tools.leave, {"code": 3}, "killed"),
        (sample_tools.crash, {}, "killed"),
        (sample_tools.hang, {}, "timeout"),
        (sample_tools.sleep_for_ever, {}, "timeout"),
        (sample_tools.fail, {"message": "no"}, "exception"),
        (sample_tools.add, {"a": "one"}, "bad_input"),
    ],
)
async def test_a_failed_tool_is_data_and_the_executor_lives_on(
    client: Client, made: Any, values: dict[str, Any], outcome: str
) -> None:
    before = await client.executor.ping.remote()
    (report,) = await client.run(invocation(made, **values))
    assert (report.outcome, report.result.is_error) == (outcome, True)
    client.send(invocation(sample_tools.add, a=1))
    assert said((await client.reports(2))[1]) == "3"
    assert await client.executor.ping.remote() == before


async def test_kill_9_of_a_child_fails_its_call_and_no_other(client: Client, tmp_path: Path) -> None:
    client.send(
        invocation(sample_tools.wait_for_ever, "s1/victim", started=str(tmp_path / "victim")),
        invocation(sample_tools.wait_for_ever, "s1/other", started=str(tmp_path / "other")),
    )
    victim, other = int(await written(tmp_path / "victim")), int(await written(tmp_path / "other"))
    os.kill(victim, signal.SIGKILL)
    (report,) = await client.reports(1)
    assert (report.key, report.outcome) == ("s1/victim", "killed")
    assert psutil.pid_exists(other)


async def test_s24_cancelled_calls_end_and_are_not_reported(client: Client, tmp_path: Path) -> None:
    client.send(invocation(sample_tools.wait_for_ever, "s1/stop", started=str(tmp_path / "pid")))
    child = int(await written(tmp_path / "pid"))
    await client.executor.cancel.remote("client", ["s1/stop", "s1/late"])
    await gone(child)
    client.send(invocation(sample_tools.add, "s1/late", a=1), invocation(sample_tools.add, "s1/next", a=1))
    (report,) = await client.reports(1)
    assert report.key == "s1/next"


async def test_a_key_runs_once_however_often_it_is_sent(client: Client, tmp_path: Path) -> None:
    note = tmp_path / "note"
    call = invocation(sample_tools.echo, "s1/once", text="done", note=str(note))
    client.send(call)
    client.send(call)
    await client.reports(1)
    client.send(call)
    reports = await client.reports(2)
    assert {said(report) for report in reports} == {"done"}
    assert note.read_text() == "ran\n"


async def test_a_tool_that_ignores_its_cancellation_is_reported_and_left_behind() -> None:
    @tool(timeout=0.02)
    async def stubborn() -> str:
        """Act."""
        import asyncio

        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue

    blobs = InMemoryBlobs()
    (definition,) = await publish([stubborn], blobs)
    client = await attached(OPTIONS, blobs=blobs)
    (report,) = await client.run(invocation(definition))
    assert report.outcome == "timeout"
    assert "may still be running" in said(report)
    status = await client.executor.status.remote()
    assert (status["leaving"], status["running"], status["outcomes"]) == (1, 0, {"timeout": 1})
    client.end()


async def test_a_tool_that_blocks_the_loop_ends_the_executor_and_its_clients_hear_of_it() -> None:
    client = await attached(OPTIONS, stall_timeout=0.5)
    closed = asyncio.ensure_future(client.executor.wait_closed.remote())
    client.send(invocation(sample_tools.block_the_loop, seconds=600))
    with pytest.raises(RayActorError):
        await closed


async def test_a_loop_that_is_busy_but_not_blocked_lives() -> None:
    client = await attached(OPTIONS, stall_timeout=0.5)
    (report,) = await client.run(invocation(sample_tools.block_the_loop, seconds=0.1))
    assert report.outcome in {"ok", "timeout"}
    assert await client.executor.ping.remote()
    client.end()


async def test_kill_9_of_the_executor_ends_its_children_and_is_heard_of(client: Client, tmp_path: Path) -> None:
    closed = asyncio.ensure_future(client.executor.wait_closed.remote())
    client.send(invocation(sample_tools.wait_for_ever, started=str(tmp_path / "pids"), grandchild=True))
    pids = [int(pid) for pid in (await written(tmp_path / "pids")).split()]
    os.kill(await client.executor.ping.remote(), signal.SIGKILL)
    with pytest.raises(RayActorError):
        await closed
    for pid in pids:
        await gone(pid)


async def test_closing_ends_the_children(client: Client) -> None:
    (report,) = await client.run(invocation(sample_tools.process_id))
    await client.executor.close.remote()
    await gone(int(said(report)))


def test_its_name_is_what_the_dashboard_shows() -> None:
    assert repr(ToolExecutorActor("tools-1")) == "ToolExecutor(tools-1)"
