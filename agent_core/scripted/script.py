"""A script: what the server answers, as ordered rules that a JSON file or Python can hold.

The rule here: the first rule that matches answers. A reply without text and tool calls is an empty message, never a
default.

A file that answers the first request with a tool call, tells the result, and refuses every tenth request:

    {"rules": [{"match": {"text": "weather", "rounds": 0},
                "replies": [{"text": "Looking.", "tool_calls": [{"name": "weather", "input": {"city": "Oslo"}}]}]},
               {"match": {"has_tool_result": true}, "replies": [{"text": "It is {{results}}."}]}],
     "knobs": {"first_byte_s": 0.2, "tokens_per_second": 80, "faults": {"rate_limited": {"every": 10}}}}
"""

import json
import re
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator

from agent_core.errors import ConfigError
from agent_core.frozen import Frozen
from agent_core.scripted.knobs import FaultKind, Knobs
from agent_core.scripted.wire import Json, Wire

StopReason = Literal[
    "end_turn",
    "tool_use",
    "max_tokens",
    "stop_sequence",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
    "content_filter",
]


class ToolCall(Frozen):
    """A tool call to make. `id` is made unless given; `raw_input` is sent as it stands, valid JSON or not."""

    name: str
    input: Json = Field(default_factory=dict[str, object])
    id: str | None = None
    raw_input: str | None = None


class UsageOverride(Frozen):
    """Token counts to report in place of the server's own."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class HttpError(Frozen):
    """An error answer of the script's choice: any status, any body."""

    status: int = Field(ge=400, le=599)
    body: Json
    headers: dict[str, str] = Field(default_factory=dict[str, str])


class Reply(Frozen):
    """One model response: thinking, then text, then tool calls.

    `stop_reason` follows from the content unless given: `tool_use` with tool calls, else `end_turn`. `content_filter`
    exists on the OpenAI wires only and is `refusal` on Anthropic's. Thinking is sent where the request asks for it.
    In `text`, `{{text}}`, `{{results}}`, `{{session}}` and `{{number}}` stand for the last user text, the tool
    results, the session tag and the number of the request. `fault` breaks this reply whatever the knobs say; `knobs`
    override the rule's.
    """

    text: str = ""
    thinking: str | None = None
    redacted_thinking: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    stop_reason: StopReason | None = None
    stop_sequence: str | None = None
    usage: UsageOverride | None = None
    fault: FaultKind | None = None
    error: HttpError | None = None
    knobs: Knobs | None = None


class Match(Frozen):
    """What a request must be like; every field that is set must hold. Texts are regular expressions, found anywhere.

    `nth` is the number of the request at this server, from 1. `rounds` is how many times the model has called tools
    since the last user text. `has_tool_result` says whether the last message carries tool results; `tool` names one
    of those tools. With `summary`, the rule is for the requests that ask for a summary of a conversation, and for no
    others; without, for all but those.
    """

    text: str | None = None
    model: str | None = None
    session: str | None = None
    system: str | None = None
    result: str | None = None
    tool: str | None = None
    wire: Wire | None = None
    has_tool_result: bool | None = None
    nth: int | None = Field(default=None, ge=1)
    rounds: int | None = Field(default=None, ge=0)
    summary: bool = False

    @field_validator("text", "model", "session", "system", "result", "tool")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from None
        return pattern


class Rule(Frozen):
    """Replies for the requests that match: in order, then again from the first, the last for ever, or no more.

    `per_session` counts the replies for each session tag apart.
    """

    match: Match = Match()
    replies: tuple[Reply, ...] = Field(min_length=1)
    repeat: Literal["cycle", "last", "once"] = "cycle"
    per_session: bool = False
    knobs: Knobs | None = None


class ModelLimits(Frozen):
    """What a model takes. Counts are in tokens.

    `prefill` says whether a conversation may end with the assistant. `thinks_unasked` models think without being told
    to. `reasoning` models refuse `temperature`, `top_p` and `max_tokens` on the OpenAI wires. With `strict_budget`,
    input and `max_tokens` together must fit the window, as for older models; without, the answer stops where the
    window ends.
    """

    context_window: int = Field(default=200_000, ge=1)
    max_output: int = Field(default=64_000, ge=1)
    prefill: bool = True
    thinks_unasked: bool = False
    reasoning: bool = False
    strict_budget: bool = False


class Script(Frozen):
    """All that a server is told. Without rules it echoes and calls tools on request, see `brain.py`.

    `models` gives limits by model name; other models get `default_limits`, or a 404 when `only_models`. `api_keys`,
    when not empty, are the keys that are let in. `cache_minimum` is the smallest prefix that prompt caching keeps, in
    tokens. `chat_reasoning_field` is where thinking goes on the Chat wire, as local servers have it
    (`reasoning_content`); OpenAI itself sends none.
    """

    rules: tuple[Rule, ...] = ()
    knobs: Knobs = Knobs()
    seed: int = 0
    models: dict[str, ModelLimits] = Field(default_factory=dict[str, ModelLimits])
    default_limits: ModelLimits = ModelLimits()
    only_models: bool = False
    api_keys: tuple[str, ...] = Field(default=(), repr=False)
    cache_minimum: int = Field(default=1_024, ge=1)
    chat_reasoning_field: str | None = None

    def limits(self, model: str) -> ModelLimits | None:
        """The limits of a model, None for one that this server does not have."""
        return self.models.get(model, None if self.only_models else self.default_limits)

    @classmethod
    def load(cls, path: Path) -> "Script":
        """Reads a JSON file. Raises ConfigError that names the file and the first field that is wrong."""
        try:
            return cls.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise ConfigError(f"Cannot read the script {path}: {error.strerror}. Give a readable JSON file.") from None
        except json.JSONDecodeError as error:
            raise ConfigError(f"{path}, line {error.lineno}: not JSON ({error.msg}). Mend that line.") from None
        except UnicodeDecodeError:
            raise ConfigError(f"The script {path} is not UTF-8 text. Save it as UTF-8.") from None
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the top level"
            raise ConfigError(f"{path}: {where}: {first['msg']}. Mend that field.") from None
