"""Runs whose results are at an address (`s3://BUCKET/DIR`): every command works on this machine's copy of them.

The rule here: the copy is brought up to date before the command, and what the command changed is sent after it. What
could not be sent stays here, and is sent by the next command that names the address.
"""

import fcntl
import functools
import re
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from agent_core.errors import ConfigError
from agent_core.evaluation.mirror import Mirror
from agent_core.evaluation.remote import is_url
from agent_core.evaluation.results_file import Places
from drivers.errors import FAILURE

# The parameters that name a run.
_RUNS = ("out", "run", "base", "a", "b", "runs")
_LOST_SLASH = re.compile(r"([a-z][a-z0-9+.-]+):/", re.IGNORECASE)
_MIRRORS: dict[str, Mirror] = {}


def mirror_of(out: str) -> Mirror | None:
    """The copy of what is at the address; None for a place of this machine. Raises ConfigError."""
    if not is_url(out):
        return None
    if out not in _MIRRORS:
        _MIRRORS[out] = Mirror(out)
    return _MIRRORS[out]


def reaching(command: Callable[..., Any], *, rewrites: bool = False) -> Callable[..., Any]:
    """Let a command take addresses where it takes the places of runs; one that `rewrites` results needs them alone."""

    @functools.wraps(command)
    def reached(**values: Any) -> Any:
        for value in values.values():
            if isinstance(value, Path) and (lost := _LOST_SLASH.match(str(value))):
                raise ConfigError(
                    f"{lost[1]}://… is not written to by this command. Name a directory or a file of this machine."
                )
        named = [name for key in _RUNS if (given := values.get(key)) for name in _texts(given)]
        mirrors = [mirror for name in dict.fromkeys(named) if (mirror := mirror_of(name)) is not None]
        for mirror in mirrors:
            _say(mirror.fetch())
            if rewrites and values.get("to") is None:
                mirror.claim()
        ended = command(**values)
        if isinstance(ended, Coroutine):
            return _then_settled(ended, mirrors)
        return _settled(mirrors, int(ended or 0))

    return reached


async def _then_settled(work: Coroutine[Any, Any, Any], mirrors: list[Mirror]) -> int:
    try:
        ended = await work
    except BaseException:
        _settled(mirrors, FAILURE)
        raise
    return _settled(mirrors, int(ended or 0))


def _settled(mirrors: list[Mirror], code: int) -> int:
    """Send what has changed; the exit code, which tells whether it could be sent too."""
    for mirror in mirrors:
        if mirror.handed_over or not (mirror.claimed or mirror.changed()) or _is_being_written(mirror.directory):
            continue
        try:
            if not mirror.claimed:
                mirror.claim()
            mirror.push(last=True)
        except (ConfigError, OSError) as error:
            _say(
                f"Not sent: {error}\nNothing is lost: it is in {mirror.directory}, and the next command here that names"
                f" {mirror.url} sends it, such as: python -m drivers.evaluate status {mirror.url}"
            )
            code = code or FAILURE
    return code


def _is_being_written(directory: Path) -> bool:
    """Whether a run of this machine has the copy, and so sends it itself."""
    try:
        with Places.of(f"{directory}/").results.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _texts(given: Any) -> list[str]:
    if isinstance(given, list):
        return [each for each in given if isinstance(each, str)]
    return [given] if isinstance(given, str) else []


def _say(text: str | None) -> None:
    if text:
        print(text, file=sys.stderr)
