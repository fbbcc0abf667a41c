"""What a client may ask of a session, by name: the actor's side of `SessionHandle`.

The rule here: an operation activates the session if it is not active, unless another owner has it by now: only `open`
takes it back, and `watch` wants nothing of it. It returns what pickles fast: JSON of pydantic values, numbers and
strings. Whatever would do harm if it were done twice bears an idempotency key. The `origin` of a message is that key
and the `traceparent` of its sender.
"""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from actors.channel import Channel, Reader
from agent_core import inputs
from agent_core.cursor import Cursor
from agent_core.entries import Opened, Settings
from agent_core.errors import SessionError
from agent_core.hosting import SessionHost
from agent_core.local_session import LocalSession
from agent_core.messages import Message, SessionId, TurnId
from agent_core.opening import check_history, deleted_error, settings_between
from agent_core.payloads import InterruptMode, ToLLMPayload, When
from agent_core.providers.preloading import preload
from agent_core.session import PUT_AWAY, Shell
from agent_core.tools.definition import ToolDefinition

PAYLOAD_IN: TypeAdapter[ToLLMPayload] = TypeAdapter(ToLLMPayload)
MESSAGES: TypeAdapter[tuple[Message, ...]] = TypeAdapter(tuple[Message, ...])
TOOLS: TypeAdapter[tuple[ToolDefinition, ...]] = TypeAdapter(tuple[ToolDefinition, ...])
RECALL = "recall"
CONFIG_AND_TOOLS = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Context:
    """Who asks: the client's channel and the number of its request.

    `keep` has something done beside, `recall` brings back a session that was sent elsewhere.
    """

    host: SessionHost
    channel: Channel
    number: int
    recall: Callable[[SessionId, str], None]
    keep: Callable[[Coroutine[Any, Any, Any]], None]


async def _open(context: Context, session_id: SessionId, opened: bytes | None, given: Sequence[str]) -> None:
    wanted = Opened.model_validate_json(opened) if opened is not None else None
    shell = await context.host.open(session_id, wanted, reopen=True)
    conversation = shell.conversation
    context.keep(preload(conversation.config))
    if wanted is not None:
        check_history(wanted, conversation)
        tools = tuple(conversation.tools.values())
        changes = settings_between(wanted, given, conversation.config, tools)
        if changes is not None:
            await shell.perform(inputs.Configure(changes))


async def _submit(context: Context, session_id: SessionId, payload: bytes, when: When, *origin: str | None) -> str:
    shell = await _live(context, session_id)
    return await shell.submit(inputs.Submit(PAYLOAD_IN.validate_json(payload), when, *origin))


async def _send(context: Context, session_id: SessionId, payload: bytes, when: When, *origin: str | None) -> str:
    shell = await _live(context, session_id)
    given = inputs.Submit(PAYLOAD_IN.validate_json(payload), when, *origin)
    begin = Cursor() if shell.is_repeat(given) else shell.stream.cursor
    turn_id = await shell.accept(given)
    reader = Reader(context.channel, context.number, shell, turn_id)
    if begin == shell.stream.cursor:
        reader.follow()
    else:
        # Events of the turn may have passed: it waited for room, or it was accepted before.
        reader.resume(begin, lambda seq: context.host.ports.journal.read(session_id, seq))
    await shell.settled()
    return turn_id


async def _follow(context: Context, session_id: SessionId, after: Cursor | None, turn_id: TurnId | None) -> Cursor:
    shell = await _live(context, session_id)
    cursor = shell.stream.cursor
    reader = Reader(context.channel, context.number, shell, turn_id)
    if after is None:
        reader.follow()
    else:
        reader.resume(Cursor(*after), lambda seq: context.host.ports.journal.read(session_id, seq))
    return cursor


