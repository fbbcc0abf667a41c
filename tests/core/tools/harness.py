"""What every test of the executor does: make an invocation, run it, take the reports."""

import asyncio
from itertools import count
from typing import Any

from agent_core.content import text_of
from agent_core.entries import ToolCall
from agent_core.messages import SessionId, TurnId
from agent_core.ports import ToolExecutor, ToolInvocation, ToolReport
from agent_core.tools import ExecutorOptions, LocalToolExecutor, Tool, ToolDefinition

_numbers = count(1)


def invocation(tool: "Tool[..., Any] | ToolDefinition", key: str | None = None, /, **values: Any) -> ToolInvocation:
    """A call of the tool with these values; its key is new unless it is given."""
    definition = tool if isinstance(tool, ToolDefinition) else tool.definition
    key = key or f"s1/call{next(_numbers)}"
    call = ToolCall(id=key.partition("/")[2], name=definition.name, input=values, idempotent=definition.idempotent)
    return ToolInvocation(key, SessionId("s1"), TurnId("t1"), call, definition)


class Inbox:
    """Takes reports in the order in which they come."""

    def __init__(self) -> None:
        self.reports: list[ToolReport] = []
        self._changed = asyncio.Event()

    def deliver(self, report: ToolReport) -> None:
        self.reports.append(report)
        self._changed.set()

    async def wait_for(self, number: int) -> list[ToolReport]:
        """Every report so far, once there are that many."""
        while len(self.reports) < number:
            self._changed.clear()
            await self._changed.wait()
        return self.reports


def said(report: ToolReport) -> str:
    """The text that the model gets."""
    return text_of(report.result.content)


def live(*tools: "Tool[..., Any]", slots: int = 8) -> LocalToolExecutor:
    """An executor in which these asynchronous tools run as they are; the test closes it."""
    return LocalToolExecutor(ExecutorOptions(slots=slots, children=1, max_children=1, grace=0.05), tools=tools)


async def run_all(executor: ToolExecutor, *calls: ToolInvocation) -> list[ToolReport]:
    """Run the calls together; their reports in the order of the calls."""
    inbox = Inbox()
    executor.dispatch(calls, inbox.deliver)
    by_key = {report.key: report for report in await inbox.wait_for(len(calls))}
    assert len(inbox.reports) == len(by_key) == len(calls)
    return [by_key[call.key] for call in calls]


async def run(executor: ToolExecutor, tool: "Tool[..., Any]", **values: Any) -> ToolReport:
    """Run one call."""
    (report,) = await run_all(executor, invocation(tool, **values))
    return report
