"""An `.eval` log: samples are added as they end, readers see it grow, and a kill loses nothing that was added.

The rule here: a sample comes ready made (see `sample.member`), so that adding it copies bytes and no more. Summaries
are written in batches, each before it is shown; what was added after the last batch is summed up when the log is opened
again. Two samples of one id and epoch: the later one counts. Source: `ZipLogFile` of inspect_ai 0.3.285.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from agent_core.evaluation.logs import names
from agent_core.evaluation.logs.archive import ROOM, Archive, Raw
from agent_core.evaluation.logs.closing import Ending, Figures, Spool, array
from agent_core.evaluation.logs.encoding import as_json
from agent_core.evaluation.logs.names import journal_name, journal_number, log_id, member_name
from agent_core.evaluation.logs.sample import EncodedSample
from agent_core.evaluation.logs.summaries import summary_of
from agent_core.evaluation.logs.zipped import compress

LOG_NAME = "results.eval"
# Samples are shown when there are so many new ones, or a tenth as many as are shown, or their summaries take so many
# bytes: early ones at once, and all of them at a cost that grows with their number.
SMALLEST_BATCH, SHARE, LARGEST_BATCH = 1, 10, 1024 * 1024
_LAST = (names.SUMMARIES, names.REDUCTIONS, names.HEADER)


class EvalLog:
    """One log, open for adding samples. Use it as a context manager; in one thread at a time."""

    def __init__(self, path: Path, start: Mapping[str, Any], *, room: int = ROOM) -> None:
        """Begin the log, or go on with it: see `Archive`. `start` is what it says of its run: see `LogSpec.start`.

        Raises ConfigError if the file is something else or is being written, OSError.
        """
        self.path, self._start = path, start
        self._archive = Archive(path, room=room)
        self._pending: list[bytes] = []
        self._pending_size = self._shown = 0
        self._batch = 1
        self._finished = False
        try:
            self._resume()
        except BaseException:
            self._archive.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """Show what was added and let go of the file; a log that was not finished says that it is under way."""
        try:
            if exception[0] is None:
                self.flush()
        finally:
            self.close()

    def __contains__(self, sample: tuple[str, int]) -> bool:
        """Whether there is a sample of this id (as the dataset has it) and epoch."""
        return self._archive.mark_of(member_name(log_id(sample[0]), sample[1])) is not None

    def append(self, sample: EncodedSample) -> None:
        """Add a sample. It outlives the process at once, and is shown soon: see SHARE, and `flush`. Raises OSError."""
        self._reopen()
        self._archive.append(sample.member, mark=self._batch)
        self._hold(sample.summary)

    def discard(self, sample_id: str, epoch: int) -> None:
        """Take a sample out, if it is there. Raises OSError."""
        name = member_name(log_id(sample_id), epoch)
        if self._archive.mark_of(name) is not None:
            self._reopen()
            self._archive.remove(name)

    def append_raw(self, raw: Raw, summary: bytes) -> None:
        """Add a sample of another log as it lies there, with its summary. Raises OSError."""
        self._reopen()
        self._archive.append_raw(raw, mark=self._batch)
        self._hold(summary)

    def flush(self, *, durable: bool = False) -> None:
        """Show readers every sample that was added; `durable`: have it survive a loss of power too. Raises OSError."""
        if self._pending:
            batch = b"".join(array(self._pending))
            self._archive.append(compress(journal_name(self._batch), batch))
            self._batch += 1
            self._shown += len(self._pending)
            self._pending.clear()
            self._pending_size = 0
        self._archive.publish(durable=durable)

    def finish(self, ending: Ending) -> None:
        """Write what ends a log: every summary, the scores over epochs, the header. Raises OSError.

        A sample that is added later makes it a log under way again.
        """
        self.flush()
        with Figures() as figures, Spool(names.SUMMARIES) as summaries:
            for piece in array(self._counted(figures)):
                summaries.write(piece)
            self._archive.append_raw(summaries.raw())
            if (self._start["eval"]["config"].get("epochs") or 1) > 1:
                with Spool(names.REDUCTIONS) as reductions:
                    for piece in figures.reductions():
                        reductions.write(piece)
                    self._archive.append_raw(reductions.raw())
            header = figures.header(self._start, ending)
        self._archive.append(compress(names.HEADER, as_json(header)))
        self._archive.publish(durable=True)
        self._finished = True

    def close(self) -> None:
        """Let go of the file. What was added and not shown is there when the log is opened again."""
        self._archive.close()

    def _counted(self, figures: Figures) -> Iterator[bytes]:
        """Every summary that counts, as JSON, taken into `figures`."""
        for number in range(1, self._batch):
            last: dict[str, Mapping[str, Any]] = {}
            for summary in json.loads(self._archive.read(journal_name(number))):
                last[member_name(str(summary["id"]), summary["epoch"])] = summary
            for name, summary in last.items():
                if self._archive.mark_of(name) == number:
                    figures.add(summary)
                    yield as_json(summary)

    def _hold(self, summary: bytes) -> None:
        self._pending.append(summary)
        self._pending_size += len(summary)
        if self._pending_size >= LARGEST_BATCH or len(self._pending) >= max(SMALLEST_BATCH, self._shown // SHARE):
            self.flush()

    def _reopen(self) -> None:
        if self._finished:
            for name in _LAST:
                self._archive.remove(name)
            self._finished = False

    def _resume(self) -> None:
        """Take in what the file holds, and say in it what this run is."""
        numbers = sorted(n for name, _ in self._archive.names(names.JOURNAL) if (n := journal_number(name)) is not None)
        for number in numbers:
            for summary in json.loads(self._archive.read(journal_name(number))):
                self._archive.set_mark(member_name(str(summary["id"]), summary["epoch"]), number)
                self._shown += 1
        self._batch = numbers[-1] + 1 if numbers else 1
        self._finished = self._archive.mark_of(names.HEADER) is not None
        for name in self._archive.names_behind(names.SAMPLES, names.JOURNAL):
            self._archive.set_mark(name, self._batch)
            self._hold(as_json(summary_of(json.loads(self._archive.read(name)))))
        told = as_json(self._start)
        if self._archive.mark_of(names.START) is None or self._archive.read(names.START) != told:
            self._archive.append(compress(names.START, told))
            self.flush()
        elif self._pending:
            self.flush()
