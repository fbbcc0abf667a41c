"""The options of `evaluate run` that are its own: what is asked, how it is run, where the results go.

The rule here: as in `drivers.options`, a group is data that typer fills; `grouped` makes options of its fields.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

DATA_PANEL = "Samples"
RUN_PANEL = "Run"
OUTPUT_PANEL = "Results"

# Samples of one turn that one actor process carries without becoming what they wait for.
SAMPLES_PER_ACTOR = 100


def _option(*names: str, panel: str, help: str, **settings: Any) -> Any:  # noqa: A002 - typer's own word
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=False, **settings)


@dataclass(frozen=True)
class DataOptions:
    """Which samples, and how they are read from the file."""

    format: Annotated[
        Literal["jsonl", "csv", "tsv"] | None,
        _option("--format", panel=DATA_PANEL, help="How FILE is to be read. Without it: by the end of its name."),
    ] = None
    input_field: Annotated[
        str | None,
        _option(
            "--input-field",
            panel=DATA_PANEL,
            metavar="NAME",
            help="The field with what is asked (input or prompt without it).",
        ),
    ] = None
    id_field: Annotated[
        str | None,
        _option(
            "--id-field",
            panel=DATA_PANEL,
            metavar="NAME",
            help="The field with the sample's id (id without it; a sample that has none is called after its line).",
        ),
    ] = None
    target_field: Annotated[
        str | None,
        _option(
            "--target-field",
            panel=DATA_PANEL,
            metavar="NAME",
            help="The field with the right answer (target without it).",
        ),
    ] = None
    limit: Annotated[
        int | None,
        _option("--limit", "-n", panel=DATA_PANEL, metavar="COUNT", min=1, help="Only the first COUNT samples."),
    ] = None
    epochs: Annotated[
        int, _option("--epochs", panel=DATA_PANEL, metavar="COUNT", min=1, help="How often each sample is run (once).")
    ] = 1


@dataclass(frozen=True)
class RunOptions:
    """How the samples are run. `timeout` is in seconds."""

    concurrency: Annotated[
        int,
        _option("--concurrency", "-c", panel=RUN_PANEL, metavar="COUNT", min=1, help="Samples under way at once (16)."),
    ] = 16
    actors: Annotated[
        int | None,
        _option(
            "--actors",
            panel=RUN_PANEL,
            metavar="COUNT",
            min=1,
            help=f"Actor processes that the sessions are packed on (one for each {SAMPLES_PER_ACTOR} at once).",
        ),
    ] = None
    sessions_per_actor: Annotated[
        int | None,
        _option(
            "--sessions-per-actor",
            panel=RUN_PANEL,
            metavar="COUNT",
            min=1,
            help="The most sessions that share one actor process.",
        ),
    ] = None
    timeout: Annotated[
        float | None,
        _option(
            "--timeout", panel=RUN_PANEL, metavar="SECONDS", min=0.001, help="The longest that one attempt may take."
        ),
    ] = None
    retries: Annotated[
        int,
        _option(
            "--retries",
            panel=RUN_PANEL,
            metavar="COUNT",
            min=0,
            help="Further attempts after a failure that is not the model's (2).",
        ),
    ] = 2
    stream: Annotated[
        bool,
        _option(
            "--stream", panel=RUN_PANEL, help="Have answers streamed: very long ones, or the time of first tokens."
        ),
    ] = False


@dataclass(frozen=True)
class OutputOptions:
    """Where the results go, and what becomes of those that are there."""

    out: Annotated[
        str | None,
        _option(
            "--out",
            "-o",
            panel=OUTPUT_PANEL,
            metavar="DIR|FILE|-",
            help="A directory, or a file for the results (runs/NAME-TIME/ without it); - writes them to stdout.",
        ),
    ] = None
    resume: Annotated[
        bool,
        _option("--resume", panel=OUTPUT_PANEL, help="Go on with the results that are there: run what is missing."),
    ] = False
    overwrite: Annotated[
        bool, _option("--overwrite", panel=OUTPUT_PANEL, help="Replace the results that are there.")
    ] = False
    force: Annotated[
        bool,
        _option("--force", panel=OUTPUT_PANEL, help="Resume although the configuration or a sample has changed."),
    ] = False
    json: Annotated[bool, _option("--json", panel=OUTPUT_PANEL, help="Print the summary as JSON.")] = False


FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="The samples: JSONL, CSV or TSV; - reads stdin.", show_default=False)
]
