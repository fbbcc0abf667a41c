"""The inside of a tool executor that serves many clients: whose call it is, what was reported, what leaves when.

The rule here: a key runs once, however often it is asked for; its report goes to whoever asked last, and nobody else
can stop it: an owner that is late harms not what the next one has. Reports leave in envelopes: at once while little
happens, together when much does.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Protocol

from agent_core.content import TextBlock
from agent_core.ports import ToolExecutor, ToolInvocation, ToolReport

SPACING = 0.002
"""Seconds from one envelope to the next for the same client."""
REMEMBERED = 10_000
REMEMBERED_CHARACTERS = 32_000_000
"""How many settled calls are remembered, and how much of their text."""

_log = logging.getLogger("rayconteur.tools")


class Reply(Protocol):
    """The way back to one client, such as a handle of its actor."""

    def deliver(self, reports: Sequence[ToolReport]) -> None:
        """Send an envelope of reports on its way. Never blocks."""
        ...


class ToolHost:
    """Runs the calls of many clients on one executor. Every method belongs to the executor's event loop."""

    def __init__(self, executor: ToolExecutor) -> None:
        self._executor = executor
        self._clients: dict[str, _Client] = {}
        self._settled = _Settled()
        self._askers: dict[str, str] = {}
        self._refused: OrderedDict[tuple[str, str], None] = OrderedDict()

    @property
    def clients(self) -> int:
        """How many clients are attached or have sent calls."""
        return len(self._clients)

    def attach(self, client: str, reply: Reply) -> None:
        """Give a client its way back; reports that waited for one leave."""
        self._client(client).attach(reply)

    def detach(self, client: str) -> None:
        """Forget a client. Its calls run on, and are reported to whoever asks for their keys again."""
        self._clients.pop(client, None)

    def run(self, client: str, calls: Sequence[ToolInvocation]) -> None:
        """Start calls. One that is under way is not started again, of one that has settled the report is sent again."""
        new: list[ToolInvocation] = []
        for call in calls:
            if (report := self._settled.report(call.key)) is not None:
                self._client(client).put(report)
            elif (client, call.key) in self._refused:
                del self._refused[client, call.key]
            else:
                self._askers[call.key] = client
                new.append(call)
        if new:
            self._executor.dispatch(new, partial(self._report, client))

    def cancel(self, client: str, keys: Sequence[str]) -> None:
        """Stop calls of this client's, and start none that arrives late. Nothing is reported for them any more.

        A call that another client has asked for since runs on for that one.
        """
        for key in keys:
            if key not in self._askers and self._settled.report(key) is None:
                self._refused[client, key] = None
        while len(self._refused) > REMEMBERED:
            self._refused.popitem(last=False)
        stopped = [key for key in keys if self._askers.get(key) == client]
        for key in stopped:
            del self._askers[key]
        self._executor.cancel(stopped)

    def _report(self, client: str, report: ToolReport) -> None:
        self._askers.pop(report.key, None)
        self._settled.add(report.key, report)
        self._client(client).put(report)

    def _client(self, name: str) -> "_Client":
        known = self._clients.get(name)
        if known is None:
            known = self._clients[name] = _Client(name)
        return known


class _Client:
    """One client: its way back and the reports that wait for it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._reply: Reply | None = None
        self._reports: list[ToolReport] = []
        self._scheduled = False
        self._sent = 0.0

    def attach(self, reply: Reply) -> None:
        self._reply = reply
        self._schedule()

    def put(self, report: ToolReport) -> None:
        self._reports.append(report)
        self._schedule()

    def _schedule(self) -> None:
        if self._scheduled or self._reply is None or not self._reports:
            return
        self._scheduled = True
        wait = self._sent + SPACING - self._loop.time()
        if wait > 0.0:
            self._loop.call_later(wait, self._flush)
        else:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        reply, reports = self._reply, self._reports
        if reply is None or not reports:
            return
        self._reports = []
        self._sent = self._loop.time()
        try:
            reply.deliver(reports)
        except Exception:  # noqa: BLE001 - one client's way back is not another's
            _log.exception(
                "%d reports could not be sent to %s; it gets them when it asks again", len(reports), self._name
            )


class _Settled:
    """The reports of the newest keys that are over."""

    def __init__(self) -> None:
        self._reports: OrderedDict[str, ToolReport] = OrderedDict()
        self._characters = 0

    def report(self, key: str) -> ToolReport | None:
        return self._reports.get(key)

    def add(self, key: str, report: ToolReport) -> None:
        self._reports[key] = report
        self._characters += _size(report)
        while len(self._reports) > REMEMBERED or self._characters > REMEMBERED_CHARACTERS:
            _, oldest = self._reports.popitem(last=False)
            self._characters -= _size(oldest)


def _size(report: ToolReport) -> int:
    content = report.result.content
    if isinstance(content, str):
        return len(content)
    return sum(len(block.text) if isinstance(block, TextBlock) else len(block.data or "") for block in content)
