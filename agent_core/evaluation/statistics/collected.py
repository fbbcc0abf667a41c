"""The scores of a run, collected from its results one by one.

The rule here: only numbers are kept, some 50 bytes for each result and score, whatever an answer or transcript is long.
Every sample and epoch counts once; one that comes again (from a run that was interrupted) replaces what does not stand.
"""

from array import array
from collections import Counter
from typing import NamedTuple

import numpy as np

from agent_core.errors import ConfigError
from agent_core.evaluation.result import FINAL, OUTCOMES, ResultHead, SampleOutcome
from agent_core.evaluation.statistics.arrays import Floats, Indices
from agent_core.evaluation.statistics.labels import NO_GROUP, labels_in

MOST_GROUPS = 200
MOST_FIELDS = 1000
_PLACES: dict[SampleOutcome, int] = {outcome: place for place, outcome in enumerate(OUTCOMES)}


class Planned(NamedTuple):
    """How many samples and epochs a run was to have."""

    samples: int
    epochs: int


class Collected:
    """The scores of one run. `name` is what errors call it, `by` the metadata field whose values are the groups.

    A dotted field is looked up in objects inside of objects. Without `planned` the samples that have no result at all
    are not known, and coverage is that of the others.
    """

    def __init__(self, name: str, *, planned: Planned | None = None, by: str | None = None) -> None:
        self.name = name
        self.planned_known = planned is not None
        self.repeated = 0
        self.other_lines = 0
        self._planned = planned
        self._by = by
        self._samples: dict[str, int] = {}
        self._digests: list[str] = []
        self._labels: list[tuple[str, ...]] = []
        self._fields: Counter[str] = Counter()
        self._grouped = 0
        self._rows: dict[tuple[int, int], int] = {}
        self._sample_of = array("q")
        self._epoch_of = array("q")
        self._outcome_of = array("b")
        self._scores: dict[str, array[float]] = {}

    def add(self, head: ResultHead) -> None:
        """Take in one result. An epoch that was not planned belongs to another run and is only counted."""
        if self._planned is not None and head.epoch > self._planned.epochs:
            self.other_lines += 1
            return
        sample = self._samples.get(head.id)
        if sample is None:
            sample = self._add_sample(head)
        row = self._rows.get((sample, head.epoch))
        if row is None:
            row = self._rows[sample, head.epoch] = len(self._sample_of)
            self._sample_of.append(sample)
            self._epoch_of.append(head.epoch)
            self._outcome_of.append(_PLACES[head.outcome])
        else:
            self.repeated += 1
            if OUTCOMES[self._outcome_of[row]] in FINAL:
                return
            self._outcome_of[row] = _PLACES[head.outcome]
            for values in self._scores.values():
                if row < len(values):
                    values[row] = np.nan
        for name, score in head.scores.items():
            self._put(name, row, score.value)

    def _add_sample(self, head: ResultHead) -> int:
        self._digests.append(head.sample_digest)
        if self._by is not None:
            labels = labels_in(head.metadata, self._by)
            self._grouped += labels is not None
            if len(self._fields) < MOST_FIELDS:
                self._fields.update(head.metadata.keys())
            self._labels.append(labels or (NO_GROUP,))
        self._samples[head.id] = len(self._samples)
        return self._samples[head.id]

    def _put(self, name: str, row: int, value: float | None) -> None:
        values = self._scores.setdefault(name, array("d"))
        if row >= len(values):
            values.extend([np.nan] * (row + 1 - len(values)))
        values[row] = np.nan if value is None or not np.isfinite(value) else value

    @property
    def ids(self) -> list[str]:
        """The ids of the samples that have a result, in the order of the rows of `scores`."""
        return list(self._samples)

    @property
    def results(self) -> int:
        """How many samples and epochs have a result."""
        return len(self._rows)

    @property
    def epochs(self) -> int:
        """How often each sample is run."""
        return self._planned.epochs if self._planned else max(self._epoch_of, default=1)

    @property
    def planned(self) -> int:
        """How many results the run has when it is whole; never fewer than there are."""
        samples = max(len(self._samples), self._planned.samples if self._planned else 0)
        return samples * self.epochs

    @property
    def outcomes(self) -> dict[SampleOutcome, int]:
        """How the samples and epochs ended; those that have no result are missing."""
        counts = Counter(OUTCOMES[place] for place in self._outcome_of)
        counts["missing"] += self.planned - self.results
        return {outcome: counts[outcome] for outcome in OUTCOMES}

    @property
    def scorers(self) -> tuple[str, ...]:
        """The names of the scorers, in the order of their first score."""
        return tuple(self._scores)

    def scores(self, scorer: str) -> Floats:
        """What this scorer made of every sample (rows) and epoch (columns), NaN where it has made nothing.

        Raises ConfigError for a scorer that the run does not have.
        """
        if scorer not in self._scores:
            had = f"It has {', '.join(self._scores)}." if self._scores else "Its answers were scored by nothing."
            raise ConfigError(f"{self.name} has no scorer '{scorer}'. {had} Name one of those.")
        table = np.full((len(self._samples), self.epochs), np.nan)
        values = np.frombuffer(self._scores[scorer], dtype=np.float64)
        samples = np.frombuffer(self._sample_of, dtype=np.int64)[: values.size]
        epochs = np.frombuffer(self._epoch_of, dtype=np.int64)[: values.size]
        table[samples, epochs - 1] = values
        return table

    def places(self) -> dict[str, int]:
        """The row of every sample, by its id."""
        return self._samples

    def digest(self, row: int) -> str:
        """What changes when the sample of that row is asked or judged otherwise, see `Sample.digest`."""
        return self._digests[row]

    def groups(self) -> dict[str, Indices]:
        """The rows of each group, the largest group first; a sample whose field is a list is in several.

        Empty if no field was named. Raises ConfigError for a field that no sample has, or that has too many values.
        """
        if self._by is None or not self._samples:
            return {}
        if not self._grouped:
            fields = ", ".join(name for name, _ in self._fields.most_common(12))
            raise ConfigError(
                f"No sample of {self.name} has '{self._by}' in its metadata."
                + (f" Group by one of: {fields}." if fields else " Its samples have none to group by.")
            )
        members: dict[str, list[int]] = {}
        for row, labels in enumerate(self._labels):
            for label in labels:
                members.setdefault(label, []).append(row)
        if len(members) > MOST_GROUPS:
            raise ConfigError(
                f"'{self._by}' has {len(members):,} different values in {self.name}, too many to compare"
                f" (at most {MOST_GROUPS}). Group by a field with fewer."
            )
        ordered = sorted(members.items(), key=lambda item: (-len(item[1]), item[0]))
        return {label: np.array(rows, dtype=np.intp) for label, rows in ordered}
