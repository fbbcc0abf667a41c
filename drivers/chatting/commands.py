"""Slash commands: what each is called, what it does to the session, and what it says.

The rule here: a command only calls the session and shows pieces; a refusal is the session's own error, shown as it is.
"""

import difflib
from typing import cast

from agent_core.content import ThinkingBlock
from agent_core.errors import ConfigError
from agent_core.payloads import When
from agent_core.status import SessionStatus
from drivers.chatting import compactions, keeping
from drivers.chatting.command import Chat, Command, session_of
from drivers.chatting.figures import count
from drivers.chatting.pieces import Listed, Noted, Thought, clean, pieces_of

_WHEN: dict[str, str] = {
    "after": "messages wait for the end of the open turn",
    "next_step": "messages steer the open turn at its next model call",
    "interrupt": "messages end the open turn and go first",
}


def suggestions(text: str) -> list[tuple[str, str]]:
    """The commands that begin with `text`, each with what it does."""
    return [(command.usage, command.about) for command in COMMANDS.values() if command.name.startswith(text)]


def command_of(line: str) -> tuple[Command, str]:
    """The command that a line names, and its argument. Raises ConfigError for an unknown one."""
    name, _, argument = line.strip().partition(" ")
    if name in COMMANDS:
        return COMMANDS[name], argument.strip()
    begun = [command for command in COMMANDS.values() if len(name) > 1 and command.name.startswith(name)]
    if len(begun) == 1:
        return begun[0], argument.strip()
    close = difflib.get_close_matches(name, COMMANDS, n=1)
    meant = f" Did you mean {close[0]}?" if close else " /help lists the commands."
    raise ConfigError(f"There is no command {name}.{meant} A message that begins with a slash wants a space before it.")


async def _status(chat: Chat, _: str) -> None:
    status = await session_of(chat).status()
    chat.show([Listed("Session", (*status_rows(status), *chat.place))])


def status_rows(status: SessionStatus) -> tuple[tuple[str, str], ...]:
    """A status in words."""
    total, last = status.usage.total, status.usage.last
    cached = f", {count(total.cache_read_tokens)} of it from the cache" if total.cache_read_tokens else ""
    tokens_in = total.input_tokens + total.cache_read_tokens + total.cache_write_tokens
    last_in = last.input_tokens + last.cache_read_tokens + last.cache_write_tokens
    rows = [
        ("id", status.session_id),
        ("model", status.model),
        ("state", status.state.replace("_", " ") + (f", {status.queued} waiting" if status.queued else "")),
        ("messages", str(status.messages)),
        ("context", f"{status.context_used:,} of {status.context_limit:,} tokens ({status.utilization:.1f} %)"),
        ("tokens", f"{tokens_in:,} in{cached}, {total.output_tokens:,} out, in {status.usage.request_count} requests"),
        ("last request", f"{last_in:,} in, {last.output_tokens:,} out"),
    ]
    rows += compactions.status_rows(status)
    if status.pinned:
        rows.append(("pinned", ", ".join(map(keeping.number_of, status.pinned))))
    if place := " ".join(part for part in (status.actor, status.node) if part):
        rows.append(("place", place))
    return tuple(rows)


async def _model(chat: Chat, model: str) -> None:
    session = session_of(chat)
    if model:
        chat.check_model(model)
        await session.set_model(model)
        chat.show([Noted(f"{model} answers from the next request on", "good")])
    else:
        chat.show([Noted(f"the model is {(await session.status()).model}; /model provider/name changes it")])


async def _history(chat: Chat, argument: str) -> None:
    if argument not in ("", "full", "ids"):
        raise ConfigError(f"/history takes nothing, full or ids, not '{argument}'.")
    session = session_of(chat)
    messages = await session.history(full=argument != "")
    if argument == "ids" and messages:
        chat.show([Listed("Messages", keeping.listed(messages, (await session.status()).pinned))])
        return
    what = "everything that was said" if argument else "what the model sees"
    end = Noted(f"end of the history: {what}, {len(messages)} messages")
    chat.show([*pieces_of(messages), end] if messages else [Noted("nothing has been said yet")])


