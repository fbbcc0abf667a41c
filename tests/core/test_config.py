"""Configuration is checked when it is made: a wrong value is refused with the name of its field and what to do."""

from typing import Any

import pytest
from pydantic import ValidationError

from agent_core.compaction.settings import LLMCompaction
from agent_core.config import SessionConfig
from agent_core.entries import Opened
from agent_core.errors import ConfigError
from agent_core.models import context_limit
from agent_core.opening import check_session_id, new_session_id, settings_between
from tests.core.playbook import LOOKUP, PAY

CLAUDE = "anthropic/claude-sonnet-4-5"


def refusal(**fields: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        SessionConfig.of(**{"model": CLAUDE, **fields})
    return str(caught.value)


def test_s03_the_seeds_fields_have_the_seeds_defaults() -> None:
    config = SessionConfig.of(model=CLAUDE)
    assert (config.provider, config.model_name) == ("anthropic", "claude-sonnet-4-5")
    assert (config.max_tokens, config.system_prompt, config.temperature) == (4096, None, None)
    assert (config.streaming, config.context_limit, config.compaction) == (True, None, LLMCompaction())


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"context_limit": 10}, "context_limit"),
        ({"timeout": 0}, "timeout"),
        ({"max_steps": 0}, "max_steps"),
        ({"thinking": {"budget_tokens": 1}}, "thinking.budget_tokens"),
        ({"thinking": {"effort": "huge"}}, "thinking.effort"),
        ({"compaction": {"threshold": 2}}, "compaction.threshold"),
        ({"request_class": "idle"}, "request_class"),
        ({"max_token": 5}, "max_token"),
    ],
)
def test_s03_a_wrong_value_is_refused_with_its_fields_name(fields: dict[str, Any], named: str) -> None:
    assert f"{named}: " in refusal(**fields)


def test_s03_every_wrong_field_is_named_at_once() -> None:
    text = refusal(max_tokens=0, timeout=-1)
    assert "max_tokens: " in text
    assert "timeout: " in text


@pytest.mark.parametrize("model", ["gpt-5", "/x", "anthropic/", "mistral/large", ""])
def test_s03_a_model_is_named_provider_slash_name(model: str) -> None:
    assert "provider/name" in refusal(model=model)


def test_s03_a_models_name_may_hold_slashes() -> None:
    assert SessionConfig.of(model="local/meta/llama").model_name == "meta/llama"


def test_s03_a_temperature_is_refused_on_anthropic_and_kept_on_openai() -> None:
    assert refusal(temperature=0.5).startswith("Bad session configuration. temperature: the Anthropic SDK")
    assert SessionConfig.of(model="openai/gpt-5", temperature=0.5).temperature == 0.5


@pytest.mark.parametrize(("model", "wire"), [(CLAUDE, "chat"), ("openai/gpt-5", "messages")])
def test_s03_a_wire_that_the_provider_does_not_speak_is_refused(model: str, wire: str) -> None:
    assert "wire: " in refusal(model=model, wire=wire)


@pytest.mark.parametrize("key", ["sk-ant-123", "env:", "env:1X", "file:", "ANTHROPIC_API_KEY"])
def test_a_literal_key_is_refused_and_not_repeated(key: str) -> None:
    text = refusal(api_key=key)
    assert "env:NAME or file:PATH" in text
    assert key not in text.replace("env:NAME", "").replace("file:PATH", "")


@pytest.mark.parametrize("key", ["env:ANTHROPIC_API_KEY", "file:/run/secrets/key"])
def test_a_key_is_given_by_reference(key: str) -> None:
    assert SessionConfig.of(model=CLAUDE, api_key=key).api_key == key


def test_a_configuration_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValidationError):
        SessionConfig.of(model=CLAUDE).max_tokens = 5


def test_s03_an_unknown_model_needs_its_window_said() -> None:
    assert context_limit(SessionConfig.of(model=CLAUDE)) >= 200_000
    assert context_limit(SessionConfig.of(model="openai/imagined", context_limit=9_000)) == 9_000
    with pytest.raises(ConfigError, match="context_limit"):
        context_limit(SessionConfig.of(model="openai/imagined"))


def test_s01_a_session_is_given_an_id_that_no_other_has() -> None:
    made = {new_session_id() for _ in range(100)}
    assert len(made) == 100
    assert all(check_session_id(session_id) == session_id for session_id in made)


@pytest.mark.parametrize("session_id", ["a", "user-7/thread_2.b@x:1", "ä"])
def test_s01_the_caller_may_choose_an_id(session_id: str) -> None:
    assert check_session_id(session_id) == session_id


@pytest.mark.parametrize("session_id", ["", "a b", "a\n", "x" * 129, "a#b"])
def test_s01_an_id_that_could_not_be_named_later_is_refused(session_id: str) -> None:
    with pytest.raises(ConfigError, match="cannot be a session's id"):
        check_session_id(session_id)


def test_opening_an_existing_session_changes_only_what_was_given_and_differs() -> None:
    config = SessionConfig.of(model=CLAUDE, max_tokens=50, system_prompt="Be kind.")
    opened = Opened(config=SessionConfig.of(model=CLAUDE, max_tokens=60), tools=(PAY,))
    changes = settings_between(opened, ["model", "max_tokens"], config, (LOOKUP,))
    assert changes is not None
    assert (changes.fields, changes.tools) == ({"max_tokens": 60}, (PAY,))
    assert changes.applied(config).system_prompt == "Be kind."


def test_opening_an_existing_session_with_what_it_has_changes_nothing() -> None:
    config = SessionConfig.of(model=CLAUDE, max_tokens=50)
    assert settings_between(Opened(config=config, tools=(PAY,)), ["model", "max_tokens"], config, (PAY,)) is None
    assert settings_between(Opened(config=config), ["model"], config, (PAY,)) is None
