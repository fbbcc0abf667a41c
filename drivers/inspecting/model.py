"""The model that Inspect's solvers ask: it passes each request to the sessions of the sample that is being solved.

The rule here: it holds nothing. Who answers is found in the context of the asyncio task, or by the active sample where
Inspect itself runs many.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from functools import cache
from typing import Any

from inspect_ai.model import ChatMessage, GenerateConfig, Model, ModelAPI, ModelOutput, get_model, modelapi
from inspect_ai.solver import TaskState
from inspect_ai.tool import ToolChoice, ToolInfo

from agent_core.errors import ConfigError
from drivers.inspecting import inside
from drivers.inspecting.conversations import Asked
from drivers.inspecting.hosting import HOSTS, Hosted, told

PROVIDER = "rayconteur"
ASKED: ContextVar[Asked] = ContextVar("rayconteur_asked")
BY_SAMPLE: dict[tuple[str, int], Asked] = {}
"""Who answers for the samples that Inspect's own runner has, by the id and the epoch that they have there."""

# A session waits for its own permit; a second bound, Inspect's, would only add to it.
UNBOUNDED = 1_000_000


@modelapi(PROVIDER)
class SessionModel(ModelAPI):
    """A model of Inspect's that is the sessions of a run; or, in an evaluation of Inspect's, sessions of its own.

    `model_name` is what sessions call their model. `given` are the fields of such sessions, see `hosting.Hosted`.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008 - Inspect's own signature
        **given: Any,
    ) -> None:
        super().__init__(model_name, base_url, None, [], config)
        if api_key is not None:
            given["api_key"] = api_key
        if base_url is not None:
            given["base_url"] = base_url
        self._hosted = Hosted(model_name, given)

    async def generate(
        self,
        input: list[ChatMessage],  # noqa: A002 - Inspect calls it so
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        """Raises what the session does, unchanged; it has made its retries."""
        return await (await self._asked()).answer(input, tools, tool_choice, config)

    def max_connections(self) -> int:
        return UNBOUNDED

    def tool_result_images(self) -> bool:
        return True

    async def _asked(self) -> Asked:
        if (asked := ASKED.get(None)) is not None:
            return asked
        state = inside.sample_state()
        if state is None:
            raise ConfigError(
                f"The model {PROVIDER}/... answers in a run or an evaluation, and here is none. Begin one."
            )
        return BY_SAMPLE.get((str(state.sample_id), state.epoch)) or await HOSTS.conversations(state, self._hosted)


async def answered_by_sessions(state: TaskState, model: str | None, fields: Mapping[str, Any]) -> TaskState:
    """The state with the answer of a session to its messages, its tools called in Inspect's loop."""
    active, of_evaluation = get_model(), str(state.model).removeprefix(f"{PROVIDER}/")
    given = dict(fields)
    if model is None and active.explicit_base_url is not None:
        given.setdefault("base_url", active.explicit_base_url)
    asked = session_model(model or of_evaluation, **given)
    state = await inside.generate_with(asked, told())(state)
    await (await HOSTS.conversations(state, Hosted(model or of_evaluation, given))).finish(state.messages)
    return state


@cache
def run_model(name: str) -> Model:
    """The model of a run's sessions, of which there is one for each name that the run has for models."""
    return session_model(name)


def session_model(name: str, **given: Any) -> Model:
    """The model of this name, `provider/name` of a session, as Inspect knows models; `given` as for `SessionModel`."""
    config = GenerateConfig(max_connections=UNBOUNDED, adaptive_connections=False)
    return get_model(f"{PROVIDER}/{name}", config=config, memoize=False, **given)
