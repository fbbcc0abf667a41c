"""The three wires that the scripted model server speaks, and how a wire refuses a request.

The rule here: a refusal has the provider's own status and error body. Bodies are transcribed from
`anthropic.types.shared.ErrorResponse` and its error objects (anthropic 2.12), from `openai.types.shared.ErrorObject`
(openai 3.54) and from the texts that both providers publish in their error guides and that their users quote in
public bug reports.

`WireError` is an answer that a provider would give, not a failure of this project, so it stands outside of
`agent_core.errors`.
"""

from enum import StrEnum
from typing import Any, TypeAlias, cast

Json: TypeAlias = dict[str, Any]


class Wire(StrEnum):
    """One request format."""

    ANTHROPIC = "anthropic"
    CHAT = "chat"
    RESPONSES = "responses"


class WireError(Exception):
    """A request that the provider refuses, as it would answer it.

    `status` is the HTTP status, `body` the JSON body, `reason` a short name for counting, `headers` what goes with it
    (`retry-after` for example).
    """

    def __init__(self, status: int, body: Json, reason: str = "invalid", headers: dict[str, str] | None = None) -> None:
        super().__init__(status, body, reason, headers)
        self.status = status
        self.body = body
        self.reason = reason
        self.headers = headers or {}

    def __str__(self) -> str:
        return f"{self.status} {self.reason}: {self.message}"

    @property
    def message(self) -> str:
        """The text for people, wherever the wire puts it."""
        return str(self.body.get("error", {}).get("message", ""))


def anthropic_error(
    status: int, kind: str, message: str, reason: str, headers: dict[str, str] | None = None
) -> WireError:
    """An Anthropic error body; `kind` is one of `anthropic.types.shared.ErrorType`."""
    return WireError(status, {"type": "error", "error": {"type": kind, "message": message}}, reason, headers)


def refuse_anthropic(message: str, reason: str) -> WireError:
    """The 400 with which Anthropic answers an invalid request."""
    return anthropic_error(400, "invalid_request_error", message, reason)


def openai_body(kind: str, message: str, param: str | None = None, code: str | None = None) -> Json:
    """An OpenAI error body, the same on both of its wires."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def refuse_openai(message: str, reason: str, param: str | None = None, code: str | None = None) -> WireError:
    """The 400 with which OpenAI answers an invalid request."""
    return WireError(400, openai_body("invalid_request_error", message, param, code), reason)


def as_object(value: object) -> Json | None:
    """`value` when it is a JSON object, else None."""
    return cast("Json", value) if isinstance(value, dict) else None


def as_array(value: object) -> list[Any] | None:
    """`value` when it is a JSON array, else None."""
    return cast("list[Any]", value) if isinstance(value, list) else None
