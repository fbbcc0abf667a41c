"""Solving a sample in this process: the task's own solvers, with Inspect's own state, over our sessions.

The rule here: the chain of solvers runs as it was written. Tools run here, beside the session, in Inspect's own loop
(its approvals, its bounds of output, its errors); to the session they are external. What was solved is kept until it
has been scored.
"""

import asyncio
from collections.abc import Coroutine
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from inspect_ai import Task
from inspect_ai.dataset import Sample as InspectSample
from inspect_ai.model import ChatMessage, ChatMessageUser, Model, ModelName
from inspect_ai.scorer import Scorer as InspectScorer
from inspect_ai.scorer import Target
from inspect_ai.solver import TaskState
from inspect_ai.util import LimitExceededError

from agent_core.evaluation.attended import LimitHit
from agent_core.evaluation.limits import Limit
from agent_core.evaluation.sample import Sample
from agent_core.session_protocol import Session
from drivers.inspecting import inside
from drivers.inspecting.conversations import Conversations
from drivers.inspecting.model import ASKED, run_model
from drivers.inspecting.samples import inspect_sample

LIMITS: dict[str, Limit] = {
    "message": "messages",
    "token": "tokens",
    "time": "time",
    "working": "working_time",
    "turn": "turns",
    "cost": "cost",
}
MOST_KEPT = 2_000
T = TypeVar("T")


@dataclass(slots=True)
class Solved:
    """A sample that was solved: its state, and the settings of the session that solved it."""

    state: TaskState
    fields: dict[str, Any] = field(default_factory=dict)


class Kept(Generic[T]):
    """What waits to be scored, by the id of its session: until each of `scorers` has taken it; the oldest give way."""

    def __init__(self, scorers: int) -> None:
        self._scorers = scorers
        self._kept: dict[str, tuple[T, int]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, session_id: str, what: T) -> None:
        """Keep it, if anybody will take it."""
        if self._scorers:
            self._kept[session_id] = (what, self._scorers)
            if len(self._kept) > MOST_KEPT:
                del self._kept[next(iter(self._kept))]

    def take(self, session_id: str) -> T | None:
        """What was kept for this session, None if it was not, or has been taken by all."""
        what, left = self._kept.pop(session_id, (None, 0))
        if what is not None and left > 1:
            self._kept[session_id] = (what, left - 1)
        return what


async def alone(work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives, run in a task of its own: what it sets in its context stays there."""
    task = asyncio.create_task(work)
    try:
        return await task
    finally:
        if not task.done():
            task.cancel()


def state_of(task: Task, sample: InspectSample, epoch: int, model: Model) -> TaskState:
    """The state that a sample's solvers begin with."""
    return TaskState(
        model=ModelName(model),
        sample_id=sample.id or 0,
        epoch=epoch,
        input=sample.input,
        target=Target(sample.target),
        choices=sample.choices,
        messages=messages_of(sample),
        message_limit=task.message_limit,
        token_limit=cast("int | None", task.token_limit),
        token_limit_type=task.token_limit_type or "all",
        cost_limit=task.cost_limit,
        metadata=deepcopy(sample.metadata) if sample.metadata else {},
    )


def messages_of(sample: InspectSample) -> list[ChatMessage]:
    """The messages that a sample begins with."""
    if isinstance(sample.input, str):
        return [ChatMessageUser(content=sample.input, source="input")]
    return [message.model_copy(deep=True, update={"source": "input"}) for message in sample.input]


class Solving:
    """The agent of a task: runs its solvers on the session that it is handed."""

    def __init__(self, task: Task, scorers: list[InspectScorer], states: Kept[Solved]) -> None:
        self._task, self._scorers, self._states = task, scorers, states

    async def __call__(self, session: Session, sample: Sample) -> str:
        """The answer. Raises LimitHit for a limit of the task's, what the session raises, and what solvers raise."""
        return await alone(self._solve(session, sample))

    async def _solve(self, session: Session, sample: Sample) -> str:
        task, given = self._task, inspect_sample(sample)
        status = await session.status()
        model = run_model(status.model)
        state = state_of(task, given, epoch_of(session), model)
        conversations = Conversations(session, history_before(sample, given), task.config)
        ASKED.set(conversations)
        setting = inside.Setting(task, model, self._scorers, task.model_roles or {})
        solved = Solved(state, settings_of(session))
        try:
            async with inside.of_sample(setting, given, state) as generate:
                await self._run(solved, generate)
            await conversations.finish(solved.state.messages)
        except LimitExceededError as error:
            solved.state = inside.sample_state() or solved.state
            if error.type in LIMITS:
                self._states.keep(session.id, solved)
                raise LimitHit(f"{error.message}.", LIMITS[error.type]) from error
        finally:
            await conversations.close()
        self._states.keep(session.id, solved)
        return solved.state.output.completion

    async def _run(self, solved: Solved, generate: Any) -> None:
        plan = inside.resolve_plan(self._task, None)
        try:
            async with inside.limited(solved.state, self._task):
                solved.state = await plan(solved.state, generate)
        except inside.TerminateSampleError:
            solved.state = inside.sample_state() or solved.state
        finally:
            solved.state.completed = True


def history_before(sample: Sample, given: InspectSample) -> list[ChatMessage]:
    """What the sample's session was opened with, as Inspect has it."""
    return [] if isinstance(given.input, str) or not sample.history else given.input[:-1]


def epoch_of(session: Session) -> int:
    """Which epoch of its sample a session is: as its labels say, 1 if they do not."""
    conversation = getattr(session, "conversation", None)
    labels = conversation.labels if conversation is not None else {}
    epoch = labels.get("epoch", "1")
    return int(epoch) if epoch.isdecimal() else 1


def settings_of(session: Session) -> dict[str, Any]:
    """The settings by which another model of the same kind can be asked, where the session tells them."""
    conversation = getattr(session, "conversation", None)
    if conversation is None:
        return {}
    kept = {"model", "api_key", "base_url", "wire", "context_limit", "temperature", "extra", "timeout", "streaming"}
    return conversation.config.model_dump(mode="json", include=kept, exclude_none=True)
