"""Clients shared by all sessions of a process: one for each event loop, SDK, key and URL.

The rule here: making a client costs some 30 ms and a megabyte, so no session has its own. A connection belongs to the
loop that opened it, so no two loops share one.
"""

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from agent_core.config import SessionConfig
from agent_core.errors import ConfigError
from agent_core.providers.keys import key_reference, resolve_key
from agent_core.providers.wire import Sdk

if TYPE_CHECKING:
    from agent_core.providers.sdk_client import SdkClient

_MODULES: dict[Sdk, str] = {
    "anthropic": "agent_core.providers.anthropic_sdk",
    "openai": "agent_core.providers.openai_sdk",
}
_READY: set[Sdk] = set()
_Place = tuple[Sdk, str | None, str]


async def prepare(sdk: Sdk) -> None:
    """Import the SDK in a thread: a second of import must not hold up an event loop. Harmless if repeated."""
    if sdk not in _READY:
        # Whoever comes while it is being imported waits for it too, in a thread of its own.
        await asyncio.to_thread(import_module, _MODULES[sdk])
        _READY.add(sdk)


class Clients:
    """The clients of one process. Its text and `repr` show no key."""

    def __init__(self) -> None:
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Place, SdkClient]] = WeakKeyDictionary()
        self._keys: dict[tuple[str, str | None], str] = {}

    def get(self, config: SessionConfig, sdk: Sdk) -> "SdkClient":
        """The client for a session, made if there is none. Raises ConfigError for a key or URL that is missing."""
        clients = self._by_loop.setdefault(asyncio.get_running_loop(), {})
        place = (sdk, base_url(config, sdk), self._key(config))
        if place not in clients:
            clients[place] = import_module(_MODULES[sdk]).make_client(place[2], place[1])
        return clients[place]

    def forget_key(self, config: SessionConfig) -> None:
        """Resolve this session's key anew at its next request: it was refused, and may have been replaced."""
        self._keys.pop((config.provider, key_reference(config.provider, config.api_key)), None)

    async def aclose_all(self) -> None:
        """Close the clients of this loop. What is under way on them fails."""
        for client in self._by_loop.pop(asyncio.get_running_loop(), {}).values():
            await client.aclose()

    def _key(self, config: SessionConfig) -> str:
        known = (config.provider, key_reference(config.provider, config.api_key))
        if known not in self._keys:
            self._keys[known] = resolve_key(config.provider, config.api_key)
        return self._keys[known]


def base_url(config: SessionConfig, sdk: Sdk) -> str | None:
    """The URL as the SDK wants it: Anthropic's adds `/v1` to a path, OpenAI's has it in the URL.

    For `local` both forms are taken for every wire. Raises ConfigError if `local` has no URL.
    """
    url = config.base_url
    if url is None:
        if config.provider == "local":
            raise ConfigError(
                f"base_url: {config.model} needs the address of its server. Set base_url, for example"
                " http://127.0.0.1:8080/v1.",
                "base_url",
            )
        return None
    root = url.rstrip("/")
    if sdk == "anthropic":
        return root.removesuffix("/v1")
    if config.provider == "local" and not root.endswith("/v1"):
        return root + "/v1"
    return root
