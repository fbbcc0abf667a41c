"""The one retry policy: when a request that failed is made again, and when that is too late.

The rule here: never after something was shown, never past the deadline, never sooner than the provider asked. A
permit is held while an attempt is under way and not while it is waited for the next; waiting for a permit does not
count against the deadline.
"""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Protocol, runtime_checkable

from agent_core.errors import ProviderError
from agent_core.ports import (
    Clock,
    Model,
    ModelEvent,
    ModelRequest,
    Permit,
    PermitWait,
    ResponseStarted,
    RetryScheduled,
    UsageUpdate,
)
from agent_core.providers.deadline import Deadline
from agent_core.providers.errors import timed_out


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential back-off with full jitter: up to `base * 2**n` seconds, at most `cap`, after failure n (from 0)."""

    max_attempts: int = 8
    base: float = 0.5
    cap: float = 30.0

    def delay(self, attempt: int, asked: float | None, random: Random) -> float:
        """Seconds to wait after attempt `attempt` (from 1). `asked` is the provider's own Retry-After, in seconds."""
        jitter = random.uniform(0.0, min(self.cap, self.base * 2 ** (attempt - 1)))
        return jitter + (asked or 0.0)


@dataclass(frozen=True, slots=True)
class RetryingModel:
    """A `Model` over a model: attempts under a permit, within `request.config.timeout` seconds."""

    model: Model
    permit: Permit
    clock: Clock
    random: Random
    policy: RetryPolicy = RetryPolicy()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """See `Model.stream`."""
        config = request.config
        async with Deadline(self.clock, config.timeout) as deadline:
            for number in count(1):
                attempt = _Attempt(number)
                async with AsyncExitStack() as held:
                    hold = self.permit.hold(config.request_class, request.estimate)
                    if self.permit.free:
                        await held.enter_async_context(hold)
                    else:
                        yield PermitWait(waiting=True)
                        with deadline.paused():
                            await held.enter_async_context(hold)
                        yield PermitWait(waiting=False)
                    events = await held.enter_async_context(aclosing(self._events(request, deadline, attempt)))
                    async for event in events:
                        yield event
                if attempt.failure is None:
                    return
                scheduled = self._scheduled(attempt, attempt.failure, deadline)
                yield scheduled
                # Shorter than what is left, as was just checked.
                await self.clock.sleep(scheduled.delay)

    async def aclose(self) -> None:
        """Close the model underneath, if it can be closed."""
        if isinstance(self.model, _Closable):
            await self.model.aclose()

    async def _events(
        self, request: ModelRequest, deadline: Deadline, attempt: "_Attempt"
    ) -> AsyncGenerator[ModelEvent, None]:
        """One attempt. What announces an answer is held back until the answer itself comes, so that it comes once."""
        announced: list[ModelEvent] = []
        try:
            async with aclosing(self.model.stream(request)) as events:
                while (event := await deadline.wait(anext(events, None))) is not None:
                    if not attempt.shown:
                        announced.append(event)
                        if isinstance(event, (ResponseStarted, UsageUpdate)):
                            continue
                        attempt.shown = True
                        for held in announced:
                            yield held
                    else:
                        yield event
        except ProviderError as error:
            attempt.failure = error
        except TimeoutError:
            attempt.failure = timed_out(request.config.provider, request.config.timeout)

    def _scheduled(self, attempt: "_Attempt", failure: ProviderError, deadline: Deadline) -> RetryScheduled:
        """When the next attempt is made. Raises the failure if there is to be none."""
        if not failure.retryable:
            raise failure
        if attempt.shown:
            raise _with(failure, "It was not made again by itself, since part of the answer was shown already.")
        if attempt.number >= self.policy.max_attempts:
            raise _with(failure, f"It was tried {attempt.number} times.")
        delay = self.policy.delay(attempt.number, failure.retry_after, self.random)
        if delay >= deadline.left:
            raise _with(failure, f"It was tried {attempt.number} times, and timeout leaves no time for another.")
        return RetryScheduled(attempt.number, delay, failure)


@dataclass(slots=True)
class _Attempt:
    number: int
    shown: bool = False
    failure: ProviderError | None = None


@runtime_checkable
class _Closable(Protocol):
    async def aclose(self) -> None: ...


def _with(failure: ProviderError, more: str) -> ProviderError:
    message, *rest = failure.args
    return ProviderError(f"{message} {more}", *rest)
