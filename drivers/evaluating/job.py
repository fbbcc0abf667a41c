"""A job: everything about a run that can be known before a session is opened, checked.

The rule here: whatever a user can have got wrong is found here, before anything is started, paid for or overwritten.
The samples are read twice, once to check all of them and once to run them, so that none has to be kept.
"""

import re
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Self, cast

from agent_core.config import SessionConfig
from agent_core.errors import ConfigError
from agent_core.evaluation.configuration import Configuration, RunRecord, differences
from agent_core.evaluation.dataset import SUFFIXES, Dataset, FieldNames
from agent_core.evaluation.index import RunIndex
from agent_core.evaluation.limits import RunLimits, SampleLimits
from agent_core.evaluation.program import Given, ProgramSource
from agent_core.evaluation.results_file import INDEX_NAME, RECORD_NAME, RESULTS_NAME, Places, ResultsFile
from agent_core.evaluation.resume import mismatches, sift
from agent_core.evaluation.sample import Sample
from agent_core.evaluation.summary import Tally
from drivers.evaluating.options import DataOptions, OutputOptions

LONGEST_NAME = 30
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Asking:
    """What every session of the job is opened with. `fields` are those of SessionConfig."""

    fields: dict[str, Any]
    tools: tuple[Any, ...]
    configuration: Configuration

    @classmethod
    def of(cls, fields: dict[str, Any], tools: list[Any], timeout: float | None) -> "Asking":
        """Put together what the model options say; `tools` are those of `agent_core.tools`, loaded."""
        definitions = tuple(tool.definition for tool in tools)
        # A definition says it all unless the code is stored by value, which opening a session does.
        given = tuple(tool.definition if tool.code is None else tool for tool in tools)
        configuration = Configuration(session=SessionConfig.of(**fields), tools=definitions, timeout=timeout)
        return cls(fields, given, configuration)


