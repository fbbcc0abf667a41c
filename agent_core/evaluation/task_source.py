"""`TaskSource`: where a task's agent and scorers come from, as it travels to the workers.

The rule here: a worker makes them anew from the files as the run's beginning saw them. It never reads the dataset.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_core.evaluation.agents.chat import Chat
from agent_core.evaluation.agents.naming import agent_of, described
from agent_core.evaluation.loading import CarriedFile, attribute, chosen_task, made_task, reach
from agent_core.evaluation.program import Agent, Program
from agent_core.evaluation.score import Scorer
from agent_core.evaluation.tasks import Task

# A name with settings, or fields with a `kind`, as a flag or a file says them.
Spec = str | dict[str, Any]


@dataclass(frozen=True, slots=True)
class TaskSource:
    """A program that is a task's, or that is named by texts.

    `file` is the task's Python file, `function` the name of its task, `arguments` that function's parameters as texts.
    `agent` and `scorers` stand in place of the task's unless they are None. `files` are further Python files that those
    name, `directory` is where modules that they name are looked for.
    """

    file: CarriedFile | None = None
    function: str = ""
    arguments: tuple[tuple[str, str], ...] = ()
    agent: Spec | None = None
    scorers: tuple[Spec, ...] | None = None
    files: tuple[CarriedFile, ...] = ()
    directory: str = ""

    def load(self) -> Program:
        """The agent and the scorers. Raises ConfigError: what cannot be had, and the line that is wrong."""
        if self.file is None:
            return self.program(None)
        return self.program(made_task(self.file, chosen_task(self.file, self.function), dict(self.arguments)))

    def program(self, task: Task | None) -> Program:
        """The same of the task of the file, which was made already."""
        if self.directory:
            reach(Path(self.directory))
        return Program(self._agent(task), self._scorers(task))

    def described(self) -> dict[str, Any]:
        """What of it counts for the configuration of a run, as JSON has it."""
        basis: dict[str, Any] = {}
        if self.file is not None:
            arguments = {"arguments": dict(sorted(self.arguments))} if self.arguments else {}
            basis["file"] = {
                "name": self.file.name,
                "digest": self.file.digest,
                "task": self.function,
                **arguments,
            }
        if self.agent is not None:
            by_name = isinstance(self.agent, str) and ":" in self.agent
            basis["agent"] = _without_directory(self.agent) if by_name else described(agent_of(self.agent))
        if self.scorers:
            basis["scorers"] = [_without_directory(scorer) for scorer in self.scorers]
        if self.files:
            basis["files"] = {file.name: file.digest for file in self.files}
        return basis

    def _agent(self, task: Task | None) -> Agent:
        given: object = self.agent if self.agent is not None else task.agent if task is not None else Chat()
        return agent_of(self._found(given, "agent"))

    def _scorers(self, task: Task | None) -> tuple[Scorer, ...]:
        given: Sequence[object] = self.scorers if self.scorers is not None else task.scorers if task is not None else ()
        if not given:
            return ()
        # Built-in scorers take a tenth of a second to be imported.
        from agent_core.evaluation.scoring import scorers_of

        return scorers_of([self._found(item, "scorer") for item in given])

    def _found(self, given: object, what: str) -> object:
        """What a text such as `file.py:name` names in a file that is carried; anything else as it is."""
        place = named_in_file(given, self.directory)
        if place is None:
            return given
        path, name = place
        known = {file.path: file for file in self.files}
        return attribute(known.get(path) or CarriedFile.read(Path(path)), name, what)


def _without_directory(given: Any) -> Any:
    """What names something in a file by the file's own name: where it lies changes no answer."""
    place = named_in_file(given)
    return given if place is None else f"{Path(place[0]).name}:{place[1]}"


def named_in_file(given: object, directory: str = "") -> tuple[str, str] | None:
    """The path and the name of a text such as `solver.py:solve`, seen from a directory; None for anything else."""
    if not isinstance(given, str):
        return None
    path, colon, name = given.rpartition(":")
    if not colon or not path.endswith(".py") or "=" in path:
        return None
    return os.path.abspath(Path(directory, path)), name  # noqa: PTH100 - `..` is taken out too
