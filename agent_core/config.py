"""Session configuration, checked when it is made: a wrong value is refused with the name of its field.

The rule here: a key is a reference (`env:NAME` or `file:PATH`), resolved only in the process that calls the provider.
Nothing here can hold a secret.
"""

import re
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator

from agent_core.errors import ConfigError
from agent_core.frozen import Frozen

Provider = Literal["anthropic", "openai", "local"]
Wire = Literal["messages", "responses", "chat"]
Effort = Literal["low", "medium", "high"]
RequestClass = Literal["interactive", "batch", "summary"]

_KEY_REFERENCE = re.compile(r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$")


class ThresholdCompaction(Frozen):
    """Mechanical compaction: past `threshold` (a share of the usable window) old tool results are shortened.

    Results of the newest `keep_recent_turns` turns are left alone. `summarize` uses a call's compact summary where it
    has one and redacts otherwise; `redact` always redacts.
    """

    threshold: float = Field(default=0.5, gt=0.0, lt=1.0)
    keep_recent_turns: int = Field(default=3, ge=0)
    tool_compaction: Literal["summarize", "redact"] = "summarize"


class Thinking(Frozen):
    """Extended thinking: a budget in tokens (Anthropic) or an effort (both). One of the two."""

    budget_tokens: int | None = Field(default=None, ge=1024)
    effort: Effort | None = None


class SessionConfig(Frozen):
    """Everything that a session needs to speak to its model.

    `model` is `provider/name`. `context_limit` is in tokens; without it the models file is asked, and an unknown model
    is refused. `timeout` is in seconds for one whole request with its retries. `max_steps` bounds the model calls of a
    turn. `extra` is added to the request's body as it is.
    """

    model: str
    api_key: str | None = None
    base_url: str | None = None
    wire: Wire | None = None
    max_tokens: int = Field(default=4096, ge=1)
    system_prompt: str | None = None
    temperature: float | None = Field(default=None, ge=0.0, le=2.0)
    streaming: bool = True
    context_limit: int | None = Field(default=None, ge=256)
    compaction: ThresholdCompaction | None = ThresholdCompaction()
    thinking: Thinking | None = None
    tool_choice: str | None = None
    stop_sequences: tuple[str, ...] = ()
    timeout: float = Field(default=600.0, gt=0.0)
    max_steps: int = Field(default=50, ge=1)
    request_class: RequestClass = "interactive"
    extra: dict[str, Any] = Field(default_factory=dict)

    @property
    def provider(self) -> Provider:
        """The part of `model` before the slash."""
        return self.model.partition("/")[0]  # type: ignore[return-value]

    @property
    def model_name(self) -> str:
        """The part of `model` after the slash, as the provider knows it."""
        return self.model.partition("/")[2]

    @field_validator("model")
    @classmethod
    def _model_names_a_provider(cls, value: str) -> str:
        provider, slash, name = value.partition("/")
        if not slash or not name or provider not in ("anthropic", "openai", "local"):
            raise ValueError(
                f"'{value}' is not of the form provider/name with provider anthropic, openai or local"
                " (for example anthropic/claude-sonnet-5-5, openai/gpt-6.2-sol, local/smollm2)"
            )
        return value

    @field_validator("base_url")
    @classmethod
    def _base_url_is_one(cls, value: str | None) -> str | None:
        if value is not None and (wrong := _wrong_with(value)):
            raise ValueError(f"{wrong}; write for example http://localhost:8000/v1")
        return value

    @field_validator("api_key")
    @classmethod
    def _key_is_a_reference(cls, value: str | None) -> str | None:
        if value is not None and not _KEY_REFERENCE.match(value):
            raise ValueError("a key is given by reference, as env:NAME or file:PATH; a literal key is refused")
        return value

    @model_validator(mode="after")
    def _fits_its_wire(self) -> Self:
        if self.provider == "anthropic":
            if self.temperature is not None:
                raise ValueError(
                    "temperature: the Anthropic SDK no longer takes one; leave it out (use thinking.effort)"
                )
            if self.wire not in (None, "messages"):
                raise ValueError(f"wire: anthropic speaks only 'messages', not '{self.wire}'")
        elif self.provider == "openai" and self.wire == "messages":
            raise ValueError("wire: openai speaks 'responses' or 'chat', not 'messages'")
        return self

    @classmethod
    def of(cls, **fields: Any) -> Self:
        """Make a configuration from a user's values.

        Raises ConfigError: one line per wrong field, with the field's name.
        """
        try:
            return cls(**fields)
        except ValidationError as error:
            lines = [_said(item["loc"], item["msg"]) for item in error.errors()]
            raise ConfigError("Bad session configuration. " + "; ".join(lines)) from None


def _wrong_with(url: str) -> str | None:
    """What keeps `url` from being a server's address."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"'{url}' is no URL ({error})"
    if parts.username is not None or parts.password is not None:
        return "a URL may not hold a name or password: it is kept with the session; give a key with api_key"
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or re.search(r"\s", url):
        return f"'{url}' is no URL of a server"
    return None


def _said(place: tuple[int | str, ...], text: str) -> str:
    """A mistake with the name of its field; the checks of this module name it themselves."""
    field = ".".join(str(part) for part in place)
    said = text.removeprefix("Value error, ")
    return f"{field}: {said}" if field else said
