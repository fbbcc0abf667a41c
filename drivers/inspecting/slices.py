"""Solving samples by Inspect's own runner, whose model is our sessions: for tasks that need what only it has.

Sandboxes, files and set-up of samples, approvals and early stopping live in that runner. A worker keeps one evaluation
of Inspect's going while it has samples for it, and feeds it with what it is handed: the slice of the run that is here.

The rule here: each sample that was handed over comes back once, as what Inspect made of it or as the error that ended
it. Inspect scores them, while their sandboxes are there; its log is thrown away, since the run has its own.
"""

import asyncio
import contextvars
import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from inspect_ai import SampleSource, Task, enqueue_sample, eval_async, task_with
from inspect_ai.dataset import Sample as InspectSample
from inspect_ai.log import EvalSample
from inspect_ai.model import ChatMessage, GenerateConfig, ModelOutput
from inspect_ai.scorer import Score as InspectScore
from inspect_ai.tool import ToolChoice, ToolInfo

from agent_core.errors import ConfigError, RayconteurError, SessionError
from agent_core.evaluation.attended import LimitHit
from agent_core.evaluation.sample import Sample
from agent_core.evaluation.score import Answered, Score
from agent_core.session_protocol import Session
from drivers.inspecting import inside
from drivers.inspecting.conversations import Conversations
from drivers.inspecting.model import BY_SAMPLE, UNBOUNDED, run_model
from drivers.inspecting.samples import inspect_sample
from drivers.inspecting.scores import NO_SCORE, scores_of
from drivers.inspecting.solving import LIMITS, Kept, epoch_of, history_before

Place = tuple[str, int]
_MOST_SAID = 2_000
_LEVELS = {logging.DEBUG: "debug", logging.INFO: "info", logging.WARNING: "warning", logging.ERROR: "error"}
# Inspect runs one evaluation at a time in a process.
_TURNS: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


@dataclass(slots=True)
class _Handed:
    """A sample that was handed to Inspect, and what waits for it."""

    sample: InspectSample
    epoch: int
    done: asyncio.Future[EvalSample] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def place(self) -> Place:
        return (str(self.sample.id), self.epoch)


class _Feed(SampleSource):
    """Hands samples to a running evaluation, and what came of them to whoever waits. It ends when none are left."""

    def __init__(self) -> None:
        self.waiting: list[_Handed] = []
        self.under_way: dict[Place, _Handed] = {}
        self.ended = False
        self._epochs: dict[str, int] = {}
        self._inside: contextvars.Context | None = None

    def add(self, sample: InspectSample, wanted: int) -> _Handed:
        """Run another one, at once if the evaluation is going.

        Each epoch of a sample may come once, so one that is tried again has a later one than it wanted.
        """
        name = str(sample.id)
        epoch = self._epochs[name] = max(self._epochs.get(name, 0) + 1, wanted)
        handed = _Handed(sample, epoch)
        self.waiting.append(handed)
        if self._inside is not None:
            self._inside.run(self._flush)
        return handed

    def _flush(self) -> None:
        for handed in self.waiting:
            self.under_way[handed.place] = handed
            enqueue_sample(handed.sample, epoch=handed.epoch)
        self.waiting.clear()

    async def next_samples(self) -> list[InspectSample] | None:
        """Asked for when nothing is under way."""
        self._inside = contextvars.copy_context()
        if not self.waiting:
            # What is added from here on is for another evaluation: this one may not look again.
            self.ended = True
            return None
        self._flush()
        return []

    async def sample_complete(self, sample: EvalSample) -> None:
        handed = self._gone((str(sample.id), sample.epoch))
        if handed is not None and not handed.done.done():
            handed.done.set_result(sample)

    async def sample_abandoned(self, sample: InspectSample, epoch: int) -> None:
        self.fail_one((str(sample.id), epoch), SessionError("Inspect gave the sample up. Run it again.", "cancelled"))

    def fail_one(self, place: Place, error: Exception) -> None:
        """Whoever waits for this sample gets `error`."""
        handed = self._gone(place)
        if handed is not None and not handed.done.done():
            handed.done.set_exception(error)

    def _gone(self, place: Place) -> _Handed | None:
        BY_SAMPLE.pop(place, None)
        return self.under_way.pop(place, None)

    def fail(self, error: Exception) -> None:
        """Whoever waits gets `error`."""
        self.ended = True
        for handed in (*self.waiting, *self.under_way.values()):
            BY_SAMPLE.pop(handed.place, None)
            if not handed.done.done():
                handed.done.set_exception(error)
        self.waiting.clear()
        self.under_way.clear()


