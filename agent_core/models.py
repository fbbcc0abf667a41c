"""What is known of models: window, output limit, prices. The facts are in `models.json`, each with its date and source.

The rule here: nothing is guessed. A model that is not in the data has no window until its user says it.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from agent_core.config import SessionConfig
from agent_core.errors import ConfigError
from agent_core.frozen import Frozen
from agent_core.messages import Usage

# How a dated or aliased name ends: -20250929, -2025-08-07, -latest.
_VERSION = re.compile(r"-(?:\d{8}|\d{4}-\d{2}-\d{2}|latest)$")
_PER = 1_000_000


class LongPrompt(Frozen):
    """Prices of a request whose prompt has more than `above` tokens, cached ones included: times the usual ones."""

    above: int
    input_factor: float
    output_factor: float


class ModelInfo(Frozen):
    """One model. Sizes are in tokens, prices in US dollars for a million tokens; None is not known.

    `thinking` is what Claude takes to be told how to think; `reasoning` says whether an OpenAI model gives reasoning
    items. `as_of` is the day of the facts and `source` where they stand.
    """

    context_window: int = Field(ge=256)
    max_output: int | None = Field(default=None, ge=1)
    input_price: float | None = Field(default=None, ge=0)
    output_price: float | None = Field(default=None, ge=0)
    cache_read_price: float | None = Field(default=None, ge=0)
    cache_write_price: float | None = Field(default=None, ge=0)
    long_prompt: LongPrompt | None = None
    thinking: tuple[Literal["budget", "effort", "adaptive"], ...] | None = None
    reasoning: bool | None = None
    as_of: str = ""
    source: str = ""


Models = Mapping[str, ModelInfo]


class _File(Frozen):
    about: str = ""
    models: dict[str, ModelInfo]


@cache
def built_in_models() -> Models:
    """The models of `models.json`, by `provider/name`."""
    text = resources.files("agent_core").joinpath("models.json").read_text(encoding="utf-8")
    return _parse(text, "models.json")


def read_models(path: Path) -> Models:
    """A user's own models, to be passed as `overrides`: the same form as `models.json`. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The models file {path} cannot be read ({error}). Check its path, or leave it out.", "models_file"
        ) from None
    return _parse(text, str(path))


def model_info(model: str, overrides: Models | None = None) -> ModelInfo | None:
    """What is known of `provider/name`; `overrides` come first. A dated name is its model. None if unknown."""
    for name in (model, _VERSION.sub("", model)):
        for known in (overrides or {}, built_in_models()):
            if name in known:
                return known[name]
    return None


def context_limit(config: SessionConfig, overrides: Models | None = None) -> int:
    """The window of a session's model in tokens. Raises ConfigError for an unknown model that says none."""
    if config.context_limit is not None:
        return config.context_limit
    info = model_info(config.model, overrides)
    if info is None:
        raise ConfigError(
            f"context_limit: the window of {config.model} is not known. Set context_limit to its size in tokens, or"
            " check the model's name.",
            "unknown_model",
        )
    return info.context_window


def cost(model: str, usage: Usage, overrides: Models | None = None) -> float | None:
    """What one request costs in US dollars, or None if a price that it needs is not known.

    `usage` is of a single request, for some prices depend on how long its prompt is.
    """
    info = model_info(model, overrides)
    if info is None:
        return None
    input_factor = output_factor = 1.0
    prompt = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    if info.long_prompt is not None and prompt > info.long_prompt.above:
        input_factor, output_factor = info.long_prompt.input_factor, info.long_prompt.output_factor
    total = 0.0
    for tokens, price, factor in (
        (usage.input_tokens, info.input_price, input_factor),
        (usage.output_tokens, info.output_price, output_factor),
        (usage.cache_read_tokens, info.cache_read_price, input_factor),
        (usage.cache_write_tokens, info.cache_write_price, input_factor),
    ):
        if tokens and price is None:
            return None
        total += tokens * (price or 0.0) * factor
    return total / _PER


def _parse(text: str, name: str) -> Models:
    try:
        return _File.model_validate_json(text).models
    except ValidationError as error:
        reasons = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'file'}: {item['msg']}" for item in error.errors())
        raise ConfigError(
            f'The models file {name} is not of the form {{"models": {{"provider/name": {{"context_window": ...}}}}}}:'
            f" {reasons}. Mend it, or leave it out.",
            "models_file",
        ) from None
