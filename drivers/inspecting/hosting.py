"""Sessions for an evaluation that Inspect runs: on a runtime in its process, or on a cluster.

The rule here: a runtime is opened with the first sample that needs it and closed when the evaluation ends; a sample's
sessions are shut down when the sample ends.
"""

import asyncio
import importlib
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Literal, cast, get_args

from inspect_ai.model import GenerateConfig, get_model
from inspect_ai.solver import TaskState

from agent_core.errors import ConfigError
from agent_core.messages import Message
from agent_core.opening import new_session_id
from agent_core.session_protocol import Session
from drivers.inspecting import inside
from drivers.inspecting.branching import BranchingSession
from drivers.inspecting.conversations import Conversations
from drivers.inspecting.settings import fields_of

RuntimeKind = Literal["local", "ray"]
MAX_STEPS = 10_000
LOCAL_REQUESTS = 1_000


class Hosts:
    """The runtimes that are open, by where they are, and the conversations of the samples under way, by their id."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._runtimes: dict[tuple[RuntimeKind, str | None], asyncio.Task[Any]] = {}
        self._samples: dict[str, tuple[Conversations, BranchingSession]] = {}

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

                return await self._stack.enter_async_context(LocalRuntime(max_concurrent_requests=LOCAL_REQUESTS))
            case "ray":
                # Ray takes seconds to import, and is asked for by name alone.
                runtime = importlib.import_module("actors").Runtime(address)
                return await self._stack.enter_async_context(runtime)

    async def conversations(self, state: TaskState, settings: "Hosted") -> Conversations:
        """Those of a sample, begun when they are first asked for. Raises what opening a session raises."""
        held = self._samples.get(state.uuid)
        if held is None:
            held = self._samples[state.uuid] = await settings.begin(state)
        return held[0]

    async def end(self, sample: str) -> None:
        """The sample of this id has ended."""
        held = self._samples.pop(sample, None)
        if held is not None:
            conversations, session = held
            await conversations.close()
            await session.shutdown(graceful=False)

    async def close(self) -> None:
        """End the samples that are left, and close the runtimes."""
        for sample in tuple(self._samples):
            await self.end(sample)
        stack, self._stack = self._stack, AsyncExitStack()
        self._runtimes.clear()
        await stack.aclose()


HOSTS = Hosts()


class Hosted:
    """The settings of an evaluation's sessions: their model, their fields, and where they run.

    `given` are fields of SessionConfig, and `runtime` and `address`. Raises ConfigError for a runtime that is none.
    """

    def __init__(self, model: str, given: Mapping[str, Any]) -> None:
        fields = dict(given)
        runtime, address = fields.pop("runtime", "local"), fields.pop("address", None)
        if runtime not in get_args(RuntimeKind):
            raise ConfigError(f"runtime: '{runtime}' is none. Give runtime=local or runtime=ray.")
        self.model = model
        self._place = (cast("RuntimeKind", runtime), cast("str | None", address))
        self._fields = fields

    async def begin(self, state: TaskState) -> tuple[Conversations, BranchingSession]:
        """A sample's conversations, on sessions of their own. Raises what opening a session raises."""
        runtime, config = await HOSTS.runtime(*self._place), told()
        fields = {"model": self.model, "max_steps": MAX_STEPS, **fields_of(config), **self._fields}
        labels = {"inspect": str(state.sample_id), "epoch": str(state.epoch)}

        async def branch(_: int, history: Sequence[Message]) -> Session:
            return await runtime.session(history=history, labels=labels, **fields)

        session = BranchingSession(await runtime.session(new_session_id(), labels=labels, **fields), branch)
        return Conversations(cast("Session", session), (), config), session


def told() -> GenerateConfig:
    """What Inspect was told of how its model is to be asked."""
    return get_model().config.merge(inside.active_generate_config())
