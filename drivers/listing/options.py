"""The options of `python -m drivers.sessions`: where the journal is, and which sessions are meant.

The rule here: as in `drivers.options`; what is wrong in a word is said before the journal is opened.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from agent_core.errors import ConfigError

LIST_LIMIT = 20

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The session's id, as `list` says it.")]
IdsArgument = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids, as `list` says them.")]
SomeIdsArgument = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Ids, as `list` says them.")]
LabelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--label", "-l", metavar="KEY=VALUE", help="Only sessions with this label; again for more, which all hold."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@dataclass(frozen=True)
class JournalOptions:
    """Where the sessions are kept."""

    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir",
            metavar="DIRECTORY",
            help="Where the journal of the sessions is kept, as for chat and evaluate.",
            show_default=False,
        ),
    ] = None
    journal: Annotated[
        str | None,
        typer.Option(
            "--journal",
            metavar="postgresql://...|env:NAME|file:PATH",
            help="The sessions are kept in this PostgreSQL database, as for chat and evaluate.",
        ),
    ] = None
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False

    def check(self) -> None:
        """Raise ConfigError for options that exclude each other."""
        if self.journal is not None and self.data_dir is not None:
            raise ConfigError("--journal and --data-dir exclude each other: a database, or a file in a directory.")


@dataclass(frozen=True)
class ListOptions:
    """Which sessions are listed, and how."""

    label: LabelOption = None
    limit: Annotated[
        int, typer.Option("--limit", "-n", metavar="COUNT", min=1, help=f"At most so many ({LIST_LIMIT}).")
    ] = LIST_LIMIT
    json: Annotated[bool, typer.Option("--json", help="One line of JSON for each.")] = False


@dataclass(frozen=True)
class ShowOptions:
    """How much of a conversation is shown."""

    full: Annotated[
        bool,
        typer.Option("--full", "-f", help="Also what a summary covers or was cleared, and nothing cut short."),
    ] = False
    json: JsonOption = False


@dataclass(frozen=True)
class ForkOptions:
    """What a fork is made of."""

    turn: Annotated[
        str | None, typer.Option("--turn", "-t", metavar="uN", help="Up to and with this turn (the last without it).")
    ] = None
    new_id: Annotated[str | None, typer.Option("--as", metavar="NEWID", help="The fork's id (a new one without).")] = (
        None
    )


@dataclass(frozen=True)
class ExportOptions:
    """What is written out, and where."""

    everything: Annotated[bool, typer.Option("--all", help="Every session.")] = False
    label: LabelOption = None
    out: Annotated[
        str, typer.Option("--out", "-o", metavar="FILE|-", help="A file that is not there yet (stdout without it).")
    ] = "-"
    as_dataset: Annotated[
        bool,
        typer.Option(
            "--as-dataset",
            help="As samples for evaluate: what was asked, what had been said before, and the recorded answer as the"
            " target.",
        ),
    ] = False
    turn: Annotated[
        str | None,
        typer.Option(
            "--turn",
            "-t",
            metavar="last|every|uN",
            help="With --as-dataset: which turns of a session become samples (last, the last one with an answer).",
        ),
    ] = None
    as_seen: Annotated[
        bool,
        typer.Option(
            "--as-seen",
            help="With --as-dataset: the history as the model saw it, with summaries in the place of what they cover,"
            " not as it was said.",
        ),
    ] = False


@dataclass(frozen=True)
class PruneOptions:
    """Which sessions have grown old."""

    older_than: Annotated[
        str,
        typer.Option("--older-than", metavar="AGE", help="Not used for so long, as in 90s, 30m, 12h, 30d, 8w."),
    ] = ""
    label: LabelOption = None
    yes: YesOption = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False


def labels_of(given: Sequence[str] | None) -> dict[str, str]:
    """The labels that were asked for. Raises ConfigError for what is none, and for two values of one."""
    labels: dict[str, str] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise ConfigError(f"--label {text}: write it as KEY=VALUE, as in --label team=blue.")
        if labels.setdefault(name, value) != value:
            raise ConfigError(f"--label {text}: no session has two values of '{name}'. Give one of them.")
    return labels
