"""What is said when a run is over, or asked about: figures on stdout, what to do next on stderr, and the exit code.

The rule here: exit code 0 means that every sample completed. Anything else names what did not, and where to look. Where
stdout holds the results it holds nothing else: then the figures go to stderr too.
"""

import json
import shlex
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from agent_core.errors import ConfigError
from agent_core.evaluation.result import FINAL, SampleOutcome
from agent_core.evaluation.results_file import RESULTS_NAME, Places
from agent_core.evaluation.resume import heads
from agent_core.evaluation.summary import Summary, Tally
from drivers.errors import FAILURE
from drivers.evaluating.running import Ended
from drivers.evaluating.showing import NAMES, failure_line, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from agent_core.evaluation.result import ResultHead
    from drivers.evaluating.job import Job
    from drivers.evaluating.options import OutputOptions

    Metrics = Callable[[Iterable[ResultHead]], Sequence[tuple[str, float]]]

WIDTH = 80
DONE = frozenset({"scored", "completed"})


def conclude(job: "Job", ended: Ended, *, resume: str, output: "OutputOptions") -> int:
    """Print how the run ended, make its report, and return the exit code.

    Raises what ended the run early, after printing.
    """
    summary, places = ended.summary or job.tally.summary(), job.places
    if ended.detached:
        print(f"{job.record.run_id} goes on without this program. {_ways(places)}")
        return 0
    show(summary, places, as_json=output.json)
    if job.task.metrics is not None and places.kept and summary.done:
        _show_metrics(job.task.metrics, places, as_json=output.json)
    if output.report and places.kept and summary.done:
        _report(places, as_json=output.json)
    _say_what_is_left(summary, places, resume)
    if ended.failure is not None:
        raise ended.failure
    if ended.signal is not None:
        return 128 + ended.signal
    if ended.reason:
        _say(Console(file=sys.stderr), f"Stopped: {ended.reason}")
    return 0 if summary.whole else FAILURE


def _show_metrics(metrics: "Metrics", places: Places, *, as_json: bool) -> None:
    """Print what the task makes of its scores by metrics of its own."""
    record = places.read_record()
    with places.results.open("rb") as file:
        every = heads(file, name=str(places.results))
        found = metrics(head for head in every if record is None or record.counts(head.id, head.epoch))
    for name, value in found:
        print(f"{name}: {value:.4g}", file=sys.stderr if as_json else sys.stdout)


def _ways(places: Places) -> str:
    where = places.url or str(places.results.parent if places.results.name == RESULTS_NAME else places.results)
    return "\n".join(
        f"  python -m drivers.evaluate {word} {shlex.quote(where)}" for word in ("status", "pause", "cancel")
    ).join(("Ask and tell it:\n", ""))


def _report(places: Places, *, as_json: bool) -> None:
    """Make the report; the results stand whether it can be made or not."""
    from drivers.reporting.command import write_report

    try:
        whole = places.results.name == RESULTS_NAME
        path = write_report(places.results.parent if whole else places.results)
    except (OSError, ConfigError) as error:
        why = error if isinstance(error, ConfigError) else f"{error.filename or 'its file'}: {error.strerror or error}."
        _say(Console(file=sys.stderr), f"The report could not be made: {why}")
        return
    print(f"report: {places.shown(path)}", file=sys.stderr if as_json else sys.stdout)


def _say_what_is_left(summary: Summary, places: Places, resume: str) -> None:
    left: dict[SampleOutcome, int] = {
        outcome: number for outcome, number in summary.outcomes.items() if number and outcome not in DONE
    }
    if not left:
        return
    console = Console(file=sys.stderr)
    said = ", ".join(f"{number:,} {NAMES[outcome]}" for outcome, number in left.items())
    why = " Their lines in the results say why." if left.keys() - {"missing"} else ""
    _say(console, f"Not completed: {said}.{why}")
    if left.keys() - FINAL and places.kept:
        _say(console, f"To run what is missing, was cancelled or the infrastructure failed:\n  {resume}")


def show(summary: Summary, places: Places | None, *, as_json: bool) -> None:
    """Print the figures: as a table of at most 80 columns, or as one JSON object."""
    file = sys.stderr if places and places.stdout else sys.stdout
    if as_json:
        print(
            json.dumps({"results": str(places and places.shown()), **summary.model_dump(mode="json")}, indent=2),
            file=file,
        )
        return
    console = Console(file=file, width=min(WIDTH, Console(file=file).width), highlight=False)
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column()
    for name, figure in rows_of(summary):
        table.add_row(name, figure)
    console.print("", table, "", sep="\n")
    for failure in summary.failures:
        console.print(failure_line(failure), markup=False, no_wrap=True, overflow="ellipsis")
    if hidden := sum(summary.failure_kinds.values()) - len(summary.failures):
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in list(summary.failure_kinds.items())[:6])
        console.print(f"and {hidden:,} more (all in all: {kinds})", markup=False)
    if places is not None:
        print(f"results: {places.shown()}", file=file)


def standing(places: Places) -> Summary:
    """The figures of a results file as it is now, also while it is being written. Raises ConfigError."""
    if places.stdout:
        raise ConfigError("Results that went to standard output are not here. Name the file that they were kept in.")
    record = places.read_record()
    session = record.configuration.get("session") if record else None
    model = str(session.get("model", "")) if isinstance(session, dict) else ""
    tally = Tally(record.planned if record else 0, model)
    try:
        with places.results.open("rb") as file:
            for head in heads(file, name=str(places.results)):
                if record is None or record.counts(head.id, head.epoch):
                    tally.add(head)
                else:
                    tally.other_lines += 1
    except OSError as error:
        raise ConfigError(
            f"{places.shown()} cannot be read ({error.strerror}). Name the directory or file that --out named."
        ) from None
    tally.planned = max(tally.planned, tally.done)
    return tally.summary()


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
