"""The options of `evaluate run` that are its own: how it is run, where the results go.

The rule here: as in `drivers.options`, a group is data that typer fills; `grouped` makes options of its fields.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from agent_core.errors import ConfigError
from drivers.ages import seconds_of

RUN_PANEL = "Run"
OUTPUT_PANEL = "Results"


def _option(*names: str, panel: str, help: str, **settings: Any) -> Any:  # noqa: A002 - typer's own word
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=False, **settings)


@dataclass(frozen=True)
class RunOptions:
    """How the samples are run."""

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
            help="Actor processes that the sessions are packed on (one for each 100 at once, at most one per CPU).",
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
    detach: Annotated[
        bool,
        _option(
            "--detach",
            panel=RUN_PANEL,
            help="Leave the run to the cluster and end; `status`, `pause` and `cancel` find it from anywhere.",
        ),
    ] = False
    stream: Annotated[
        bool,
        _option(
            "--stream", panel=RUN_PANEL, help="Have answers streamed: very long ones, or the time of first tokens."
        ),
    ] = False
    cache: Annotated[
        str | None,
        _option(
            "--cache",
            panel=RUN_PANEL,
            metavar="DIR",
            help="Keep the model's answers there, and give them again where the same is asked in the same epoch.",
        ),
    ] = None
    cache_age: Annotated[
        str | None,
        _option("--cache-age", panel=RUN_PANEL, metavar="AGE", help="Ask again for what is older, as in 12h or 7d."),
    ] = None

    def fields(self, *, here: bool) -> dict[str, Any]:
        """The fields of `SessionConfig` that follow; what the sessions' machine must have is looked at if it is `here`.

        Raises ConfigError, naming what is wrong.
        """
        fields: dict[str, Any] = {"request_class": "batch", "streaming": self.stream}
        if self.cache_age is not None and self.cache is None:
            raise ConfigError("--cache-age: there is no --cache. Name its directory, or leave this out.")
        if self.cache is not None:
            directory = Path(self.cache).expanduser().absolute()
            if here:
                _check_directory(directory)
            age = None if self.cache_age is None else seconds_of(self.cache_age, "--cache-age")
            fields["cache"] = {"directory": str(directory), "max_age": age}
        return fields


def _check_directory(directory: Path) -> None:
    """Raises ConfigError if answers cannot be kept there."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except OSError as error:
        raise ConfigError(f"--cache {directory}: cannot be written ({error.strerror}). Name another.") from None


@dataclass(frozen=True)
class OutputOptions:
    """Where the results go, and what becomes of those that are there."""

    out: Annotated[
        str | None,
        _option(
            "--out",
            "-o",
            panel=OUTPUT_PANEL,
            metavar="DIR|FILE|URL|-",
            help="A directory or its address (s3://BUCKET/DIR), or a file for the results (runs/NAME-TIME/ without"
            " it); - writes them to stdout.",
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
    eval_log: Annotated[
        bool,
        typer.Option(
            "--eval-log/--no-eval-log",
            help="Write results.eval too, which Inspect's viewer and readers open (it is written).",
            rich_help_panel=OUTPUT_PANEL,
            show_default=False,
        ),
    ] = True
    report: Annotated[
        bool,
        typer.Option(
            "--report/--no-report",
            help="Make report.html of the results at the end (it is made).",
            rich_help_panel=OUTPUT_PANEL,
            show_default=False,
        ),
    ] = True
    json: Annotated[bool, _option("--json", panel=OUTPUT_PANEL, help="Print the summary as JSON.")] = False
