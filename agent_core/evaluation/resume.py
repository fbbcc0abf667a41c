"""Resuming: which lines of a results file stand, and which samples are still to be run.

The rule here: after a resume the file holds exactly one line for each sample and epoch. A line stands if its outcome is
final; one that was cancelled or that the infrastructure failed is dropped and its sample run again, as is the line
that a killed process left torn.
"""

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from pydantic import ValidationError

from agent_core.errors import ConfigError
from agent_core.evaluation.index import RunIndex
from agent_core.evaluation.result import FINAL, ResultHead, decode_head
from agent_core.evaluation.sample import Assignment, Sample

Fate = Literal["kept", "foreign", "dropped", "torn"]

# Every result begins like this, see `encode`.
_BEGINNING = b'{"id":"'


class Line(NamedTuple):
    """One line of a results file. `foreign` lines belong to samples outside this run; they stand and do not count."""

    raw: bytes
    fate: Fate
    head: ResultHead | None = None


def sift(lines: Iterable[bytes], index: RunIndex, *, epochs: int, name: str) -> Iterator[Line]:
    """Judge every line of the results file `name` in the order of the file, and take what it says into `index`.

    Only the last line may be torn: it begins as a result and has no end. Raises ConfigError for any other line that is
    no result: then the file is something else.
    """
    for raw, head in _read(lines, name):
        yield Line(raw, "torn") if head is None else Line(raw, _fate(head, index, epochs), head)


def heads(lines: Iterable[bytes], *, name: str) -> Iterator[ResultHead]:
    """The results in a file as it is, perhaps while it is being written: a torn last line is left out.

    Raises ConfigError as `sift` does.
    """
    return (head for _, head in _read(lines, name) if head is not None)


def _read(lines: Iterable[bytes], name: str) -> Iterator[tuple[bytes, ResultHead | None]]:
    for number, raw in enumerate(lines, start=1):
        try:
            head = decode_head(raw)
        except ValidationError:
            torn = not raw.endswith(b"\n") and raw[: len(_BEGINNING)] == _BEGINNING[: len(raw)]
            if not torn:
                raise ConfigError(
                    f"{name} line {number} is no result, so this is another kind of file. Name another one"
                    " (a run replaces it with --overwrite).",
                    kind="results",
                ) from None
            head = None
        yield raw, head


def _fate(head: ResultHead, index: RunIndex, epochs: int) -> Fate:
    if index.line_of(head.id) is None or head.epoch > epochs:
        return "foreign"
    known = index.known(head.id, head.epoch)
    kept = head.outcome in FINAL and not (known is not None and known.kept)
    index.add_result(head, kept=kept)
    return "kept" if kept else "dropped"


class Mismatch(NamedTuple):
    """A result that stands but was made from something else than what is asked now."""

    sample_id: str
    line: int
    what: Literal["sample", "configuration"]


def outstanding(samples: Iterable[Sample], index: RunIndex, *, epochs: int) -> Iterator[Assignment]:
    """What is still to be run, in the order of the dataset, the epochs of a sample one after another."""
    for sample in samples:
        for epoch in range(1, epochs + 1):
            known = index.known(sample.id, epoch)
            if known is None:
                yield Assignment(sample, epoch)
            elif not known.kept:
                yield Assignment(sample, epoch, known.attempts + 1)


def mismatches(samples: Iterable[Sample], index: RunIndex, *, epochs: int, configuration: str) -> Iterator[Mismatch]:
    """Results that stand although their sample, or the configuration that they were made with, has changed since."""
    for sample in samples:
        for epoch in range(1, epochs + 1):
            known = index.known(sample.id, epoch)
            if known is None or not known.kept:
                continue
            if known.configuration != configuration:
                yield Mismatch(sample.id, sample.line, "configuration")
            elif known.sample_digest != sample.digest:
                yield Mismatch(sample.id, sample.line, "sample")
