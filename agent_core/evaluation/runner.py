"""The runner: takes assignments one by one, gives each a session of its own, hands every result to the sink at once.

The rule here: each assignment that was taken ends in exactly one result, whatever its session does, and at most
`concurrency` of them are held at any moment. It reads no tokens: it asks, and looks at the transcript when all is said.

    taken -> open a session -> ask -> (retried: a new session) -> transcript and usage -> shut down -> result written
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from agent_core.content import text_of
from agent_core.errors import ConfigError, RayconteurError, ToolError
from agent_core.evaluation.identity import session_id_of
from agent_core.evaluation.result import Result, Timings
from agent_core.evaluation.sample import Assignment, Sample
from agent_core.evaluation.verdict import (
    CANCELLED,
    COMPLETED,
    TIMED_OUT,
    Verdict,
    is_final,
    is_hopeless,
    is_unreachable,
    judge,
)
from agent_core.messages import AssistantMessage, Message, SessionId, Usage
from agent_core.ports import Clock
from agent_core.session_protocol import Session

_log = logging.getLogger(__name__)

# The same key on a session that was opened again gives the same turn, not a second one.
ASKED = "sample"


# Makes the session of this id with these labels, or opens it again if the journal has it.
Opener = Callable[[SessionId, Mapping[str, str]], Awaitable[Session]]
T = TypeVar("T")
Agent = Callable[[Session, Sample], Awaitable[str]]


async def ask_once(session: Session, sample: Sample) -> str:
    """The plain agent: the sample's input is the one message, the final text its answer."""
    return await session.ask(sample.input, key=ASKED)


@dataclass(frozen=True, slots=True)
class Plan:
    """How samples are run.

    `configuration` is the digest that goes into each result. `timeout` is in seconds for one attempt, `retries` counts
    attempts after the first, and before the nth of them passes `first_delay * 2**(n-1)` seconds, at most
    `longest_delay`, less up to half of it by `jitter` (0 to 1). `put_away` is how many seconds a session has to hand
    over what it knows. `price` gives US dollars for what the model and the summariser took, or None if it knows none.
    """

    run_id: str
    configuration: str
    agent: Agent = ask_once
    concurrency: int = 1
    timeout: float | None = None
    retries: int = 0
    first_delay: float = 1.0
    longest_delay: float = 30.0
    jitter: Callable[[], float] = random.random
    put_away: float = 15.0
    first_tokens: bool = False
    price: Callable[[Usage, Usage], float | None] = lambda _usage, _summariser: None


@dataclass(slots=True)
class _Attempt:
    """One session's worth of trying."""

    number: int
    session_id: SessionId
    started: float
    session: Session | None = None
    verdict: Verdict = COMPLETED
    answer: str | None = None
    ended: float = 0.0
    transcript: tuple[Message, ...] | None = None
    usage: Usage | None = None
    summariser: Usage = Usage()


