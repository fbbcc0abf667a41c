"""From what a task, a file or a flag says to the agent itself.

The rule here: an agent is one of the built-in ones, or an asynchronous function of a session and a sample that returns
text. Anything else is refused before a session is opened.
"""

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from pydantic import ValidationError

from agent_core.errors import ConfigError
from agent_core.evaluation.agents.chat import Chat
from agent_core.evaluation.agents.react import React
from agent_core.evaluation.authors import author_error
from agent_core.evaluation.notation import parse
from agent_core.evaluation.program import Agent, chat
from agent_core.evaluation.sample import Sample
from agent_core.session_protocol import Session
from agent_core.tools.definition import ToolDefinition

AgentSpec = Chat | React
_KINDS: dict[str, type[AgentSpec]] = {"chat": Chat, "react": React}
_HOW = "Name a built-in one (chat, react), or module:name of an async function of a session and a sample."


def agent_of(given: object) -> Agent:
    """The agent that is meant: itself, a text such as `react(max_turns=5)` or `module:name`, or fields with a `kind`.

    Imports the module of one that is named so. Raises ConfigError.
    """
    if given is chat:
        return Chat()
    if isinstance(given, Chat | React):
        return given
    if isinstance(given, Mapping):
        fields = dict(cast("Mapping[str, Any]", given))
        return _built(str(fields.pop("kind", "")), fields)
    if isinstance(given, str):
        module, colon, name = given.partition(":")
        if colon and all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
            return _checked(_imported(module, name, given))
        return _built(*parse(given, "agent"))
    return _checked(given)


def tools_of(agent: Agent) -> Sequence[ToolDefinition]:
    """The tools that an agent's sessions have to be opened with, beside those of the task."""
    return getattr(agent, "tools", ())


def prompt_of(agent: Agent, given: str | None) -> str | None:
    """The system prompt that an agent's sessions are given, where the task gives `given`."""
    adapt: Callable[[str | None], str | None] | None = getattr(agent, "system_prompt", None)
    return given if adapt is None else adapt(given)


def described(agent: Agent) -> dict[str, Any]:
    """What of an agent counts for the configuration: its settings, or the name of its function."""
    if isinstance(agent, Chat | React):
        return {"kind": agent.kind, **agent.model_dump(mode="json", exclude_defaults=True)}
    function = agent.function if isinstance(agent, _OfUser) else agent
    return {"function": getattr(function, "__qualname__", type(function).__qualname__)}


def _built(kind: str, fields: dict[str, Any]) -> Agent:
    made = _KINDS.get(kind)
    if made is None:
        raise ConfigError(f"agent: there is no agent '{kind}'. {_HOW}")
    try:
        return made(**fields)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        known = ", ".join(sorted(made.model_fields.keys() - {"kind"})) or "none"
        raise ConfigError(f"agent: {kind}: {wrong}. Its settings: {known}.") from None


def _imported(module: str, name: str, given: str) -> object:
    try:
        found: object = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a module may raise anything while it is imported
        if isinstance(error, ModuleNotFoundError) and error.name and module.startswith(error.name):
            raise ConfigError(
                f"agent: there is no module '{module}' (asked for as {given}). Run from the directory that holds it."
            ) from None
        raise ConfigError(f"agent: module '{module}' does not import.\n{author_error(error)}") from None
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise ConfigError(f"agent: '{name}' is not in module '{module}'. Check the name.")
    return found


class _OfUser:
    """A user's function, of which nothing but text is taken."""

    def __init__(self, function: Agent) -> None:
        self.function = function

    def __getattr__(self, name: str) -> Any:
        if name in {"tools", "system_prompt"}:
            return getattr(self.function, name)
        raise AttributeError(name)

    async def __call__(self, session: Session, sample: Sample) -> str:
        answer = cast("object", await self.function(session, sample))
        if isinstance(answer, str):
            return answer
        kind = type(answer).__name__
        raise ConfigError(
            f"The agent {_name(self.function)} returned {kind}, not text. Return the answer as str.", kind="agent"
        )


def _checked(found: object) -> Agent:
    if isinstance(found, Chat | React | _OfUser):
        return found
    if isinstance(found, type) or not callable(found):
        raise ConfigError(f"agent: {_name(found)} is no function. {_HOW}")
    if not (inspect.iscoroutinefunction(found) or inspect.iscoroutinefunction(type(found).__call__)):
        raise ConfigError(
            f"agent: {_name(found)} is not asynchronous. Write: async def {_name(found)}(session, sample) -> str,"
            " and await session.ask(...) in it."
        )
    try:
        inspect.signature(found).bind(None, None)
    except TypeError as error:
        raise ConfigError(f"agent: {_name(found)} does not take a session and a sample: {error}.") from None
    return _OfUser(cast("Agent", found))


def _name(found: object) -> str:
    return getattr(found, "__name__", type(found).__name__)
