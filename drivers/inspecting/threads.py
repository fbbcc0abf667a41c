"""Threads: a conversation of Inspect's on a session of ours.

Inspect hands its model the whole list of messages each time; a session holds the conversation itself. So a thread
knows what its session was told, and sends only what has been added since.

The rule here: what the model is asked is what Inspect would have asked. A thread takes a list of messages that begins
with all that it holds and goes on with what may follow there, and nothing else. The answers are read from the
session's own facts, in order from its beginning: so a thread that is made again on the same session, after its process
was lost, gets the answers that were given, and no request is made twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from inspect_ai.model import ChatMessage, ChatMessageAssistant, ChatMessageSystem, ChatMessageTool, ChatMessageUser

from agent_core.config import SessionConfig
from agent_core.content import InputBlock
from agent_core.cursor import Cursor
from agent_core.entries import Accepted, Complete, Opened, Settings, ToolBatch, TurnEnded
from agent_core.errors import SessionError
from agent_core.messages import AssistantMessage, Message
from agent_core.payloads import ToolResults, UserInput
from agent_core.session_protocol import Session
from agent_core.submission import TurnResult, error_of
from agent_core.submission import answer_of as raise_for
from agent_core.tools.definition import ToolDefinition
from drivers.inspecting.messages import Key, answer_of, blocks_of, chat_of, history_of, key_of, result_of

# Turns that end so have an answer all the same, and Inspect is told how it ended.
_ANSWERED = frozenset({"completed", "max_tokens", "refused", "context_exceeded"})
# Set by what a request says itself, each time.
_OWN = frozenset({"tool_choice", "system_prompt"})
GO_ON = "Go on."
"""What a session is told that takes up a conversation behind results of tools, since only words begin a turn."""


class Diverged(Exception):
    """The session was told something else when this was run before: it has no answer to what is asked now."""


class Configurable(Protocol):
    """A session whose settings can all be changed. Those of this process and those on a cluster are."""

    async def configure(self, changes: Settings) -> None: ...


@dataclass(frozen=True, slots=True)
class Wish:
    """How a request is to be made: `fields` of SessionConfig, the tools, and which of them is forced."""

    fields: dict[str, Any] = field(default_factory=dict)
    tools: tuple[ToolDefinition, ...] = ()
    choice: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the model: as Inspect has it, and as the session has it."""

    said: ChatMessageAssistant
    message: AssistantMessage


