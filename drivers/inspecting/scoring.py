"""Scorers of Inspect as scorers of a run.

The rule here: a scorer sees the state that the solvers left. Where that is gone (an old run is scored again), it sees
one that is made of the result: the same question, messages and answer, but nothing that the solvers had stored.
"""

from collections.abc import Mapping
from typing import Any

from inspect_ai import Task
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    GenerateConfig,
    Model,
    ModelOutput,
)
from inspect_ai.scorer import Scorer as InspectScorer
from inspect_ai.scorer import Target
from inspect_ai.tool import ToolChoice, ToolInfo
from pydantic import JsonValue

from agent_core.errors import ConfigError
from agent_core.evaluation.score import Answered, Grader, GraderQuestion, Score
from agent_core.messages import Usage
from drivers.inspecting import inside
from drivers.inspecting.messages import chat_of, usage_of
from drivers.inspecting.model import ASKED, run_model
from drivers.inspecting.samples import inspect_sample
from drivers.inspecting.scores import NO_SCORE, scores_of
from drivers.inspecting.settings import fields_of
from drivers.inspecting.solving import Kept, Solved, alone, state_of

UNKNOWN = "grader"


class Grading:
    """Answers for the model while a sample is scored. `usage` and `cost` (US dollars) are what it took."""

    def __init__(self, grader: Grader, fields: Mapping[str, Any]) -> None:
        self._grader, self._fields = grader, dict(fields)
        self.usage: Usage | None = None
        self.cost: float | None = None

    async def answer(
        self, messages: list[ChatMessage], tools: list[ToolInfo], choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        """What the grading model says. Raises ConfigError if none is known, and the errors of `Session.ask`."""
        if "model" not in self._fields:
            raise ConfigError("This scorer asks a model, and none is known here. Name one with --grader-model.")
        if tools:
            raise ConfigError(
                f"This scorer has its model call tools ({choice}), as no grader does. Use `inspect eval`."
            )
        fields: dict[str, JsonValue] = {**self._fields, **fields_of(config)}
        system = "\n\n".join(message.text for message in messages if isinstance(message, ChatMessageSystem))
        given = await self._grader(
            GraderQuestion(prompt=_prompt(messages), fields=fields, system_prompt=system or None)
        )
        self.usage = given.usage if self.usage is None else self.usage + given.usage
        if given.cost is not None:
            self.cost = (self.cost or 0.0) + given.cost
        said = ChatMessageAssistant(content=given.text, source="generate")
        name = str(self._fields["model"])
        return ModelOutput(model=name, choices=[ChatCompletionChoice(message=said)], usage=usage_of(given.usage))


def _prompt(messages: list[ChatMessage]) -> str:
    """What a grader is asked: one message as it is, several with who says them."""
    said = [message for message in messages if not isinstance(message, ChatMessageSystem)]
    if len(said) == 1:
        return said[0].text
    return "\n\n".join(f"{message.role}: {message.text}" for message in said)


class TaskScorer:
    """One scorer of a task. `fields` are those of SessionConfig for who grades; empty: as the session was set."""

    def __init__(self, name: str, scorers: list[InspectScorer], number: int, task: Task, states: Kept[Solved]) -> None:
        self._name, self._scorers, self._number = name, scorers, number
        self._task, self._states = task, states
        self.grader_fields: dict[str, JsonValue] = {}

    @property
    def name(self) -> str:
        return self._name

    async def score(self, answered: Answered) -> Score | Mapping[str, Score]:
        return await alone(self._score(answered))

    async def _score(self, answered: Answered) -> Score | Mapping[str, Score]:
        session_id = answered.transcript[0].session_id if answered.transcript else ""
        solved = self._states.take(session_id)
        fields = self.grader_fields or (solved.fields if solved is not None else {})
        grading = Grading(answered.grader, fields)
        ASKED.set(grading)
        model = run_model(str(fields.get("model", UNKNOWN)))
        given = inspect_sample(answered.sample)
        solved = solved or _rebuilt(self._task, answered, model)
        setting = inside.Setting(self._task, model, self._scorers, self._task.model_roles or {})
        target = Target(given.target)
        inside.enter(setting, given, solved.state)
        score = await self._scorers[self._number](solved.state, target)
        if score is None:
            return NO_SCORE
        return scores_of(score, grading.usage, grading.cost)


def _rebuilt(task: Task, answered: Answered, model: Model) -> Solved:
    """The state as far as a result tells it."""
    state = state_of(task, inspect_sample(answered.sample), answered.epoch, model)
    if answered.transcript:
        own = answered.transcript[0].session_id
        state.messages = chat_of(message for message in answered.transcript if message.session_id == own)
    last = ChatMessageAssistant(content=answered.answer, source="generate")
    state.output = ModelOutput(model=str(model), choices=[ChatCompletionChoice(message=last)])
    state.completed = True
    return Solved(state)


def scorers_of(task: Task, states: Kept[Solved]) -> tuple[TaskScorer, ...]:
    """The scorers of a task, under the names that Inspect gives them."""
    scorers: list[InspectScorer] = list(task.scorer or ())
    names = inside.scorer_names(scorers)
    return tuple(TaskScorer(name, scorers, number, task, states) for number, name in enumerate(names))
