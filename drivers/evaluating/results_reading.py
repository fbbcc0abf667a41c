"""Reading what a run scored: from a directory or a results file, line by line.

The rule here: the results are only read, also while they are being written, and nothing is kept of them but numbers.
"""

from typing import TYPE_CHECKING

from agent_core.errors import ConfigError
from agent_core.evaluation.results_file import Places
from agent_core.evaluation.resume import heads

if TYPE_CHECKING:
    from agent_core.evaluation.statistics.collected import Collected


def collect(path: str, *, by: str | None = None) -> "Collected":
    """The scores of the run that `path` names, grouped by the metadata field `by`.

    What was planned is read from the record beside the results, if it is there. Raises ConfigError if there are no
    results, or if what is there is something else.
    """
    from agent_core.evaluation.statistics.collected import Collected, Planned

    places = places_of(path)
    record = places.read_record()
    planned = Planned(record.samples, record.epochs) if record else None
    collected = Collected(path, planned=planned, by=by)
    try:
        with places.results.open("rb") as file:
            for head in heads(file, name=str(places.results)):
                if record is None or record.counts(head.id, head.epoch):
                    collected.add(head)
                else:
                    collected.other_lines += 1
    except OSError as error:
        raise ConfigError(f"{places.results} cannot be read ({error.strerror}). Check the path.") from None
    if not collected.results:
        raise ConfigError(f"{places.results} holds no results yet. Run it first, or name another run.")
    return collected


def places_of(path: str) -> Places:
    """Where the run is that `path` names: its directory, or its results file. Raises ConfigError if there is none."""
    places = Places.of(path)
    if places.stdout:
        raise ConfigError("Results that went to standard output are not here. Name the file that they were kept in.")
    if not places.results.exists():
        raise ConfigError(f"{places.shown()} is not there. Name what --out of the run named: a directory or a file.")
    return places
