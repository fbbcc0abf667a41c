"""What a wire is: where a request goes, how it is written, and how the answer is read.

The rule here: a wire knows no network and no SDK. `encode` is a pure function; a reader is fed the server's JSON
values in their order and gives events. So both are tested without a socket, and every wire is performed by the same
few lines.
"""

from collections.abc import Iterable
from typing import Any, Literal, Protocol, cast

from agent_core.errors import ConfigError
from agent_core.ports import ModelEvent, ModelRequest

Sdk = Literal["anthropic", "openai"]
Json = dict[str, Any]


class Reader(Protocol):
    """Reads one answer. Raises ProviderError when the server tells of a failure in it.

    `finished` says that the server sends nothing more; it is set here, or from outside at the mark `[DONE]`.
    """

    finished: bool

    def feed(self, event: Json) -> Iterable[ModelEvent]:
        """The events of the next value of a stream."""
        ...

    def whole(self, body: Json) -> Iterable[ModelEvent]:
        """The events of an answer that was not streamed; `end` follows."""
        ...

    def end(self) -> Iterable[ModelEvent]:
        """The last events, once everything was fed. Raises ProviderError (cut_short) if the answer is not whole."""
        ...


class Wire(Protocol):
    """One API. `path` follows the base URL as its SDK has it."""

    @property
    def sdk(self) -> Sdk: ...

    @property
    def path(self) -> str: ...

    def encode(self, request: ModelRequest) -> bytes:
        """The request's body. Raises ConfigError for a setting that this wire or model cannot have."""
        ...

    def reader(self, request: ModelRequest) -> Reader: ...


def part(value: Json, name: str) -> Json:
    """The object in this field, an empty one if there is none."""
    return cast("Json", value.get(name) or {})


def parts(value: Json, name: str) -> list[Json]:
    """The objects in this field, none if there is none."""
    return cast("list[Json]", value.get(name) or [])


def checked_tool_choice(request: ModelRequest) -> str | None:
    """`auto`, `any`, `none`, a tool's name, or None if nothing is to be said. Raises ConfigError for another name."""
    choice = request.config.tool_choice
    if choice is None or not request.tools:
        return None
    if choice in ("auto", "none"):
        return choice
    if choice in ("any", "required"):
        return "any"
    names = [tool.name for tool in request.tools]
    if choice not in names:
        raise ConfigError(
            f"tool_choice: '{choice}' is neither 'auto', 'any', 'none' nor one of the session's tools"
            f" ({', '.join(names)}). Set it to one of these.",
            "tool_choice",
        )
    return choice


def with_extra(body: Json, request: ModelRequest, conversation: str) -> Json:
    """`body` with the user's `extra` fields over it. Raises ConfigError for those that the session itself must own."""
    extra = request.config.extra
    if owned := sorted(extra.keys() & {"model", "stream", "tools", conversation}):
        raise ConfigError(f"extra.{owned[0]}: the session fills in this field itself. Take it out of extra.", "extra")
    body.update(extra)
    return body
