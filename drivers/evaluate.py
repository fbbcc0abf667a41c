"""`python -m drivers.evaluate`: runs every sample of a task in a session of its own and keeps what came of each.

The rule here: this is the door. It joins options, job, run and summary, and decides nothing about samples.
"""

import sys

if __name__ == "__main__" and not __package__:
    # A file that is run finds none of the packages below.
    print("error: run it as: python -m drivers.evaluate (from the root of the checkout)", file=sys.stderr)
    sys.exit(2)

import os
import shlex
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from drivers.compaction_options import CompactionOptions
from drivers.errors import leave, run
from drivers.evaluating.addresses import reaching
from drivers.evaluating.command_line import Options
from drivers.evaluating.comparing import compare_command
from drivers.evaluating.controlling import AddressOption, OutArgument, cancel_command, pause_command, requeue_command
from drivers.evaluating.exporting import export_command
from drivers.evaluating.gating import gate_command
from drivers.evaluating.limit_options import RunLimitOptions, SampleLimitOptions
from drivers.evaluating.merging import merge_command
from drivers.evaluating.options import OutputOptions, RunOptions
from drivers.evaluating.resuming import ABOUT_EARLIER
from drivers.evaluating.scoring import score_command
from drivers.evaluating.statistics import statistics_command
from drivers.evaluating.task_options import SampleOptions, TaskArgument, TaskOptions
from drivers.options import ModelOptions, PlaceOptions, grouped
from drivers.reporting.command import report_command

if TYPE_CHECKING:
    from drivers.evaluating.job import Job

PROGRAM = "python -m drivers.evaluate"

app = typer.Typer(
    name="evaluate",
    help="Run every sample of a task in a session of its own, many at once, and keep and judge what came of each.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command("run")
@reaching
@grouped
def run_command(  # noqa: PLR0913, PLR0917 - each is a group of options
    file: TaskArgument,
    task_options: TaskOptions,
    samples: SampleOptions,
    model: ModelOptions,
    compaction: CompactionOptions,
    limits: SampleLimitOptions,
    run_limits: RunLimitOptions,
    running: RunOptions,
    output: OutputOptions,
    place: PlaceOptions,
) -> Coroutine[Any, Any, int]:
    """Run a task, or ask a model every question of a file.

    A file of samples has the fields id, input, target and metadata; only input has to be there. Writes one JSON line
    for each sample and epoch as it ends. Exit code: 0 if all were answered (and scored), 1 if some were not, 2 if
    something was asked for wrongly, 130 after Ctrl-C.
    """
    # Heavy, and not needed for --help.
    from drivers.evaluating.job import Asking, Job
    from drivers.evaluating.running import packing
    from drivers.evaluating.tasks import resolve

    packing(running)
    place.check()
    task = resolve(file, samples, task_options, limits, tools=model.loaded_tools())
    model = task.model(model)
    given = {**model.fields(), **compaction.fields(), **running.fields(here=place.is_here)}
    model.check_window()
    # On a cluster elsewhere the key has to be there, not here.
    if place.is_here:
        model.check_key()
    compaction.check(here=place.is_here)
    asking = Asking.of(task.fields(given), task)
    job = Job(task, asking, output, run_limits.limits(), sys.argv[1:])
    return _run(job, running, place, output)


async def _run(job: "Job", running: RunOptions, place: PlaceOptions, output: OutputOptions) -> int:
    from drivers.evaluating.ending import conclude
    from drivers.evaluating.running import run_job

    with job:
        ended = await run_job(job, place, running)
    resume = resume_command(sys.argv[1:], job.out)
    return conclude(job, ended, resume=resume, output=output)


@app.command("resume", context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@reaching
def resume_run(context: typer.Context, out: OutArgument, address: AddressOption = None) -> Coroutine[Any, Any, int]:
    """Go on with a run: one that was paused, or what is missing of one that has ended.

    It is asked as it was before; further options of `run` are added.
    """
    from drivers.evaluating.resuming import resume

    return resume(out, address, context.args, Options.of(context, "run"), _again)


@app.command("replay", context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@reaching
def replay_run(
    context: typer.Context,
    base: Annotated[str, typer.Argument(metavar="RUN", help="The run to compare with: what its --out named.")],
    out: Annotated[
        # No -o: where other options are passed on, it would be found inside of theirs (`-mgpt-4o`).
        str | None, typer.Option("--out", metavar="DIR", help="Where the new results go.", show_default=False)
    ] = None,
) -> Coroutine[Any, Any, int]:
    """Run again what a run asked, with another model, prompt, compaction or tool, and compare the two.

    Any option of `run` may be given, and takes the place of what the run had.
    """
    from drivers.evaluating.replaying import replay

    more = [*context.args, *(["--out", out] if out is not None else [])]
    return replay(base, more, Options.of(context, "run"), _again)


def _again(arguments: Sequence[str]) -> int | Coroutine[Any, Any, int]:
    sys.argv[1:] = arguments
    return app(args=list(arguments), prog_name=PROGRAM, standalone_mode=False)


@app.command("status")
@reaching
def status_command(
    out: OutArgument = "",
    watch: Annotated[  # noqa: FBT002 - typer's way to say a flag
        bool, typer.Option("--watch", "-w", help="Show it until it is over; Ctrl-C leaves it as it is.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,  # noqa: FBT002
    address: AddressOption = None,
) -> int | Coroutine[Any, Any, int]:
    """Say how far a run is, or how it ended. Without OUT: which runs are under way on the cluster."""
    from drivers.evaluating.looking import look

    return look(out, address, watches=watch, as_json=as_json)


for name, command in (
    ("pause", pause_command),
    ("cancel", cancel_command),
    ("requeue", requeue_command),
    ("score", score_command),
    ("report", report_command),
    ("statistics", statistics_command),
    ("compare", compare_command),
    ("gate", gate_command),
    ("merge", merge_command),
    ("export", export_command),
):
    app.command(name)(reaching(command, rewrites=command is score_command))


def resume_command(arguments: Sequence[str], out: str) -> str:
    """The command line that goes on with what `arguments` began."""
    if "-" not in arguments:
        return shlex.join([*PROGRAM.split(), "resume", out.rstrip(os.sep) or out])
    # Samples that were piped in have to be piped in again.
    kept = [argument for argument in arguments if argument not in ABOUT_EARLIER]
    named = any(argument.split("=")[0] in ("--out", "-o") or argument.startswith("-o") for argument in kept)
    return shlex.join([*PROGRAM.split(), *kept, *([] if named else ["--out", out]), "--resume"])


if __name__ == "__main__":
    leave(run(app, program=PROGRAM))
