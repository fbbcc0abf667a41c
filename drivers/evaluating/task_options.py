"""The options of a run that say what is evaluated: the task, and which of its samples.

The rule here: as in `drivers.options`, a group is data that typer fills; what was not given is None or empty, and is
left to the task.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from agent_core.errors import ConfigError

if TYPE_CHECKING:
    from agent_core.evaluation.selection import Selection

TASK_PANEL = "Task"
SAMPLES_PANEL = "Samples"


def _option(*names: str, panel: str, help: str, **settings: Any) -> Any:  # noqa: A002 - typer's own word
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=False, **settings)


TaskArgument = Annotated[
    str,
    typer.Argument(
        metavar="TASK",
        help="A task (a Python file, FILE.py@NAME, YAML or JSON), or samples alone: JSONL, CSV, TSV, Parquet, - for"
        " stdin.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class TaskOptions:
    """Who answers the samples, and how the answers are judged."""

    agent: Annotated[
        str | None,
        _option(
            "--agent",
            panel=TASK_PANEL,
            metavar="AGENT",
            help="chat, react, react(max_turns=5), or module:name or FILE.py:name of an async function (chat without"
            " it).",
        ),
    ] = None
    scorers: Annotated[
        list[str] | None,
        _option(
            "--scorer",
            panel=TASK_PANEL,
            metavar="SCORER",
            help="What judges the answers, instead of the task's scorers; again for more.",
        ),
    ] = None
    grader_model: Annotated[
        str | None,
        _option(
            "--grader-model",
            panel=TASK_PANEL,
            metavar="PROVIDER/NAME",
            help="What the scorers of a task of Inspect ask (the model of the samples without it).",
        ),
    ] = None
    arguments: Annotated[
        list[str] | None,
        _option(
            "-T", panel=TASK_PANEL, metavar="NAME=VALUE", help="A parameter of the task's function; again for more."
        ),
    ] = None
    group_by: Annotated[
        list[str] | None,
        _option(
            "--group-by",
            panel=TASK_PANEL,
            metavar="FIELD[,FIELD]",
            help="Metadata fields whose values are reported apart.",
        ),
    ] = None

    def parameters(self) -> dict[str, str]:
        """What `-T` gives, by name. Raises ConfigError."""
        given: dict[str, str] = {}
        for text in self.arguments or ():
            name, equals, value = text.partition("=")
            name = name.strip()
            if not equals or not name.isidentifier():
                raise ConfigError(f"-T {text}: write NAME=VALUE, such as level=3.")
            if name in given:
                raise ConfigError(f"-T {name} is given twice. Leave one of them out.")
            given[name] = value
        return given


@dataclass(frozen=True)
class SampleOptions:
    """Which samples of the dataset are run, how often, and how they are read."""

    format: Annotated[
        Literal["jsonl", "csv", "tsv", "parquet"] | None,
        _option(
            "--format", panel=SAMPLES_PANEL, help="How the samples are to be read. Without it: by the file's name."
        ),
    ] = None
    input_field: Annotated[
        str | None,
        _option(
            "--input-field",
            panel=SAMPLES_PANEL,
            metavar="NAME",
            help="The field with what is asked (input or prompt without it).",
        ),
    ] = None
    id_field: Annotated[
        str | None,
        _option(
            "--id-field",
            panel=SAMPLES_PANEL,
            metavar="NAME",
            help="The field with the sample's id (id without it; a sample that has none is called after its line).",
        ),
    ] = None
    target_field: Annotated[
        str | None,
        _option(
            "--target-field",
            panel=SAMPLES_PANEL,
            metavar="NAME",
            help="The field with the right answer (target without it).",
        ),
    ] = None
    choices_field: Annotated[
        str | None,
        _option(
            "--choices-field",
            panel=SAMPLES_PANEL,
            metavar="NAME[,NAME]",
            help="The field with the answers to choose from, or a field for each (choices without it).",
        ),
    ] = None
    turns_field: Annotated[
        str | None,
        _option(
            "--turns-field",
            panel=SAMPLES_PANEL,
            metavar="NAME[,NAME]",
            help="The field with what is said after the first answer, or a field for each (turns without it).",
        ),
    ] = None
    history_field: Annotated[
        str | None,
        _option(
            "--history-field",
            panel=SAMPLES_PANEL,
            metavar="NAME",
            help="The field with the messages that were said before (history without it).",
        ),
    ] = None
    metadata_fields: Annotated[
        str | None,
        _option(
            "--metadata-fields",
            panel=SAMPLES_PANEL,
            metavar="NAME[,NAME]",
            help="The fields to keep as metadata (all others without it).",
        ),
    ] = None
    ids: Annotated[
        str | None,
        _option(
            "--ids", panel=SAMPLES_PANEL, metavar="ID,ID|@FILE", help="Only these samples; @FILE has an id a line."
        ),
    ] = None
    range: Annotated[
        str | None,
        _option(
            "--range",
            panel=SAMPLES_PANEL,
            metavar="START:STOP",
            help="Only these of the dataset, as a Python slice: from 0, without the last.",
        ),
    ] = None
    shuffle: Annotated[
        int | None,
        _option("--shuffle", panel=SAMPLES_PANEL, metavar="SEED", help="In an order that the seed makes of the ids."),
    ] = None
    limit: Annotated[
        int | None,
        _option(
            "--limit", "-n", panel=SAMPLES_PANEL, metavar="COUNT", min=1, help="Only the first COUNT of what is left."
        ),
    ] = None
    epochs: Annotated[
        int | None,
        _option("--epochs", panel=SAMPLES_PANEL, metavar="COUNT", min=1, help="How often each sample is run (once)."),
    ] = None

    def fields(self) -> dict[str, Any]:
        """The fields of `FieldNames` that were given."""
        given: dict[str, Any] = {
            "input": self.input_field,
            "id": self.id_field,
            "target": self.target_field,
            "choices": _one_or_several(self.choices_field),
            "turns": _one_or_several(self.turns_field),
            "history": self.history_field,
            "metadata": names_of(self.metadata_fields) if self.metadata_fields is not None else None,
        }
        return {name: value for name, value in given.items() if value is not None}

    def selection(self) -> "Selection":
        """The `Selection` that is asked for. Raises ConfigError."""
        from agent_core.evaluation.selection import Selection

        start, stop = self._range()
        return Selection(ids=self._ids(), start=start, stop=stop, shuffle=self.shuffle, limit=self.limit)

    def _range(self) -> tuple[int, int | None]:
        if self.range is None:
            return 0, None
        start, colon, stop = self.range.partition(":")
        if not colon or not all(part.strip().isdecimal() or not part.strip() for part in (start, stop)):
            raise ConfigError(
                f"--range {self.range}: write START:STOP, such as 10:20, or 10: for all from the eleventh."
            )
        first, last = int(start or 0), int(stop) if stop.strip() else None
        if last is not None and last <= first:
            raise ConfigError(f"--range {self.range} holds nothing: the end has to be after the beginning.")
        return first, last

    def _ids(self) -> frozenset[str] | None:
        if self.ids is None:
            return None
        named = names_of(self.ids)
        if self.ids.startswith("@"):
            try:
                lines = Path(self.ids[1:]).expanduser().read_text(encoding="utf-8-sig").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
                raise ConfigError(f"--ids {self.ids}: the file cannot be read ({reason}). Check the path.") from None
            named = tuple(line.strip() for line in lines if line.strip())
        if not named:
            raise ConfigError(f"--ids {self.ids}: there is no id in it. Write ID,ID or @FILE with an id a line.")
        return frozenset(named)


def names_of(text: str) -> tuple[str, ...]:
    """The names in `a,b`."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _one_or_several(text: str | None) -> str | tuple[str, ...] | None:
    if text is None or "," not in text:
        return text
    return names_of(text)
