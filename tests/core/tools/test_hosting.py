"""What an executor with many clients remembers, and in which envelopes it answers."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from agent_core.content import ToolResultBlock
from agent_core.ports import ToolInvocation, ToolReport
from agent_core.tools import hosting
from agent_core.tools.hosting import ToolHost
from tests.core.tools import sample_tools
from tests.core.tools.harness import invocation


class HeldExecutor:
    """Holds every call until the test settles it."""

    def __init__(self) -> None:
        self.calls: dict[str, Callable[[ToolReport], None]] = {}
        self.ran: list[str] = []
        self.cancelled: list[str] = []

    def dispatch(self, calls: Sequence[ToolInvocation], deliver: Callable[[ToolReport], None]) -> None:
        for call in calls:
            if call.key not in self.calls:
                self.ran.append(call.key)
            self.calls[call.key] = deliver

    def cancel(self, keys: Sequence[str]) -> None:
        self.cancelled.extend(keys)
        for key in keys:
            self.calls.pop(key, None)

    def settle(self, key: str, text: str = "done") -> None:
        self.calls.pop(key)(ToolReport(key, ToolResultBlock(tool_use_id=key, content=text), "ok"))


class Mailbox:
    """One client's way back."""

    def __init__(self, *, broken: bool = False) -> None:
        self.envelopes: list[list[str]] = []
        self.broken = broken
        self.came = asyncio.Event()

    def deliver(self, reports: Sequence[ToolReport]) -> None:
        self.envelopes.append([report.key for report in reports])
        self.came.set()
        if self.broken:
            raise ConnectionError("gone")

    async def next(self) -> list[str]:
        await self.came.wait()
        self.came.clear()
        return self.envelopes[-1]


@pytest.fixture
def executor() -> HeldExecutor:
    return HeldExecutor()


@pytest.fixture
async def host(executor: HeldExecutor) -> ToolHost:
    return ToolHost(executor)


def calls(*keys: str) -> list[ToolInvocation]:
    return [invocation(sample_tools.add, key, a=1) for key in keys]


async def test_reports_that_settle_together_leave_in_one_envelope(host: ToolHost, executor: HeldExecutor) -> None:
    box = Mailbox()
    host.attach("one", box)
    host.run("one", calls("a", "b", "c", "d"))
    executor.settle("b")
    executor.settle("a")
    assert await box.next() == ["b", "a"]
    executor.settle("d")
    assert await box.next() == ["d"]


async def test_each_client_gets_its_own_reports(host: ToolHost, executor: HeldExecutor) -> None:
    one, two = Mailbox(), Mailbox()
    host.attach("one", one)
    host.attach("two", two)
    host.run("one", calls("a"))
    host.run("two", calls("b"))
    executor.settle("b")
    executor.settle("a")
    assert (await one.next(), await two.next()) == (["a"], ["b"])


async def test_reports_wait_for_a_client_that_is_not_attached_yet(host: ToolHost, executor: HeldExecutor) -> None:
    host.run("one", calls("a"))
    executor.settle("a")
    box = Mailbox()
    host.attach("one", box)
    assert await box.next() == ["a"]


async def test_a_key_that_was_reported_is_reported_again_and_not_run_again(
    host: ToolHost, executor: HeldExecutor
) -> None:
    box = Mailbox()
    host.attach("one", box)
    host.run("one", calls("a"))
    executor.settle("a")
    await box.next()
    host.run("one", calls("a"))
    assert await box.next() == ["a"]
    assert executor.ran == ["a"]


async def test_a_key_under_way_is_reported_to_the_client_that_asked_last(
    host: ToolHost, executor: HeldExecutor
) -> None:
    one, two = Mailbox(), Mailbox()
    host.attach("one", one)
    host.attach("two", two)
    host.run("one", calls("a"))
    host.run("two", calls("a"))
    executor.settle("a")
    assert await two.next() == ["a"]
    assert one.envelopes == []
    assert executor.ran == ["a"]


async def test_a_cancelled_key_is_stopped_and_one_that_comes_late_is_not_started(
    host: ToolHost, executor: HeldExecutor
) -> None:
    box = Mailbox()
    host.attach("one", box)
    host.run("one", calls("a"))
    host.cancel("one", ["a", "late"])
    host.run("one", calls("late", "other"))
    executor.settle("other")
    assert await box.next() == ["other"]
    assert executor.cancelled == ["a"]
    assert executor.ran == ["a", "other"]


async def test_what_a_former_owner_cancels_runs_for_the_next_one_in_whatever_order_they_come(
    host: ToolHost, executor: HeldExecutor
) -> None:
    box = Mailbox()
    host.attach("two", box)
    for key in "ab":
        host.run("one", calls(key))
    host.run("two", calls("a"))
    host.cancel("one", ["a", "b", "late"])
    host.run("two", calls("b", "late"))
    host.run("one", calls("late"))
    for key in ("a", "b", "late"):
        executor.settle(key)
    came: list[str] = []
    while len(came) < 3:
        came += await box.next()
    assert came == ["a", "b", "late"]
    assert executor.ran == ["a", "b", "b", "late"]
    assert executor.cancelled == ["b"]


async def test_cancelling_a_key_that_was_reported_does_not_lose_its_report(
    host: ToolHost, executor: HeldExecutor
) -> None:
    box = Mailbox()
    host.attach("one", box)
    host.run("one", calls("a"))
    executor.settle("a")
    host.cancel("one", ["a"])
    host.run("one", calls("a"))
    while sum(map(len, box.envelopes)) < 2:
        await box.next()
    assert executor.ran == ["a"]


async def test_only_the_newest_keys_and_so_much_text_are_remembered(
    host: ToolHost, executor: HeldExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosting, "REMEMBERED", 3)
    monkeypatch.setattr(hosting, "REMEMBERED_CHARACTERS", 100)
    for key in "abcd":
        host.run("one", calls(key))
        executor.settle(key)
    host.run("one", calls("a", "d"))
    assert executor.ran == ["a", "b", "c", "d", "a"]
    executor.settle("a", "x" * 101)
    host.run("one", calls("d", "a"))
    assert executor.ran[-2:] == ["d", "a"]


async def test_a_client_that_cannot_be_reached_gets_its_reports_when_it_asks_again(
    host: ToolHost, executor: HeldExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    broken, mended = Mailbox(broken=True), Mailbox()
    host.attach("one", broken)
    host.run("one", calls("a"))
    executor.settle("a")
    await broken.next()
    host.attach("one", mended)
    host.run("one", calls("a"))
    assert await mended.next() == ["a"]
    assert "1 reports could not be sent to one" in caplog.text


async def test_a_client_that_left_is_forgotten(host: ToolHost, executor: HeldExecutor) -> None:
    box = Mailbox()
    host.attach("one", box)
    host.detach("one")
    assert host.clients == 0
    host.run("one", calls("a"))
    executor.settle("a")
    host.attach("one", box)
    assert await box.next() == ["a"]
