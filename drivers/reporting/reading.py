"""Reading a run for its report: one pass over the results file, line by line.

The rule here: nothing is kept of a line but its mark and its part in the sums.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from agent_core.errors import ConfigError
from agent_core.evaluation.configuration import RunRecord
from agent_core.evaluation.result import ANSWERED, FINAL, ResultHead
from agent_core.evaluation.results_file import Places
from agent_core.evaluation.resume import heads
from agent_core.evaluation.statistics.labels import label, labels_in
from agent_core.evaluation.summary import Spread, Summary, Tally
from agent_core.messages import Usage
from drivers.reporting.marks import Mark

if TYPE_CHECKING:
    from agent_core.evaluation.statistics.collected import Collected

# A field of the metadata with more values than this is no group but a property of each sample.
MOST_GROUPS = 24
MOST_FIELDS = 1000


@dataclass(frozen=True, slots=True)
class Reading:
    """A run as it was read. `record` is None where there is none beside the results.

    `marks` has one for each sample and epoch; `summary` sums over every line that counts. `fields` are the metadata
    fields to group by. `grading` and `grading_cost` (US dollars) are what grading models took.
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
    groups, totals, marks = _Groups(group_by, record.group_by if record else ()), _Totals(), _Marks()
    tally = Tally(record.planned if record else 0)
    with places.results.open("rb") as file:
        lines = _Lines(file)
        for head in heads(lines, name=str(places.results)):
            if record is not None and not record.counts(head.id, head.epoch):
                tally.other_lines += 1
                continue
            collected.add(head)
            tally.add(head)
            totals.add(head)
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
    """Which fields of the metadata are groups, found while reading.

    `asked` are those that a user wants, all of which have to be there; `planned` those of the run's record. Without
    either the fields with few plain values are taken.
    """

    def __init__(self, asked: Sequence[str], planned: Sequence[str]) -> None:
        self._asked = tuple(dict.fromkeys(asked))
        self._named = self._asked or tuple(dict.fromkeys(planned))
        self._values: dict[str, set[str]] = {}
        self._dropped: set[str] = set()
        self._there: dict[str, None] = {}

    def take(self, head: ResultHead) -> dict[str, tuple[str, ...]]:
        if self._named:
            if len(self._there) < MOST_FIELDS:
                self._there.update(dict.fromkeys(head.metadata))
            found = {name: labels for name in self._named if (labels := labels_in(head.metadata, name)) is not None}
            for name in found:
                self._values.setdefault(name, set())
            return found
        return {name: (label(value),) for name, value in head.metadata.items() if self._is_group(name, value)}

    def _is_group(self, name: str, value: JsonValue) -> bool:
        if name in self._dropped or not isinstance(value, str | bool | int | float):
            return False
        values = self._values.setdefault(name, set())
        values.add(label(value))
        if len(values) > MOST_GROUPS:
            self._dropped.add(name)
            del self._values[name]
        return name in self._values

    def chosen(self) -> tuple[str, ...]:
        for name in self._asked:
            if name not in self._values:
                others = ", ".join(sorted(self._there)[:10]) or "there are none"
                raise ConfigError(f"--group-by {name}: no result has this field in its metadata ({others}).")
        if self._named:
            return tuple(name for name in self._named if name in self._values)
        return tuple(name for name, values in self._values.items() if len(values) > 1)
