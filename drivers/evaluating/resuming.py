"""`evaluate resume`: goes on with a run that was paused, or runs again what it was asked with.

The rule here: what a run was asked with is in its record, so resuming needs nothing but the place of its results.
"""

import os
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from agent_core.errors import ConfigError
from agent_core.evaluation.remote import is_url
from agent_core.evaluation.results_file import Places
from drivers.evaluating.command_line import OUT, Options
from drivers.evaluating.controlling import reached

Again = Callable[[Sequence[str]], int | Coroutine[Any, Any, int]]


# What decides the fate of earlier results, and is decided anew when a run is resumed or replayed.
ABOUT_EARLIER = frozenset({"--overwrite", "--resume", "--force", "--detach"})


async def resume(out: str, address: str | None, more: Sequence[str], options: Options, again: Again) -> int:
    """Have a paused run go on, or run the command of the record again. Raises ConfigError where there is none."""
    places = Places.of(out)
    if OUT in options.given(more):
        raise ConfigError(
            f"{OUT}: a run goes on where its results are. Name nothing else; to run the same into another place:"
            f" python -m drivers.evaluate replay {out} {OUT} DIR and what is to be different."
        )
    async with reached(out, address) as running:
        if running is not None:
            status = await running.command("go_on")
            print(f"{status.run_id if status else out}: goes on")
            return 0
    place, more = whole(out), options.anchored(more, Path.cwd())
    command = options.without(command_of(places, out), {OUT, *ABOUT_EARLIER})
    ended = again([*command, *more, *([] if address is None else ["--address", address]), "--out", place, "--resume"])
    return await ended if isinstance(ended, Coroutine) else int(ended or 0)


def whole(out: str) -> str:
    """The whole path of it; an end that says that it is a directory stays, and so does an address."""
    if is_url(out):
        return out
    return os.path.abspath(out) + (os.sep if out.endswith(os.sep) else "")  # noqa: PTH100 - Path drops that end


def command_of(places: Places, out: str) -> list[str]:
    """What the run was asked with; goes to the directory that this was said in.

    Raises ConfigError if it is not known, or cannot be said again.
    """
    record = places.read_record()
    if record is None and not places.results.exists():
        raise ConfigError(f"{out}: there is no run there. Name what --out of a run named.")
    if record is None or not record.command:
        raise ConfigError(
            f"{out}: there is no record of how this run was asked. Resume it with the command that began it and"
            f" --out {out} --resume."
        )
    if "-" in record.command:
        raise ConfigError(f"{out}: its samples were piped in. Pipe them in again, with the same command and --resume.")
    if record.directory and Path(record.directory).is_dir():
        os.chdir(record.directory)
    return list(record.command)
