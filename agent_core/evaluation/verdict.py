"""Verdicts: which outcome an error is, and whether trying again may help.

The rule here: `model_failed` is what the same request would meet again, `infrastructure_failed` what a better moment
might mend, `limit_hit` what the user's own limits ended. No error is without a verdict.
"""

from typing import NamedTuple

from agent_core.errors import CLUSTER_LOST, ConfigError, ErrorInfo, ProviderError, RayconteurError, SessionError
from agent_core.evaluation.authors import author_error, is_authors
from agent_core.evaluation.limits import Limit
from agent_core.evaluation.result import SampleOutcome

# Outcomes of a turn (see `entries.Outcome`), which the kind of a SessionError names, that are limits.
_LIMITS: dict[str, Limit] = {
    "max_tokens": "max_tokens",
    "max_steps": "max_steps",
    "context_exceeded": "context",
    "context_too_long": "context",
}
# Seen once, these would be seen by every other sample too: a key that is refused, a model or an address that is not
# there.
_HOPELESS_KINDS = frozenset({"authentication"})
_HOPELESS_STATUSES = frozenset({404, 405})
LONGEST_MESSAGE = 2000


class Verdict(NamedTuple):
    """How an attempt ended. `again`: another attempt may end better."""

    outcome: SampleOutcome
    error: ErrorInfo | None = None
    limit: Limit | None = None
    again: bool = False


COMPLETED = Verdict("completed")
CANCELLED = Verdict("cancelled")
TIMED_OUT = Verdict("limit_hit", limit="time")


def judge(error: Exception) -> Verdict:
    """The verdict on what asking a session raised."""
    info = _info(error)
    if limit := _LIMITS.get(info.kind):
        return Verdict("limit_hit", info, limit)
    match error:
        case ProviderError():
            if error.retryable or is_hopeless(info):
                return Verdict("infrastructure_failed", info, again=error.retryable)
            return Verdict("model_failed", info)
        case SessionError() if info.kind == "refused":
            return Verdict("model_failed", info)
        case ConfigError():
            return Verdict("infrastructure_failed", info)
        case _:
            # A file or an address may be there the next time; a mistake in the agent's code is made again.
            return Verdict("infrastructure_failed", info, again=info.boundary != "config" or info.retryable)


def is_hopeless(error: ErrorInfo) -> bool:
    """Whether every other sample would meet the same error, if none has been answered yet."""
    if error.boundary != "provider":
        return False
    return error.kind in _HOPELESS_KINDS or error.status in _HOPELESS_STATUSES


def is_final(error: Exception) -> bool:
    """Whether every session of the program is lost with this one, whatever was answered before."""
    return isinstance(error, RayconteurError) and error.kind == CLUSTER_LOST


def is_unreachable(error: ErrorInfo) -> bool:
    """Whether there was no server to speak to."""
    return error.boundary == "provider" and error.kind == "connection"


def _info(error: Exception) -> ErrorInfo:
    """The error as data; one that is none of ours is put down by its class, its text cut."""
    # An error raised in another process arrives wrapped, with what it was as `cause`.
    cause = getattr(error, "cause", None)
    if isinstance(error, RayconteurError):
        return error.info()
    if isinstance(cause, RayconteurError):
        return cause.info()
    kind = type(error).__name__
    if is_authors(error):
        told = f"The agent's own code failed.\n{author_error(error)}\nMend it, then requeue what failed."
        return ErrorInfo(boundary="config", kind=kind, message=told, retryable=isinstance(error, OSError))
    text = f"{kind}: {error}".strip(": ")
    return ErrorInfo(boundary="placement", kind=kind, message=text[:LONGEST_MESSAGE], retryable=True)
