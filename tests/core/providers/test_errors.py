"""Failures of providers become one of a few kinds, each with what to do next."""

import pickle
from typing import Any

import pytest

from agent_core.errors import TRANSIENT, ProviderError
from agent_core.providers.errors import retry_after, status_error, stream_error


def anthropic(kind: str, message: str = "said") -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


def openai(code: str | None, message: str = "said", kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def failed(status: int, body: object = None, headers: dict[str, str] | None = None) -> ProviderError:
    return status_error("anthropic", status, body, headers or {}, now=1_000_000.0)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, anthropic("authentication_error"), "authentication"),
        (401, openai("invalid_api_key"), "authentication"),
        (403, anthropic("permission_error"), "authentication"),
        (402, anthropic("billing_error"), "authentication"),
        (429, openai("insufficient_quota", kind="insufficient_quota"), "authentication"),
        (400, anthropic("invalid_request_error", "max_tokens: Field required"), "bad_request"),
        (404, anthropic("not_found_error", "model: claude-0"), "bad_request"),
        (404, "<html>not here</html>", "bad_request"),
        (422, openai(None), "bad_request"),
        (429, anthropic("rate_limit_error"), "rate_limit"),
        (429, openai("rate_limit_exceeded"), "rate_limit"),
        (529, anthropic("overloaded_error"), "overloaded"),
        (503, None, "overloaded"),
        (500, anthropic("api_error"), "server"),
        (502, "bad gateway", "server"),
        (504, anthropic("timeout_error"), "timeout"),
        (408, None, "timeout"),
        (409, None, "server"),
    ],
)
def test_a_status_and_what_the_provider_says_of_it_decide_the_kind(status: int, body: object, kind: str) -> None:
    error = failed(status, body)
    assert error.kind == kind
    assert error.status == status
    assert error.retryable == (kind in TRANSIENT)


@pytest.mark.parametrize(
    ("status", "body", "limit"),
    [
        (400, anthropic("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"), 200_000),
        (
            400,
            anthropic(
                "invalid_request_error",
                "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length",
            ),
            200_000,
        ),
        (413, anthropic("request_too_large", "Request exceeds the maximum size"), None),
        (400, openai("context_length_exceeded", "Your input exceeds the context window of this model."), None),
        (
            400,
            openai("context_length_exceeded", "This model's maximum context length is 128000 tokens. However, you"),
            128_000,
        ),
        (400, {"object": "error", "message": "This model's maximum context length is 4096 tokens.", "code": 400}, 4096),
        (
            400,
            {
                "error": {
                    "code": 400,
                    "message": "the request exceeds the available context size, try increasing it",
                    "type": "exceed_context_size_error",
                    "n_prompt_tokens": 9000,
                    "n_ctx": 8192,
                }
            },
            8192,
        ),
        (500, {"error": {"message": "the request exceeds the available context size (4,096 tokens)"}}, 4096),
    ],
)
def test_an_overflow_is_recognised_from_each_providers_own_words(status: int, body: object, limit: int | None) -> None:
    error = failed(status, body)
    assert error.kind == "context_too_long"
    assert error.context_limit == limit
    assert "compact" in error.message.lower()


@pytest.mark.parametrize(
    "message", ["prompt is too long: 3 tokens > 2 maximum", "maximum context length is 2 tokens", "tokens per minute"]
)
def test_a_429_is_never_an_overflow(message: str) -> None:
    for body in (anthropic("rate_limit_error", message), openai("context_length_exceeded", message), message):
        assert failed(429, body).kind == "rate_limit"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"type": "overloaded_error", "message": "Overloaded"}, "overloaded"),
        ({"type": "rate_limit_error", "message": "slow"}, "rate_limit"),
        ({"type": "api_error", "message": "oops"}, "server"),
        ({"type": "invalid_request_error", "message": "prompt is too long: 5 tokens > 4 maximum"}, "context_too_long"),
        ({"code": "server_error", "message": "oops"}, "server"),
        ({"code": "rate_limit_exceeded", "message": "slow"}, "rate_limit"),
        ({"code": "context_length_exceeded", "message": "long"}, "context_too_long"),
        ({"code": "invalid_prompt", "message": "no"}, "bad_request"),
        ({"code": "image_content_policy_violation", "message": "no"}, "bad_request"),
        ({"message": "who knows"}, "server"),
        (None, "server"),
        ("plain words", "server"),
    ],
)
def test_an_error_within_a_stream_is_classified_by_what_it_says(body: object, kind: str) -> None:
    assert stream_error("openai", body).kind == kind


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "Mon, 12 Jan 1970 13:47:10 GMT"}, 30.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=1_000_000.0) == seconds


@pytest.mark.parametrize("status", [400, 401, 404, 408, 413, 429, 500, 503, 529])
def test_every_text_says_who_failed_what_was_said_and_what_to_do(status: int) -> None:
    message = failed(status, anthropic("api_error", "It went\n  wrong.")).message
    assert message.startswith(f"anthropic answered {status}: It went wrong. ")
    assert message.endswith(".")


def test_a_long_text_is_cut() -> None:
    assert len(failed(500, "x" * 100_000).message) < 1000


def test_an_error_survives_pickling_with_all_that_it_knows() -> None:
    error = failed(429, anthropic("rate_limit_error"), {"retry-after": "7"})
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.message, copy.kind, copy.status, copy.retry_after) == (error.message, "rate_limit", 429, 7.0)
