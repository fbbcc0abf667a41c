"""Sessions for an evaluation that Inspect runs: a runtime in its process, or one on a cluster.

The rule here: a runtime is opened with the first sample that needs it and closed when the evaluation ends, on the event
loop that Inspect runs.
"""

import asyncio
import importlib
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Literal

from inspect_ai.model import GenerateConfig, Model, get_model
from inspect_ai.solver import TaskState

from agent_core.errors import ConfigError
from agent_core.messages import Message
from agent_core.opening import new_session_id
from agent_core.session_protocol import Session
from drivers.inspecting import inside
from drivers.inspecting.branching import BranchingSession
from drivers.inspecting.conversations import Conversations
from drivers.inspecting.model import ASKED, PROVIDER, session_model
from drivers.inspecting.settings import fields_of

RuntimeKind = Literal["local", "ray"]
MAX_STEPS = 10_000


class Hosts:
    """The runtimes that are open, by where they are."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._runtimes: dict[tuple[RuntimeKind, str | None], asyncio.Task[Any]] = {}

    @property
    def open(self) -> bool:
        """Whether any runtime is."""
        return bool(self._runtimes)

    async def runtime(self, kind: RuntimeKind, address: str | None) -> Any:
        """The runtime there, opened when it is first asked for. Raises ConfigError, PlacementError, JournalError."""
        place = (kind, address)
        if place not in self._runtimes:
            self._runtimes[place] = asyncio.create_task(self._opened(kind, address))
        try:
            return await asyncio.shield(self._runtimes[place])
        except Exception:
            self._runtimes.pop(place, None)
            raise

    async def _opened(self, kind: RuntimeKind, address: str | None) -> Any:
        match kind:
            case "local":
                from agent_core.local_runtime import LocalRuntime

                return await self._stack.enter_async_context(LocalRuntime(max_concurrent_requests=1_000))
            case "ray":
                # Ray takes seconds to import, and is asked for by name alone.
                runtime = importlib.import_module("actors").Runtime(address)
                return await self._stack.enter_async_context(runtime)
            case _:
                raise ConfigError(f"runtime: '{kind}' is none. Give -S runtime=local or -S runtime=ray.")

    async def close(self) -> None:
        """Close them all."""
        stack, self._stack = self._stack, AsyncExitStack()
        self._runtimes.clear()
        await stack.aclose()


HOSTS = Hosts()


class Hosted:
    """A solver's settings: the model and the fields of its sessions, and where they run."""

    def __init__(
        self, model: str | None, runtime: RuntimeKind, address: str | None, fields: Mapping[str, Any]
    ) -> None:
        self._model, self._runtime, self._address, self._given = model, runtime, address, dict(fields)

    async def solve(self, state: TaskState) -> TaskState:
        """The state with the session's answer, tools called in Inspect's loop. Raises what the session raises."""
        active, name = get_model(), self._name(str(state.model))
        runtime = await HOSTS.runtime(self._runtime, self._address)
        fields = self._fields(name, active)
        labels = {"inspect": str(state.sample_id), "epoch": str(state.epoch)}

        async def branch(_: int, history: Sequence[Message]) -> Session:
            return await runtime.session(history=history, labels=labels, **fields)

        session = BranchingSession(await runtime.session(new_session_id(), labels=labels, **fields), branch)
        conversations = Conversations(session, (), GenerateConfig())
        token = ASKED.set(conversations)
        try:
            state = await inside.generate_with(session_model(name), GenerateConfig())(state)
            await conversations.finish(state.messages)
        finally:
            ASKED.reset(token)
            await conversations.close()
            await session.shutdown(graceful=False)
        return state

    def _name(self, of_evaluation: str) -> str:
        return self._model or of_evaluation.removeprefix(f"{PROVIDER}/")

    def _fields(self, name: str, active: Model) -> dict[str, Any]:
        """What the sessions are opened with: what Inspect was told of its model, and over it what the solver was."""
        told = fields_of(active.config)
        if self._model is None and active.explicit_base_url is not None:
            told["base_url"] = active.explicit_base_url
        return {"model": name, "max_steps": MAX_STEPS, **told, **self._given}
