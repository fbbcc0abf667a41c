"""`LocalSession`: the `Session` protocol over a live shell in this process.

The rule here: it adds no behaviour, only the words that callers use. Agent code cannot tell it from a session on a
cluster.
"""

from collections.abc import AsyncIterator, Sequence

from agent_core import inputs
from agent_core.conversation import Conversation
from agent_core.cursor import Cursor, Event
from agent_core.entries import FromLLMPayload, Settings, TurnEnded
from agent_core.hosting import SessionHost
from agent_core.messages import Message, SessionId, TurnId
from agent_core.payloads import InterruptMode, When
from agent_core.session import PUT_AWAY, Shell
from agent_core.session_protocol import Input, id_of
from agent_core.status import CompactResult, SessionStatus
from agent_core.stream import Listener, Subscription
from agent_core.submission import answer_of, payload_of
from agent_core.tools.definition import ToolDefinition
from agent_core.tracing.context import current


class LocalSession:
    """A session of this process."""

    def __init__(self, shell: Shell, host: SessionHost) -> None:
        self._shell, self._host = shell, host
        self._journal = host.ports.journal

    @property
    def id(self) -> SessionId:
        return self._shell.id

    @property
    def conversation(self) -> Conversation:
        """The session's state, for reading only."""
        return self._shell.conversation

    @property
    def is_shutdown(self) -> bool:
        return self._shell.is_shutdown

    async def _live(self) -> Shell:
        """The shell, or the one that took its place when the session had been put away."""
        if self._shell.lost is not None and self._shell.lost.kind == PUT_AWAY:
            self._shell = await self._host.open(self.id)
        return self._shell

    async def send(
        self, message: Input, *, when: When = "after", key: str | None = None
    ) -> AsyncIterator[FromLLMPayload]:
        shell, given = await self._live(), inputs.Submit(payload_of(message), when, key, current())
        subscription = self._subscribe(Cursor() if shell.is_repeat(given) else None)
        try:
            turn_id = await shell.submit(given)
            async for event in subscription:
                payload = event.payload
                if getattr(payload, "turn_id", None) == turn_id:
                    yield payload
                    if isinstance(payload, TurnEnded):
                        return
        finally:
            subscription.close()
        raise shell.ended_early()

    async def submit(self, message: Input, *, when: When = "after", key: str | None = None) -> TurnId:
        return await (await self._live()).submit(inputs.Submit(payload_of(message), when, key, current()))

    async def ask(self, message: Input, *, when: When = "after", key: str | None = None) -> str:
        turn_id = await self.submit(message, when=when, key=key)
        return answer_of(await self._shell.result(turn_id))

    def listen(self, listener: Listener) -> None:
        """Hand every event from now on to `listener`, at once and in order. It must not fail."""
        self._shell.stream.listen(listener)

    def events(self, after: Cursor | None = None) -> AsyncIterator[Event]:
        return self._events(self._shell.stream.cursor if after is None else after)

    async def _events(self, after: Cursor) -> AsyncIterator[Event]:
        await self._live()
        subscription = self._subscribe(after)
        try:
            async for event in subscription:
                yield event
        finally:
            subscription.close()

    def _subscribe(self, after: Cursor | None) -> Subscription:
        return Subscription(self._shell.stream, lambda seq: self._journal.read(self.id, seq), after)

    async def interrupt(self, mode: InterruptMode = "keep") -> bool:
        return (await (await self._live()).perform(inputs.Interrupt(mode))).turn_id is not None

    async def retry(self) -> TurnId:
        return (await (await self._live()).perform(inputs.Retry(traceparent=current()))).turn_id or TurnId("")

    async def status(self) -> SessionStatus:
        return (await self._live()).status()

    async def history(self, *, full: bool = False) -> Sequence[Message]:
        shell = await self._live()
        return tuple((await shell.whole()).messages if full else shell.conversation.view.shown)

    async def clear(self) -> None:
        await (await self._live()).perform(inputs.Clear())

    async def system_prompt(self) -> str | None:
        return self._shell.conversation.config.system_prompt

    async def set_system_prompt(self, prompt: str) -> None:
        await self.configure(Settings(fields={"system_prompt": prompt}))

    async def clear_system_prompt(self) -> None:
        await self.configure(Settings(fields={"system_prompt": None}))

    async def max_tokens(self) -> int:
        return self._shell.conversation.config.max_tokens

    async def set_max_tokens(self, max_tokens: int) -> None:
        await self.configure(Settings(fields={"max_tokens": max_tokens}))

    async def tools(self) -> Sequence[ToolDefinition]:
        return tuple(self._shell.conversation.tools.values())

    async def set_tools(self, tools: Sequence[ToolDefinition]) -> None:
        await self.configure(Settings(tools=tuple(tools)))

    async def clear_tools(self) -> None:
        await self.configure(Settings(tools=()))

    async def set_model(self, model: str) -> None:
        await self.configure(Settings(fields={"model": model}))

    async def configure(self, changes: Settings) -> None:
        """Change several settings at once."""
        await (await self._live()).perform(inputs.Configure(changes))

    async def compact(self, *, focus: str = "") -> CompactResult:
        return await (await self._live()).compact(focus)

    async def pin(self, message: str | Message) -> None:
        await (await self._live()).pin(id_of(message), kept=True)

    async def unpin(self, message: str | Message) -> None:
        await (await self._live()).pin(id_of(message), kept=False)

    async def shutdown(self, *, graceful: bool = True) -> None:
        shell = await self._live()
        await shell.perform(inputs.Shutdown("finish" if graceful else "cancel"))
        await shell.wait_closed()
        self._host.release(self.id)