def spoken(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """The messages that belong to a conversation: all but the system's, which are a setting of the session."""
    return [message for message in messages if not isinstance(message, ChatMessageSystem)]


def system_of(messages: Sequence[ChatMessage]) -> str | None:
    """What the system messages say, wherever they stand; None for none."""
    return "\n\n".join(message.text for message in messages if isinstance(message, ChatMessageSystem)) or None


def _keys(history: Sequence[Message]) -> list[Key]:
    return [key_of(message) for message in chat_of(history)]


class Thread:
    """One session and what it holds. `history` is what it was opened with; one request at a time is under way."""

    def __init__(self, session: Session, history: Sequence[ChatMessage] = ()) -> None:
        self.session = session
        self._history = history_of(history)
        self._held: list[Key] = [key_of(message) for message in spoken(history)]
        self._words: tuple[InputBlock, ...] = ()
        self._events = session.events(Cursor())
        self._opened: SessionConfig | None = None
        self._open: tuple[str, ...] = ()
        self._told: dict[str, Any] = {}
        self._tools: tuple[ToolDefinition, ...] | None = None
        self._system = False
        self.busy = False
        self.lost = False

    @property
    def length(self) -> int:
        """How many messages it holds."""
        return len(self._held)

    def takes(self, messages: Sequence[ChatMessage]) -> bool:
        """Whether these messages, all that Inspect has, can go on from what is held."""
        if self.busy or self.lost:
            return False
        said = spoken(messages)
        held, added = self.length, said[self.length :]
        if not added or [key_of(message) for message in said[:held]] != self._held:
            return False
        answered = tuple(message.tool_call_id for message in added if isinstance(message, ChatMessageTool))
        words = added[len(answered) :]
        return sorted(answered, key=str) == sorted(self._open) and all(
            isinstance(message, ChatMessageUser) for message in words
        )

    async def ask(self, messages: Sequence[ChatMessage], wish: Wish) -> Answer:
        """Tell the session what has been added, and wait for the answer.

        Raises ProviderError where the model failed, SessionError where the turn was interrupted, Diverged.
        """
        self.busy = True
        try:
            said = spoken(messages)
            await self._configure(wish, system_of(messages))
            await self._tell(said[self.length :])
            answer = await self._answer()
        except BaseException:
            # What the session goes on to say would be taken for the answer to the next question.
            self.lost = True
            raise
        finally:
            self.busy = False
        self._held = [key_of(message) for message in (*said, answer.said)]
        return answer

    async def finish(self, messages: Sequence[ChatMessage]) -> None:
        """Nothing more will be asked: give open calls the results that Inspect has for them, and end the turn."""
        calls, self._open = set(self._open), ()
        results = tuple(
            result_of(message)
            for message in messages
            if isinstance(message, ChatMessageTool) and message.tool_call_id in calls
        )
        if results and not self.lost:
            await self.session.submit(ToolResults(results=results, ends_turn=True))

    async def close(self) -> None:
        """Stop reading."""
        close = getattr(self._events, "aclose", None)
        if close is not None:
            await close()

    async def _configure(self, wish: Wish, system: str | None) -> None:
        opened = await self._begun()
        fields = dict(wish.fields)
        if "extra" in fields:
            fields["extra"] = {**opened.extra, **fields["extra"]}
        # What was set for one request holds for no other.
        fields = {name: getattr(opened, name) for name in self._told if name not in _OWN} | fields
        # Inside of a turn a forced tool is forced no more, on either side.
        if not self._open:
            fields["tool_choice"] = wish.choice
        if system is not None or self._system:
            fields["system_prompt"], self._system = system, True
        changed = {name: value for name, value in fields.items() if self._told.get(name) != value}
        tools = wish.tools if wish.tools != (self._tools or ()) else None
        if changed or tools is not None:
            await cast("Configurable", self.session).configure(Settings(fields=changed, tools=tools))
        self._told |= fields
        self._tools = wish.tools if tools is not None else self._tools

    async def _begun(self) -> SessionConfig:
        """How the session was opened: the first of its facts. Raises Diverged if it began with another history."""
        while self._opened is None:
            event = await anext(self._events, None)
            if event is None:
                raise SessionError("The session was shut down before anything was said. Open it again.", "closed")
            if isinstance(event.payload, Opened):
                self._opened = event.payload.config
                if _keys(event.payload.history) != _keys(self._history):
                    raise Diverged
        return self._opened

    async def _tell(self, added: Sequence[ChatMessage]) -> None:
        results = tuple(result_of(message) for message in added if isinstance(message, ChatMessageTool))
        words = tuple(
            block
            for message in added
            if not isinstance(message, ChatMessageTool)
            for block in blocks_of(message.content)
        )
        self._words = words
        if words:
            # Beside results it waits for them, and goes to the model together with them.
            await self.session.submit(UserInput(content=words), when="next_step" if results else "after")
        if results:
            await self.session.submit(ToolResults(results=results))

    async def _answer(self) -> Answer:
        """The next answer that is Inspect's to go on from.

        Calls that no tool could take (an unknown name, an input that is no JSON) the session answers itself.
        """
        message: AssistantMessage | None = None
        async for event in self._events:
            match event.payload:
                case Accepted(payload=UserInput(content=content)) if content != self._words:
                    raise Diverged
                case Complete() as complete:
                    message = complete.message
                case ToolBatch() as batch if message is not None:
                    self._open = tuple(call.id for call in batch.calls if call.external)
                    if self._open:
                        return Answer(answer_of(message, self._open), message)
                case TurnEnded() as ended if message is not None and ended.outcome in _ANSWERED:
                    self._open = ()
                    return Answer(answer_of(message, ()), message)
                case TurnEnded(outcome="failed", error=error):
                    raise error_of(error)
                case TurnEnded(outcome=outcome, turn_id=turn):
                    raise_for(TurnResult(turn_id=turn, outcome=outcome, text=""))
                case _:
                    pass
        raise SessionError("The session was shut down before the model had answered. Open it again.", "closed")
