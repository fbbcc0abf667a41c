"""`python -m drivers.evaluate`: runs every prompt of a file in a session of its own and keeps what came of each.

The rule here: this is the door. It joins options, job, run and summary, and decides nothing about samples.
"""

import sys

if __name__ == "__main__" and not __package__:
    # A file that is run finds none of the packages below.
    print("error: run it as: python -m drivers.evaluate (from the root of the checkout)", file=sys.stderr)
    sys.exit(2)

import shlex
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from drivers.compaction_options import CompactionOptions
from drivers.errors import leave, run
from drivers.evaluating.options import DataOptions, FileArgument, OutputOptions, RunOptions
from drivers.options import ModelOptions, PlaceOptions, grouped

if TYPE_CHECKING:
    from drivers.evaluating.job import Job

PROGRAM = "python -m drivers.evaluate"
# What decides the fate of earlier results, and is decided anew when a run is resumed.
ABOUT_EARLIER = {"--overwrite", "--resume", "--force"}

app = typer.Typer(
    name="evaluate",
    help="Run every prompt of a file in a session of its own, many at once, and keep what came of each.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command("run")
@grouped
def run_command(  # noqa: PLR0913, PLR0917 - each is a group of options
    file: FileArgument,
    data: DataOptions,
    model: ModelOptions,
    compaction: CompactionOptions,
    running: RunOptions,
    output: OutputOptions,
    place: PlaceOptions,
) -> Coroutine[Any, Any, int]:
    """Ask a model every prompt of a file.

    FILE is JSONL, CSV or TSV with the fields id, input, target and metadata; only input has to be there. Writes one
    JSON line for each sample and epoch as it ends. Exit code: 0 if all completed, 1 if some did not, 2 if something was
    asked for wrongly, 130 after Ctrl-C.
    """
    # Heavy, and not needed for --help.
    from drivers.evaluating.job import Asking, Job
    from drivers.evaluating.running import packing

    packing(running)
    fields = {**model.fields(), **compaction.fields(), "request_class": "batch", "streaming": running.stream}
    model.check_window()
    place.check()
    # On a cluster elsewhere the key has to be there, not here.
    if place.is_here:
        model.check_key()
    compaction.check(here=place.is_here)
    asking = Asking.of(fields, model.loaded_tools(), running.timeout)
    job = Job(file, asking, data, output)
    return _run(job, running, place, as_json=output.json)


async def _run(job: "Job", running: RunOptions, place: PlaceOptions, *, as_json: bool) -> int:
    from drivers.evaluating.ending import conclude
    from drivers.evaluating.running import run_job

    with job:
        ended = await run_job(job, place, running)
    summary = ended.summary or job.tally.summary()
    return conclude(summary, job.places, ended, resume=resume_command(sys.argv[1:], job.out), as_json=as_json)


@app.command("status")
def status_command(
    out: Annotated[str, typer.Argument(metavar="OUT", help="What --out named: a directory or a results file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,  # noqa: FBT002
) -> int:
    """Say how far a run is, or how it ended, from its results file."""
    from drivers.evaluating.ending import show, standing
    from drivers.evaluating.results_file import Places

    places = Places.of(out)
    show(standing(places), places, as_json=as_json)
    return 0


def resume_command(arguments: Sequence[str], out: str) -> str:
    """The command line that goes on with what `arguments` began."""
    kept = [argument for argument in arguments if argument not in ABOUT_EARLIER]
    named = any(argument.split("=")[0] in ("--out", "-o") or argument.startswith("-o") for argument in kept)
    return shlex.join([*PROGRAM.split(), *kept, *([] if named else ["--out", out]), "--resume"])


if __name__ == "__main__":
    leave(run(app, program=PROGRAM))