class Runner:
    """One run of a job. Used once. `open` counts the samples under way, `taken` those ever taken."""

    def __init__(self, opener: Opener, sink: Callable[[Result], None], plan: Plan, clock: Clock) -> None:
        self._opener = opener
        self._sink = sink
        self._plan = plan
        self._clock = clock
        self._stopping = False
        self._waits: set[asyncio.Task[Any]] = set()
        self._failure: Exception | None = None
        self._completed = 0
        self.open = 0
        self.taken = 0

    async def run(self, assignments: Iterator[Assignment]) -> None:
        """Run the assignments until none is left or `stop` was called; the sink has every result when this returns.

        Raises what made going on useless, after the samples under way were put away: a sink that cannot write
        (OSError), a dataset that cannot be read on, a configuration or a key that every session is refused for, a
        model or a server that is not there, a cluster that has lost its head.
        """
        async with asyncio.TaskGroup() as workers:
            for _ in range(self._plan.concurrency):
                workers.create_task(self._work(assignments))
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Take no more samples and end those under way as cancelled. Returns at once; `run` returns soon after."""
        self._stopping = True
        for task in tuple(self._waits):
            task.cancel()

    def _fail(self, failure: Exception) -> None:
        self._failure = self._failure or failure
        self.stop()

    async def _work(self, assignments: Iterator[Assignment]) -> None:
        """One of the workers: a sample at a time."""
        while not self._stopping:
            try:
                assignment = next(assignments, None)
            except (OSError, RayconteurError) as failure:
                self._fail(failure)
                return
            if assignment is None:
                return
            self.taken += 1
            self.open += 1
            try:
                result = await self._answered(assignment)
                if result is not None:
                    self._sink(result)
            except OSError as failure:
                self._fail(failure)
            finally:
                self.open -= 1

    async def _answered(self, assignment: Assignment) -> Result | None:
        """The result of a sample, after as many attempts as it takes and may take; None if nothing could be tried."""
        queued = self._clock.now()
        attempt = await self._attempt(assignment, assignment.attempt)
        for retry in range(self._plan.retries):
            if not attempt.verdict.again or not await self._pause(retry):
                break
            attempt = await self._attempt(assignment, attempt.number + 1)
        if attempt.session is None and self._failure is not None and attempt.verdict is CANCELLED:
            return None
        return self._result(assignment, queued, attempt)

    async def _pause(self, retry: int) -> bool:
        """Wait before the next attempt. False: the run is being stopped."""
        delay = min(self._plan.longest_delay, self._plan.first_delay * 2.0**retry)
        try:
            await self._until_stopped(self._clock.sleep(delay * (1.0 - self._plan.jitter() / 2.0)))
        except _StoppedError:
            return False
        return not self._stopping

    async def _attempt(self, assignment: Assignment, number: int) -> _Attempt:
        session_id = session_id_of(self._plan.run_id, self._plan.configuration, assignment, number)
        attempt = _Attempt(number=number, session_id=session_id, started=self._clock.now())
        attempt.verdict = await self._verdict(assignment, attempt)
        attempt.ended = self._clock.now()
        self._completed += attempt.verdict.outcome == "completed"
        if attempt.session is not None:
            await self._put_away(attempt.session, attempt)
        return attempt

    async def _verdict(self, assignment: Assignment, attempt: _Attempt) -> Verdict:
        limit = asyncio.timeout(self._plan.timeout)
        try:
            async with limit:
                attempt.answer = await self._until_stopped(self._conversation(assignment, attempt))
        except _StoppedError:
            return CANCELLED
        except (ConfigError, ToolError) as failure:
            if attempt.session is None:
                # Every other session would be refused for the same reason.
                self._fail(failure)
                return CANCELLED
            return judge(failure)
        except Exception as error:  # noqa: BLE001 - the boundary at which a failed sample becomes data
            if limit.expired():
                return TIMED_OUT
            if is_final(error):
                self._fail(error)
                return CANCELLED
            verdict = judge(error)
            last = attempt.number - assignment.attempt >= self._plan.retries
            met = verdict.error
            # No server after every attempt, and no other sample has met one either: it is not there.
            if not self._completed and met is not None and (is_hopeless(met) or (last and is_unreachable(met))):
                self._fail(error)
            return verdict
        return COMPLETED

    async def _conversation(self, assignment: Assignment, attempt: _Attempt) -> str:
        labels = {"run": self._plan.run_id, "sample": assignment.sample.id, "epoch": str(assignment.epoch)}
        attempt.session = await self._opener(attempt.session_id, labels)
        return await self._plan.agent(attempt.session, assignment.sample)

    async def _until_stopped(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` gives, as a task that `stop` can cancel without cancelling its worker."""
        if self._stopping:
            work.close()
            raise _StoppedError
        task = asyncio.ensure_future(work)
        self._waits.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            worker = asyncio.current_task()
            if self._stopping and worker is not None and not worker.cancelling():
                raise _StoppedError from None
            raise
        finally:
            self._waits.discard(task)

    async def _put_away(self, session: Session, attempt: _Attempt) -> None:
        """End the session, and note what it knows. A session that cannot say it any more leaves it unknown."""
        try:
            async with asyncio.timeout(self._plan.put_away):
                if attempt.verdict.outcome != "completed":
                    await session.interrupt("keep")
                history, status = await asyncio.gather(session.history(full=True), session.status())
                attempt.transcript = tuple(history)
                attempt.usage, attempt.summariser = status.usage.total, status.usage.summariser
                await session.shutdown(graceful=False)
        except Exception as error:  # noqa: BLE001 - the sample's outcome stands, whatever becomes of its session afterwards
            if is_final(error):
                return
            _log.warning("session %s could not be put away", session.id, exc_info=True)

    def _result(self, assignment: Assignment, queued: float, attempt: _Attempt) -> Result:
        sample, verdict = assignment.sample, attempt.verdict
        answers = [message for message in attempt.transcript or () if isinstance(message, AssistantMessage)]
        answer = attempt.answer
        if answer is None and verdict.outcome == "limit_hit" and answers:
            answer = text_of(answers[-1].content) or None
        first = answers[0].created_at if answers else 0.0
        timings = Timings.model_construct(
            queued=queued,
            started=attempt.started,
            first_token=first if self._plan.first_tokens and attempt.started <= first <= attempt.ended else None,
            ended=attempt.ended,
        )
        # Every part is checked already: where it was read, or by the session that made it.
        return Result.model_construct(
            id=sample.id,
            epoch=assignment.epoch,
            outcome=verdict.outcome,
            attempts=attempt.number,
            answer=answer,
            error=verdict.error,
            limit=verdict.limit,
            input=sample.input,
            target=sample.target,
            metadata=sample.metadata,
            usage=attempt.usage,
            summariser=attempt.summariser if attempt.summariser != Usage() else None,
            cost=None if attempt.usage is None else self._plan.price(attempt.usage, attempt.summariser),
            timings=timings,
            session_id=None if attempt.session is None else attempt.session_id,
            configuration=self._plan.configuration,
            transcript=attempt.transcript,
        )


class _StoppedError(Exception):
    """The run was stopped while this was awaited."""
