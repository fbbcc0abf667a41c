"""The options that programs share: what stands on the command line, and what it means without any."""

from pathlib import Path
from typing import Any

import pytest
import typer

from agent_core.errors import ConfigError
from agent_core.models import model_info
from drivers import errors
from drivers.options import DEFAULT_MODELS, KEYLESS_MODEL, ModelOptions, PlaceOptions, grouped


def parsed(*arguments: str) -> tuple[int, dict[str, Any]]:
    """What a command gets of these arguments, and how the program ends."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    got: dict[str, Any] = {}

    @app.command()
    @grouped
    async def main(model: ModelOptions, place: PlaceOptions, times: int = 1) -> None:
        got.update(model=model, place=place, times=times)

    return errors.run(app, program="p", arguments=arguments), got


def test_each_field_of_a_group_is_an_option() -> None:
    code, got = parsed(
        *(
            "--model",
            "openai/gpt-5",
            "--base-url",
            "http://h/v1",
            "--api-key",
            "env:K",
            "--wire",
            "chat",
            "--system",
            "S",
        ),
        *(
            "--max-tokens",
            "9",
            "--context-limit",
            "999",
            "--temperature",
            "0.5",
            "--thinking",
            "2000",
            "--tools",
            "a:b",
        ),
        *("--tools", "c", "--address", "auto", "--data-dir", "d", "--name", "n", "--in-process", "--times", "3"),
    )
    assert code == 0
    assert got["model"] == ModelOptions(
        "openai/gpt-5", "http://h/v1", "env:K", "chat", "S", 9, 999, 0.5, 2000, None, ["a:b", "c"]
    )
    assert got["place"] == PlaceOptions("auto", Path("d"), "n", in_process=True)
    assert got["times"] == 3
    assert parsed("--journal", "env:DSN")[1]["place"] == PlaceOptions(journal="env:DSN")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            PlaceOptions(journal="postgresql://user:hunter2@host/db"),
            "--journal: a DSN with a password in it is refused",
        ),
        (PlaceOptions(journal="journal.db"), "--journal: that is not the address of a PostgreSQL database"),
        (PlaceOptions(journal="env:NOT_SET_ANYWHERE", in_process=True), "NOT_SET_ANYWHERE is not set"),
        (PlaceOptions(journal="postgresql:///db", data_dir=Path("d")), "--journal and --data-dir exclude each other"),
    ],
)
def test_wrong_place_for_the_journal_is_known_at_once(options: PlaceOptions, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        options.check()
    assert "hunter2" not in caught.value.message


def test_only_what_was_given_becomes_a_setting_of_the_session() -> None:
    assert ModelOptions(model="openai/gpt-5").fields() == {"model": "openai/gpt-5"}
    fields = ModelOptions(model="openai/gpt-5", effort="low", max_tokens=7, system="Be kind.").fields()
    assert (fields["thinking"].effort, fields["max_tokens"], fields["system_prompt"]) == ("low", 7, "Be kind.")


def test_without_a_model_the_keys_that_are_set_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAYCONTEUR_MODEL", raising=False)
    assert ModelOptions().chosen_model == KEYLESS_MODEL
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    assert ModelOptions().chosen_model == DEFAULT_MODELS["openai"]
    monkeypatch.setenv("ANTHROPIC_API_KEY", "x")
    assert ModelOptions().chosen_model == DEFAULT_MODELS["anthropic"]
    monkeypatch.setenv("RAYCONTEUR_MODEL", "openai/gpt-5")
    assert ModelOptions().chosen_model == "openai/gpt-5"
    assert ModelOptions(model="openai/gpt-4o").chosen_model == "openai/gpt-4o"


@pytest.mark.parametrize("model", [*DEFAULT_MODELS.values(), KEYLESS_MODEL])
def test_the_models_that_are_chosen_unasked_are_known(model: str) -> None:
    assert model_info(model) is not None


def test_the_system_prompt_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text("Be kind.\n")
    options = ModelOptions(model="openai/gpt-5", system=f"@{tmp_path / 'prompt.txt'}")
    assert options.fields()["system_prompt"] == "Be kind.\n"


def test_a_key_is_looked_for_where_it_is_said_to_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    options = ModelOptions(model="openai/gpt-5")
    with pytest.raises(ConfigError, match=r"OPENAI_API_KEY is not set.*--api-key"):
        options.check_key()
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    options.check_key()
    (tmp_path / "key").write_text("")
    with pytest.raises(ConfigError, match="empty"):
        ModelOptions(model="openai/gpt-5", api_key=f"file:{tmp_path / 'key'}").check_key()


def test_an_unknown_model_wants_its_window_said() -> None:
    with pytest.raises(ConfigError, match="--context-limit"):
        ModelOptions(model="openai/unheard-of").check_window()
    ModelOptions(model="openai/unheard-of", context_limit=9000).check_window()


def test_tools_are_loaded_from_every_place_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = 'def {0}(x: int) -> int:\n    """{0}."""\n    return x\n'
    (tmp_path / "options_tools.py").write_text(source.format("one") + source.format("two") + "both = [one, two]\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert [tool.name for tool in ModelOptions(tools=["options_tools:both"]).loaded_tools()] == ["one", "two"]
    assert ModelOptions().loaded_tools() == []
