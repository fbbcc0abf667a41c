"""Loading a task that was written for Inspect: a file with `@task` functions, or a task of an installed package.

The rule here: the task is made as `inspect eval` makes it. What the user's own code raises is told with the file and
the line where it happened, as a ConfigError.
"""

import hashlib
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from inspect_ai import Task, list_tasks
from pydantic import JsonValue

from agent_core.errors import ConfigError
from drivers.inspecting import inside


class Place(NamedTuple):
    """Where a task is: the absolute path of its file, or None for one of a package; and its name."""

    path: Path | None
    task: str

    @property
    def spec(self) -> str:
        """The task in Inspect's own notation."""
        return self.task if self.path is None else f"{self.path}@{self.task}"


def find(spec: str, name: str | None = None) -> Place:
    """The task that `spec` names: `FILE.py`, `FILE.py@TASK` or `PACKAGE/TASK`.

    Raises ConfigError if there is no such file, or it has none or several tasks and none was named.
    """
    file, at, named = spec.partition("@")
    if not file.endswith(".py"):
        return Place(None, spec)
    path, wanted = Path(file).absolute(), name or (named if at else None)
    if not path.is_file():
        raise ConfigError(f"There is no task file '{file}'. Give its path, or PACKAGE/TASK for one that is installed.")
    if wanted is not None:
        return Place(path, wanted)
    names = [task.name for task in list_tasks([path.name], root_dir=path.parent)]
    if len(names) == 1:
        return Place(path, names[0])
    if not names:
        raise ConfigError(f"{file} defines no Inspect task. Decorate the function that returns the Task with @task.")
    raise ConfigError(f"{file} defines several tasks ({', '.join(names)}). Say which one: {file}@{names[0]}.")


def digest_of(place: Place, text: bytes | None = None) -> str:
    """Sixteen hexadecimal digits of the task's source. Raises ConfigError if it cannot be read."""
    if place.path is None:
        return ""
    try:
        data = place.path.read_bytes() if text is None else text
    except OSError as error:
        raise ConfigError(
            f"The task file {place.path} cannot be read here ({error.strerror}). It has to be at the same path on every"
            " node: put it on a shared file system, or ship it with --working-dir of the job."
        ) from None
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def load(place: Place, args: Mapping[str, JsonValue]) -> Task:
    """The task itself. Raises ConfigError for whatever its code raises, and for arguments that it does not take."""
    try:
        loaded = inside.load_task_spec(place.spec, dict(args))
    except Exception as error:
        raise ConfigError(f"The Inspect task {place.spec} cannot be loaded: {_told(error, place)}. Mend it.") from error
    if not loaded:
        raise ConfigError(f"There is no Inspect task '{place.task}' in {place.path or 'any package'}. Check its name.")
    known = inside.task_parameters(place.task)
    if known is not None and (wrong := sorted(args.keys() - set(known))):
        raise ConfigError(f"{place.task}: no argument '{wrong[0]}'. It takes: {', '.join(known) or 'none'}.")
    task = loaded[0]
    if task.sample_source is not None:
        raise ConfigError(f"{place.task} makes its samples while it runs, which only `inspect eval` can do. Use that.")
    return task


def _told(error: Exception, place: Place) -> str:
    """What went wrong in the user's file, and on which of its lines."""
    said = f"{type(error).__name__}: {error}".strip(": ").rstrip(".")
    if place.path is None:
        return said
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == place.path]
    if isinstance(error, SyntaxError):
        lines = [error.lineno]
    return f"{said} (line {lines[-1]})" if lines else said
