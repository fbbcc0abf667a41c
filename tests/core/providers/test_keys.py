"""Keys come from their references and are in no text that leaves."""

import json
import logging
import pickle
import traceback
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from agent_core.errors import ConfigError, ProviderError
from agent_core.providers.clients import Clients
from agent_core.providers.keys import redact, resolve_key
from tests.core.providers.making import (
    KEY,
    MODELS,
    ask,
    data,
    events_of,
    odd_server,
    provider_model,
    request,
    wire_config,
)

WIRES = sorted(MODELS)


def test_a_key_is_read_from_the_providers_variable_another_one_or_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "usual")
    monkeypatch.setenv("OTHER", "other")
    (tmp_path / "key").write_text("in a file\n")
    assert resolve_key("anthropic", None) == "usual"
    assert resolve_key("anthropic", "env:OTHER") == "other"
    assert resolve_key("openai", f"file:{tmp_path}/key") == "in a file"


def test_a_local_server_needs_no_key() -> None:
    assert resolve_key("local", None)


@pytest.mark.parametrize(
    ("provider", "reference", "words"),
    [
        ("anthropic", None, "ANTHROPIC_API_KEY is not set.*export ANTHROPIC_API_KEY"),
        ("openai", None, "OPENAI_API_KEY is not set"),
        ("openai", "env:MY_KEY", "MY_KEY is not set"),
        ("local", "env:MY_KEY", "MY_KEY is not set"),
        ("openai", "file:/nowhere/key", "/nowhere/key cannot be read.*No such file"),
    ],
)
def test_a_missing_key_names_the_variable_and_what_to_do(provider: Any, reference: str | None, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        resolve_key(provider, reference)


def test_an_empty_key_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    with pytest.raises(ConfigError, match="is empty"):
        resolve_key("openai", f"file:{tmp_path}/key")


@pytest.mark.parametrize(
    "text",
    [
        f"bad key {KEY} given",
        "headers: {'Authorization': 'Bearer abc.def-ghi', 'x': 1}",
        "Authorization: Bearer abc.def-ghi",
        "authorization=Basic abc.def-ghi",
        "{'x-api-key': b'abc.def-ghi'}",
        'X-Api-Key: "abc.def-ghi"',
        "the bearer abc.def-ghi was refused",
        "Incorrect API key provided: sk-proj-abc.def-ghi".replace(".", "*"),
        "http://user:abc.def-ghi@host/v1",
    ],
)
def test_keys_and_authorization_headers_are_scrubbed(text: str) -> None:
    scrubbed = redact(text, [KEY])
    assert "[redacted]" in scrubbed
    assert not any(part in scrubbed for part in (KEY, "abc.def", "def-ghi", "abc*def"))


def test_words_that_hold_no_secret_stay() -> None:
    text = "prompt is too long: 5 tokens > 4 maximum (key: value, task-force, http://host/v1)"
    assert redact(text, [KEY, ""]) == text


async def test_no_text_shows_a_key_that_a_server_echoes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PLANTED", KEY)
    caplog.set_level(logging.INFO)

    async def echo(asked: web.BaseRequest) -> web.StreamResponse:
        sent = asked.headers.get("Authorization") or f"x-api-key: {asked.headers['X-Api-Key']}"
        assert KEY in sent
        return web.json_response({"error": {"message": f"I know {sent}", "type": "invalid_request_error"}}, status=400)

    async with odd_server(echo) as url, provider_model() as model:
        for wire in WIRES:
            with pytest.raises(ProviderError, match="I know") as caught:
                await ask(model, request(wire_config(wire, url, api_key="env:PLANTED")))
            error = caught.value
            texts = [
                str(error),
                repr(error),
                error.info().model_dump_json(),
                "".join(traceback.format_exception(error)),
                pickle.dumps(error).decode("latin-1"),
                caplog.text,
            ]
            assert not any(KEY in text for text in texts)
            # The SDK's own error holds the request with its headers.
            assert error.__cause__ is None
            assert error.__context__ is None


@pytest.mark.parametrize("wire", WIRES)
async def test_no_text_shows_a_key_that_a_stream_echoes(wire: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED", KEY)
    failure = {"type": "invalid_request_error", "code": "invalid_prompt", "message": f"bad {KEY}"}
    async with odd_server(events_of(data(type="error", error=failure))) as url, provider_model() as model:
        with pytest.raises(ProviderError, match=r"bad \[redacted\]"):
            await ask(model, request(wire_config(wire, url, api_key="env:PLANTED")))


async def test_a_key_that_was_refused_is_read_again_for_the_next_request(tmp_path: Path) -> None:
    seen: list[str] = []

    async def refuse(asked: web.BaseRequest) -> web.StreamResponse:
        seen.append(asked.headers["Authorization"])
        return web.json_response({"error": {"message": "no", "code": "invalid_api_key"}}, status=401)

    file = tmp_path / "key"
    async with odd_server(refuse) as url, provider_model() as model:
        for key in ("first-key", "second-key"):
            file.write_text(key)
            with pytest.raises(ProviderError):
                await ask(model, request(wire_config("chat", url, api_key=f"file:{file}")))
    assert seen == ["Bearer first-key", "Bearer second-key"]


async def test_clients_show_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED", KEY)
    clients = Clients()
    settings = wire_config("messages", "http://127.0.0.1:1", api_key="env:PLANTED")
    client = clients.get(settings, "anthropic")
    assert KEY not in repr(clients) + repr(client) + json.dumps(settings.model_dump(mode="json"))
    await clients.aclose_all()
