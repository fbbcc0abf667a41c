"""What `evaluate merge` is given: runs, results files, logs, and the shards that several workers wrote.

The rule here: a run is known by its results, and its log is looked at beside them; of a log alone results are made.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from agent_core.errors import ConfigError
from agent_core.evaluation.configuration import RunRecord
from agent_core.evaluation.logs.log_file import LogFile
from agent_core.evaluation.logs.merge import MergeSource
from agent_core.evaluation.logs.reading import result_of
from agent_core.evaluation.logs.reading_messages import moment_of
from agent_core.evaluation.logs.shards import LOG_SUFFIX, SUFFIX, is_shards, shards_of
from agent_core.evaluation.result import encode
from agent_core.evaluation.results_file import RESULTS_NAME, Places
from drivers.evaluating.results_reading import places_of

# What decides an answer of a task that Inspect ran, as far as its log tells.
_SETTINGS = (
    "task",
    "task_version",
    "task_args",
    "model",
    "model_args",
    "model_base_url",
    "model_generate_config",
    "solver",
    "solver_args",
)


@dataclass(frozen=True)
class _Named:
    """One source: its results, its log, or both."""

    name: str
    places: Places | None
    log: Path | None


class Sources:
    """All sources of a merge, opened one by one. Use it as a context manager."""

    def __init__(self, names: list[str], scratch: Path) -> None:
        """Find them; `scratch` is a directory for results that are made of logs. Raises ConfigError."""
        self._scratch = scratch
        self._held = ExitStack()
        self._named = [named for name in names for named in _named(name)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._held.close()

    @property
    def files(self) -> list[Path]:
        """Every file that is read."""
        results = [named.places.results for named in self._named if named.places is not None]
        return results + [named.log for named in self._named if named.log is not None]

    def each(self) -> Iterator[tuple[MergeSource, list[str]]]:
        """Each source, and the ids of the samples that its log says there ought to be. Raises ConfigError, OSError."""
        for number, named in enumerate(self._named):
            log = self._opened(named)
            selection = log.start["eval"]["dataset"].get("sample_ids") if log is not None else None
            ids = [str(each) for each in selection or ()]
            if named.places is not None:
                record = named.places.read_record()
                yield MergeSource(named.name, named.places.results, log, record), ids
            elif log is not None:
                record = _record_of(log)
                results = self._scratch / f"{number}.jsonl"
                _make_results(log, record, results)
                yield MergeSource(named.name, results, log, record, made=True), ids

    def _opened(self, named: _Named) -> LogFile | None:
        """The log of a source. Beside results one that cannot be read is done without."""
        if named.log is None:
            return None
        try:
            return self._held.enter_context(LogFile(named.log))
        except ConfigError:
            if named.places is None:
                raise
            return None


def _named(name: str) -> Iterator[_Named]:
    path = Path(name)
    if path.is_dir() and is_shards(path):
        shards = shards_of(path)
        if not shards:
            raise ConfigError(f"{path} holds no shards: no {LOG_SUFFIX} log lies in a directory of it. Name another.")
        for shard in shards:
            results = shard.log.with_name(RESULTS_NAME)
            places = Places.of(str(results.parent)) if results.is_file() else None
            yield _Named(shard.name, places, shard.log)
    elif path.suffix == LOG_SUFFIX and path.is_file():
        yield _Named(name, None, path)
    elif path.name.endswith(SUFFIX) or path.suffix == LOG_SUFFIX:
        raise ConfigError(f"{path} is not there. Check the path.")
    else:
        places = places_of(name)
        log = places.results.with_suffix(LOG_SUFFIX)
        yield _Named(name, places, log if log.is_file() else None)


def _make_results(log: LogFile, record: RunRecord, results: Path) -> None:
    """Write what the log holds as results."""
    with results.open("wb") as file:
        for sample in log.samples():
            try:
                file.write(encode(result_of(log.content(sample), configuration=record.digest)))
            except ConfigError as error:
                raise ConfigError(f"{log.path} cannot be merged. {error} Leave it out.", kind="results") from None


def _record_of(log: LogFile) -> RunRecord:
    """What a log says of its run. Raises ConfigError if it is not the log of one."""
    spec: dict[str, Any] = log.start["eval"]
    ours: dict[str, Any] = spec.get("metadata") or {}
    settings = {name: spec[name] for name in _SETTINGS if spec.get(name)}
    dataset, config = spec.get("dataset") or {}, spec.get("config") or {}
    selected = dataset.get("sample_ids")
    digest = hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=8).hexdigest()
    told = {
        "run_id": spec.get("run_id") or spec.get("eval_id") or log.path.stem,
        "created_at": moment_of(spec.get("created")) or 0.0,
        "dataset": dataset.get("name") or spec.get("task") or log.path.stem,
        "samples": len(selected) if selected else dataset.get("samples") or 0,
        "epochs": config.get("epochs") or 1,
        "digest": ours.get("digest") or digest,
        "configuration": ours.get("configuration") or {"session": settings},
    }
    try:
        return RunRecord.model_validate(told)
    except ValidationError as error:
        (first, *_) = error.errors()
        raise ConfigError(f"{log.path} does not say what it is the log of ({first['msg']}). Leave it out.") from None
