"""Options that several programs share, as groups: what to speak to (`ModelOptions`) and where to run (`PlaceOptions`).

The rule here: everything that can be wrong in them is found before anything heavy is imported or started, in well
under a second. A command takes whole groups as parameters; `grouped` turns each field into an option.
"""

import contextlib
import dataclasses
import functools
import inspect
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from agent_core.errors import ConfigError

MODEL_PANEL = "Model"
PLACE_PANEL = "Place"

KEY_VARIABLES = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY"}
# What is used when no model is named: the first provider whose key is there, else the model that needs none.
DEFAULT_MODELS = {"anthropic": "anthropic/claude-sonnet-5-5", "openai": "openai/gpt-6.2-sol"}
KEYLESS_MODEL = "local/smollm2"
MODEL_VARIABLE = "RAYCONTEUR_MODEL"


def _option(*names: str, panel: str, help: str, metavar: str | None = None) -> Any:  # noqa: A002 - typer's own word
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel=panel, show_default=False)


@dataclass(frozen=True)
class ModelOptions:
    """Which model to speak to, and how. A field that was not given is None (or empty) and is left to the session."""

    model: Annotated[
        str | None,
        _option(
            "--model",
            "-m",
            panel=MODEL_PANEL,
            metavar="PROVIDER/NAME",
            help="anthropic/NAME, openai/NAME or local/smollm2. Without it: $RAYCONTEUR_MODEL, else by the key that"
            " is set, else local/smollm2.",
        ),
    ] = None
    base_url: Annotated[
        str | None,
        _option(
            "--base-url", panel=MODEL_PANEL, metavar="URL", help="A compatible server instead of the provider's own."
        ),
    ] = None
    api_key: Annotated[
        str | None,
        _option(
            "--api-key",
            panel=MODEL_PANEL,
            metavar="env:NAME|file:PATH",
            help="Where the key is. Default: env:ANTHROPIC_API_KEY or env:OPENAI_API_KEY. A literal key is refused.",
        ),
    ] = None
    wire: Annotated[
        str | None,
        _option(
            "--wire",
            panel=MODEL_PANEL,
            metavar="messages|responses|chat",
            help="chat for vLLM, llama.cpp, Ollama and other servers; openai models speak responses without it.",
        ),
    ] = None
    system: Annotated[
        str | None, _option("--system", "-s", panel=MODEL_PANEL, metavar="TEXT|@FILE", help="The system prompt.")
    ] = None
    max_tokens: Annotated[
        int | None,
        _option("--max-tokens", panel=MODEL_PANEL, metavar="TOKENS", help="The longest answer (4096 without it)."),
    ] = None
    context_limit: Annotated[
        int | None,
        _option(
            "--context-limit",
            panel=MODEL_PANEL,
            metavar="TOKENS",
            help="The model's context window; has to be said for a model that the models file does not know.",
        ),
    ] = None
    temperature: Annotated[
        float | None, _option("--temperature", panel=MODEL_PANEL, metavar="0..2", help="OpenAI wires only.")
    ] = None
    thinking: Annotated[
        int | None,
        _option(
            "--thinking", panel=MODEL_PANEL, metavar="TOKENS", help="Think first, with this budget (1024 or more)."
        ),
    ] = None
    effort: Annotated[
        str | None, _option("--effort", panel=MODEL_PANEL, metavar="low|medium|high", help="How hard to think.")
    ] = None
    tools: Annotated[
        list[str] | None,
        _option(
            "--tools",
            "-t",
            panel=MODEL_PANEL,
            metavar="MODULE[:NAME]",
            help="A tool, a list of tools, or all of a module, that the model may call; again for more.",
        ),
    ] = None

    @property
    def chosen_model(self) -> str:
        """The model that was named, or else the one that this environment can use without being told more."""
        if self.model is not None:
            return self.model
        if named := os.environ.get(MODEL_VARIABLE):
            return named
        for provider, variable in KEY_VARIABLES.items():
            if os.environ.get(variable):
                return DEFAULT_MODELS[provider]
        return KEYLESS_MODEL

    def fields(self) -> dict[str, Any]:
        """The fields of `SessionConfig` that were given, and the model. Raises ConfigError, naming what is wrong."""
        from agent_core.config import SessionConfig

        given: dict[str, Any] = {
            name: value
            for name in ("base_url", "api_key", "wire", "max_tokens", "context_limit", "temperature")
            if (value := getattr(self, name)) is not None
        }
        given["model"] = self.chosen_model
        if self.system is not None:
            given["system_prompt"] = _text_or_file(self.system)
        if self.thinking is not None or self.effort is not None:
            given["thinking"] = {"budget_tokens": self.thinking, "effort": self.effort}
        config = SessionConfig.of(**given)
        return {name: getattr(config, name) for name in given}

    def check_key(self) -> None:
        """Raise ConfigError if what the model needs is not to be had from here: its key, or the local model itself.

        The key's value goes nowhere.
        """
        model = self.chosen_model
        provider: Any = model.partition("/")[0]
        if provider == "local" and self.base_url is None:
            from agent_core.local_model.installed import check_installed

            check_installed()
        from agent_core.providers.keys import resolve_key

        reference = self.api_key or f"env:{KEY_VARIABLES.get(provider, '')}"
        try:
            resolve_key(provider, self.api_key)
        except ConfigError as error:
            kind, _, name = reference.partition(":")
            if kind != "env" or error.kind != "missing_key":
                raise
            raise ConfigError(
                f"{model} needs a key and ${name} is not set. Set it (export {name}=...; any word will do for a server"
                f" that wants none), or say where it is: --api-key env:NAME or file:PATH. --model {KEYLESS_MODEL} needs"
                " no key.",
                error.kind,
            ) from None

    def check_window(self) -> None:
        """Raise ConfigError if the size of the model's context window is not known and was not said."""
        from agent_core.config import SessionConfig
        from agent_core.models import context_limit

        try:
            context_limit(SessionConfig.of(**self.fields()))
        except ConfigError as error:
            raise ConfigError(error.message.replace("Set context_limit to", "Set --context-limit to")) from None

    def loaded_tools(self) -> list[Any]:
        """The tools that `--tools` names, imported. Raises ConfigError: which one cannot be had, and why."""
        if not self.tools:
            return []
        from agent_core.tools import load_tools

        if "" not in sys.path:
            # `python -m` has the current directory on the path already; a console script does not.
            sys.path.insert(0, "")
        # What a module prints as it is imported is no part of the program's own output.
        with contextlib.redirect_stdout(sys.stderr):
            loaded = [tool for place in self.tools for tool in load_tools(place)]
        _refuse_twins(loaded)
        return loaded


