"""Reading a run for its report: one pass over the results file, line by line.

The rule here: nothing is kept of a line but its mark and its part in the sums.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent_core.errors import ConfigError
from agent_core.evaluation.configuration import RunRecord
from agent_core.evaluation.result import ANSWERED, FINAL, ResultHead
from agent_core.evaluation.results_file import Places
from agent_core.evaluation.resume import heads
from agent_core.evaluation.summary import Spread, Summary, Tally
from agent_core.messages import Usage
from drivers.reporting.marks import Mark

if TYPE_CHECKING:
    from agent_core.evaluation.statistics.collected import Collected

# A field of the metadata with more values than this is no group but a property of each sample.
MOST_GROUPS = 24
LONGEST_GROUP = 60


@dataclass(frozen=True, slots=True)
class Reading:
    """A run as it was read. `record` is None where there is none beside the results.

    `marks` has one for each sample and epoch; `summary` sums over every line. `fields` are the metadata fields to group
    by. `grading` and `grading_cost` (US dollars) are what grading models took.
    """

    path: Path
    record: RunRecord | None
    marks: list[Mark]
    collected: "Collected"
    summary: Summary
    latency: Spread
    first_token: Spread
    fields: tuple[str, ...]
    grading: Usage
    grading_cost: float | None

    @property
    def scorers(self) -> tuple[str, ...]:
        """The names of the scorers, in the order of their first score."""
        return self.collected.scorers


def read(places: Places, group_by: Sequence[str] = ()) -> Reading:
    """Read the run at `places`. Raises ConfigError: there are no results, the file is none, a field is not there."""
    from agent_core.evaluation.statistics.collected import Collected, Planned

    if not places.kept:
        raise ConfigError(f"{places.results} is not there. Name what --out of the run named: a directory or a file.")
    record = places.read_record()
    planned = Planned(record.samples, record.epochs) if record else None
    collected = Collected(str(places.results), planned=planned)
    groups, totals, marks = _Groups(group_by), _Totals(), _Marks()
    tally = Tally(record.planned if record else 0)
    with places.results.open("rb") as file:
        lines = _Lines(file)
        for head in heads(lines, name=str(places.results)):
            collected.add(head)
            tally.add(head)
            totals.add(head)
            if planned is None or head.epoch <= planned.epochs:
                marks.add(Mark.of(lines.offset, head, groups.take(head)))
    if not marks.kept:
        raise ConfigError(f"{places.results} holds no result yet. Make the report when the run has some.")
    return Reading(
        path=places.results,
        record=record,
        marks=marks.kept,
        collected=collected,
        summary=tally.summary(),
        latency=totals.latency,
        first_token=totals.first_token,
        fields=groups.chosen(),
        grading=totals.grading,
        grading_cost=totals.grading_cost,
    )


class _Marks:
    """The marks, one for each sample and epoch: as in `Collected`, what stands is not replaced by a later line."""

    def __init__(self) -> None:
        self.kept: list[Mark] = []
        self._places: dict[tuple[str, int], int] = {}

    def add(self, mark: Mark) -> None:
        place = self._places.setdefault((mark.id, mark.epoch), len(self.kept))
        if place == len(self.kept):
            self.kept.append(mark)
        elif self.kept[place].outcome not in FINAL:
            self.kept[place] = mark


class _Lines:
    """The lines of a file; `offset` is where the one that was handed out last begins."""

    def __init__(self, file: Iterator[bytes]) -> None:
        self._file = file
        self.offset = 0

    def __iter__(self) -> Iterator[bytes]:
        offset = 0
        for line in self._file:
            self.offset = offset
            offset += len(line)
            yield line


class _Totals:
    """The sums that a `Tally` does not keep."""

    def __init__(self) -> None:
        self.latency = Spread()
        self.first_token = Spread()
        self.grading = Usage()
        self.grading_cost: float | None = None

    def add(self, head: ResultHead) -> None:
        for score in head.scores.values():
            if score.usage is not None:
                self.grading += score.usage
            if score.cost is not None:
                self.grading_cost = (self.grading_cost or 0.0) + score.cost
        if head.outcome in ANSWERED:
            self.latency.add(head.timings.latency)
            if head.timings.first_token is not None:
                self.first_token.add(head.timings.first_token - head.timings.started)


class _Groups:
    """Which fields of the metadata are groups, found while reading."""

    def __init__(self, asked: Sequence[str]) -> None:
        self._asked = tuple(dict.fromkeys(asked))
        self._values: dict[str, Counter[str]] = {}
        self._dropped: set[str] = set()

    def take(self, head: ResultHead) -> dict[str, str]:
        found: dict[str, str] = {}
        for field, value in head.metadata.items():
            values = self._values.setdefault(field, Counter())
            wanted = field in self._asked if self._asked else field not in self._dropped
            if not wanted or not isinstance(value, str | bool | int | float):
                continue
            name = group_name(value)
            values[name] += 1
            if len(values) > MOST_GROUPS and not self._asked:
                self._dropped.add(field)
                values.clear()
            else:
                found[field] = name
        return found

    def chosen(self) -> tuple[str, ...]:
        if self._asked:
            self._refuse_unknown()
            return self._asked
        return tuple(field for field, values in self._values.items() if len(values) > 1 and field not in self._dropped)

    def _refuse_unknown(self) -> None:
        for field in self._asked:
            if not self._values.get(field):
                others = ", ".join(sorted(self._values)[:10]) or "there are none"
                raise ConfigError(f"--group-by {field}: no result has this field in its metadata ({others}).")


def group_name(value: str | float) -> str:
    """What the group of this value is called: as JSON writes it, cut."""
    name = str(value).lower() if isinstance(value, bool) else str(value)
    return name if len(name) <= LONGEST_GROUP else name[:LONGEST_GROUP] + "…"
