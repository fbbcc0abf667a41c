"""`evaluate report`: makes the report of a run, or of one that is under way.

The rule here: it only reads the run. The file appears whole or not at all.
"""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from agent_core.errors import ConfigError
from drivers.evaluating.task_options import names_of
from drivers.reporting.options import MEGABYTES, PASSING, ReportOptions

REPORT_NAME = "report.html"


def report_command(
    out: Annotated[
        str, typer.Argument(metavar="OUT", help="What --out of the run named: a directory or a results file.")
    ],
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help=f"Where to write it (OUT/{REPORT_NAME} without it).")
    ] = None,
    group_by: Annotated[
        list[str] | None,
        typer.Option(
            "--group-by",
            metavar="FIELD[,FIELD]",
            help="Metadata fields to show scores by (a.b looks into objects). Without it: those of the run, else those"
            " with few values.",
        ),
    ] = None,
    passing: Annotated[
        int,
        typer.Option(
            "--passing",
            metavar="COUNT",
            min=0,
            help=f"The most transcripts to hold that nothing is wrong with ({PASSING}).",
            show_default=False,
        ),
    ] = PASSING,
    megabytes: Annotated[
        float,
        typer.Option(
            "--megabytes",
            metavar="MB",
            min=0.0,
            help=f"The most that all transcripts may take in the file, failures first ({MEGABYTES:.0f}).",
            show_default=False,
        ),
    ] = MEGABYTES,
) -> int:
    """Write one HTML file with scores, plots and transcripts, which opens from disk without a network."""
    fields = tuple(name for text in group_by or () for name in names_of(text))
    options = ReportOptions(passing=passing, megabytes=megabytes, group_by=fields)
    from agent_core.evaluation.results_file import Places

    places = Places.of(out)
    path = write_report(places.results.parent if places.url else Path(out), to, options)
    print(f"{places.shown(path) if to is None else path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


def write_report(run_dir: Path, out_path: Path | None = None, options: ReportOptions | None = None) -> Path:
    """Write the report of the run in `run_dir`, a directory or a results file, and return where it is.

    Without `out_path` it lies beside the results. Raises ConfigError: there is no run, a field to group by that is not
    there, a place that cannot be written to; OSError when the disk is full.
    """
    # Heavy: matplotlib, NumPy and Jinja, which no other command needs.
    from agent_core.evaluation.results_file import Places
    from drivers.reporting.embedding import embed
    from drivers.reporting.page import write_page
    from drivers.reporting.reading import read

    places = Places.of(str(run_dir))
    path = (out_path or _beside(places.results, run_dir)).expanduser()
    _refuse(path, (places.results, places.record))
    options = options or ReportOptions()
    reading = read(places, options.group_by)
    embedded = embed(reading, options)
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            try:
                write_page(file.file, reading, embedded)
                temporary.chmod(0o644)
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except (FileNotFoundError, NotADirectoryError, PermissionError, IsADirectoryError) as error:
        raise ConfigError(
            f"The report cannot be written to {path} ({error.strerror}). Choose another place with --to."
        ) from None
    except OSError as error:
        # Nothing else says which file had no room.
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        embedded.close()
    return path


def _beside(results: Path, run_dir: Path) -> Path:
    return results.with_name(REPORT_NAME) if run_dir.is_dir() else results.with_name(f"{results.stem}.{REPORT_NAME}")


def _refuse(path: Path, others: tuple[Path, ...]) -> None:
    """Raise ConfigError if the report would be written over what it is made from."""
    if any(path.exists() and other.exists() and path.samefile(other) for other in others):
        raise ConfigError(f"--to {path} is what the report is made from. Choose another place.")
