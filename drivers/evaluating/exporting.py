"""`evaluate export`: the results of a run as an `.eval` log or as Parquet, at any time after it was begun.

The rule here: the results are read line by line and never changed; what is written appears whole or not at all.
"""

import importlib.metadata
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from pydantic import ValidationError

from agent_core.errors import ConfigError
from agent_core.evaluation.results_file import Places
from drivers.evaluating.results_reading import places_of

if TYPE_CHECKING:
    from agent_core.evaluation.configuration import RunRecord
    from agent_core.evaluation.logs.spec import LogSpec

Format = Literal["eval", "parquet"]


def export_command(
    run: Annotated[str, typer.Argument(metavar="RUN", help="What --out of the run named: a directory or a file.")],
    format: Annotated[  # noqa: A002 - the option's name
        Format, typer.Option("--format", help="eval: a log that Inspect opens; parquet: a table.")
    ],
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="FILE",
            help="Where it is written (beside the results, under their name).",
            show_default=False,
        ),
    ] = None,
    *,
    transcripts: Annotated[
        bool, typer.Option("--transcripts", help="Parquet: with a column of all messages, as JSON.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")] = False,
) -> int:
    """Write the results of a run as an .eval log or as Parquet.

    An .eval log opens in `inspect view` and in the data frames of `inspect_ai.analysis`; making it needs no Inspect.
    The run may still be under way: what has ended is written.
    """
    places = places_of(run)
    target = to if to is not None else places.results.with_suffix(f".{format}")
    check_target(target, places, overwrite=overwrite)
    if format == "eval":
        count = in_place(target, lambda path: write_eval(places, path))
    else:
        count = in_place(target, lambda path: _write_parquet(places, path, transcripts=transcripts))
    print(f"{count:,} results: {target}")
    return 0


def check_target(target: Path, places: Places, *, overwrite: bool) -> None:
    """Refuse to write over the results, or over what is there. Raises ConfigError."""
    if target.exists() and target.resolve() == places.results.resolve():
        raise ConfigError(f"{target} holds the results themselves. Choose another file.")
    if target.is_dir():
        raise ConfigError(f"{target} is a directory. Name a file.")
    if target.exists() and not overwrite:
        raise ConfigError(f"{target} is there already. To replace it: --overwrite. Or choose another file.")
    if not target.parent.is_dir():
        raise ConfigError(f"{target.parent} is no directory. Make it, or choose another file.")


def in_place(target: Path, write: Callable[[Path], int]) -> int:
    """Have a file written under another name, then put it where it belongs; nothing is left if that fails.

    Returns what `write` returns.
    """
    beginning = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        made = write(beginning)
        beginning.replace(target)
    except BaseException as error:
        with suppress(OSError):
            beginning.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            raise OSError(error.errno, error.strerror, str(target)) from None
        raise
    return made


def lines_of(places: Places) -> Iterator[tuple[int, bytes]]:
    """The lines of the results, numbered from 1; one that is being written is left out. Raises ConfigError."""
    try:
        with places.results.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.endswith(b"\n") or _is_result(line):
                    yield number, line
    except OSError as error:
        raise ConfigError(f"{places.results} cannot be read ({error.strerror}). Check the path.") from None


def counted_of(places: Places, record: "RunRecord | None") -> Iterator[tuple[int, bytes]]:
    """The same, but for lines of samples that the run does not ask for any more."""
    from agent_core.evaluation.result import decode_head

    for number, line in lines_of(places):
        try:
            head = decode_head(line)
        except ValidationError:
            raise _no_result(places, number) from None
        if record is None or record.counts(head.id, head.epoch):
            yield number, line


def spec_of(record: "RunRecord | None", places: Places) -> "LogSpec":
    """What a log says of the run; without a record no more than its name."""
    from agent_core.evaluation.logs.spec import LogSpec

    packages: dict[str, str] = {}
    with suppress(importlib.metadata.PackageNotFoundError):
        packages["rayconteur"] = importlib.metadata.version("rayconteur")
    if record is not None:
        return replace(LogSpec.of(record), packages=packages)
    name = places.results.parent.name if places.results.stem == "results" else places.results.stem
    made = places.results.stat().st_mtime
    return LogSpec(task=name, run_id=name, created_at=made, dataset=name, samples=0, packages=packages)


def status_of(*, present: int, planned: int) -> Literal["success", "cancelled"]:
    """How a log says that a run ended: what is not whole was cut short."""
    return "success" if present >= planned else "cancelled"


def write_eval(places: Places, path: Path) -> int:
    """Write an `.eval` log of the results at `path`; how many there are. Raises ConfigError, OSError."""
    from agent_core.evaluation.logs.closing import Ending
    from agent_core.evaluation.logs.log import EvalLog
    from agent_core.evaluation.logs.sample import Asked, member
    from agent_core.evaluation.result import decode

    record = places.read_record()
    spec = spec_of(record, places)
    asked = Asked.of(spec.configuration)
    epochs, count = spec.epochs, 0
    for number, line in lines_of(places):
        # Known before the log is begun: a log says at its beginning how many epochs there are.
        epochs = max(epochs, int(_told(line, places, number).get("epoch", 1))) if record is None else epochs
    spec = replace(spec, epochs=epochs)
    with EvalLog(path, spec.start()) as log:
        for number, line in counted_of(places, record):
            try:
                log.append(member(decode(line), asked))
            except ValidationError:
                raise _no_result(places, number) from None
            count += 1
        planned = 0 if record is None else record.planned
        log.finish(Ending(status=status_of(present=count, planned=planned)))
    return count


def _write_parquet(places: Places, path: Path, *, transcripts: bool) -> int:
    from agent_core.evaluation.logs.table import scorers_of, write_table

    record = places.read_record()
    about = {} if record is None else {"rayconteur": record.model_dump_json(exclude={"command", "directory"})}
    at = 0

    def lines() -> Iterator[bytes]:
        nonlocal at
        for number, line in counted_of(places, record):
            at = number
            yield line

    try:
        scorers = scorers_of(lines())
        with path.open("wb") as file:
            return write_table(lines(), file, scorers=scorers, transcript=transcripts, about=about)
    except ValidationError:
        raise _no_result(places, at) from None


def _is_result(line: bytes) -> bool:
    """Whether a line without an end is whole all the same."""
    from agent_core.evaluation.result import decode_head

    try:
        decode_head(line)
    except ValidationError:
        return False
    return True


def _told(line: bytes, places: Places, number: int) -> Mapping[str, Any]:
    try:
        told = json.loads(line)
    except ValueError:
        raise _no_result(places, number) from None
    if not isinstance(told, dict):
        raise _no_result(places, number)
    return told


def _no_result(places: Places, number: int) -> ConfigError:
    return ConfigError(
        f"{places.results} line {number} is no result, so this is another kind of file. Name the results of a run.",
        kind="results",
    )
