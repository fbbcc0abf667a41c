"""What the server saw: counters, and the last requests in a ring bounded by number and by bytes.

The rule here: no credential is ever kept, only the few headers named below.
"""

import asyncio
import json
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent_core.scripted.wire import Json, Wire

KEPT_HEADERS = (
    "anthropic-beta",
    "anthropic-version",
    "idempotency-key",
    "user-agent",
    "x-stainless-retry-count",
)


@dataclass(slots=True)
class RequestRecord:
    """One request; with `summary`, one for a summary. `status` is 0 until it is answered; `outcome` says how it ended.

    Outcomes: `answered`, `invalid` (`reason` says why), `fault` (an HTTP error on purpose), `cut`, `stalled`,
    `stream_error`, `dropped`, `left` (the client went away), `crashed` (a callable brain raised).
    """

    number: int
    wire: Wire | None
    path: str
    raw: bytes
    headers: dict[str, str] = field(default_factory=dict[str, str])
    model: str = ""
    session: str | None = None
    stream: bool = False
    summary: bool = False
    status: int = 0
    outcome: str = ""
    reason: str = ""

    @property
    def body(self) -> Any:
        """The request's JSON, None if it was none."""
        try:
            return json.loads(self.raw)
        except ValueError:
            return None

    def public(self) -> Json:
        """The record as JSON."""
        names = (
            "number",
            "wire",
            "path",
            "model",
            "session",
            "stream",
            "summary",
            "status",
            "outcome",
            "reason",
            "headers",
            "body",
        )
        return {name: getattr(self, name) for name in names}


@dataclass(slots=True)
class Stats:
    """Counters since the start or the last reset.

    `invalid` counts refusals by reason, `notices` what was let pass but is worth telling, `summaries` the answers that
    are one and `spoils` what has gone wrong with these.
    """

    requests: int = 0
    in_flight: int = 0
    max_concurrent: int = 0
    stalled: int = 0
    by_wire: Counter[str] = field(default_factory=Counter[str])
    by_status: Counter[str] = field(default_factory=Counter[str])
    outcomes: Counter[str] = field(default_factory=Counter[str])
    invalid: Counter[str] = field(default_factory=Counter[str])
    faults: Counter[str] = field(default_factory=Counter[str])
    notices: Counter[str] = field(default_factory=Counter[str])
    summaries: int = 0
    spoils: Counter[str] = field(default_factory=Counter[str])
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0

    def public(self) -> Json:
        """The counters as JSON."""
        values = {name: getattr(self, name) for name in _NAMES}
        return {name: value if isinstance(value, int) else dict(value) for name, value in values.items()}


_NAMES = tuple(Stats.__dataclass_fields__)


class Recorder:
    """Keeps the counters and the ring, and wakes those who wait for a state of them."""

    def __init__(self, maximum: int = 1_000, maximum_bytes: int = 64 * 1024 * 1024) -> None:
        self.stats = Stats()
        self._ring: deque[RequestRecord] = deque()
        self._maximum = maximum
        self._maximum_bytes = maximum_bytes
        self._bytes = 0
        self._number = 0
        self._waiters: list[tuple[Callable[[Stats], bool], asyncio.Future[None]]] = []

    @property
    def requests(self) -> list[RequestRecord]:
        """The records that are kept, oldest first."""
        return list(self._ring)

    def begin(self, wire: Wire | None, path: str, raw: bytes, headers: Mapping[str, str]) -> RequestRecord:
        """Counts a request in and keeps it."""
        self._number += 1
        kept = {name: headers[name] for name in KEPT_HEADERS if name in headers}
        record = RequestRecord(self._number, wire, path, raw, kept)
        stats = self.stats
        stats.requests += 1
        stats.in_flight += 1
        stats.max_concurrent = max(stats.max_concurrent, stats.in_flight)
        stats.by_wire[wire or "other"] += 1
        self._ring.append(record)
        self._bytes += len(raw)
        while len(self._ring) > self._maximum or (self._bytes > self._maximum_bytes and len(self._ring) > 1):
            self._bytes -= len(self._ring.popleft().raw)
        self._wake()
        return record

    def end(self, record: RequestRecord, outcome: str) -> None:
        """Counts a request out; the first outcome stands."""
        record.outcome = record.outcome or outcome
        stats = self.stats
        stats.in_flight -= 1
        stats.by_status[str(record.status)] += 1
        stats.outcomes[record.outcome] += 1
        if record.outcome == "invalid":
            stats.invalid[record.reason] += 1
        self._wake()

    def changed(self) -> None:
        """Tells waiters that a counter changed."""
        self._wake()

    def reset(self) -> None:
        """Forgets everything but the requests in flight, whose end is still counted."""
        in_flight, stalled = self.stats.in_flight, self.stats.stalled
        self.stats = Stats(in_flight=in_flight, max_concurrent=in_flight, stalled=stalled)
        self._ring.clear()
        self._bytes = 0
        self._wake()

    async def wait_for(self, condition: Callable[[Stats], bool]) -> None:
        """Returns once `condition` holds for the counters; it is asked again whenever one changes."""
        if condition(self.stats):
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (condition, future)
        self._waiters.append(entry)
        try:
            await future
        finally:
            self._waiters.remove(entry)

    def _wake(self) -> None:
        for condition, future in self._waiters:
            if not future.done() and condition(self.stats):
                future.set_result(None)
