"""Where a model is and how it is asked: its name, key, address and wire, as types that check themselves.

The rule here: a key is a reference (`env:NAME` or `file:PATH`), resolved only in the process that calls the provider.
Nothing here can hold a secret.
"""

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator

Provider = Literal["anthropic", "openai", "local"]
Wire = Literal["messages", "responses", "chat"]

_KEY_REFERENCE = re.compile(r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$")


def _names_a_provider(value: str) -> str:
    provider, slash, name = value.partition("/")
    if not slash or not name or provider not in ("anthropic", "openai", "local"):
        raise ValueError(
            f"'{value}' is not of the form provider/name with provider anthropic, openai or local"
            " (for example anthropic/claude-sonnet-5-5, openai/gpt-6.2-sol, local/smollm2)"
        )
    return value


def _is_a_reference(value: str) -> str:
    if not _KEY_REFERENCE.match(value):
        raise ValueError("a key is given by reference, as env:NAME or file:PATH; a literal key is refused")
    return value


def _is_an_address(value: str) -> str:
    if wrong := _wrong_with(value):
        raise ValueError(f"{wrong}; write for example http://localhost:8000/v1")
    return value


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


def check_wire(model: str, wire: Wire | None) -> None:
    """Raise ValueError if the model's provider does not speak the wire."""
    provider = model.partition("/")[0]
    if provider == "anthropic" and wire not in (None, "messages"):
        raise ValueError(f"wire: anthropic speaks only 'messages', not '{wire}'")
    if provider == "openai" and wire == "messages":
        raise ValueError("wire: openai speaks 'responses' or 'chat', not 'messages'")


ModelName = Annotated[str, AfterValidator(_names_a_provider)]
"""`provider/name`."""
KeyReference = Annotated[str, AfterValidator(_is_a_reference)]
"""`env:NAME` or `file:PATH`."""
BaseUrl = Annotated[str, AfterValidator(_is_an_address)]
"""The address of a server."""
