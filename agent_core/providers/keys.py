"""Keys: resolved from their references in the process that calls the provider, scrubbed from every text that leaves.

The rule here: a key is in memory and in the request's headers, nowhere else.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from agent_core.config import Provider
from agent_core.errors import ConfigError

_DEFAULTS: dict[str, str] = {"anthropic": "env:ANTHROPIC_API_KEY", "openai": "env:OPENAI_API_KEY"}
# What the SDKs insist on where the server wants no key.
NO_KEY = "none"
_HIDDEN = "[redacted]"
_SHORTEST = 4
_SECRET_SHAPES = (
    re.compile(
        r"(?i)(\b(?:authorization|proxy-authorization|x-api-key|api[-_]key)\b['\"]?\s*[:=]\s*['\"]?(?:b['\"])?)"
        r"(?:(?:bearer|basic)\s+)?[^\s'\",;}\]]+"
    ),
    re.compile(r"(?i)(\bbearer\s+)[^\s'\",;}\]]+"),
    re.compile(r"()\bsk-[A-Za-z0-9_-]{8,}[A-Za-z0-9_*-]*"),
    re.compile(r"(://)[^/\s@:]+:[^/\s@]+(?=@)"),
)


def key_reference(provider: Provider, reference: str | None) -> str | None:
    """The reference that a session's key has: its own, else the provider's usual variable, else none (local)."""
    return reference or _DEFAULTS.get(provider)


def resolve_key(provider: Provider, reference: str | None) -> str:
    """The key itself. Raises ConfigError, which names the variable or file and what to do."""
    full = key_reference(provider, reference)
    if full is None:
        return NO_KEY
    kind, _, name = full.partition(":")
    key = (os.environ.get(name) or "").strip() if kind == "env" else _read(name, provider)
    if key and not key.isprintable():
        # Sent as a header it would be refused far from here, and on many servers not at all.
        raise ConfigError(
            f"No key for {provider}: what {name} holds has a line break or control character in it. Write the key"
            " alone.",
            "bad_key",
        )
    if key:
        return key
    if kind == "env":
        raise ConfigError(
            f"No key for {provider}: the environment variable {name} is not set. Set it in the process that calls the"
            f" provider (export {name}=...), or name another with api_key='env:NAME' or api_key='file:PATH'.",
            "missing_key",
        )
    raise ConfigError(f"No key for {provider}: the file {name} is empty. Write the key into it.", "missing_key")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without these secrets, and without anything that looks like a key or an authorization header."""
    for secret in secrets:
        if len(secret) >= _SHORTEST and secret != NO_KEY:
            text = text.replace(secret, _HIDDEN)
    for shape in _SECRET_SHAPES:
        text = shape.sub(rf"\g<1>{_HIDDEN}", text)
    return text


def _read(name: str, provider: Provider) -> str:
    try:
        return Path(name).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ConfigError(
            f"No key for {provider}: the file {name} cannot be read ({reason}). Check the path and its permissions.",
            "missing_key",
        ) from None
