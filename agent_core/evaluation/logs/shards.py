"""The agreed layout of the logs that several workers wrote of one task: `NAME.shards/K/*.eval` beside `NAME.eval`.

The rule here: of several logs of one worker the newest attempt counts, by the time at the beginning of its name, then a
recovered one, then by when it was written. What begins with a dot, and what lies deeper, is no shard.
Source: `log/_shards/_walk.py` and `EvalShards` of inspect_ai 0.3.285.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from agent_core.evaluation.logs.log_file import LogFile
from agent_core.evaluation.logs.messages import Json

SUFFIX, LOG_SUFFIX = ".shards", ".eval"
_RECOVERED = "-recovered"
_CREATED = re.compile(r"(\d{4}-\d{2}-\d{2})T(\d{2})[:-]?(\d{2})[:-]?(\d{2})")


class Shard(NamedTuple):
    """What one worker wrote: `log` is its current attempt."""

    name: str
    log: Path


def is_shards(directory: Path) -> bool:
    """Whether the directory is one of shards, by its name."""
    return directory.name.endswith(SUFFIX) and directory.name != SUFFIX


def merged_log(directory: Path) -> Path:
    """Where the merged log of these shards belongs."""
    return directory.with_name(directory.name.removesuffix(SUFFIX) + LOG_SUFFIX)


def shards_of(directory: Path) -> list[Shard]:
    """The shards with a log, numbers in their order before names in theirs. Raises OSError."""
    found: list[Shard] = []
    for child in directory.iterdir():
        if child.name.startswith(".") or not child.is_dir():
            continue
        attempts = [path for path in child.iterdir() if path.name.endswith(LOG_SUFFIX) and path.is_file()]
        if attempts:
            found.append(Shard(child.name, max(attempts, key=_attempt)))
    return sorted(found, key=_place)


def ledger_entry(shard: str, log: LogFile, *, samples: int) -> Json:
    """What the ledger of a merged log says of a shard that held so many samples."""
    selected = sorted({str(each) for each in log.start["eval"]["dataset"].get("sample_ids") or ()})
    stat = log.path.stat()
    header: Json = log.header or {}
    entry: Json = {
        "shard": shard,
        "log": log.path.name,
        "status": log.status,
        "samples": samples,
        "selected": len(selected),
        "selection_digest": selection_digest(selected),
        "size": stat.st_size,
        "mtime": stat.st_mtime,
    }
    stats: Json = header.get("stats") or {}
    told = ("started_at", "completed_at", "model_usage", "role_usage")
    entry |= {name: stats[name] for name in told if stats.get(name)}
    if header.get("error") is not None:
        entry["error"] = header["error"]
    return entry


def selection_digest(ids: Iterable[str]) -> str:
    """The SHA-256 of the ids as a sorted JSON array."""
    return hashlib.sha256(json.dumps(sorted(ids)).encode()).hexdigest()


def _attempt(path: Path) -> tuple[bool, str, bool, float]:
    found = _CREATED.match(path.name)
    modified = path.stat().st_mtime
    if found is None:
        return (False, "", False, modified)
    return (True, "".join(found.groups()), path.stem.endswith(_RECOVERED), modified)


def _place(shard: Shard) -> tuple[bool, int, str]:
    is_number = shard.name.isascii() and shard.name.isdigit()
    return (not is_number, int(shard.name) if is_number else 0, shard.name)
