"""Attended sessions: what an agent is handed. Each message it sends bears a key, and the sample's limits hold.

The rule here: the nth message of an agent has the nth key, so an agent that is run again after a loss gets the answers
that it got, unpaid. A limit ends the open turn, and every further message is refused with the same error.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from agent_core.cursor import Event
from agent_core.entries import Complete, FromLLMPayload
from agent_core.errors import ConfigError, ErrorInfo, SessionError
from agent_core.evaluation.limits import Limit, SampleLimits
from agent_core.evaluation.program import ASKED
from agent_core.messages import Message, TurnId, Usage
from agent_core.payloads import Retrying, StatusChanged, ToolResults, When
from agent_core.ports import Clock
from agent_core.session_protocol import Input, Session

RATE_LIMITED = 429


class Counters:
    """What the sessions of a worker met: requests that were made again, and those refused because of their rate."""

    def __init__(self) -> None:
        self.retried = 0
        self.rate_limited = 0


class LimitHit(SessionError):
    """A sample's limit was hit. `limit` says which."""

    def __init__(self, message: str = "", limit: Limit = "turns") -> None:
        super().__init__(message, "sample_limit")
        self.args = (message, limit)
        self.limit: Limit = limit


class Watch:
    """Looks at the facts of one session, and says which limit was hit first.

    `price` gives US dollars of some usage; `on_limit` is called once, `on_first` when the model says its first word.
    """

    def __init__(
        self,
        limits: SampleLimits,
        clock: Clock,
        counters: Counters,
        price: Callable[[Usage], float | None],
        on_first: Callable[[], None] | None = None,
    ) -> None:
        self._limits, self._clock, self._counters, self._price = limits, clock, counters, price
        self._on_first = on_first
        self._usage = Usage()
        self._waiting_since: float | None = None
        self._messages = 0
        self.turns = 0
        self.waited = 0.0
        self.hit: Limit | None = None
        self.on_limit: Callable[[], None] = lambda: None

    def event(self, event: Event | None) -> None:
        """Take what the session says: facts, and what passes by."""
        if event is None:
            return
        payload = event.payload
        if self._on_first is not None and payload.kind in {"text_chunk", "thinking_chunk", "complete"}:
            self._on_first, on_first = None, self._on_first
            on_first()
        match payload:
            case Complete():
                self._usage += payload.message.usage
                self._messages += 1 + (payload.stop_reason == "tool_use")
                self._check()
            case Retrying():
                self._counters.retried += 1
                self._counters.rate_limited += payload.error.status == RATE_LIMITED
                self.waited += payload.delay
            case StatusChanged():
                self._waits(payload.state == "awaiting_permit")
            case _:
                pass

    def _waits(self, begun: bool) -> None:  # noqa: FBT001 - private, and said where it is called
        now = self._clock.now()
        if self._waiting_since is not None:
            self.waited += now - self._waiting_since
        self._waiting_since = now if begun else None

    def asked(self) -> None:
        """A message is about to be sent. Raises LimitHit if it may not."""
        self.turns += 1
        self._messages += 1
        limit = self._limits.turns
        if limit is not None and self.turns > limit:
            self.hits("turns")
        elif self._limits.messages is not None and self._messages > self._limits.messages:
            self.hits("messages")
        self.check()

    def check(self) -> None:
        """Raise LimitHit if a limit was hit."""
        if self.hit is not None:
            raise LimitHit(f"The sample's limit of {self.hit.replace('_', ' ')} was hit.", self.hit)

    def _check(self) -> None:
        limits = self._limits
        if limits.tokens is not None and self._usage.context_tokens > limits.tokens:
            self.hits("tokens")
        elif limits.messages is not None and self._messages > limits.messages:
            self.hits("messages")
        elif limits.cost is not None and (self._price(self._usage) or 0.0) > limits.cost:
            self.hits("cost")

    def hits(self, limit: Limit) -> None:
        """The limit was hit, and what is open ends."""
        if self.hit is None:
            self.hit = limit
            self.on_limit()


Opening = Callable[[int, Sequence[Message]], Awaitable[Session]]
"""Opens the nth branch (from 1) of a sample's session: one with the same settings that begins with this history."""


class AttendedSession:
    """A session as an agent has it: `Session`, with keys and limits, and with branches if `opening` opens them."""

    def __init__(self, session: Session, watch: Watch, opening: Opening | None = None) -> None:
        self._session, self._watch, self._opening = session, watch, opening
        self._sent = 0
        self._ending: asyncio.Task[bool] | None = None
        watch.on_limit = self._end_turn

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    async def branch(self, number: int, history: Sequence[Message]) -> Session:
        """Open another session for the same sample, to ask beside the conversation or with another past.

        It is the nth, from 1, and the same one again when the agent is run again. The sample's limits count what is
        said in it. Raises what opening a session raises, ConfigError where none can be opened.
        """
        if self._opening is None:
            raise ConfigError("This session has no branches. Run the task with: python -m drivers.evaluate.")
        end_others = self._watch.on_limit
        branch = AttendedSession(await self._opening(number, history), self._watch, self._opening)

        def end_all() -> None:
            end_others()
            branch._end_turn()

        self._watch.on_limit = end_all
        return cast("Session", branch)

    def _end_turn(self) -> None:
        # The limit is noticed inside the session's own step, which has to be over before the turn can be ended.
        self._ending = asyncio.get_running_loop().create_task(self._session.interrupt("keep"))
        self._ending.add_done_callback(_seen)

    def _key(self, message: Input, key: str | None) -> str | None:
        if isinstance(message, ToolResults):
            return key
        self._watch.asked()
        self._sent += 1
        return key or (ASKED if self._sent == 1 else f"{ASKED}-{self._sent}")

    async def submit(self, message: Input, *, when: When = "after", key: str | None = None) -> TurnId:
        return await self._session.submit(message, when=when, key=self._key(message, key))

    async def ask(self, message: Input, *, when: When = "after", key: str | None = None) -> str:
        try:
            answer = await self._session.ask(message, when=when, key=self._key(message, key))
        except SessionError:
            self._watch.check()
            raise
        self._watch.check()
        return answer

    async def send(
        self, message: Input, *, when: When = "after", key: str | None = None
    ) -> AsyncIterator[FromLLMPayload]:
        async for payload in self._session.send(message, when=when, key=self._key(message, key)):
            yield payload
        self._watch.check()


@asynccontextmanager
async def working_time(seconds: float | None, watch: Watch, scope: asyncio.Timeout) -> AsyncGenerator[None]:
    """End `scope` as expired once it has worked for so many seconds: what was waited for permits does not count."""
    if seconds is None:
        yield
        return
    timer = asyncio.create_task(_work_for(seconds, watch, scope))
    try:
        yield
    finally:
        timer.cancel()


async def _work_for(seconds: float, watch: Watch, scope: asyncio.Timeout) -> None:
    counted, left = 0.0, seconds
    while left > 0:
        await asyncio.sleep(left)
        left, counted = watch.waited - counted, watch.waited
    watch.hits("working_time")
    scope.reschedule(asyncio.get_running_loop().time())


def _seen(task: "asyncio.Task[bool]") -> None:
    """The turn may have ended by itself meanwhile."""
    if not task.cancelled():
        task.exception()


def limit_error(limit: Limit) -> ErrorInfo:
    """What a result says of a limit of its sample."""
    return LimitHit(f"The sample's limit of {limit.replace('_', ' ')} was hit.", limit).info()
