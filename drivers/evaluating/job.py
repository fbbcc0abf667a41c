"""A job: everything about a run that can be known before a session is opened, checked.

The rule here: whatever a user can have got wrong is found here, before anything is started, paid for or overwritten.
The samples are read once, into the run's index; none has to be kept in memory.
"""

import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from agent_core.config import SessionConfig
from agent_core.errors import ConfigError
from agent_core.evaluation.configuration import Configuration, RunRecord, differences
from agent_core.evaluation.index import RunIndex
from agent_core.evaluation.limits import RunLimits
from agent_core.evaluation.results_file import INDEX_NAME, RECORD_NAME, RESULTS_NAME, Places, ResultsFile
from agent_core.evaluation.resume import mismatches, sift
from agent_core.evaluation.summary import Tally
from drivers.evaluating.addresses import mirror_of
from drivers.evaluating.options import OutputOptions
from drivers.evaluating.tasks import ResolvedTask

LONGEST_NAME = 30
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Asking:
    """What every session of the job is opened with. `fields` are those of SessionConfig."""

    fields: dict[str, Any]
    tools: tuple[Any, ...]
    configuration: Configuration

    @classmethod
    def of(cls, fields: dict[str, Any], task: ResolvedTask) -> "Asking":
        """Put together what the model options and the task say."""
        # A definition says it all unless the code is stored by value, which opening a session does.
        given = tuple(tool if getattr(tool, "code", None) else getattr(tool, "definition", tool) for tool in task.tools)
        config = SessionConfig.of(**fields)
        return cls(fields, given, Configuration(session=config, tools=task.definitions, task=dict(task.basis)))


class Job:
    """One run of a task. Use it as a context manager: it holds files open.

    `command` are the arguments that the program was given.
    """

    def __init__(
        self, task: ResolvedTask, asking: Asking, output: OutputOptions, limits: RunLimits, command: Sequence[str]
    ) -> None:
        """Check everything. Raises ConfigError: the first thing that is wrong."""
        if output.resume and output.overwrite:
            raise ConfigError("--resume and --overwrite exclude each other: leave one of them out.")
        self.task, self.asking, self.run_limits, self._force = task, asking, limits, output.force
        self.out = output.out or _default_out(task.name)
        with ExitStack() as stack:
            self._rooms = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rayconteur-")))
            self._index_path = self._rooms / INDEX_NAME
            self._index = stack.enter_context(RunIndex(self._index_path))
            samples = self._checked_samples()
            mode = "resume" if output.resume else "overwrite" if output.overwrite else "new"
            self.places = Places.of(self.out)
            self.mirror = mirror_of(self.out)
            _refuse_as_results(task.files, self.places)
            self.results = stack.enter_context(ResultsFile(self.places, mode))
            past = self.places.read_record() if output.resume else None
            self.tally = Tally(samples * task.epochs)
            self._left_out = set[str]()
            if output.resume:
                self._survey(past)
            self.log = self.places.log if output.eval_log and self.results.regular else None
            self._replaces = mode == "overwrite"
            self.record = self._new_record(past, samples, command)
            self._held = stack.pop_all()

    def __enter__(self) -> Self:
        """Be the one who writes to the address of the results, if they have one. Raises ConfigError, OSError."""
        if self.mirror is not None:
            try:
                self.mirror.claim()
            except BaseException:
                self._held.close()
                raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._held.close()

    def begin(self) -> tuple[Path, Places]:
        """Make the files what the run goes by, and let go of them: where the index is, and the results.

        Results that are no file are written to one first, from where they are pumped. Raises OSError.
        """
        self.results.begin(self.record)
        self._index.close()
        if not self.results.regular:
            return self._index_path, Places(self._rooms / RESULTS_NAME, self._rooms / RECORD_NAME)
        index = self.places.index
        if self._replaces:
            self.places.log.unlink(missing_ok=True)
        for leftover in (index, index.with_name(f"{index.name}-journal")):
            leftover.unlink(missing_ok=True)
        shutil.move(self._index_path, index)
        self.results.release()
        return index, self.places

    def _checked_samples(self) -> int:
        name, place = self.task.dataset, self.task.place
        with self._index.together():
            for sample in self.task.samples():
                earlier = self._index.add_sample(sample)
                if earlier is not None:
                    raise ConfigError(
                        f"{name} {place}s {earlier} and {sample.line} have the same id '{sample.id}'."
                        " Give each sample its own, or name another field with --id-field.",
                        kind="dataset",
                    )
        if not self._index.samples:
            raise ConfigError(
                f'{name} holds no samples. Write one a line, such as {{"input": "2 + 2?"}};'
                " with --range, name one that it has."
            )
        return self._index.samples

    def _survey(self, past: RunRecord | None) -> None:
        """See what is there, and refuse what was made from something else."""
        epochs, now = self.task.epochs, self.asking.configuration
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
                if line.fate == "foreign" and line.head is not None and self._index.line_of(line.head.id) is None:
                    self._left_out.add(line.head.id)
        if self.places.index.is_file():
            self._index.take_over(self.places.index)
        if self._force:
            return
        for found in mismatches(self._index.stored(), self._index, epochs=epochs, configuration=now.digest):
            what = "was asked with another configuration" if found.what == "configuration" else "has changed"
            raise ConfigError(
                f"Sample '{found.sample_id}' ({self.task.dataset} {self.task.place} {found.line}) {what} since its"
                f" result in {self.places.results} was written. Choose another --out, or keep such results: --force."
            )

    def _new_record(self, past: RunRecord | None, samples: int, command: Sequence[str]) -> RunRecord:
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", self.task.name)[:LONGEST_NAME]
        return RunRecord(
            run_id=past.run_id if past else f"{stem}-{secrets.token_hex(3)}",
            created_at=past.created_at if past else time.time(),
            dataset=self.task.dataset,
            samples=samples,
            epochs=self.task.epochs,
            digest=self.asking.configuration.digest,
            configuration=self.asking.configuration.basis,
            task=self.task.name,
            command=tuple(command),
            directory=str(Path.cwd()),
            group_by=self.task.group_by,
            left_out=frozenset(self._left_out),
        )


def _refuse_as_results(files: Sequence[Path], places: Places) -> None:
    """Raise ConfigError if the results would be written over the samples or the task."""
    for file in files:
        for place in (places.results, places.record):
            if file.exists() and place.exists() and file.samefile(place):
                raise ConfigError(
                    f"{file} holds the samples or their task: results are not written there. Choose another --out."
                )


def _default_out(name: str) -> str:
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", name)
    return f"runs{os.sep}{stem}-{time.strftime('%Y%m%d-%H%M%S')}{os.sep}"
