"""`evaluate merge`: the results of several runs or shards of one task as one run, with one log.

The rule here: every sample and epoch is there once, and a ledger says what came from where. The sources are only read;
what is written appears when all of it is there. Samples of logs are copied as they lie in them.
"""

import hashlib
import json
import tempfile
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from agent_core.errors import ConfigError
from agent_core.evaluation.results_file import RECORD_NAME, RESULTS_NAME, Places
from drivers.errors import FAILURE
from drivers.evaluating.exporting import in_place, spec_of, status_of
from drivers.evaluating.merge_sources import Sources

if TYPE_CHECKING:
    from agent_core.evaluation.configuration import RunRecord
    from agent_core.evaluation.logs.merge import Merge

LEDGER_NAME, LOG_NAME = "merge.json", "results.eval"
WIDTH = 80


def merge_command(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Runs, their results files, .eval logs, or a directory NAME.shards."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Where the merged run is put. One NAME.shards needs none: then it is NAME, and the log NAME.eval.",
            show_default=False,
        ),
    ] = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Merge although configurations or samples differ.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is in DIR.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the ledger as JSON.")] = False,
) -> int:
    """Merge runs or shards of one task into one run.

    Writes results.jsonl, run.json, results.eval and merge.json (what came from where). Of two results of one sample and
    epoch a final one counts before one that is not, then the later one. Exit code: 0, or 1 if results are missing.
    """
    target = _Target.of(runs, out)
    target.check(overwrite=overwrite)
    made = not target.directory.exists()
    target.directory.mkdir(parents=True, exist_ok=True)
    try:
        ledger = _merged(runs, target, force=force)
    except BaseException:
        if made:
            with suppress(OSError):
                target.directory.rmdir()
        raise
    if as_json:
        print(json.dumps(ledger, indent=2, ensure_ascii=False))
    else:
        _show(ledger, target)
    return 0 if not ledger["missing"] else FAILURE


def _merged(runs: list[str], target: "_Target", *, force: bool) -> dict[str, Any]:
    """Merge the runs; returns the ledger."""
    from agent_core.evaluation.logs.merge import Merge

    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".merge-", dir=target.directory)))
        sources = stack.enter_context(Sources(runs, scratch))
        target.check_apart(sources)
        merge = stack.enter_context(Merge(force=force))
        for source, selection in sources.each():
            merge.expect(iter(selection))
            merge.add(source)
        return _write(merge, target)


@dataclass(frozen=True)
class _Target:
    """Where the merged run is put."""

    directory: Path
    log: Path

    @classmethod
    def of(cls, runs: list[str], out: Path | None) -> "_Target":
        from agent_core.evaluation.logs.shards import is_shards, merged_log

        first = Path(runs[0])
        shards = len(runs) == 1 and is_shards(first) and first.is_dir()
        if out is not None:
            return cls(out, out / LOG_NAME)
        if not shards:
            raise ConfigError("Say where the merged run is to be put: --out DIR.")
        log = merged_log(first)
        return cls(log.with_suffix(""), log)

    @property
    def places(self) -> Places:
        return Places(self.directory / RESULTS_NAME, self.directory / RECORD_NAME)

    @property
    def ledger(self) -> Path:
        return self.directory / LEDGER_NAME

    def check(self, *, overwrite: bool) -> None:
        """Refuse to write over what is there. Raises ConfigError."""
        if self.directory.exists() and not self.directory.is_dir():
            raise ConfigError(f"{self.directory} is a file. Name a directory with --out.")
        for path in (self.places.results, self.log):
            if path.exists() and not overwrite:
                raise ConfigError(f"{path} is there already. To replace it: --overwrite. Or choose another --out.")

    def check_apart(self, sources: Sources) -> None:
        """Refuse to write over what is merged. Raises ConfigError."""
        written = {path.resolve() for path in (self.places.results, self.log)}
        if any(path.resolve() in written for path in sources.files):
            raise ConfigError(f"{self.directory} is one of the runs that are merged. Choose another --out.")


def _write(merge: "Merge", target: _Target) -> dict[str, Any]:
    """Write the merged run; returns its ledger."""
    coverage = merge.coverage
    if not coverage.present:
        raise ConfigError("There are no results to merge. Run something first, or name other runs.")
    record = _record(merge)

    def write_results(path: Path) -> int:
        return in_place(target.log, lambda log: _write_chosen(merge, record, target, (path, log)))

    in_place(target.places.results, write_results)
    ledger = _ledger(merge)
    in_place(target.places.record, lambda path: path.write_bytes(record.model_dump_json(indent=2).encode() + b"\n"))
    text = json.dumps(ledger, indent=2, ensure_ascii=False)
    in_place(target.ledger, lambda path: path.write_text(text + "\n", encoding="utf-8"))
    return ledger


