"""What the providers answer when they are busy, failing or not willing: 401, 404, 405, 413, 429, 500, 503, 529.

The rule here: status, body and headers are those of the providers' error guides, so that the SDKs raise their own
error classes.
"""

import math

from agent_core.scripted.knobs import FaultKind, Knobs
from agent_core.scripted.wire import Json, Wire, WireError, anthropic_error, openai_body

MAXIMUM_BODY_BYTES = 32 * 1024 * 1024


def http_fault(wire: Wire, fault: FaultKind, knobs: Knobs) -> WireError | None:
    """The error answer that `fault` gives before any content, None for a fault of another sort."""
    anthropic = wire is Wire.ANTHROPIC
    match fault:
        case "rate_limited":
            headers = _retry_headers(knobs.retry_after_s)
            if anthropic:
                text = "This request would exceed your organization's rate limit. Please try again later."
                return anthropic_error(429, "rate_limit_error", text, fault, headers)
            text = "Rate limit reached for requests. Please try again later."
            return WireError(429, openai_body("requests", text, None, "rate_limit_exceeded"), fault, headers)
        case "overloaded":
            if anthropic:
                return anthropic_error(529, "overloaded_error", "Overloaded", fault)
            return _openai_failure(503, "The engine is currently overloaded, please try again later", fault)
        case "unavailable":
            if anthropic:
                return anthropic_error(503, "api_error", "Service temporarily unavailable", fault)
            return _openai_failure(503, "Service temporarily unavailable, please try again later", fault)
        case "server_error":
            if anthropic:
                return anthropic_error(500, "api_error", "Internal server error", fault)
            return _openai_failure(
                500, "The server had an error while processing your request. Sorry about that!", fault
            )
        case _:
            return None


def _openai_failure(status: int, message: str, reason: str) -> WireError:
    return WireError(status, openai_body("server_error", message), reason)


def _retry_headers(seconds: float | None) -> dict[str, str]:
    if seconds is None:
        return {}
    # Retry-After is whole seconds; both SDKs also read the finer retry-after-ms.
    return {"retry-after": str(math.ceil(seconds)), "retry-after-ms": str(int(seconds * 1_000))}


def unauthorised(wire: Wire, key: str | None) -> WireError:
    """The 401 for a missing (None) or a wrong key."""
    if wire is Wire.ANTHROPIC:
        text = "x-api-key header is required" if key is None else "invalid x-api-key"
        return anthropic_error(401, "authentication_error", text, "missing_key" if key is None else "invalid_key")
    if key is None:
        text = (
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer "
            "auth (i.e. Authorization: Bearer YOUR_KEY)."
        )
        return WireError(401, openai_body("invalid_request_error", text), "missing_key")
    shown = f"{key[:3]}***{key[-2:]}" if len(key) > 8 else "***"
    text = f"Incorrect API key provided: {shown}."
    return WireError(401, openai_body("invalid_request_error", text, None, "invalid_api_key"), "invalid_key")


def not_json(wire: Wire, detail: str) -> WireError:
    """The 400 for a body that is no JSON object."""
    if wire is Wire.ANTHROPIC:
        text = f"The request body is not valid JSON: {detail}"
        return anthropic_error(400, "invalid_request_error", text, "bad_json")
    text = f"We could not parse the JSON body of your request. The OpenAI API expects a JSON payload: {detail}"
    return WireError(400, openai_body("invalid_request_error", text), "bad_json")


def too_large(wire: Wire) -> WireError:
    """The 413 for a body above 32 MB."""
    text = "Request exceeds the maximum size"
    if wire is Wire.ANTHROPIC:
        return anthropic_error(413, "request_too_large", text, "too_large")
    return WireError(413, openai_body("invalid_request_error", text), "too_large")


def missing_version() -> WireError:
    """Anthropic's 400 without `anthropic-version`."""
    return anthropic_error(400, "invalid_request_error", "anthropic-version: header is required", "missing_version")


def no_such_path(method: str, path: str, *, anthropic: bool) -> WireError:
    """The 404 for a path that no provider has."""
    if anthropic:
        return anthropic_error(404, "not_found_error", "Not Found", "no_such_path")
    return WireError(404, openai_body("invalid_request_error", f"Invalid URL ({method} {path})"), "no_such_path")


def wrong_method(wire: Wire, method: str) -> WireError:
    """The 405 for anything but POST."""
    text = f"Method Not Allowed: {method}"
    if wire is Wire.ANTHROPIC:
        return anthropic_error(405, "invalid_request_error", text, "wrong_method")
    return WireError(405, openai_body("invalid_request_error", text), "wrong_method")


def stream_error(wire: Wire, knobs: Knobs) -> Json:
    """The body of an error in the middle of a stream."""
    if wire is Wire.ANTHROPIC:
        error = {"type": knobs.stream_error_type, "message": knobs.stream_error_message}
        return {"type": "error", "error": error}
    return openai_body("server_error", knobs.stream_error_message, None, knobs.stream_error_code)