async def _watch(context: Context, session_id: SessionId, records: int) -> int:
    """Read as an onlooker, from so many records before the newest one on; returns after which one that is.

    It wants nothing of the session: one that is not active here is not activated.
    """
    shell = context.host.find(session_id)
    if shell is None or shell.lost is not None:
        raise SessionError(f"Session '{session_id}' is at rest. Whoever sends it a message wakes it.", PUT_AWAY)
    after = Cursor(max(0, shell.stream.cursor.seq - records), shell.epoch)
    reader = Reader(context.channel, context.number, shell)
    reader.resume(after, lambda seq: context.host.ports.journal.read(session_id, seq), onlooker=True)
    return after.seq


async def _leave(context: Context, session_id: SessionId, number: int) -> None:
    del session_id
    reader = context.channel.readers.get(number)
    if reader is not None:
        reader.leave()


async def _ask(context: Context, session_id: SessionId, payload: bytes, when: When, *origin: str | None) -> bytes:
    shell = await _live(context, session_id)
    turn_id = await shell.submit(inputs.Submit(PAYLOAD_IN.validate_json(payload), when, *origin))
    return (await shell.result(turn_id)).model_dump_json().encode()


async def _interrupt(context: Context, session_id: SessionId, mode: InterruptMode, key: str) -> bool:
    shell = await _live(context, session_id)
    return (await shell.perform(inputs.Interrupt(mode, key))).turn_id is not None


async def _retry(context: Context, session_id: SessionId, *origin: str | None) -> str:
    shell = await _live(context, session_id)
    return (await shell.perform(inputs.Retry(*origin))).turn_id or ""


async def _status(context: Context, session_id: SessionId) -> bytes:
    return (await _live(context, session_id)).status().model_dump_json().encode()


async def _history(context: Context, session_id: SessionId, full: bool) -> bytes:  # noqa: FBT001 - from the wire
    messages = await (await _session(context, session_id)).history(full=full)
    return MESSAGES.dump_json(tuple(messages), exclude_none=True)


async def _settings(context: Context, session_id: SessionId) -> CONFIG_AND_TOOLS:
    conversation = (await _live(context, session_id)).conversation
    return conversation.config.model_dump_json().encode(), TOOLS.dump_json(tuple(conversation.tools.values()))


async def _configure(context: Context, session_id: SessionId, changes: bytes) -> None:
    await (await _session(context, session_id)).configure(Settings.model_validate_json(changes))


async def _clear(context: Context, session_id: SessionId, key: str) -> None:
    shell = await _live(context, session_id)
    await shell.perform(inputs.Clear(key))


async def _compact(context: Context, session_id: SessionId, focus: str) -> bytes:
    return (await (await _live(context, session_id)).compact(focus)).model_dump_json().encode()


async def _pin(context: Context, session_id: SessionId, message_id: str, kept: bool) -> None:  # noqa: FBT001 - as above
    await (await _live(context, session_id)).pin(message_id, kept=kept)


async def _shutdown(context: Context, session_id: SessionId, graceful: bool) -> None:  # noqa: FBT001 - from the wire
    await (await _session(context, session_id)).shutdown(graceful=graceful)


async def _evict(context: Context, session_id: SessionId) -> None:
    context.host.evict(session_id, deleted_error(session_id))


async def _recall(context: Context, session_id: SessionId, gone: str) -> None:
    """The actor that this one sent the session's client to is no more: what follows is answered here."""
    context.recall(session_id, gone)


async def _live(context: Context, session_id: SessionId) -> Shell:
    context.host.check_owned(session_id)
    return await context.host.open(session_id)


async def _session(context: Context, session_id: SessionId) -> LocalSession:
    return LocalSession(await _live(context, session_id), context.host)


OPERATIONS: dict[str, Callable[..., Awaitable[Any]]] = {
    "open": _open,
    "submit": _submit,
    "send": _send,
    "follow": _follow,
    "watch": _watch,
    "leave": _leave,
    "ask": _ask,
    "interrupt": _interrupt,
    "retry": _retry,
    "status": _status,
    "history": _history,
    "settings": _settings,
    "configure": _configure,
    "clear": _clear,
    "compact": _compact,
    "pin": _pin,
    "shutdown": _shutdown,
    "evict": _evict,
    RECALL: _recall,
}
