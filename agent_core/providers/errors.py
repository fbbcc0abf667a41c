"""What went wrong at a provider, as one of the kinds of `ProviderError`, each with what to do next.

The rule here: a kind is decided by what the provider says of itself (its error type or code), else by the status. A
429 is never read as an overflow. The texts here may still quote a key that a server echoed: `exchange.py` scrubs
every one that leaves.

Sources: `anthropic.types.shared.ErrorType` and "Errors" on platform.claude.com;
`openai.types.responses.ResponseError` and "Error codes" on platform.openai.com; llama.cpp's server
(`exceed_context_size_error`), vLLM and Ollama by their texts.
"""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, cast

from agent_core.errors import ProviderError, ProviderErrorKind

_MAX_TEXT = 600

_BY_STATUS: dict[int, ProviderErrorKind] = {
    401: "authentication",
    402: "authentication",
    403: "authentication",
    408: "timeout",
    409: "server",
    413: "context_too_long",
    425: "server",
    429: "rate_limit",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}
_BY_TYPE: dict[str, ProviderErrorKind] = {
    # Anthropic's types.
    "authentication_error": "authentication",
    "billing_error": "authentication",
    "permission_error": "authentication",
    "invalid_request_error": "bad_request",
    "not_found_error": "bad_request",
    "request_too_large": "context_too_long",
    "rate_limit_error": "rate_limit",
    "timeout_error": "timeout",
    "api_error": "server",
    "overloaded_error": "overloaded",
    # OpenAI's codes, and those of servers that speak its APIs.
    "invalid_api_key": "authentication",
    "insufficient_quota": "authentication",
    "billing_not_active": "authentication",
    "context_length_exceeded": "context_too_long",
    "exceed_context_size_error": "context_too_long",
    "rate_limit_exceeded": "rate_limit",
    "server_is_overloaded": "overloaded",
    "slow_down": "overloaded",
    "server_error": "server",
    "unavailable_error": "overloaded",
}
# The rest of `ResponseError`'s codes: the request cannot be answered as it is.
_REFUSED = re.compile(r"^(invalid|unsupported|empty)_|policy|image|residency")
# Types that say nothing which the status does not say better.
_VAGUE = frozenset({"invalid_request_error", "api_error", "server_error", "not_found_error"})
_OVERFLOW = re.compile(
    r"prompt is too long|exceeds? (?:the )?(?:model'?s? )?(?:maximum |available )?context|maximum context length"
    r"|exceed context limit|context window of this model|context_length_exceeded"
    r"|longer than the (?:model's )?context length|input is too long|too many tokens in the prompt",
    re.IGNORECASE,
)
_WEB_PAGE = re.compile(r"<!doctype html|<html", re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>([^<]*)", re.IGNORECASE)
_LIMITS = (
    re.compile(r"> (\d[\d,]*) maximum"),
    re.compile(r"exceed context limit: [\d,]+ \+ [\d,]+ > (\d[\d,]*)"),
    re.compile(r"maximum context length (?:is|of) (\d[\d,]*)"),
    re.compile(r"context (?:size|window|length) (?:is |of |\()?(\d[\d,]*)"),
)
_ADVICE: dict[str, str] = {
    "authentication": "Check that the key is right, may use this model and has credit.",
    "bad_request": "Change the request; sending it again as it is will fail again.",
    "context_too_long": "Compact or clear the conversation, lower max_tokens, or use a model with a larger window.",
    "rate_limit": "Wait and send it again, lower max_concurrent_requests, or ask the provider for a higher limit.",
    "overloaded": "The provider has too much to do. Send it again in a while.",
    "server": "The failure is the provider's. Send it again in a while.",
    "timeout": "Send it again, or raise timeout.",
    "connection": "Check base_url, the network and that the server runs.",
    "cut_short": "Send it again.",
}


def status_error(
    provider: str, status: int, body: object, headers: Mapping[str, str], *, now: float = 0.0
) -> ProviderError:
    """An answer with an error status. `body` is its JSON value or text; `now` in seconds since the epoch, for dates."""
    error = _error_object(body)
    text = _text(error, body)
    kind = _kind(status, error, text)
    return ProviderError(
        _sentence(f"{provider} answered {status}", text, _advice(kind, status, error)),
        kind,
        status,
        retry_after=retry_after(headers, now),
        context_limit=_limit(error, text) if kind == "context_too_long" else None,
    )


def stream_error(provider: str, body: object) -> ProviderError:
    """An error that came as an event of a stream that had begun well."""
    error = _error_object(body)
    text = _text(error, body)
    kind = _kind(None, error, text)
    return ProviderError(
        _sentence(f"{provider} failed while it answered", text, _advice(kind, None, error)),
        kind,
        context_limit=_limit(error, text) if kind == "context_too_long" else None,
    )


def cut_short(provider: str, reason: str = "") -> ProviderError:
    """A stream that ended with no final event."""
    return ProviderError(
        _sentence(f"The answer of {provider} ended before it was whole", reason, _ADVICE["cut_short"]),
        "cut_short",
    )


def timed_out(provider: str, seconds: float) -> ProviderError:
    """No answer within the time-out, in seconds."""
    return ProviderError(f"{provider} did not answer within {seconds:g} s. {_ADVICE['timeout']}", "timeout")


def unreachable(provider: str, reason: str) -> ProviderError:
    """No connection, or one that was lost before the answer began."""
    return ProviderError(_sentence(f"{provider} could not be reached", reason, _ADVICE["connection"]), "connection")


def malformed(provider: str, reason: str) -> ProviderError:
    """Something that the provider's API does not say. Asked again, such a server says it again."""
    return ProviderError(
        _sentence(
            f"{provider} sent what its API does not have",
            reason,
            "Check that base_url leads to a server that speaks this wire.",
        ),
        "bad_request",
    )


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """The wait that the provider asks for, in seconds: `retry-after-ms`, or `retry-after` (seconds or an HTTP date)."""
    lower = {name.lower(): value for name, value in headers.items()}
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        if (value := lower.get(name)) is not None:
            try:
                return max(0.0, float(value) / unit)
            except ValueError:
                pass
    try:
        return max(0.0, parsedate_to_datetime(lower["retry-after"]).timestamp() - now)
    except (KeyError, ValueError, OverflowError):
        return None


def _error_object(body: object) -> dict[str, Any]:
    """The error within a body: `{"error": {...}}` everywhere, a bare object on some servers."""
    if not isinstance(body, dict):
        return {}
    whole = cast("dict[str, Any]", body)
    inner = whole.get("error", whole)
    if isinstance(inner, dict):
        return cast("dict[str, Any]", inner)
    return {"message": inner} if isinstance(inner, str) else {}


def _text(error: Mapping[str, Any], body: object) -> str:
    message = error.get("message") or error.get("detail") or (body if isinstance(body, str) else "")
    text = " ".join(str(message).split())
    if _WEB_PAGE.match(text):
        title = _TITLE.search(text)
        text = f"a web page ({title[1].strip()[:80]})" if title and title[1].strip() else "a web page"
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"


def _kind(status: int | None, error: Mapping[str, Any], text: str) -> ProviderErrorKind:
    vague = all(str(error.get(field) or "invalid_request_error") in _VAGUE for field in ("code", "type"))
    known: ProviderErrorKind | None = _BY_TYPE.get(str(error.get("code"))) or _BY_TYPE.get(str(error.get("type")))
    if known is None and _REFUSED.search(str(error.get("code"))):
        known = "bad_request"
    if status != 429 and (known == "context_too_long" or (known in (None, "bad_request") and _OVERFLOW.search(text))):
        return "context_too_long"
    if status == 429 and known != "authentication":
        return "rate_limit"
    if known is not None and (status is None or not vague):
        return known
    other: ProviderErrorKind = "server" if status is None or status >= 500 else "bad_request"
    return _BY_STATUS.get(status or 500, other)


def _advice(kind: ProviderErrorKind, status: int | None, error: Mapping[str, Any]) -> str:
    if status in (404, 405):
        return "Check the model's name and base_url."
    if status == 402 or str(error.get("code") or error.get("type")) in ("insufficient_quota", "billing_error"):
        return "Check the account's credit and billing, or use another key."
    return _ADVICE[kind]


def _limit(error: Mapping[str, Any], text: str) -> int | None:
    """The window that an overflow error names, in tokens."""
    if isinstance(size := error.get("n_ctx"), int):
        return size
    for pattern in _LIMITS:
        if found := pattern.search(text):
            return int(found[1].replace(",", ""))
    return None


def _sentence(what: str, said: str, advice: str) -> str:
    said = said.rstrip(". ")
    return f"{what}: {said}. {advice}" if said else f"{what}. {advice}"
