"""When a failed request is made again, and when not. Time stands still but for what a test lets pass."""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core.errors import TRANSIENT, ProviderError
from agent_core.messages import Usage
from agent_core.ports import (
    ModelEvent,
    ModelRequest,
    PermitWait,
    ResponseStarted,
    ResponseStopped,
    RetryScheduled,
    TextDelta,
    UsageUpdate,
)
from agent_core.providers.permit import LocalPermit
from agent_core.providers.retry import RetryingModel, RetryPolicy
from agent_core.testing import ManualClock
from tests.core.providers.making import config, request, settle

STARTED = ResponseStarted("msg_1", "m")
USAGE = UsageUpdate(Usage(input_tokens=1))
HELLO = TextDelta(0, "Hello")
STOPPED = ResponseStopped("end_turn")
WHOLE = (STARTED, USAGE, HELLO, STOPPED)

Attempt = Sequence[ModelEvent | ProviderError | float]


class Attempts:
    """A model that plays one attempt after another: events, an error to raise, or seconds to let pass first."""

    def __init__(self, clock: ManualClock, *attempts: Attempt) -> None:
        self._clock = clock
        self._attempts = list(attempts)
        self.made = 0
        self.open = 0

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        steps = self._attempts[self.made]
        self.made += 1
        self.open += 1
        try:
            for step in steps:
                if isinstance(step, ProviderError):
                    raise step
                if isinstance(step, (float, int)):
                    await self._clock.sleep(step)
                else:
                    yield step
        finally:
            self.open -= 1


class Play:
    """A retrying model over some attempts, and what came of reading it."""

    def __init__(self, *attempts: Attempt, max_concurrent: int = 1, policy: RetryPolicy | None = None) -> None:
        self.clock = ManualClock()
        self.attempts = Attempts(self.clock, *attempts)
        self.permit = LocalPermit(max_concurrent)
        self.model = RetryingModel(self.attempts, self.permit, self.clock, random.Random(7), policy or RetryPolicy())
        self.events: list[ModelEvent] = []

    async def read(self, seconds: float = 600.0) -> None:
        asked = request(config("openai/gpt-5", timeout=seconds))
        async with aclosing(self.model.stream(asked)) as events:
            async for event in events:
                self.events.append(event)

    async def run(self, seconds: float = 600.0) -> ProviderError | None:
        """Read to the end while time passes as it is slept for; the error that ended it."""
        task = asyncio.create_task(self.read(seconds))
        await settle()
        while not task.done():
            self.clock.advance(0.05)
            await settle()
        return task.exception()  # type: ignore[return-value]

    @property
    def retries(self) -> list[RetryScheduled]:
        return [event for event in self.events if isinstance(event, RetryScheduled)]

    @property
    def answer(self) -> tuple[ModelEvent, ...]:
        return tuple(event for event in self.events if not isinstance(event, (RetryScheduled, PermitWait)))


def failure(kind: str = "overloaded", after: float | None = None) -> ProviderError:
    return ProviderError("It failed.", kind, 529, retry_after=after)  # type: ignore[arg-type]


async def test_an_answer_passes_through_as_it_is() -> None:
    play = Play(WHOLE)
    assert await play.run() is None
    assert tuple(play.events) == WHOLE


@pytest.mark.parametrize("kind", sorted(TRANSIENT))
async def test_a_passing_failure_is_tried_again_and_the_answer_begins_once(kind: str) -> None:
    play = Play((STARTED, USAGE, failure(kind)), (failure(kind),), WHOLE)
    assert await play.run() is None
    assert play.answer == WHOLE
    assert [retry.attempt for retry in play.retries] == [1, 2]
    assert [retry.error.kind for retry in play.retries] == [kind, kind]


@pytest.mark.parametrize("kind", ["authentication", "bad_request", "context_too_long"])
async def test_a_failure_that_lasts_is_told_at_once(kind: str) -> None:
    play = Play((failure(kind),), WHOLE)
    error = await play.run()
    assert error is not None
    assert error.kind == kind
    assert play.attempts.made == 1


async def test_s27_nothing_is_tried_again_once_something_was_shown() -> None:
    play = Play((STARTED, HELLO, failure("cut_short")), WHOLE)
    error = await play.run()
    assert error is not None
    assert error.kind == "cut_short"
    assert "shown" in error.message
    assert play.answer == (STARTED, HELLO)
    assert play.attempts.made == 1


async def test_the_last_attempts_error_says_how_often_it_was_tried() -> None:
    play = Play(*[(failure(),)] * 3, policy=RetryPolicy(max_attempts=3))
    error = await play.run()
    assert error is not None
    assert "3 times" in error.message
    assert (error.status, play.attempts.made) == (529, 3)