@dataclass(frozen=True)
class PlaceOptions:
    """Where the sessions run and are kept."""

    address: Annotated[
        str | None,
        _option(
            "--address",
            panel=PLACE_PANEL,
            metavar="ADDRESS",
            help="The Ray cluster to join (auto, HOST:PORT, local for one of its own). Without it: $RAY_ADDRESS, else"
            " one that runs here, else a new local one.",
        ),
    ] = None
    data_dir: Annotated[
        Path | None,
        _option(
            "--data-dir", panel=PLACE_PANEL, metavar="DIRECTORY", help="Where the journal of the sessions is kept."
        ),
    ] = None
    name: Annotated[
        str | None,
        _option(
            "--name", panel=PLACE_PANEL, metavar="NAME", help="The runtime's name on the cluster, to meet others on it."
        ),
    ] = None
    journal: Annotated[
        str | None,
        _option(
            "--journal",
            panel=PLACE_PANEL,
            metavar="postgresql://...|env:NAME|file:PATH",
            help="Keep the sessions in a PostgreSQL database instead: a DSN without a password (see PGPASSWORD and"
            " .pgpass), or where a whole DSN is.",
        ),
    ] = None
    in_process: Annotated[
        bool,
        typer.Option("--in-process", help="No cluster: everything in this process.", rich_help_panel=PLACE_PANEL),
    ] = False
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks and Ray's own log lines.", rich_help_panel=PLACE_PANEL)
    ] = False

    @property
    def is_here(self) -> bool:
        """Whether sessions run on this machine, so that what they need can be looked for from here."""
        return self.in_process or self.address == "local" or not (self.address or os.environ.get("RAY_ADDRESS"))

    def check(self) -> None:
        """Raise ConfigError for options that exclude each other, and for a directory that cannot be written to."""
        if self.in_process and (self.address or self.name):
            other = "--address" if self.address else "--name"
            raise ConfigError(f"--in-process and {other} exclude each other: there is no cluster in this process.")
        if self.journal is not None:
            self._check_journal()
        if self.data_dir is None or not self.is_here:
            return
        try:
            self.data_dir.expanduser().mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.data_dir.expanduser()) as file:
                file.write(b"0" * 4096)
        except OSError as error:
            raise ConfigError(
                f"--data-dir {self.data_dir}: sessions cannot be kept there ({error.strerror}). Name a directory that"
                " can be written to and has space."
            ) from None

    def _check_journal(self) -> None:
        from agent_core.journals.address import PostgresAddress

        if self.data_dir is not None:
            raise ConfigError("--journal and --data-dir exclude each other: a database, or a file in a directory.")
        try:
            address = PostgresAddress.of(self.journal or "")
            if self.is_here:
                address.resolve()
        except ConfigError as error:
            raise ConfigError(f"--{error.message}", error.kind) from None


def _refuse_twins(tools: list[Any]) -> None:
    seen: set[str] = set()
    for tool in tools:
        if tool.name in seen:
            raise ConfigError(f"--tools: two tools are named '{tool.name}'. Give one another name: @tool(name=...).")
        seen.add(tool.name)


def grouped(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let `command` take dataclasses of options: typer sees one option for each of their fields."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if dataclasses.is_dataclass(hint)}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        if (group := groups.get(parameter.name)) is None:
            kept = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[parameter.name])
            parameters.append(kept)
        else:
            parameters += _parameters_of(group)

    @functools.wraps(command)
    def spread(**values: Any) -> Any:
        made = {
            name: group(**{field.name: values.pop(field.name) for field in dataclasses.fields(group)})
            for name, group in groups.items()
        }
        return command(**made, **values)

    spread.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    spread.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del spread.__wrapped__
    return spread


def _parameters_of(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in dataclasses.fields(group)
    ]


def _text_or_file(value: str) -> str:
    """`value`, or the contents of the file that `@PATH` names. Raises ConfigError if it cannot be read."""
    if not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"--system {value}: the file cannot be read ({reason}). Check the path.") from None
