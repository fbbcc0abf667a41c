"""The model that Inspect's solvers ask: it passes each request to the sessions of the sample that is being solved.

The rule here: it holds nothing. Who answers is found in the context of the asyncio task, or by the active sample where
Inspect itself runs many.
"""

from contextvars import ContextVar
from typing import Any

from inspect_ai.model import ChatMessage, GenerateConfig, Model, ModelAPI, ModelOutput, get_model
from inspect_ai.tool import ToolChoice, ToolInfo

from agent_core.errors import ConfigError
from drivers.inspecting import inside
from drivers.inspecting.conversations import Asked

PROVIDER = "rayconteur"
ASKED: ContextVar[Asked] = ContextVar("rayconteur_asked")
BY_SAMPLE: dict[tuple[str, int], Asked] = {}
"""Who answers for the samples that Inspect's own runner has, by the id and the epoch that they have there."""

# A session waits for its own permit; a second bound, Inspect's, would only add to it.
UNBOUNDED = 1_000_000


class SessionModel(ModelAPI):
    """A model of Inspect's that is the sessions of a run. `model_name` is what the run calls its model."""

    def __init__(self, model_name: str, base_url: str | None = None, api_key: str | None = None, **given: Any) -> None:
        super().__init__(model_name, base_url, api_key, [], given.get("config", GenerateConfig()))

    async def generate(
        self,
        input: list[ChatMessage],  # noqa: A002 - Inspect calls it so
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        """Raises what the session does, unchanged; it has made its retries."""
        return await _asked().answer(input, tools, tool_choice, config)

    def max_connections(self) -> int:
        return UNBOUNDED

    def tool_result_images(self) -> bool:
        return True


def _asked() -> Asked:
    asked = ASKED.get(None)
    if asked is None and (state := inside.sample_state()) is not None:
        asked = BY_SAMPLE.get((str(state.sample_id), state.epoch))
    if asked is None:
        raise ConfigError(
            f"The model {PROVIDER}/... answers through the sessions of a run, and here is none. Run the task with:"
            f" python -m drivers.evaluate, or inspect eval TASK --solver {PROVIDER}/session."
        )
    return asked


def session_model(name: str) -> Model:
    """The model of this name, `provider/name` of a session, as Inspect knows models."""
    import drivers.inspecting.registry  # noqa: F401 - makes the provider known to Inspect

    config = GenerateConfig(max_connections=UNBOUNDED, adaptive_connections=False)
    return get_model(f"{PROVIDER}/{name}", config=config, memoize=False)