async def _interrupt(chat: Chat, _: str) -> None:
    if not await chat.interrupt():
        chat.show([Noted("no turn is open")])


async def _clear(chat: Chat, _: str) -> None:
    # The session says that it is empty by an event, to every reader.
    await session_of(chat).clear()


async def _system(chat: Chat, text: str) -> None:
    session = session_of(chat)
    if text == "none":
        await session.clear_system_prompt()
        chat.show([Noted("there is no system prompt from the next request on", "good")])
    elif text:
        await session.set_system_prompt(text)
        chat.show([Noted("the system prompt holds from the next request on", "good")])
    else:
        prompt = await session.system_prompt()
        chat.show([Listed("System prompt", (("", clean(prompt)),)) if prompt else Noted("there is no system prompt")])


async def _tools(chat: Chat, _: str) -> None:
    tools = await session_of(chat).tools()
    if not tools:
        chat.show([Noted("the model has no tools; start the chat with --tools module:name")])
        return
    rows = tuple(
        (tool.name, (tool.description.strip().partition("\n")[0] or "-") + (" (external)" if tool.external else ""))
        for tool in tools
    )
    chat.show([Listed("Tools", rows)])


async def _retry(chat: Chat, _: str) -> None:
    await session_of(chat).retry()


async def _when(chat: Chat, argument: str) -> None:
    if argument and argument not in _WHEN:
        raise ConfigError(f"/when takes {', '.join(_WHEN)}, not '{argument}'.")
    if argument:
        chat.when = cast("When", argument)
    chat.show([Noted(f"{chat.when}: {_WHEN[chat.when]}; a line that begins with ! always steers")])


async def _thinking(chat: Chat, _: str) -> None:
    thoughts = [
        Thought(clean(block.thinking).strip())
        for message in await session_of(chat).history(full=True)
        if message.kind == "assistant"
        for block in message.content
        if isinstance(block, ThinkingBlock) and block.thinking.strip()
    ]
    if thoughts:
        chat.show(thoughts[-1:], whole=True)
    else:
        chat.show([Noted("the model has shown no thinking")])


async def _help(chat: Chat, _: str) -> None:
    rows = tuple((command.usage, command.about) for command in COMMANDS.values())
    keys = (
        ("Alt-Enter, \\ Enter", "a new line; pasted lines stay lines"),
        ("Ctrl-C", "interrupt the turn, or the wait for /compact; twice leaves"),
        ("Ctrl-D", "leave"),
        ("! message", "steer the open turn at its next model call"),
        ("Up, Tab", "earlier messages; write a command out"),
    )
    chat.show([Listed("Commands", rows), Listed("Keys", keys)])


async def _quit(chat: Chat, _: str) -> None:
    chat.leave()


COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (
        Command("/status", "the session, its tokens and where it runs", _status),
        Command("/model [provider/name]", "show the model, or change it", _model),
        Command("/history [full|ids]", "what the model sees, all, or its numbers", _history),
        Command("/thinking", "the model's last thinking, whole", _thinking),
        Command("/interrupt", "end the open turn, keeping what it has", _interrupt, at_once=True),
        Command("/retry", "try the failed turn again", _retry),
        Command("/compact [focus]", "summarise now; focus says what matters most", keeping.compact, beside=True),
        Command("/pin [last|answer|number]", "keep a message word for word", keeping.pin),
        Command("/unpin [last|answer|number|all]", "keep it (or the newest pin) no longer", keeping.unpin),
        Command("/pins", "what is pinned", keeping.pins),
        Command("/clear", "empty the conversation", _clear),
        Command("/system [text|none]", "show, set or remove the system prompt", _system),
        Command("/tools", "what the model may call", _tools),
        Command("/when [after|next_step|interrupt]", "what a message does while a turn is open", _when, at_once=True),
        Command("/help", "this list", _help, at_once=True),
        Command("/quit", "leave", _quit, at_once=True),
    )
}
