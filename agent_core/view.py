"""The view: what the model is shown of the history, kept up to date as messages and overlays come.

The rule here: appending is O(1); what takes something away (an overlay, a removed turn, a clear) builds anew what is
not summarised, however long the history before it is. A message that no overlay touches is the very object of the
history, and no message is ever changed.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from agent_core.compaction.lead import lead_message
from agent_core.content import ThinkingBlock, ToolResultBlock, UserBlock
from agent_core.frozen import Frozen
from agent_core.messages import AssistantMessage, Message, SessionId, TurnId, UserMessage
from agent_core.overlays import Dropped, Overlay, ShortenedResult, Summary
from agent_core.tokens import estimate_message


@dataclass(frozen=True, slots=True)
class _Layer:
    """What stands before the messages that are shown: everything before index `start` is covered by `summary`.

    Before index `bare` messages are shown without their thinking, which belongs to what it followed.
    """

    start: int
    bare: int = 0
    summary: Summary | None = None
    repeated: Message | None = None


class ViewState(Frozen):
    """A view as a value, for the end of a history: indexes count from there."""

    start: int
    bare: int
    summary: Summary | None
    repeated: Message | None
    shortened: tuple[ShortenedResult, ...]
    dropped: tuple[str, ...]
    hidden: tuple[TurnId, ...]
    pinned: tuple[Message, ...]


@dataclass(slots=True)
class _Marks:
    """What is said of single messages and turns."""

    shortened: dict[str, ShortenedResult] = field(default_factory=dict[str, ShortenedResult])
    dropped: frozenset[str] = frozenset()
    hidden: frozenset[TurnId] = frozenset()
    pinned: dict[str, Message] = field(default_factory=dict[str, Message])


class View:
    """The messages that are shown, in order."""

    __slots__ = ("_layers", "_marks", "_session_id", "front", "shown")

    def __init__(self, session_id: SessionId) -> None:
        self._session_id = session_id
        self.shown: list[Message] = []
        self.front = 0
        """How many of the messages shown stand for what was taken away: a summary, pins, the user's last words."""
        self._layers = [_Layer(0)]
        self._marks = _Marks()

    # --- what is said of the history --------------------------------------------------------------------------------

    def append(self, message: Message) -> None:
        """Show one more message. An answer without content has no place in a request and is left out."""
        if message.content:
            self.shown.append(message)

    def lay(self, overlays: Iterable[Overlay], messages: Sequence[Message]) -> None:
        """Lay overlays over the history."""
        for overlay in overlays:
            match overlay:
                case ShortenedResult():
                    self._marks.shortened[overlay.tool_use_id] = overlay
                case Dropped():
                    self._marks.dropped |= set(overlay.message_ids)
                case Summary():
                    self._summarise(overlay, messages)
                case _:
                    assert_never(overlay)
        self._rebuild(messages)

    def _summarise(self, summary: Summary, messages: Sequence[Message]) -> None:
        start = self._index(summary.through, messages) + 1
        # The user's last words may stand from the summary before this one.
        repeated = self._layers[-1].repeated
        if summary.repeated is None:
            repeated = None
        elif repeated is None or repeated.id != summary.repeated:
            repeated = messages[self._index(summary.repeated, messages)]
        self._layers.append(_Layer(start, len(messages), summary, repeated))

    def with_summary(self, summary: Summary, messages: Sequence[Message]) -> "View":
        """What would be shown with this summary in place; for reading only."""
        other = View(self._session_id)
        other._layers, other._marks, other.shown = [self._layers[-1]], self._marks, self.shown
        other._summarise(summary, messages)
        other._rebuild(messages)
        return other

    def hide_turn(self, turn_id: TurnId, messages: Sequence[Message]) -> None:
        """Show the newest turn's messages no more, nor a summary that tells of them: the one before it holds again."""
        self._marks.hidden |= {turn_id}
        while len(self._layers) > 1 and messages[self._layers[-1].start - 1].turn_id == turn_id:
            self._layers.pop()
        self._rebuild(messages)

    def show_turn(self, turn_id: TurnId, messages: Sequence[Message]) -> None:
        """Show a hidden turn's messages again."""
        if turn_id in self._marks.hidden:
            self._marks.hidden -= {turn_id}
            self._rebuild(messages)

    def pin(self, message: Message, messages: Sequence[Message]) -> None:
        """Keep a message word for word, whatever is laid over it."""
        self._marks.pinned[message.id] = message
        self._rebuild(messages)

    def unpin(self, message_id: str, messages: Sequence[Message]) -> None:
        """Keep a message no longer."""
        if self._marks.pinned.pop(message_id, None) is not None:
            self._rebuild(messages)

    def clear(self, start: int) -> None:
        """Show nothing of the history before index `start`."""
        self.shown, self.front = [], 0
        self._layers = [_Layer(start)]
        self._marks = _Marks()

    # --- what can be asked ------------------------------------------------------------------------------------------

    @property
    def start(self) -> int:
        """The index in the history of the first message that no summary and no clear has taken away."""
        return self._layers[-1].start

    @property
    def summary(self) -> Summary | None:
        """The summary that stands first, if there is one."""
        return self._layers[-1].summary

    @property
    def pinned(self) -> Sequence[Message]:
        """The messages that are pinned, in the order in which they were."""
        return tuple(self._marks.pinned.values())

    def find(self, message_id: str, messages: Sequence[Message]) -> Message | None:
        """The message, if it belongs to the conversation: it was not cleared away, nor was its turn taken out."""
        first = self._layers[0].start
        found = next((message for message in messages[first:] if message.id == message_id), None)
        return found if found is not None and found.turn_id not in self._marks.hidden else None

    def belonging(self, messages: Sequence[Message]) -> list[Message]:
        """The messages that belong to the conversation, as they happened, those that a summary covers too."""
        first = self._layers[0].start
        return [
            message for message in messages[first:] if message.content and message.turn_id not in self._marks.hidden
        ]

    def stands(self, message_id: str, messages: Sequence[Message]) -> bool:
        """Whether the message is behind what summaries and clears have taken away."""
        return self._index(message_id, messages) >= self.start

    def is_shortened(self, tool_use_id: str) -> bool:
        """Whether an overlay stands for this result already."""
        return tool_use_id in self._marks.shortened

    def is_pinned(self, message_id: str) -> bool:
        """Whether the message is kept word for word."""
        return message_id in self._marks.pinned

    def tokens(self, provider: str) -> int:
        """An estimate of the whole view, in tokens."""
        return sum(estimate_message(message, provider) for message in self.shown)

    def range_to(self, through: str, messages: Sequence[Message]) -> list[Message]:
        """The messages, as they happened, that a summary up to and with `through` would newly cover.

        Empty if `through` is no longer among those that stand.
        """
        end = self._index(through, messages) + 1
        return [
            message
            for message in messages[self.start : end]
            if message.content and message.turn_id not in self._marks.hidden
        ]

    def state(self, first: int) -> ViewState:
        """The view as a value, for the history from index `first` on, which is no later than `start`."""
        layer, marks = self._layers[-1], self._marks
        return ViewState(
            start=layer.start - first,
            bare=max(layer.bare - first, 0),
            summary=layer.summary,
            repeated=layer.repeated,
            shortened=tuple(marks.shortened.values()),
            dropped=tuple(sorted(marks.dropped)),
            hidden=tuple(sorted(marks.hidden)),
            pinned=tuple(marks.pinned.values()),
        )

    @classmethod
    def restored(cls, session_id: SessionId, state: ViewState, messages: Sequence[Message]) -> "View":
        """The view that has this state, over the end of its history."""
        view = cls(session_id)
        view._layers = [_Layer(state.start, state.bare, state.summary, state.repeated)]
        view._marks = _Marks(
            {overlay.tool_use_id: overlay for overlay in state.shortened},
            frozenset(state.dropped),
            frozenset(state.hidden),
            {message.id: message for message in state.pinned},
        )
        view._rebuild(messages)
        return view

    @staticmethod
    def _index(message_id: str, messages: Sequence[Message]) -> int:
        """Where the message is, looked for from the end; -1 if it is not there."""
        for index in range(len(messages) - 1, -1, -1):
            if messages[index].id == message_id:
                return index
        return -1

    # --- building ---------------------------------------------------------------------------------------------------

    def _rebuild(self, messages: Sequence[Message]) -> None:
        layer, marks = self._layers[-1], self._marks
        shown = [
            self._seen(message, bare=index < layer.bare)
            for index, message in enumerate(messages[layer.start :], layer.start)
            if message.content and message.id not in marks.dropped and message.turn_id not in marks.hidden
        ]
        previous = self.shown[0] if self.shown else None
        lead = lead_message(self._session_id, layer.summary, self._carried(messages), previous)
        front = [message for message in (lead, layer.repeated) if message is not None]
        self.front = len(front)
        self.shown = front + [message for message in shown if message.content]

    def _carried(self, messages: Sequence[Message]) -> list[Message]:
        """The pinned messages that are not shown in their own place."""
        layer, marks = self._layers[-1], self._marks
        if not marks.pinned:
            return []
        standing = {message.id for message in messages[layer.start :]} - marks.dropped
        if layer.repeated is not None:
            standing.add(layer.repeated.id)
        return [
            message
            for message in marks.pinned.values()
            if message.id not in standing and message.turn_id not in marks.hidden
        ]

    def _seen(self, message: Message, *, bare: bool) -> Message:
        if isinstance(message, AssistantMessage):
            return _without_thinking(message) if bare else message
        if not self._marks.shortened or self.is_pinned(message.id):
            return message
        content = tuple(self._shorten(block) for block in message.content)
        return message if content == message.content else message.model_copy(update={"content": content})

    def _shorten(self, block: UserBlock) -> UserBlock:
        if isinstance(block, ToolResultBlock) and (overlay := self._marks.shortened.get(block.tool_use_id)):
            return block.model_copy(update={"content": overlay.text})
        return block


def _without_thinking(message: AssistantMessage) -> AssistantMessage:
    content = tuple(block for block in message.content if not isinstance(block, ThinkingBlock))
    return message if len(content) == len(message.content) else message.model_copy(update={"content": content})


def digest_of(messages: Iterable[Message]) -> str:
    """What tells one range of messages from another: a digest of their ids."""
    return hashlib.blake2b("\0".join(message.id for message in messages).encode(), digest_size=12).hexdigest()


def is_request(message: Message) -> bool:
    """Whether these are a user's own words, and not results of calls or a summary."""
    return (
        isinstance(message, UserMessage)
        and message.marker is None
        and not any(isinstance(block, ToolResultBlock) for block in message.content)
    )
