"""Python files of users, loaded where they are or from the text that was carried along.

The rule here: a file counts as it was when it was first read. Whatever changes it afterwards, every process loads that
text. A mistake in it is told with its file and line, and without a traceback.
"""

import hashlib
import linecache
import re
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from pydantic import ValidationError

from agent_core.errors import ConfigError, RayconteurError
from agent_core.evaluation.authors import author_error, author_line
from agent_core.evaluation.tasks import Task, TaskFunction, wrong_fields

_loading = threading.RLock()
SHOWN = 20


@dataclass(frozen=True, slots=True)
class CarriedFile:
    """A Python file with its text, as it travels to other processes."""

    path: str
    text: str = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """The file as it is now. Raises ConfigError if it cannot be read as UTF-8 text."""
        try:
            return cls(str(path.absolute()), path.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read ({error.strerror}). Check the path.") from None
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: is not UTF-8 at byte {error.start + 1}; save it as UTF-8.") from None

    @property
    def name(self) -> str:
        """The file's own name."""
        return Path(self.path).name

    @property
    def directory(self) -> Path:
        """Where the file is, or was."""
        return Path(self.path).parent

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits of the text."""
        return hashlib.blake2b(self.text.encode(), digest_size=8).hexdigest()

    def module(self) -> ModuleType:
        """The module, run once in a process. Raises ConfigError if it cannot be.

        Modules beside the file can be imported by it. It has no name by which another process could import it, so what
        is pickled of it is pickled by value.
        """
        place = hashlib.blake2b(self.path.encode(), digest_size=4).hexdigest()
        name = f"task_{re.sub(r'[^0-9A-Za-z]', '_', Path(self.path).stem)}_{place}_{self.digest}"
        with _loading:
            loaded = sys.modules.get(name)
            return self._run(name) if loaded is None else loaded

    def _run(self, name: str) -> ModuleType:
        reach(self.directory)
        module = ModuleType(name)
        module.__file__ = self.path
        # For whoever shows or reads the source: the file may be missing here, or be another one by now.
        linecache.cache[self.path] = (len(self.text), None, self.text.splitlines(keepends=True), self.path)
        sys.modules[name] = module
        try:
            exec(compile(self.text, self.path, "exec", dont_inherit=True), vars(module))  # noqa: S102 - the user's own code
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a file may raise anything while it is run
            del sys.modules[name]
            raise ConfigError(f"{self.path} cannot be loaded.\n{author_error(error, self.path)}", kind="task") from None
        import cloudpickle  # pyright: ignore[reportMissingTypeStubs] - it has none

        cloudpickle.register_pickle_by_value(module)  # pyright: ignore[reportUnknownMemberType]
        return module


def reach(directory: Path) -> None:
    """Let modules of this directory be imported, as those beside a program are."""
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))


def tasks_in(module: ModuleType) -> dict[str, TaskFunction[...]]:
    """The functions with `@task` of a module, by name."""
    found = [item for item in vars(module).values() if isinstance(item, TaskFunction)]
    return {made.name: made for made in found}


def chosen_task(file: CarriedFile, name: str | None) -> TaskFunction[...]:
    """The function with this name, or the only one of the file. Raises ConfigError that lists those that there are."""
    tasks = tasks_in(file.module())
    if not tasks:
        raise ConfigError(
            f"{file.path} has no function with @task. Write one that returns a Task:"
            " from agent_core.evaluation import Task, task",
            kind="task",
        )
    if name is None and len(tasks) == 1:
        return next(iter(tasks.values()))
    if name is not None and name in tasks:
        return tasks[name]
    listed = "\n".join(
        f"  {file.name}@{known}" + (f"  {made.summary}" if made.summary else "")
        for known, made in list(tasks.items())[:SHOWN]
    )
    said = "holds several tasks. Choose one" if name is None else f"has no task '{name}'. It has"
    raise ConfigError(f"{file.path} {said}:\n{listed}", kind="task")


def made_task(file: CarriedFile, function: TaskFunction[...], arguments: dict[str, str]) -> Task:
    """The task that a function of the file makes. Raises ConfigError with the line that is wrong."""
    try:
        return function.made(arguments)
    except ValidationError as error:
        said = f"  {error.title}: {wrong_fields(error)}"
        raise _not_made(file, function, f"{author_line(error, file.path)}\n{said}") from None
    except RayconteurError as error:
        if error.kind == "task":
            raise
        raise _not_made(file, function, f"{author_line(error, file.path)}\n  {error}") from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - an author's code may raise anything
        raise _not_made(file, function, author_error(error, file.path)) from None


def attribute(file: CarriedFile, name: str, what: str) -> Any:
    """What a dotted name means in the file. Raises ConfigError if there is no such thing."""
    found: object = file.module()
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise ConfigError(f"{what}: '{name}' is not in {file.path}. Check the name.", kind="task")
    return found


def _not_made(file: CarriedFile, function: TaskFunction[...], why: str) -> ConfigError:
    return ConfigError(f"{file.name}: task '{function.name}' cannot be made.\n{why}", kind="task")