class Job:
    """One run of a file of samples. Use it as a context manager: it holds files open."""

    def __init__(self, file: Path, asking: Asking, data: DataOptions, output: OutputOptions) -> None:
        """Check everything. Raises ConfigError: the first thing that is wrong."""
        if output.resume and output.overwrite:
            raise ConfigError("--resume and --overwrite exclude each other: leave one of them out.")
        self.asking, self._data, self._force = asking, data, output.force
        self.limits = SampleLimits(time=asking.configuration.timeout)
        self.run_limits = RunLimits()
        self.program: ProgramSource = Given()
        self.name = "stdin" if str(file) == "-" else file.name
        self.out = output.out or _default_out(file)
        self._dataset = _dataset(file, self.name, data)
        with ExitStack() as stack:
            self._file = stack.enter_context(_opened(file))
            self._rooms = stack.enter_context(tempfile.TemporaryDirectory(prefix="rayconteur-"))
            self._index_path = Path(self._rooms) / INDEX_NAME
            self._index = stack.enter_context(RunIndex(self._index_path))
            samples = self._checked_samples()
            mode = "resume" if output.resume else "overwrite" if output.overwrite else "new"
            self.places = Places.of(self.out)
            _refuse_as_results(file, self.places)
            self.results = stack.enter_context(ResultsFile(self.places, mode))
            past = self.places.read_record() if output.resume else None
            self.tally = Tally(samples * data.epochs)
            if output.resume:
                self._survey(past)
            self.record = self._new_record(past, samples)
            self._held = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._held.close()

    def begin(self) -> tuple[Path, Places]:
        """Make the files what the run goes by, and let go of them: where the index is, and the results.

        Results that are no file are written to one first, from where `pump` takes them. Raises OSError.
        """
        self.results.begin(self.record)
        self._index.close()
        if not self.results.regular:
            return self._index_path, Places(Path(self._rooms) / RESULTS_NAME, Path(self._rooms) / RECORD_NAME)
        index = self.places.index
        for leftover in (index, *(index.with_name(index.name + end) for end in ("-wal", "-shm"))):
            leftover.unlink(missing_ok=True)
        shutil.move(self._index_path, index)
        self.results.release()
        return index, self.places

    def _samples(self) -> Iterator[Sample]:
        self._file.seek(0)
        return islice(self._dataset.samples(self._file), self._data.limit)

    def _checked_samples(self) -> int:
        with self._index.together():
            for sample in self._samples():
                earlier = self._index.add_sample(sample)
                if earlier is not None:
                    raise ConfigError(
                        f"{self.name} lines {earlier} and {sample.line} have the same id '{sample.id}'."
                        " Give each sample its own, or name another field with --id-field.",
                        kind="dataset",
                    )
        if not self._index.samples:
            raise ConfigError(f'{self.name} holds no samples. Write one a line, such as {{"input": "2 + 2?"}}.')
        return self._index.samples

    def _survey(self, past: RunRecord | None) -> None:
        """See what is there, and refuse what was made from something else."""
        epochs, now = self._data.epochs, self.asking.configuration
        if past is not None and past.digest != now.digest and not self._force:
            changes = differences(past.configuration, now.basis)
            raise ConfigError(
                f"The configuration has changed since {self.places.results} was begun:\n"
                + "\n".join(f"  {change}" for change in changes[:SHOWN])
                + "\nAsk as before, choose another --out, or keep those results and run the rest as asked now: --force."
            )
        lines = sift(self.results.lines(), self._index, epochs=epochs, name=str(self.places.results))
        with self._index.together():
            for line in self.results.survey(lines):
                if line.fate == "kept" and line.head is not None:
                    self.tally.add(line.head, earlier=True)
                self.tally.other_lines += line.fate == "foreign"
        if self.places.index.is_file():
            self._index.take_over(self.places.index)
        if self._force:
            return
        for found in mismatches(self._index.stored(), self._index, epochs=epochs, configuration=now.digest):
            what = "was asked with another configuration" if found.what == "configuration" else "has changed"
            raise ConfigError(
                f"Sample '{found.sample_id}' ({self.name} line {found.line}) {what} since its result in"
                f" {self.places.results} was written. Choose another --out, or keep such results: --force."
            )

    def _new_record(self, past: RunRecord | None, samples: int) -> RunRecord:
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(self.name).stem)[:LONGEST_NAME]
        return RunRecord(
            run_id=past.run_id if past else f"{stem}-{secrets.token_hex(3)}",
            created_at=past.created_at if past else time.time(),
            dataset=self.name,
            samples=samples,
            epochs=self._data.epochs,
            digest=self.asking.configuration.digest,
            configuration=self.asking.configuration.basis,
        )


def _dataset(file: Path, name: str, data: DataOptions) -> Dataset:
    form = data.format or SUFFIXES.get(file.suffix.lower()) or ("jsonl" if name == "stdin" else None)
    if form is None:
        hint = " A JSON array becomes JSONL with: jq -c '.[]'." if file.suffix == ".json" else ""
        raise ConfigError(f"{name}: the name does not say what it is. Add --format jsonl, csv or tsv.{hint}")
    return Dataset(name, form, FieldNames(data.input_field, data.id_field, data.target_field))


def _opened(file: Path) -> BinaryIO:
    """The file, open and able to be read twice. Raises ConfigError."""
    if str(file) == "-" and sys.stdin is None:
        raise ConfigError("stdin is closed. Pipe the samples in, as in: cat FILE | python -m drivers.evaluate run -")
    try:
        if str(file) != "-" and file.is_file():
            return file.open("rb")
        source = sys.stdin.buffer if str(file) == "-" else file.open("rb")
        copy = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 - the caller closes it
        with source:
            shutil.copyfileobj(source, copy)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}). Check the path.") from None
    return copy


def _refuse_as_results(file: Path, places: Places) -> None:
    """Raise ConfigError if the results would be written over the samples."""
    for place in (places.results, places.record):
        if file.exists() and place.exists() and file.samefile(place):
            raise ConfigError(f"{file} holds the samples: results are not written there. Choose another --out.")


def _default_out(file: Path) -> str:
    stem = "stdin" if str(file) == "-" else file.stem
    return f"runs/{stem}-{time.strftime('%Y%m%d-%H%M%S')}/"
