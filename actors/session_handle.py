"""`SessionHandle`: the `Session` protocol over a session on the cluster.

The rule here: what the caller asked for happens once, whatever dies meanwhile. Every message bears an idempotency key,
so that it can be sent again; a stream of events goes on from its cursor.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from actors.calls import Gone
from actors.link import Link, LinkLost, Moved
from actors.operations import MESSAGES, PAYLOAD_IN, TOOLS
from agent_core.config import SessionConfig
from agent_core.cursor import Cursor, Event
from agent_core.entries import FromLLMPayload, Settings, TurnEnded
from agent_core.errors import PlacementError, RayconteurError, SessionClosed
from agent_core.messages import Message, SessionId, TurnId
from agent_core.payloads import InterruptMode, When
from agent_core.session_protocol import Input, id_of
from agent_core.status import CompactResult, SessionStatus
from agent_core.submission import TurnResult, answer_of, payload_of
from agent_core.tools.definition import ToolDefinition
from agent_core.tracing.context import current

DEADLINE = 120.0
_PAUSE = 0.05


class Place(Protocol):
    """Where a session is: the link to its actor, and what to do when it has moved or ended."""

    async def link(self, session_id: SessionId) -> Link: ...

    def moved(self, session_id: SessionId, to: str) -> None: ...

    async def release(self, session_id: SessionId) -> None: ...


class SessionHandle:
    """A session on the cluster. Cheap to make; it holds nothing but the id and the way."""

    def __init__(self, session_id: SessionId, place: Place) -> None:
        self._id, self._place = session_id, place
        self._shutdown = False

    def __repr__(self) -> str:
        return f"<session {self._id}>"

    @property
    def id(self) -> SessionId:
        return self._id

    @property
    def is_shutdown(self) -> bool:
        return self._shutdown

    # --- messages and events ----------------------------------------------------------------------------------------

    async def send(
        self, message: Input, *, when: When = "after", key: str | None = None
    ) -> AsyncIterator[FromLLMPayload]:
        payload = PAYLOAD_IN.dump_json(payload_of(message), exclude_none=True)
        arguments = (payload, when, key or _new_key(), current())
        turn_id: TurnId | None = None
        place: Cursor | None = None
        while True:
            link = await self._link()
            if turn_id is None or place is None:
                reader, answer = link.read(self._id, "send", *arguments)
            else:
                reader, answer = link.read(self._id, "follow", tuple(place), turn_id)
            try:
                answered = await answer
                turn_id = turn_id or TurnId(answered)
                while (event := await reader.next()) is not None:
                    if place is None or event.cursor > place:
                        place = event.cursor
                        yield event.payload
                        if isinstance(event.payload, TurnEnded):
                            return
                raise self._closed()
            except LinkLost as lost:
                await self._lost(lost)
            finally:
                link.leave(self._id, reader)

    async def submit(self, message: Input, *, when: When = "after", key: str | None = None) -> TurnId:
        payload = PAYLOAD_IN.dump_json(payload_of(message), exclude_none=True)
        return TurnId(await self.call("submit", payload, when, key or _new_key(), current()))

    async def ask(self, message: Input, *, when: When = "after", key: str | None = None) -> str:
        payload = PAYLOAD_IN.dump_json(payload_of(message), exclude_none=True)
        answer = await self.call("ask", payload, when, key or _new_key(), current(), deadline=None)
        return answer_of(TurnResult.model_validate_json(answer))

    async def events(self, after: Cursor | None = None) -> AsyncIterator[Event]:
        place = after
        while True:
            link = await self._link()
            reader, answer = link.read(self._id, "follow", tuple(place) if place else None, None)
            try:
                cursor = await answer
                place = place or Cursor(*cursor)
                while (event := await reader.next()) is not None:
                    if event.cursor > place:
                        place = event.cursor
                        yield event
                return
            except LinkLost as lost:
                await self._lost(lost)
            finally:
                link.leave(self._id, reader)

    async def interrupt(self, mode: InterruptMode = "keep") -> bool:
        key = _new_key()
        answer: bool | None = await self._control("interrupt", mode, key)
        return answer if answer is not None else await self.call("interrupt", mode, key)

    async def retry(self) -> TurnId:
        return TurnId(await self.call("retry", _new_key(), current()))

    # --- what is known ----------------------------------------------------------------------------------------------

    async def status(self) -> SessionStatus:
        status: SessionStatus | None = await self._control("status")
        return status or SessionStatus.model_validate_json(await self.call("status"))

    async def history(self, *, full: bool = False) -> Sequence[Message]:
        return MESSAGES.validate_json(await self.call("history", full))

    async def system_prompt(self) -> str | None:
        return (await self._settings())[0].system_prompt

    async def max_tokens(self) -> int:
        return (await self._settings())[0].max_tokens

    async def tools(self) -> Sequence[ToolDefinition]:
        return (await self._settings())[1]

    async def _settings(self) -> tuple[SessionConfig, tuple[ToolDefinition, ...]]:
        config, tools = await self.call("settings")
        return SessionConfig.model_validate_json(config), TOOLS.validate_json(tools)

    # --- what can be changed ----------------------------------------------------------------------------------------

    async def set_system_prompt(self, prompt: str) -> None:
        await self.configure(Settings(fields={"system_prompt": prompt}))

    async def clear_system_prompt(self) -> None:
        await self.configure(Settings(fields={"system_prompt": None}))

    async def set_max_tokens(self, max_tokens: int) -> None:
        await self.configure(Settings(fields={"max_tokens": max_tokens}))

    async def set_tools(self, tools: Sequence[ToolDefinition]) -> None:
        await self.configure(Settings(tools=tuple(tools)))

    async def clear_tools(self) -> None:
        await self.configure(Settings(tools=()))

    async def set_model(self, model: str) -> None:
        await self.configure(Settings(fields={"model": model}))

    async def configure(self, changes: Settings) -> None:
        """Change several settings at once."""
        await self.call("configure", changes.model_dump_json().encode())

    async def clear(self) -> None:
        await self.call("clear", _new_key())

    async def compact(self, *, focus: str = "") -> CompactResult:
        return CompactResult.model_validate_json(await self.call("compact", focus, deadline=None))

    async def pin(self, message: str | Message) -> None:
        await self.call("pin", id_of(message), True)  # noqa: FBT003 - to the wire

    async def unpin(self, message: str | Message) -> None:
        await self.call("pin", id_of(message), False)  # noqa: FBT003 - to the wire

    async def shutdown(self, *, graceful: bool = True) -> None:
        self._shutdown = True
        await self.call("shutdown", graceful, deadline=None)
        await self._place.release(self._id)

    # --- the way ----------------------------------------------------------------------------------------------------

    async def call(self, operation: str, *arguments: Any, deadline: float | None = DEADLINE) -> Any:
        """Have the session's actor perform an operation, again by its successor if it dies. Raises PlacementError."""
        try:
            async with asyncio.timeout(deadline):
                while True:
                    link = await self._link()
                    try:
                        return await link.call(self._id, operation, *arguments)
                    except LinkLost as lost:
                        await self._lost(lost)
        except TimeoutError:
            raise PlacementError(
                f"Session '{self._id}' did not answer within {deadline:g} seconds. See whether its actor and the"
                " journal are alive in the Ray dashboard."
            ) from None

    async def _control(self, method: str, *arguments: Any) -> Any:
        """Have the actor's control thread answer, which is never busy. None if it cannot."""
        link = await self._link()
        try:
            return await link.control(method, self._id, *arguments)
        except (Gone, RayconteurError):
            return None

    async def _link(self) -> Link:
        return await self._place.link(self._id)

    async def _lost(self, lost: LinkLost) -> None:
        if isinstance(lost, Moved):
            self._place.moved(self._id, lost.to)
        await asyncio.sleep(_PAUSE)

    def _closed(self) -> SessionClosed:
        return SessionClosed(f"Session '{self._id}' was shut down before the turn ended.", "closed")


def _new_key() -> str:
    return secrets.token_hex(8)
