"""What is taken from the inside of Inspect, beside its public names.

The rule here: each such name is imported here and nowhere else, so that a version of Inspect in which one has moved is
noticed at once. Read in version 0.3.285; what `of_sample` sets up, and in which order, is what Inspect's own runner
does for a sample (`inspect_ai/_eval/task/run.py`).
"""

import inspect
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
from inspect_ai import Task
from inspect_ai._eval.context import init_model_context
from inspect_ai._eval.loader import load_task_spec
from inspect_ai._eval.task.generate import task_generate
from inspect_ai._eval.task.results import eval_results
from inspect_ai._eval.task.run import resolve_plan
from inspect_ai._util.exception import TerminateSampleError
from inspect_ai._util.notgiven import NOT_GIVEN
from inspect_ai._util.registry import (
    RegistryInfo,
    registry_add,
    registry_info,
    registry_lookup,
    registry_unqualified_name,
)
from inspect_ai.agent._acp.transport import _acp_live_active
from inspect_ai.dataset import Sample as InspectSample
from inspect_ai.log._samples import active_sample
from inspect_ai.log._transcript import Transcript, init_transcript, transcript
from inspect_ai.model import GenerateConfig, Model
from inspect_ai.model._generate_config import active_generate_config
from inspect_ai.scorer import Scorer, Target
from inspect_ai.scorer._score import init_scoring_context
from inspect_ai.scorer._scorer import unique_scorer_name
from inspect_ai.solver import Generate, TaskState
from inspect_ai.solver._fork import set_task_generate
from inspect_ai.solver._task_state import sample_state, set_sample_state
from inspect_ai.util import time_limit, turn_limit, working_limit
from inspect_ai.util._display import init_display_type
from inspect_ai.util._limit import token_limit_fields
from inspect_ai.util._store import init_subtask_store

__all__ = [
    "RegistryInfo",
    "Setting",
    "TerminateSampleError",
    "active_generate_config",
    "enter",
    "eval_results",
    "generate_with",
    "limited",
    "load_task_spec",
    "of_sample",
    "registry_add",
    "registry_unqualified_name",
    "resolve_plan",
    "sample_state",
    "scorer_names",
    "show_nothing",
    "task_parameters",
    "token_limit_fields",
]


@dataclass(frozen=True, slots=True)
class Setting:
    """What surrounds a sample: its task, the model that is asked, the task's scorers, the models of its roles."""

    task: Task
    model: Model
    scorers: Sequence[Scorer]
    roles: dict[str, Model | list[Model]]


def task_parameters(name: str) -> list[str] | None:
    """The names of what a loaded task may be given; None if it takes any."""
    task = registry_lookup("task", name)
    if task is None:
        return []
    parameters = inspect.signature(task).parameters.values()  # type: ignore[arg-type]
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return list(registry_info(task).metadata["params"])


def scorer_names(scorers: Sequence[Scorer]) -> list[str]:
    """What scores are called in a log of Inspect's: scorers of one name are numbered."""
    names: list[str] = []
    for scorer in scorers:
        names.append(unique_scorer_name(scorer, names))
    return names


def show_nothing() -> None:
    """Have Inspect print nothing: a worker has no terminal, and the run tells how it goes."""
    init_display_type("none")


def generate_with(model: Model, config: GenerateConfig) -> Generate:
    """What solvers are handed to ask the model with."""

    async def generate(state: TaskState, tool_calls: Any = "loop", **given: Any) -> TaskState:
        cache = given.get("cache", False) or NOT_GIVEN
        return await task_generate(
            model=model,
            state=state,
            tool_calls=tool_calls,
            cache=cache,
            config=config.merge(given),  # type: ignore[arg-type]
        )

    return generate


def enter(setting: Setting, sample: InspectSample, state: TaskState) -> Generate:
    """Surround the current asyncio task, in which nothing else may run after it, with what a sample's code expects."""
    init_model_context(setting.model, setting.roles, setting.task.config)
    set_sample_state(state)
    # The session keeps what was said; Inspect's events are for its own log, which nobody writes here.
    init_transcript(Transcript(log_model_api=False, bounded=True, resident_tail=1))
    init_subtask_store(state.store)
    init_scoring_context(list(setting.scorers), Target(sample.target))
    generate = generate_with(setting.model, setting.task.config)
    set_task_generate(generate)
    return generate


@asynccontextmanager
async def of_sample(setting: Setting, sample: InspectSample, state: TaskState) -> AsyncGenerator[Generate]:
    """As `enter`, and make `sample` the active one, as agents and limits want it.

    An error comes out as it was raised, not as one of a group.
    """
    task = setting.task
    generate = enter(setting, sample, state)
    # An editor that watches the sample over the Agent Client Protocol would be shown each event; none can be there.
    _acp_live_active.set(True)
    failure: BaseException | None = None
    async with AsyncExitStack() as stack:
        active = await stack.enter_async_context(
            active_sample(
                task=task.name,
                log_location="",
                model=str(setting.model),
                sample=sample,
                epoch=state.epoch,
                message_limit=state.message_limit,
                token_limit=state.token_limit,
                cost_limit=state.cost_limit,
                time_limit=task.time_limit,
                working_limit=task.working_limit,
                fails_on_error=True,
                transcript=transcript(),
                eval_id=task.name,
                sample_uuid=state.uuid,
            )
        )
        async with anyio.create_task_group() as group:
            active.start(group)
            try:
                yield generate
            except Exception as error:  # noqa: BLE001 - raised again outside of the group, which would wrap it
                failure = error
            finally:
                group.cancel_scope.cancel()
    if failure is not None:
        raise failure


@asynccontextmanager
async def limited(state: TaskState, task: Task) -> AsyncGenerator[None]:
    """Hold the task's limits of a sample over what runs inside. Raises LimitExceededError."""
    with (
        state._token_limit,  # noqa: SLF001 - Inspect's runner enters them so, and the state has no other way
        state._cost_limit,  # noqa: SLF001
        state._message_limit,  # noqa: SLF001
        turn_limit(task.turn_limit),
        time_limit(task.time_limit),
        working_limit(task.working_limit),
    ):
        yield
