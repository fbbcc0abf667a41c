"""Session configuration, checked when it is made: a wrong value is refused with the name of its field.

The rule here: a key is a reference (`env:NAME` or `file:PATH`), resolved only in the process that calls the provider.
Nothing here can hold a secret.
"""

from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from agent_core.compaction.settings import Compaction, LLMCompaction
from agent_core.endpoint import BaseUrl, KeyReference, ModelName, Provider, Wire, check_wire
from agent_core.errors import ConfigError
from agent_core.frozen import Frozen

Effort = Literal["low", "medium", "high"]
RequestClass = Literal["interactive", "batch", "summary"]
OnRecovery = Literal["resume", "fail"]


class Thinking(Frozen):
    """Extended thinking: a budget in tokens (Anthropic) or an effort (both). One of the two."""

    budget_tokens: int | None = Field(default=None, ge=1024)
    effort: Effort | None = None


class ResponseCache(Frozen):
    """Where answers are kept to be given again. See `agent_core.response_cache`.

    `directory` is seen by every node that is to share it. Sessions of another `scope` do not share answers, and an
    answer older than `max_age` (seconds) is asked for again.
    """

    directory: str = Field(min_length=1)
    scope: str = ""
    max_age: float | None = Field(default=None, gt=0.0)


class SessionConfig(Frozen):
    """Everything that a session needs to speak to its model.

    `model` is `provider/name`. `context_limit` is in tokens; without it the models file is asked, and an unknown model
    is refused. `timeout` is in seconds for one whole request with its retries. `max_steps` bounds the model calls of a
    turn. `extra` is added to the request's body as it is. `on_recovery` says what becomes of a turn that was open when
    the session's process was lost: it goes on, or it ends as failed and can be retried. With a `cache`, requests that
    were answered before are not made again.
    """

    model: ModelName
    api_key: KeyReference | None = None
    base_url: BaseUrl | None = None
    wire: Wire | None = None
    max_tokens: int = Field(default=4096, ge=1)
    system_prompt: str | None = None
    temperature: float | None = Field(default=None, ge=0.0, le=2.0)
    streaming: bool = True
    context_limit: int | None = Field(default=None, ge=256)
    compaction: Compaction | None = LLMCompaction()
    thinking: Thinking | None = None
    tool_choice: str | None = None
    stop_sequences: tuple[str, ...] = ()
    timeout: float = Field(default=600.0, gt=0.0)
    max_steps: int = Field(default=50, ge=1)
    request_class: RequestClass = "interactive"
    extra: dict[str, Any] = Field(default_factory=dict)
    on_recovery: OnRecovery = "resume"
    cache: ResponseCache | None = None

    @property
    def provider(self) -> Provider:
        """The part of `model` before the slash."""
        return self.model.partition("/")[0]  # type: ignore[return-value]

    @property
    def model_name(self) -> str:
        """The part of `model` after the slash, as the provider knows it."""
        return self.model.partition("/")[2]

    @model_validator(mode="after")
    def _fits_its_wire(self) -> Self:
        check_wire(self.model, self.wire)
        if self.provider == "anthropic" and self.temperature is not None:
            raise ValueError("temperature: the Anthropic SDK no longer takes one; leave it out (use thinking.effort)")
        return self

    def summariser(self, compaction: LLMCompaction, max_tokens: int) -> "SessionConfig":
        """The configuration of the one who summarises for this session: no tools, no thinking, so many tokens."""
        own = compaction.model is not None
        where = compaction if own else self
        return SessionConfig(
            model=compaction.model or self.model,
            api_key=where.api_key,
            base_url=where.base_url,
            wire=where.wire,
            context_limit=where.context_limit,
            max_tokens=max_tokens,
            temperature=None if own else self.temperature,
            compaction=None,
            timeout=compaction.deadline,
            request_class="summary",
            extra={} if own else self.extra,
        )

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


def _said(place: tuple[int | str, ...], text: str) -> str:
    """A mistake with the name of its field; the checks of this module name it themselves."""
    # A tagged union names the tag of the type that it took the value for.
    names = [str(part) for part in place]
    field = ".".join(names[:1] + names[2:] if names[:1] == ["compaction"] and names[2:] else names)
    said = text.removeprefix("Value error, ")
    return f"{field}: {said}" if field else said
