"""The runner: takes assignments one by one, gives each a session of its own, hands every result to the sink at once.

The rule here: each assignment that was taken ends in exactly one result, whatever its session does, and at most
`concurrency` of them are held at any moment. It reads no tokens: it asks, and looks at the transcript when all is said.

    taken -> open a session -> ask -> (retried: a new session) -> transcript and usage -> shut down -> result written
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from agent_core.content import text_of
from agent_core.errors import ConfigError, RayconteurError, ToolError
from agent_core.evaluation.attended import AttendedSession, Counters, LimitHit, Watch, limit_error, working_time
from agent_core.evaluation.identity import branch_id_of, session_id_of
from agent_core.evaluation.limits import NO_LIMITS, SampleLimits
from agent_core.evaluation.program import PLAIN, Program
from agent_core.evaluation.result import Result, Timings
from agent_core.evaluation.sample import Assignment, Sample
from agent_core.evaluation.score import Grader, no_grader
from agent_core.evaluation.source import Source
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
from agent_core.local_session import LocalSession
from agent_core.messages import AssistantMessage, Message, SessionId, Usage
from agent_core.ports import Clock
from agent_core.session_protocol import Session

_log = logging.getLogger(__name__)

# Makes the session of this id with these labels for the sample, or opens it again if the journal has it.
Opener = Callable[[SessionId, Mapping[str, str], Sample], Awaitable[LocalSession]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plan:
    """How samples are run.

    `configuration` is the digest that goes into each result. `limits` hold for one attempt, `retries` counts
    attempts after the first, and before the nth of them passes `first_delay * 2**(n-1)` seconds, at most
    `longest_delay`, less up to half of it by `jitter` (0 to 1). `put_away` is how many seconds a session has to hand
    over what it knows, `scoring` how many a scorer has. With `primes` somebody wants to know of first words. `price`
    gives US dollars for what the model and the summariser took, or None if it knows none.
    """

    run_id: str
    configuration: str
    concurrency: int = 1
    limits: SampleLimits = NO_LIMITS
    retries: int = 0
    first_delay: float = 1.0
    longest_delay: float = 30.0
    jitter: Callable[[], float] = random.random
    put_away: float = 15.0
    scoring: float = 60.0
    first_tokens: bool = False
    primes: bool = False
    price: Callable[[Usage, Usage], float | None] = lambda _usage, _summariser: None


@dataclass(slots=True)
class _Attempt:
    """One session's worth of trying."""

    number: int
    session_id: SessionId
    started: float
    watch: Watch
    session: LocalSession | None = None
    branches: list[LocalSession] = field(default_factory=list[LocalSession])
    verdict: Verdict = COMPLETED
    answer: str | None = None
    ended: float = 0.0
    transcript: tuple[Message, ...] | None = None
    usage: Usage | None = None
    summariser: Usage = Usage()