async def test_retry_after_is_waited_for() -> None:
    play = Play((failure("rate_limit", after=20.0),), WHOLE)
    before = play.clock.now()
    assert await play.run() is None
    assert play.clock.now() - before >= 20.0
    assert play.retries[0].delay >= 20.0


async def test_a_wait_that_would_outlast_the_timeout_is_not_begun() -> None:
    play = Play((failure("rate_limit", after=700.0),), WHOLE)
    before = play.clock.now()
    error = await play.run(seconds=600.0)
    assert error is not None
    assert error.kind == "rate_limit"
    assert "timeout" in error.message
    assert play.clock.now() - before < 1.0


@given(attempt=st.integers(1, 40), seed=st.integers(), asked=st.none() | st.floats(0.0, 100.0))
def test_the_delay_is_full_jitter_under_a_cap_and_never_sooner_than_asked(
    attempt: int, seed: int, asked: float | None
) -> None:
    policy = RetryPolicy(base=0.5, cap=30.0)
    delay = policy.delay(attempt, asked, random.Random(seed))
    assert (asked or 0.0) <= delay <= (asked or 0.0) + min(30.0, 0.5 * 2 ** (attempt - 1))


@pytest.mark.parametrize("attempt", [(1000.0, *WHOLE), (STARTED, 1000.0), (STARTED, HELLO, 1000.0, HELLO)])
async def test_the_timeout_ends_an_attempt_wherever_it_stands(attempt: Attempt) -> None:
    play = Play(attempt)
    before = play.clock.now()
    error = await play.run(seconds=30.0)
    assert error is not None
    assert error.kind == "timeout"
    assert 30.0 <= play.clock.now() - before < 31.0
    assert play.attempts.open == 0
    assert play.permit.free


async def test_the_timeout_is_for_all_attempts_together() -> None:
    play = Play((20.0, failure()), (20.0, failure()), WHOLE)
    before = play.clock.now()
    error = await play.run(seconds=30.0)
    assert error is not None
    assert error.kind == "timeout"
    assert play.clock.now() - before < 31.0


async def test_the_timeout_never_touches_who_reads_the_answer() -> None:
    play = Play(WHOLE)
    async with aclosing(play.model.stream(request(config("openai/gpt-5", timeout=30.0)))) as events:
        assert await anext(events) == STARTED
        await settle()
        play.clock.advance(1000.0)
        # Cancelled here, a reader that works on an event would lose its work.
        await settle()
        with pytest.raises(ProviderError, match="did not answer within 30 s") as caught:
            [event async for event in events]
        assert caught.value.kind == "timeout"


async def test_a_cancelled_reader_is_cancelled_even_as_the_time_runs_out() -> None:
    play = Play((1000.0, *WHOLE))
    task = asyncio.create_task(play.read(seconds=30.0))
    await settle()
    play.clock.advance(30.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert play.attempts.open == 0
    assert play.permit.free


async def test_a_permit_is_held_for_an_attempt_and_not_while_the_next_is_waited_for() -> None:
    play = Play((1.0, failure(after=50.0)), WHOLE)
    task = asyncio.create_task(play.read())
    await settle()
    assert not play.permit.free
    play.clock.advance(1.0)
    await settle()
    assert play.retries
    assert play.permit.free
    play.clock.advance(60.0)
    await task
    assert play.permit.free
    assert not any(isinstance(event, PermitWait) for event in play.events)


async def test_s13_waiting_for_a_permit_is_told_and_does_not_count_against_the_timeout() -> None:
    play = Play(WHOLE)
    async with play.permit.hold("batch", 1):
        task = asyncio.create_task(play.read(seconds=30.0))
        await settle()
        assert play.events == [PermitWait(waiting=True)]
        play.clock.advance(20.0)
        await settle()
        play.clock.advance(20.0)
        await settle()
    await task
    assert tuple(play.events) == (PermitWait(waiting=True), PermitWait(waiting=False), *WHOLE)


@pytest.mark.parametrize("when", ["permit", "attempt", "delay"])
async def test_s24_a_request_is_cancelled_wherever_it_stands_and_holds_nothing(when: str) -> None:
    play = Play((100.0, *WHOLE) if when == "attempt" else (failure(after=100.0),), WHOLE)
    if when == "permit":
        await play.permit.take("interactive")
    task = asyncio.create_task(play.read())
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    if when == "permit":
        play.permit.give_back()
    await settle()
    assert play.permit.free
    assert play.permit.waiting == 0
    assert play.attempts.open == 0
    assert len(asyncio.all_tasks()) == 1


async def test_closing_the_answer_early_closes_the_attempt_and_returns_the_permit() -> None:
    play = Play(WHOLE)
    async with aclosing(play.model.stream(request(config("openai/gpt-5")))) as events:
        await anext(events)
        assert not play.permit.free
    assert play.permit.free
    assert play.attempts.open == 0
    await settle()
    assert len(asyncio.all_tasks()) == 1
