"""From the options of the command line to an open session: on the cluster, or in this process.

The rule here: nothing heavy is imported before `connect` is entered, and the import itself runs in a thread, so that a
prompt that is there already stays alive.
"""

import asyncio
import importlib
import shlex
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from agent_core.session_protocol import Session
from drivers.options import ModelOptions, PlaceOptions


@dataclass(frozen=True, slots=True)
class Connected:
    """An open session, and where it is, in words.

    `new`: it was made now. `kept`: the conversation outlives the program.
    """

    session: Session
    description: str
    dashboard: str = ""
    new: bool = True
    kept: bool = True
    # Whether the user chose the session's id, and what else has to be said to come back to it.
    named: bool = False
    place_options: str = ""


Connect = Callable[[], AbstractAsyncContextManager[Connected]]


@dataclass(frozen=True)
class Wanted:
    """The session that the user asks for. `fields` are those of SessionConfig that were named, and the model."""

    model: ModelOptions
    place: PlaceOptions
    fields: dict[str, Any]
    tools: list[Any] = field(default_factory=list)
    session_id: str | None = None
    # Set when the user left before there was a cluster: the thread that starts it goes on all the same.
    abandoned: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connected]:
        """Start or join the runtime and open the session; put everything away on leaving.

        Raises RayconteurError: whatever cannot be had, with what to do.
        """
        async with AsyncExitStack() as stack:
            entering = asyncio.ensure_future(stack.enter_async_context(await asyncio.to_thread(self._runtime)))
            try:
                # A start that is cancelled is waited for by the runtime; here the program ends with all of it instead.
                runtime = await asyncio.shield(entering)
            except asyncio.CancelledError:
                if not entering.done():
                    self.abandoned.set()
                raise
            known = self.session_id is not None and await runtime.exists(self.session_id)
            session = await (self._reopened(runtime) if known else self._opened(runtime))
            yield Connected(
                session=session,
                description=runtime.description,
                dashboard=runtime.dashboard_hint,
                new=not known,
                kept=not self.place.in_process or (self.place.data_dir or self.place.journal) is not None,
                named=self.session_id is not None,
                place_options=self._place_options(),
            )

    def _place_options(self) -> str:
        place = self.place
        given = [
            ("--in-process", "") if place.in_process else None,
            ("--data-dir", shlex.quote(str(place.data_dir))) if place.data_dir else None,
            ("--journal", shlex.quote(place.journal)) if place.journal else None,
            ("--address", shlex.quote(place.address)) if place.address else None,
            ("--name", shlex.quote(place.name)) if place.name else None,
        ]
        return "".join(f" {option} {value}".rstrip() for item in given if item for option, value in [item])

    def _runtime(self) -> Any:
        place = self.place
        if place.in_process:
            local = importlib.import_module("agent_core.local_runtime").LocalRuntime
            return local(data_dir=place.data_dir, journal=place.journal)
        runtime = importlib.import_module("actors").Runtime
        return runtime(place.address, name=place.name, data_dir=place.data_dir, journal=place.journal)

    async def _opened(self, runtime: Any) -> Session:
        return await runtime.session(self.session_id, tools=self.tools, **self.fields)

    async def _reopened(self, runtime: Any) -> Session:
        """The session as it was left, but for what the user named this time."""
        session = await runtime.session(self.session_id)
        named = dict(self.fields)
        if self.model.model is None:
            # The model here is only the one for a session that has none yet.
            named["model"] = (await session.status()).model
        if len(named) == 1 and self.model.model is None and not self.tools:
            return session
        return await runtime.session(self.session_id, tools=self.tools, **named)