class Runner:
    """One worker's run. Used once. `open` counts the samples under way, `taken` those ever taken.

    `on_first` is told of each assignment whose model has said its first word, and `grader` asks a grading model.
    """

    def __init__(
        self,
        opener: Opener,
        sink: Callable[[Result], None],
        plan: Plan,
        clock: Clock,
        program: Program = PLAIN,
    ) -> None:
        self._opener = opener
        self._sink = sink
        self._plan = plan
        self._clock = clock
        self._program = program
        self.grader: Grader = no_grader
        self.on_first: Callable[[Assignment], None] | None = None
        self.counters = Counters()
        self._stopping = False
        self._waits: set[asyncio.Task[Any]] = set()
        self._failure: Exception | None = None
        self._completed = 0
        self.open = 0
        self.taken = 0

    async def run(self, source: Source) -> None:
        """Run assignments until none is left or `stop` was called; the sink has every result when this returns.

        Raises what made going on useless, after the samples under way were put away: a sink that cannot write
        (OSError), a dataset that cannot be read on, a configuration or a key that every session is refused for, a
        model or a server that is not there, a cluster that has lost its head.
        """
        async with asyncio.TaskGroup() as workers:
            for _ in range(self._plan.concurrency):
                workers.create_task(self._work(source))
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

    async def _work(self, source: Source) -> None:
        """One of many that work side by side: a sample at a time."""
        while not self._stopping:
            try:
                assignment = await self._until_stopped(source.take())
            except _StoppedError:
                return
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
        result = self._result(assignment, queued, attempt)
        return await self._scored(result)

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
        watch = self._watch(assignment)
        attempt = _Attempt(number=number, session_id=session_id, started=self._clock.now(), watch=watch)
        attempt.verdict = await self._verdict(assignment, attempt)
        attempt.ended = self._clock.now()
        self._completed += attempt.verdict.outcome == "completed"
        if attempt.session is not None:
            await self._put_away(attempt.session, attempt)
        return attempt

    def _watch(self, assignment: Assignment) -> Watch:
        tell = self.on_first
        on_first = None if tell is None else lambda: tell(assignment)
        plan = self._plan
        return Watch(plan.limits, self._clock, self.counters, lambda usage: plan.price(usage, Usage()), on_first)

    async def _verdict(self, assignment: Assignment, attempt: _Attempt) -> Verdict:
        limit = asyncio.timeout(self._plan.limits.time)
        try:
            async with limit, working_time(self._plan.limits.working_time, attempt.watch, limit):
                attempt.answer = await self._until_stopped(self._conversation(assignment, attempt))
        except _StoppedError:
            return CANCELLED
        except LimitHit as error:
            return Verdict("limit_hit", error.info(), error.limit)
        except (ConfigError, ToolError) as failure:
            if attempt.session is None:
                # Every other session would be refused for the same reason.
                self._fail(failure)
                return CANCELLED
            return judge(failure)
        except Exception as error:  # noqa: BLE001 - the boundary at which a failed sample becomes data
            if (hit := attempt.watch.hit) is not None:
                # Whatever the agent made of the turn that the limit ended.
                return Verdict("limit_hit", limit_error(hit), hit)
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
        session = attempt.session = await self._opener(attempt.session_id, labels, assignment.sample)
        session.listen(attempt.watch.event)

        async def opening(number: int, history: Sequence[Message]) -> Session:
            begun = assignment.sample.model_copy(update={"history": tuple(history)})
            branch = await self._opener(branch_id_of(attempt.session_id, number), labels, begun)
            branch.listen(attempt.watch.event)
            attempt.branches.append(branch)
            return branch

        attended = cast("Session", AttendedSession(session, attempt.watch, opening))
        return await self._contained(attended, assignment.sample)

    async def _contained(self, session: Session, sample: Sample) -> str:
        """What the agent answers; what would end the program, or its worker unheard, ends this sample alone."""
        try:
            return await self._program.agent(session, sample)
        except SystemExit as error:
            left = f"left by SystemExit: {error}"
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            left = "cancelled itself"
        raise ConfigError(f"The agent {left}. Have it return its answer, or raise an error.", kind="agent")

    async def _scored(self, result: Result) -> Result:
        """The result with what every scorer makes of its answer."""
        scorers = self._program.scorers
        if not scorers:
            return result
        from agent_core.evaluation.scoring.rescoring import Rescoring, scored_again

        how = Rescoring(timeout=self._plan.scoring, grader=self.grader)
        return await scored_again(result, scorers, how, self._clock)

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
                used, summariser = Usage(), Usage()
                for one in (session, *attempt.branches):
                    if attempt.verdict.outcome != "completed":
                        await one.interrupt("keep")
                    history, status = await asyncio.gather(one.history(full=True), one.status())
                    attempt.transcript = (*(attempt.transcript or ()), *history)
                    used, summariser = used + status.usage.total, summariser + status.usage.summariser
                    await one.shutdown(graceful=False)
                attempt.usage, attempt.summariser = used, summariser
        except Exception as error:  # noqa: BLE001 - the sample's outcome stands, whatever becomes of its session afterwards
            if is_final(error):
                return
            _log.warning("session %s could not be put away", session.id, exc_info=True)

    def _result(self, assignment: Assignment, queued: float, attempt: _Attempt) -> Result:
        sample, verdict = assignment.sample, attempt.verdict
        own = (message for message in attempt.transcript or () if message.session_id == attempt.session_id)
        answers = [message for message in own if isinstance(message, AssistantMessage)]
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
            turns=sample.turns,
            history=sample.history,
            choices=sample.choices,
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
