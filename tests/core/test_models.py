"""What is known of models, and what is said when it is not."""

from datetime import date
from pathlib import Path

import pytest

from agent_core.errors import ConfigError
from agent_core.messages import Usage
from agent_core.models import ModelInfo, built_in_models, context_limit, cost, model_info, read_models
from tests.core.providers.making import config

PAGES = {
    "anthropic": "https://platform.claude.com/docs/",
    "openai": "https://developers.openai.com/api/docs/models/",
    "local": "llama.context_length in ",
}
"""How the source of every fact begins: the provider's own page, or the file of a model that is run here."""


@pytest.mark.parametrize("name", built_in_models())
def test_every_fact_has_its_day_and_its_source(name: str) -> None:
    info = built_in_models()[name]
    assert date.fromisoformat(info.as_of)
    assert info.source.startswith(PAGES[name.partition("/")[0]])
    assert info.max_output is None or info.max_output <= info.context_window
    if name.startswith("openai/"):
        page = info.source.split()[0].removeprefix(PAGES["openai"])
        assert page == name.removeprefix("openai/") or built_in_models()[f"openai/{page}"].source == info.source


def test_a_dated_or_latest_name_is_its_model() -> None:
    plain = model_info("openai/gpt-5")
    assert plain is not None
    assert model_info("openai/gpt-5-2025-08-07") is plain
    assert model_info("anthropic/claude-sonnet-4-5-20250929") is model_info("anthropic/claude-sonnet-4-5")
    assert model_info("openai/gpt-5-latest") is plain


def test_a_name_that_only_begins_alike_is_unknown() -> None:
    assert model_info("openai/gpt-5-turbo") is None
    assert model_info("anthropic/claude-opus-5-20") is None


def test_the_window_is_the_configurations_the_users_or_the_datas() -> None:
    mine = {"openai/gpt-5": ModelInfo(context_window=1000)}
    assert context_limit(config("openai/gpt-5", context_limit=512), mine) == 512
    assert context_limit(config("openai/gpt-5"), mine) == 1000
    assert context_limit(config("local/smollm2")) == 8192


def test_an_unknown_model_must_say_its_window() -> None:
    with pytest.raises(ConfigError, match=r"openai/my-model is not known\. Set context_limit"):
        context_limit(config("openai/my-model"))
    assert context_limit(config("openai/my-model", context_limit=4096)) == 4096


def test_cost_counts_every_kind_of_token_at_its_own_price() -> None:
    usage = Usage(
        input_tokens=1_000_000, output_tokens=1_000_000, cache_read_tokens=1_000_000, cache_write_tokens=1_000_000
    )
    assert cost("anthropic/claude-opus-4-6", usage) == pytest.approx(5 + 25 + 0.5 + 6.25)


def test_a_long_prompt_costs_more() -> None:
    short = cost("openai/gpt-6.2-sol", Usage(input_tokens=272_000, output_tokens=1000))
    long = cost("openai/gpt-6.2-sol", Usage(input_tokens=272_000, cache_read_tokens=1, output_tokens=1000))
    assert short == pytest.approx(0.272 * 2 + 0.01)
    assert long == pytest.approx(0.272 * 4 + 0.015, rel=1e-4)


def test_a_cost_that_is_not_known_is_not_guessed() -> None:
    assert cost("openai/my-model", Usage(input_tokens=1)) is None
    no_write_price = {"openai/x": ModelInfo(context_window=1000, input_price=1.0)}
    assert cost("openai/x", Usage(input_tokens=1), no_write_price) == pytest.approx(1e-6)
    assert cost("openai/x", Usage(input_tokens=1, cache_write_tokens=1), no_write_price) is None


def test_a_users_file_adds_models(tmp_path: Path) -> None:
    file = tmp_path / "models.json"
    file.write_text('{"models": {"openai/mine": {"context_window": 5000, "input_price": 1}}}')
    assert context_limit(config("openai/mine"), read_models(file)) == 5000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "Invalid JSON"),
        ("[]", "file"),
        ('{"models": {"openai/mine": {}}}', "context_window: Field required"),
        ('{"models": {"openai/mine": {"context_window": 5000, "price": 1}}}', "price: Extra inputs"),
    ],
)
def test_a_users_file_that_is_wrong_is_told_by_its_place(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "models.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_models(file)


def test_a_users_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_models(tmp_path / "none.json")
