"""Options about compaction: which kind, who summarises, and every other setting by its name.

The rule here: as in `drivers.options`, what is wrong is found before anything is started, and named as it was typed.
"""

import json
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer

from agent_core.errors import ConfigError
from drivers.options import MODEL_PANEL, ModelOptions

_KINDS = {"llm": "llm", "mechanical": "threshold"}


@dataclass(frozen=True)
class CompactionOptions:
    """How the conversation is kept within the window. What was not given is left to the session."""

    compaction: Annotated[
        Literal["llm", "mechanical", "none"] | None,
        typer.Option(
            "--compaction",
            rich_help_panel=MODEL_PANEL,
            show_default=False,
            help="How a long conversation is shortened: a model summarises it in the background (llm, also without"
            " this), old tool results are shortened (mechanical), or only what would not fit is left out (none).",
        ),
    ] = None
    compaction_model: Annotated[
        str | None,
        typer.Option(
            "--compaction-model",
            rich_help_panel=MODEL_PANEL,
            show_default=False,
            metavar="PROVIDER/NAME",
            help="Who summarises; the session's own model without it.",
        ),
    ] = None
    compaction_set: Annotated[
        list[str] | None,
        typer.Option(
            "--compaction-set",
            rich_help_panel=MODEL_PANEL,
            show_default=False,
            metavar="NAME=VALUE",
            help="Another setting of it, such as soft=0.5, keep_recent_turns=5 or base_url=URL; again for more.",
        ),
    ] = None

    def fields(self) -> dict[str, Any]:
        """The field of `SessionConfig`, if anything was given. Raises ConfigError, naming what is wrong."""
        from agent_core.config import SessionConfig

        if self.compaction is None and self.compaction_model is None and not self.compaction_set:
            return {}
        if self.compaction == "none":
            self._refuse("none", self.compaction_model, self.compaction_set)
            return {"compaction": None}
        if self.compaction == "mechanical":
            self._refuse("mechanical", self.compaction_model)
        given = dict(_setting(text, self.compaction or "llm") for text in self.compaction_set or [])
        if self.compaction_model is not None:
            given["model"] = self.compaction_model
        given["kind"] = _KINDS[self.compaction or "llm"]
        try:
            # Any model will do: only the settings of compaction are looked at.
            return {"compaction": SessionConfig.of(model="local/any", compaction=given).compaction}
        except ConfigError as error:
            raise ConfigError(_as_typed(error.message)) from None

    def check(self, *, here: bool) -> None:
        """Raise ConfigError if a summariser of its own cannot be spoken to: no window is known, or no key `here`."""
        from agent_core.compaction.settings import LLMCompaction

        chosen = self.fields().get("compaction")
        if not isinstance(chosen, LLMCompaction) or chosen.model is None:
            return
        summariser = ModelOptions(
            model=chosen.model,
            api_key=chosen.api_key,
            base_url=chosen.base_url,
            wire=chosen.wire,
            context_limit=chosen.context_limit,
        )
        try:
            summariser.check_window()
            if here:
                summariser.check_key()
        except ConfigError as error:
            raise ConfigError(_as_meant(error.message), error.kind) from None

    @staticmethod
    def _refuse(kind: str, model: str | None, settings: list[str] | None = None) -> None:
        for name, given in (("--compaction-model", model), ("--compaction-set", settings)):
            if given:
                raise ConfigError(f"--compaction {kind} and {name} exclude each other: leave one of them out.")


def _setting(text: str, kind: str) -> tuple[str, Any]:
    """A setting's name, and its value: as JSON where it is some, else as it stands."""
    from agent_core.compaction.settings import LLMCompaction, ThresholdCompaction

    name, equals, value = text.partition("=")
    name = name.strip()
    if not equals or not name:
        raise ConfigError(f"--compaction-set {text}: write NAME=VALUE, such as soft=0.5.")
    if name in ("kind", "model"):
        other = "--compaction" if name == "kind" else "--compaction-model"
        raise ConfigError(f"--compaction-set {text}: say it with {other}.")
    known = (LLMCompaction if kind == "llm" else ThresholdCompaction).model_fields.keys() - {"kind", "model"}
    if name not in known:
        raise ConfigError(f"--compaction-set {name}: {kind} has no such setting. It has {', '.join(sorted(known))}.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _as_typed(message: str) -> str:
    """What is wrong with the settings, each by the option that gave it."""
    said = message.removeprefix("Bad session configuration. ")
    said = said.replace("compaction.model: ", "--compaction-model: ")
    said = re.sub(r"\bcompaction(\.llm|\.threshold)?: ", "--compaction: ", said)
    return re.sub(r"\bcompaction\.(\w+)", r"--compaction-set \1", said)


def _as_meant(message: str) -> str:
    """What is wrong with a model, said of the one who summarises."""
    said = message.removeprefix("context_limit: ").replace("--model ", "--compaction-model ")
    said = said.replace(
        "Set --context-limit to its size in tokens", "Say it with --compaction-set context_limit=TOKENS"
    )
    return f"--compaction-model: {said.replace('--api-key ', '--compaction-set api_key=')}"
