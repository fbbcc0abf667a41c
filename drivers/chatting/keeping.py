"""The slash commands about what the model keeps: /compact, and pins, which no compaction changes.

The rule here: a message is named by the number behind its session's name in its id, as `/history ids` lists it.
"""

from collections.abc import Sequence

from agent_core.errors import ConfigError
from agent_core.messages import Message
from agent_core.session_protocol import Session
from drivers.chatting.command import Chat, session_of
from drivers.chatting.compactions import result_text
from drivers.chatting.pieces import Listed, Noted, content_text

SHOWN_CHARACTERS = 56
_NEWEST = {"last": "user", "answer": "assistant"}


async def compact(chat: Chat, focus: str) -> None:
    """Compact now, and say what came of it. Cancelled, it leaves the compaction to the background."""
    session = session_of(chat)
    chat.compactions.asked += 1
    try:
        result = await session.compact(focus=focus)
        chat.compactions.told(result)
    finally:
        chat.compactions.asked -= 1
    chat.show([Noted(result_text(result), "good" if result.compacted else "info")])


async def pin(chat: Chat, which: str) -> None:
    """Pin a message. Raises ConfigError for a name that is none, SessionError for a message that is not there."""
    session = session_of(chat)
    message_id = await _named(session, which or "last")
    await session.pin(message_id)
    found = [message for message in await session.history(full=True) if message.id == message_id]
    what = f" ({_beginning(found[0])})" if found else ""
    chat.show([Noted(f"{number_of(message_id)} is kept word for word{what}", "good")])


async def unpin(chat: Chat, which: str) -> None:
    """Pin a message, or all of them, no longer."""
    session = session_of(chat)
    pinned = (await session.status()).pinned
    if which == "all":
        going: Sequence[str] = pinned
    elif which:
        going = [await _named(session, which)]
    else:
        going = pinned[-1:]
    left = [message_id for message_id in going if message_id in pinned]
    for message_id in left:
        await session.unpin(message_id)
    said = f"no longer pinned: {', '.join(map(number_of, left))}" if left else "that is not pinned; /pins lists what is"
    chat.show([Noted(said, "good" if left else "info")])


async def pins(chat: Chat, _: str) -> None:
    """List what is pinned."""
    session = session_of(chat)
    pinned = set((await session.status()).pinned)
    rows = listed([message for message in await session.history(full=True) if message.id in pinned])
    chat.show([Listed("Pinned", rows)] if rows else [Noted("nothing is pinned; /pin last keeps your last message")])


def listed(messages: Sequence[Message], pinned: Sequence[str] = ()) -> tuple[tuple[str, str], ...]:
    """Messages as rows: number, who, how they begin. Pinned ones are marked."""
    return tuple(
        (number_of(message.id), f"{'pinned  ' if message.id in pinned else ''}{_beginning(message)}")
        for message in messages
        if message.content and not (message.kind == "user" and message.marker)
    )


def number_of(message_id: str) -> str:
    """What a message is called in the chat."""
    return f"#{message_id.rpartition('/')[2]}"


async def _named(session: Session, which: str) -> str:
    if which in _NEWEST:
        history = reversed(await session.history(full=True))
        found = next((message.id for message in history if message.kind == _NEWEST[which] and _is_said(message)), None)
        if found is None:
            raise ConfigError("nothing has been said yet")
        return found
    number = which.removeprefix("#")
    if number.isdecimal():
        return f"{session.id}/{number}"
    if which.startswith(f"{session.id}/"):
        return which
    raise ConfigError(f"A message is last, answer or a number of /history ids, not '{which}'.")


def _is_said(message: Message) -> bool:
    """Whether these are somebody's words, and not results of calls alone."""
    return any(block.kind in ("text", "image") for block in message.content)


def _beginning(message: Message) -> str:
    words = " ".join(content_text(message.content).split())
    if not words:
        kinds = sorted({block.kind.replace("_", " ") for block in message.content})
        words = f"({', '.join(kinds)})"
    who = "you" if message.kind == "user" else "model"
    return f"{who}: {words if len(words) <= SHOWN_CHARACTERS else words[: SHOWN_CHARACTERS - 1] + '…'}"
