"""What a task wants of its model, as the settings of a session.

The rule here: what would change an answer is set or refused, never dropped. How Inspect would pace, retry and cache
its requests is left out, for the session does that.
"""

from typing import Any

from inspect_ai.model import GenerateConfig
from inspect_ai.tool import ToolChoice, ToolFunction, ToolInfo

from agent_core.errors import ConfigError
from agent_core.tools.definition import ToolDefinition

# Sent under the same name on every wire that knows them; a server that does not refuses them by name.
_EXTRA = ("top_p", "top_k", "frequency_penalty", "presence_penalty", "seed", "logit_bias", "parallel_tool_calls")
_REFUSED = ("num_choices", "logprobs", "top_logprobs", "prompt_logprobs", "best_of", "response_schema", "modalities")
_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}


def fields_of(config: GenerateConfig) -> dict[str, Any]:
    """The fields of SessionConfig for what this sets. Raises ConfigError for what no session can do."""
    for name in _REFUSED:
        if getattr(config, name, None) not in (None, False, 1):
            raise ConfigError(f"The task asks the model for {name}, which sessions cannot give. Use `inspect eval`.")
    fields: dict[str, Any] = {}
    if config.max_tokens is not None:
        fields["max_tokens"] = config.max_tokens
    if config.temperature is not None:
        fields["temperature"] = config.temperature
    if config.stop_seqs:
        fields["stop_sequences"] = tuple(config.stop_seqs)
    if config.timeout is not None:
        fields["timeout"] = float(config.timeout)
    if config.reasoning_tokens is not None:
        fields["thinking"] = {"budget_tokens": config.reasoning_tokens}
    elif config.reasoning_effort in _EFFORTS:
        fields["thinking"] = {"effort": _EFFORTS[config.reasoning_effort]}
    extra = {name: value for name in _EXTRA if (value := getattr(config, name)) is not None} | (config.extra_body or {})
    if extra:
        fields["extra"] = extra
    return fields


def choice_of(choice: ToolChoice) -> str | None:
    """Which tool is forced, as a session says it."""
    if isinstance(choice, ToolFunction):
        return choice.name
    return None if choice == "auto" else choice


def definition_of(tool: ToolInfo) -> ToolDefinition:
    """The tool for a session that leaves its running to Inspect."""
    schema = tool.parameters.model_dump(mode="json", exclude_none=True)
    return ToolDefinition(name=tool.name, description=tool.description, input_schema=schema)