def _write_chosen(merge: "Merge", record: "RunRecord", target: _Target, paths: tuple[Path, Path]) -> int:
    """Write the results that count, and the log of them, to these paths."""
    from agent_core.evaluation.logs.closing import Ending
    from agent_core.evaluation.logs.log import EvalLog
    from agent_core.evaluation.logs.sample import Asked, member
    from agent_core.evaluation.result import decode

    results, log_path = paths
    count = 0
    with results.open("wb") as file, EvalLog(log_path, _start(merge, record, target)) as log:
        for chosen in merge.chosen():
            file.write(chosen.line)
            if chosen.logged is not None and chosen.source.log is not None:
                log.append_raw(chosen.source.log.raw(chosen.logged), chosen.source.log.summary(chosen.logged))
            else:
                settings = record if chosen.source.record is None else chosen.source.record
                log.append(member(decode(chosen.line), Asked.of(settings.configuration)))
            count += 1
        log.finish(Ending(status=status_of(present=count, planned=merge.coverage.planned)))
    return count


def _record(merge: "Merge") -> "RunRecord":
    """The record of the merged run: that of the first source, with the figures of all."""
    from agent_core.evaluation.configuration import RunRecord

    coverage = merge.coverage
    records = [source.record for source in merge.sources if source.record is not None]
    figures: dict[str, Any] = {"samples": coverage.samples, "epochs": coverage.epochs}
    if not records:
        (digest, _), *_ = merge.sources[0].configurations.most_common(1)
        name = Path(merge.sources[0].name).name
        about = {"run_id": name, "created_at": time.time(), "dataset": name, "digest": digest, "configuration": {}}
        return RunRecord.model_validate(about | figures)
    names = sorted({record.run_id for record in records})
    # What one of them was asked with, and where, goes on with none of the others.
    figures |= {"created_at": min(record.created_at for record in records), "command": (), "directory": ""}
    if len(names) > 1:
        together = hashlib.blake2b("\0".join(names).encode(), digest_size=3).hexdigest()
        figures["run_id"] = f"{records[0].run_id}-merged-{together}"
    return records[0].model_copy(update=figures)


def _start(merge: "Merge", record: "RunRecord", target: _Target) -> dict[str, Any]:
    """The beginning of the merged log: that of the first log there is, with a ledger in the form that Inspect reads."""
    from agent_core.evaluation.logs.shards import ledger_entry, selection_digest

    entries: list[dict[str, Any]] = []
    for source in merge.sources:
        if source.log is not None:
            entries.append(ledger_entry(Path(source.name).name, source.log, samples=source.read))
            continue
        stat = source.results.stat()
        status = status_of(present=source.read, planned=0 if source.record is None else source.record.planned)
        about = {"shard": Path(source.name).name, "log": source.results.name, "status": status, "samples": source.read}
        about |= {"selected": 0, "selection_digest": selection_digest(())}
        entries.append(about | {"size": stat.st_size, "mtime": stat.st_mtime})
    shards = {"selection": "ids" if any(entry["selected"] for entry in entries) else "none", "ledger": entries}
    first = next((source.log for source in merge.sources if source.log is not None), None)
    if first is None:
        return replace(spec_of(record, target.places), shards=shards).start()
    start = json.loads(json.dumps(first.start))
    spec = start["eval"]
    spec["dataset"] = {k: v for k, v in spec["dataset"].items() if k != "sample_ids"} | {"samples": record.samples}
    spec["config"] = spec["config"] | {"epochs": record.epochs}
    spec |= {"run_id": record.run_id, "eval_id": record.run_id, "shards": shards}
    return start


def _ledger(merge: "Merge") -> dict[str, Any]:
    """What came from where, and what is missing."""
    from agent_core.evaluation.logs.merge import TOLD

    coverage = merge.coverage
    return {
        "version": 1,
        "merged_at": time.time(),
        "planned": coverage.planned,
        "present": coverage.present,
        "missing": coverage.planned - coverage.present,
        "first_missing": [{"id": name, "epoch": epoch} for name, epoch in islice(merge.missing(), TOLD)],
        "sources": [
            {
                "source": source.name,
                "run_id": None if source.record is None else source.record.run_id,
                "configurations": dict(source.configurations),
                "results": source.read,
                "taken": merge.taken(number),
                "repeated": source.repeated,
                "overruled": source.overruled,
            }
            for number, source in enumerate(merge.sources)
        ],
        "conflicts": merge.conflicting,
        "first_conflicts": merge.conflicts,
    }


def _show(ledger: dict[str, Any], target: _Target) -> None:
    console = Console(width=min(WIDTH, Console().width), highlight=False)
    table = Table(box=None, pad_edge=False)
    for name in ("source", "results", "taken", "repeated", "overruled"):
        table.add_column(name, justify="left" if name == "source" else "right")
    for source in ledger["sources"]:
        table.add_row(*(str(source[name]) for name in ("source", "results", "taken", "repeated", "overruled")))
    console.print(table)
    said = [f"{ledger['present']:,} of {ledger['planned']:,} results", f"{ledger['missing']:,} missing"]
    said += [f"{ledger['conflicts']:,} of which there were two that differ"] if ledger["conflicts"] else []
    _say(("; ".join(said) + ".", f"results: {target.places.results}", f"log: {target.log}"))


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)
