"""`evaluate resume`: goes on with a run that was paused, or runs again what it was asked with.

The rule here: what a run was asked with is in its record, so resuming needs nothing but the place of its results.
"""

import os
from collections.abc import Callable, Collection, Coroutine, Sequence
from pathlib import Path
from typing import Any

from agent_core.errors import ConfigError
from agent_core.evaluation.results_file import Places
from drivers.evaluating.controlling import reached

Again = Callable[[Sequence[str]], int | Coroutine[Any, Any, int]]


async def resume(out: str, address: str | None, more: Sequence[str], dropped: Collection[str], again: Again) -> int:
    """Have a paused run go on, or run the command of the record again. Raises ConfigError where there is none."""
    places = Places.of(out)
    async with reached(out, address) as running:
        if running is not None:
            status = await running.command("go_on")
            print(f"{status.run_id if status else out}: goes on")
            return 0
    place = whole(out)
    command = [argument for argument in command_of(places, out) if argument not in dropped]
    ended = again([*command, *more, *([] if address is None else ["--address", address]), "--out", place, "--resume"])
    return await ended if isinstance(ended, Coroutine) else int(ended or 0)


def whole(out: str) -> str:
    """The whole path of it; an end that says that it is a directory stays."""
    return os.path.abspath(out) + (os.sep if out.endswith(os.sep) else "")  # noqa: PTH100 - Path drops that end


def command_of(places: Places, out: str) -> list[str]:
    """What the run was asked with, without where its results go; goes to the directory that this was said in.

    Raises ConfigError if it is not known, or cannot be said again.
    """
    record = places.read_record()
    if record is None or not record.command:
        raise ConfigError(
            f"{out}: there is no record of how this run was asked. Resume it with the command that began it and"
            f" --out {out} --resume."
        )
    if "-" in record.command:
        raise ConfigError(f"{out}: its samples were piped in. Pipe them in again, with the same command and --resume.")
    if record.directory and Path(record.directory).is_dir():
        os.chdir(record.directory)
    return _without_out(record.command)


def _without_out(command: Sequence[str]) -> list[str]:
    kept: list[str] = []
    skip = False
    for argument in command:
        if skip:
            skip = False
        elif argument in {"--out", "-o"}:
            skip = True
        elif not (argument.startswith("--out=") or (argument.startswith("-o") and not argument.startswith("--"))):
            kept.append(argument)
    return kept
