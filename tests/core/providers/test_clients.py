"""Clients are shared by all who speak to one place with one key, and by nobody else."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from agent_core.config import SessionConfig
from agent_core.errors import ConfigError
from agent_core.providers.clients import Clients, base_url
from tests.core.providers.making import config


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "SECOND_KEY"):
        monkeypatch.setenv(name, f"value of {name}")


async def test_s02_sessions_of_one_provider_key_and_url_share_a_client() -> None:
    clients = Clients()
    one = clients.get(config("openai/gpt-5"), "openai")
    assert clients.get(config("openai/gpt-4o", wire="chat", max_tokens=9), "openai") is one
    others = [
        clients.get(config("openai/gpt-5", api_key="env:SECOND_KEY"), "openai"),
        clients.get(config("openai/gpt-5", base_url="http://127.0.0.1:1/v1"), "openai"),
        clients.get(config("anthropic/claude-opus-5"), "anthropic"),
    ]
    assert len({id(client) for client in [one, *others]}) == 4
    await clients.aclose_all()


def test_no_two_event_loops_share_a_client() -> None:
    clients = Clients()

    async def get() -> object:
        client = clients.get(config("openai/gpt-5"), "openai")
        await clients.aclose_all()
        return client

    assert asyncio.run(get()) is not asyncio.run(get())


async def test_after_closing_a_new_client_is_made() -> None:
    clients = Clients()
    one = clients.get(config("openai/gpt-5"), "openai")
    await clients.aclose_all()
    assert clients.get(config("openai/gpt-5"), "openai") is not one
    await clients.aclose_all()


@pytest.mark.parametrize(
    ("settings", "sdk", "url"),
    [
        (config("anthropic/a"), "anthropic", None),
        (config("anthropic/a", base_url="https://gateway/anthropic/"), "anthropic", "https://gateway/anthropic"),
        (config("anthropic/a", base_url="https://gateway/v1"), "anthropic", "https://gateway"),
        (config("openai/a", base_url="https://gateway/v1/"), "openai", "https://gateway/v1"),
        (config("openai/a", base_url="https://gateway/openai"), "openai", "https://gateway/openai"),
        (config("local/a", base_url="http://host:1"), "openai", "http://host:1/v1"),
        (config("local/a", base_url="http://host:1/v1"), "openai", "http://host:1/v1"),
        (config("local/a", base_url="http://host:1/v1"), "anthropic", "http://host:1"),
    ],
)
def test_s02_a_base_url_is_given_to_each_sdk_in_its_own_form(
    settings: SessionConfig, sdk: Any, url: str | None
) -> None:
    assert base_url(settings, sdk) == url


def test_s02_a_local_model_without_an_address_says_to_set_one() -> None:
    with pytest.raises(ConfigError, match=r"local/smollm2.*Set base_url"):
        base_url(config("local/smollm2"), "openai")


def test_importing_the_providers_imports_no_sdk() -> None:
    code = (
        "import sys, agent_core.providers.dispatch; "
        "print(sorted({'anthropic', 'openai', 'httpx2', 'aiohttp', 'ray'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
