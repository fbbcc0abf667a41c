"""Errors: one short hierarchy, named by the boundary that was crossed.

The rule here: every text says what to do next, every error survives pickling (a message first, defaults for the rest),
and no text ever holds a secret.
"""

from typing import Literal

from agent_core.frozen import Frozen

ProviderErrorKind = Literal[
    "authentication",
    "bad_request",
    "context_too_long",
    "rate_limit",
    "overloaded",
    "server",
    "timeout",
    "connection",
    "cut_short",
]

Boundary = Literal["provider", "tool", "journal", "placement", "config", "session", "scorer"]

CLUSTER_LOST = "cluster_lost"
"""The kind of a PlacementError that all sessions of the program meet: the head of its cluster is gone."""

TRANSIENT: frozenset[str] = frozenset({"rate_limit", "overloaded", "server", "timeout", "connection", "cut_short"})


class ErrorInfo(Frozen):
    """An error as data: in events, in the journal and in results files. `boundary` is the class of the error."""

    boundary: Boundary
    kind: str
    message: str
    status: int | None = None
    retryable: bool = False


class RayconteurError(Exception):
    """The base of every error that this project raises on purpose."""

    boundary: Boundary = "session"

    def __init__(self, message: str = "", kind: str = "") -> None:
        super().__init__(message, kind)
        self.message = message
        self.kind = kind or type(self).__name__

    def __str__(self) -> str:
        return self.message

    def info(self) -> ErrorInfo:
        """The same error as data."""
        return ErrorInfo(boundary=self.boundary, kind=self.kind, message=self.message)


class ProviderError(RayconteurError):
    """A model provider refused, failed or could not be reached.

    `retry_after` is in seconds, as the provider said. `context_limit` is the window that an overflow error named, in
    tokens.
    """

    boundary = "provider"

    def __init__(
        self,
        message: str = "",
        kind: ProviderErrorKind = "server",
        status: int | None = None,
        retry_after: float | None = None,
        context_limit: int | None = None,
    ) -> None:
        super().__init__(message, kind)
        self.args = (message, kind, status, retry_after, context_limit)
        self.status = status
        self.retry_after = retry_after
        self.context_limit = context_limit

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later."""
        return self.kind in TRANSIENT

    def info(self) -> ErrorInfo:
        return ErrorInfo(
            boundary="provider", kind=self.kind, message=self.message, status=self.status, retryable=self.retryable
        )


class ToolError(RayconteurError):
    """A tool is defined wrongly, cannot be found, or was answered for a call that is not open."""

    boundary = "tool"


class ToolUnavailable(ToolError):
    """A tool's code is missing where it should run, or is no longer what the session was opened with."""


class JournalError(RayconteurError):
    """The durable log refused or could not be reached."""

    boundary = "journal"


class Fenced(JournalError):
    """Another owner has claimed the session since: this one must drop it."""


class SequenceGap(JournalError):
    """An append does not continue the log where it ends: an earlier one was lost."""


class PlacementError(RayconteurError):
    """A session, tool or compaction could not be given a place to run."""

    boundary = "placement"


class ConfigError(RayconteurError):
    """A value that a user chose is wrong. The text names the field and the mend."""

    boundary = "config"


class SessionError(RayconteurError):
    """The session cannot do this in the state that it is in."""

    boundary = "session"


class SessionBusy(SessionError):
    """A turn is open and the caller asked to be refused rather than queued."""


class SessionClosed(SessionError):
    """The session was shut down and takes no more messages."""


class ScorerError(RayconteurError):
    """A scorer could make no score of an answer: there is no target, it failed, or what it returned is no score."""

    boundary = "scorer"