class Slicing:
    """The agent of a task that is solved by Inspect's runner. `scored` are the scores of sessions not asked for yet."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._feed: _Feed | None = None
        self._evaluation: asyncio.Task[None] | None = None
        self._more = asyncio.Event()
        self._users = 0
        self.scored = Kept[Mapping[str, InspectScore]](len(task.scorer or ()))

    async def __call__(self, session: Session, sample: Sample) -> str:
        """The answer. Raises LimitHit for a limit of the task's, what the session raised, or what ended the sample."""
        given = inspect_sample(sample)
        model = (await session.status()).model
        conversations = Conversations(session, history_before(sample, given), self._task.config)
        handed = self._hand(model, given, epoch_of(session))
        watched = BY_SAMPLE[handed.place] = _Watched(conversations)
        self._users += 1
        self._more.set()
        try:
            done = await handed.done
            await conversations.finish(done.messages)
        finally:
            self._users -= 1
            watched.given_up = handed.done.cancelled()
            await conversations.close()
            if watched.given_up and not self._users and self._evaluation is not None:
                # Nobody waits for what is left of it.
                self._evaluation.cancel()
        await self._wound_up()
        return self._answer(session.id, done, watched.failure)

    async def _wound_up(self) -> None:
        """Let the evaluation end with its last sample, so that nothing of it outlives the run."""
        if self._users or self._evaluation is None:
            return
        self._more.clear()
        more = asyncio.create_task(self._more.wait())
        await asyncio.wait({self._evaluation, more}, return_when=asyncio.FIRST_COMPLETED)
        more.cancel()

    def _hand(self, model: str, sample: InspectSample, epoch: int) -> _Handed:
        """Hand the sample to the evaluation that is going, or to another one."""
        if self._feed is None or self._feed.ended:
            self._feed = _Feed()
            self._evaluation = asyncio.create_task(self._evaluate(model, self._feed))
        return self._feed.add(sample, epoch)

    async def _evaluate(self, model: str, feed: _Feed) -> None:
        """One evaluation, from its first sample until none is left. Whatever ends it is told to who still waits."""
        try:
            async with _TURNS.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
                said = await self._evaluated(model, feed)
        except asyncio.CancelledError:
            feed.fail(SessionError("The evaluation was stopped. Resume the run.", "cancelled"))
            raise
        except Exception as error:  # noqa: BLE001 - the boundary to Inspect's runner; who waits gets it as data
            said = f"{type(error).__name__}: {error}"
        feed.fail(ConfigError(f"Inspect cannot run the task {self._task.name}: {said[:_MOST_SAID]}. Mend that."))

    async def _evaluated(self, model: str, feed: _Feed) -> str:
        """Run it. What it says of its end, which nobody hears who has got his sample."""
        inside.show_nothing()
        with tempfile.TemporaryDirectory(prefix="rayconteur-inspect-") as logs:
            done = await eval_async(
                task_with(self._task, dataset=feed, epochs=1),
                model=run_model(model),
                log_dir=logs,
                log_realtime=False,
                fail_on_error=False,
                max_samples=UNBOUNDED,
                ctl_server=False,
                # Inspect sets the level of the whole process: it is left as it was.
                log_level=_LEVELS.get(logging.getLogger().level),
            )
        error = done[0].error
        return error.message if error is not None else "it ended early"

    def _answer(self, session_id: str, done: EvalSample, failure: RayconteurError | None) -> str:
        if done.scores:
            self.scored.keep(session_id, done.scores)
        if done.error is not None:
            if failure is not None:
                raise failure
            raise SessionError(f"The sample failed in Inspect: {done.error.message[:_MOST_SAID]}", "sample_failed")
        if done.limit is not None and done.limit.type in LIMITS:
            raise LimitHit(f"Exceeded the task's limit: {done.limit.type} {done.limit.limit}.", LIMITS[done.limit.type])
        return done.output.completion


class _Watched:
    """Answers as the conversations do, and remembers what they raised last: Inspect keeps only its words.

    Of a sample that was `given_up` Inspect may not know yet; it is answered no more, and so ends there too.
    """

    def __init__(self, conversations: Conversations) -> None:
        self._conversations = conversations
        self.failure: RayconteurError | None = None
        self.given_up = False

    async def answer(
        self, messages: list[ChatMessage], tools: list[ToolInfo], choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        if self.given_up:
            raise SessionError("The sample was given up. Run it again.", "cancelled")
        try:
            return await self._conversations.answer(messages, tools, choice, config)
        except RayconteurError as error:
            self.failure = error
            raise


class SlicedScorer:
    """A scorer whose score Inspect gave when it solved the sample."""

    def __init__(self, name: str, slicing: Slicing) -> None:
        self._name, self._slicing = name, slicing

    @property
    def name(self) -> str:
        return self._name

    async def score(self, answered: Answered) -> Score | Mapping[str, Score]:
        """The score. Raises ConfigError where another process solved the sample, long ago."""
        session_id = answered.transcript[0].session_id if answered.transcript else ""
        scores = self._slicing.scored.take(session_id)
        if scores is None:
            raise ConfigError(
                "This task is scored while its sandbox is there, so it cannot be scored later. Run it again."
            )
        given = scores.get(self._name)
        return NO_SCORE if given is None else scores_of(given)


def sliced_scorers(task: Task, slicing: Slicing) -> tuple[SlicedScorer, ...]:
    """The scorers of a task, under the names that Inspect gives them."""
    return tuple(SlicedScorer(name, slicing) for name in inside.scorer_names(list(task.scorer or ())))
