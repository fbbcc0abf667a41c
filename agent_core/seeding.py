"""What was said before a session was opened: checked, made regular, and given its place in the session.

The rule here: a session begins with a history only if it could have had it. So every request that follows is valid on
every wire, whatever model is asked, and compaction finds turns, calls and results where it looks for them.

    a history begins with the user's words, and a message of the user's says something
    an answer follows the user, or an answer that only paused; one that says nothing is left out
    each call of an answer has one result right behind it, and no result is without a call; those of one answer become
    one message, in the order of the calls
    what the user said beside results is a message of its own behind them
    ids of calls are unique: one that comes again is numbered
    a turn begins where the user speaks behind an answer, or where the turn's id changes; turns are called u1, u2, ...
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from agent_core.content import ImageBlock, TextBlock, ToolResultBlock, ToolUseBlock, UserBlock
from agent_core.errors import ConfigError
from agent_core.messages import AssistantMessage, Message, SessionId, TurnId, Usage, UserMessage

_MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)
_HISTORY: TypeAdapter[tuple[Message, ...]] = TypeAdapter(tuple[Message, ...])
_TIMES = {"__all__": {"created_at", "completed_at"}}


def regular(given: Sequence[Message]) -> tuple[Message, ...]:
    """The messages as a session can begin with them: numbered, in turns of their own, of no session yet.

    What they cost was paid elsewhere, so their usage is left out. Made regular once more they stay as they are. Raises
    ConfigError that names the message (from 1, as given) and what is wrong with it.
    """
    walk = _Walk()
    for number, message in enumerate(given, start=1):
        walk.take(number, _kept(number, message))
    walk.end()
    return tuple(walk.said)


def placed(history: Iterable[Message], session_id: SessionId, prefix: str) -> Iterator[Message]:
    """A regular history as the session's own messages, with ids that begin with `prefix`."""
    parent: str | None = None
    for message in history:
        own = f"{prefix}.{message.id}"
        yield message.model_copy(update={"id": own, "session_id": session_id, "parent_id": parent})
        parent = own


def calls_of(message: Message) -> list[str]:
    """The ids of the calls that a message makes."""
    return [block.id for block in message.content if isinstance(block, ToolUseBlock)]


def digest_of_history(history: Sequence[Message]) -> str:
    """What tells one regular history from another, whenever it was said; empty for none."""
    if not history:
        return ""
    data = _HISTORY.dump_json(tuple(history), exclude=_TIMES, exclude_none=True)
    return hashlib.blake2b(data, digest_size=12).hexdigest()


def _kept(number: int, message: object) -> Message:
    """The message as a journal keeps it, so that it is the same when it is read again."""
    if not isinstance(message, UserMessage | AssistantMessage):
        kind = type(message).__name__
        raise _wrong(number, f"is of type {kind}. Give a UserMessage or an AssistantMessage")
    try:
        return _MESSAGE.validate_json(_MESSAGE.dump_json(message))
    except (PydanticSerializationError, ValidationError):
        raise _wrong(
            number,
            "cannot be written as JSON and read again: half a character (a lone surrogate), an input nested too deeply"
            " or a value of another type. Mend it",
        ) from None


class _Walk:
    """One pass over the messages. `said` is what has come of it so far."""

    def __init__(self) -> None:
        self.said: list[Message] = []
        self._number = 0
        self._turns = 0
        self._turn = ""
        self._taken: set[str] = set()
        self._waiting: dict[str, str] = {}
        """The calls of the newest answer: their ids as given, and as they are kept."""
        self._results: dict[str, ToolResultBlock] = {}
        """Those of their results that have come, by the ids as given."""

    def take(self, number: int, message: Message) -> None:
        """Take the next message. Raises ConfigError if it cannot follow."""
        if isinstance(message, AssistantMessage):
            self._answer(number, message)
        else:
            self._user(number, message)

    def end(self) -> None:
        """No message follows. Raises ConfigError for a call without its result."""
        if call := self._unanswered:
            raise _wrong(self._number, f"makes call {call}, whose result is missing. Add it, or take the call out")

    @property
    def _unanswered(self) -> str:
        """A call of the newest answer that has no result yet, quoted; empty if there is none."""
        return next((repr(call) for call in self._waiting if call not in self._results), "")

    def _answer(self, number: int, message: AssistantMessage) -> None:
        if not self.said:
            raise _wrong(number, "is an answer to nothing. Begin with what the user said")
        if call := self._unanswered:
            raise _wrong(number, f"follows before call {call} has its result. Put the results between")
        if not message.content:
            return
        before = self.said[-1]
        if isinstance(before, AssistantMessage) and before.finish_reason != "pause_turn":
            raise _wrong(number, "is a second answer. Put what the user said between, or make one answer of the two")
        calls = calls_of(message)
        if twice := sorted({call for call in calls if calls.count(call) > 1}):
            raise _wrong(number, f"makes two calls with the id '{twice[0]}'. Give each an id of its own")
        self._number, self._waiting = number, {call: self._unique(call) for call in calls}
        content = tuple(
            block.model_copy(update={"id": self._waiting[block.id]}) if isinstance(block, ToolUseBlock) else block
            for block in message.content
        )
        self._say(message.model_copy(update={"content": content, "usage": Usage()}))

    def _unique(self, call: str) -> str:
        unique, number = call or "call", 2
        while unique in self._taken:
            unique, number = f"{call or 'call'}_{number}", number + 1
        self._taken.add(unique)
        return unique

    def _user(self, number: int, message: UserMessage) -> None:
        results = [block for block in message.content if isinstance(block, ToolResultBlock)]
        words = tuple(block for block in message.content if not isinstance(block, ToolResultBlock))
        if any(isinstance(block, ImageBlock) and not (block.data or block.url) for block in words):
            raise _wrong(number, "holds an image with neither data nor url. Give one of them")
        says = any(not isinstance(block, TextBlock) or block.text.strip() for block in words)
        if not says and not results:
            raise _wrong(number, "is empty. Say something in it, or take it out")
        for result in results:
            self._settle(number, result)
        if call := self._unanswered:
            if says:
                raise _wrong(number, f"follows before call {call} has its result. Put the results between")
            return
        if results:
            self._said_by_user(message, tuple(self._results[call] for call in self._waiting))
        elif not self.said or isinstance(self.said[-1], AssistantMessage) or message.turn_id != self._turn:
            self._turns += 1
        self._waiting, self._results, self._turn = {}, {}, message.turn_id
        if says:
            self._said_by_user(message, words)

    def _settle(self, number: int, result: ToolResultBlock) -> None:
        call = result.tool_use_id
        if call not in self._waiting:
            raise _wrong(number, f"holds a result of '{call}', which the answer before it does not call. Take it out")
        if call in self._results:
            raise _wrong(number, f"holds a second result of '{call}'. Keep one")
        self._results[call] = result.model_copy(update={"tool_use_id": self._waiting[call]})

    def _said_by_user(self, message: UserMessage, content: tuple[UserBlock, ...]) -> None:
        self._say(message.model_copy(update={"content": content}))

    def _say(self, message: Message) -> None:
        update = {
            "id": str(len(self.said) + 1),
            "session_id": SessionId(""),
            "turn_id": TurnId(f"u{self._turns}"),
            "parent_id": None,
        }
        self.said.append(message.model_copy(update=update))


def _wrong(number: int, what: str) -> ConfigError:
    return ConfigError(f"history: message {number} {what}.", "history")
