"""The view: what the model is shown of the history, kept up to date as messages and overlays come.

The rule here: appending is O(1); only what takes something away (an overlay, a removed turn, a clear) builds the view
anew. A message that no overlay touches is the very object of the history.
"""

from collections.abc import Iterable, Sequence
from typing import assert_never

from agent_core.content import ToolResultBlock, UserBlock
from agent_core.messages import AssistantMessage, Message, TurnId
from agent_core.overlays import Dropped, Overlay, ShortenedResult
from agent_core.tokens import estimate_message


class View:
    """The messages that are shown, in order."""

    __slots__ = ("_dropped", "_hidden_turns", "_shortened", "_start", "shown")

    def __init__(self) -> None:
        self.shown: list[Message] = []
        self._start = 0
        self._shortened: dict[str, ShortenedResult] = {}
        self._dropped: set[str] = set()
        self._hidden_turns: set[TurnId] = set()

    def append(self, message: Message) -> None:
        """Show one more message. An answer without content has no place in a request and is left out."""
        if message.content:
            self.shown.append(message)

    def lay(self, overlays: Iterable[Overlay], messages: Sequence[Message]) -> None:
        """Lay overlays over the history."""
        for overlay in overlays:
            match overlay:
                case ShortenedResult():
                    self._shortened[overlay.tool_use_id] = overlay
                case Dropped():
                    self._dropped.update(overlay.message_ids)
                case _:
                    assert_never(overlay)
        self._rebuild(messages)

    def hide_turn(self, turn_id: TurnId, messages: Sequence[Message]) -> None:
        """Show a turn's messages no more."""
        self._hidden_turns.add(turn_id)
        self._rebuild(messages)

    def show_turn(self, turn_id: TurnId, messages: Sequence[Message]) -> None:
        """Show a hidden turn's messages again."""
        if turn_id in self._hidden_turns:
            self._hidden_turns.discard(turn_id)
            self._rebuild(messages)

    def clear(self, start: int) -> None:
        """Show nothing of the history before index `start`."""
        self._start = start
        self.shown = []
        self._shortened, self._dropped, self._hidden_turns = {}, set(), set()

    def is_shortened(self, tool_use_id: str) -> bool:
        """Whether an overlay stands for this result already."""
        return tool_use_id in self._shortened

    def tokens(self, provider: str) -> int:
        """An estimate of the whole view, in tokens."""
        return sum(estimate_message(message, provider) for message in self.shown)

    def _rebuild(self, messages: Sequence[Message]) -> None:
        self.shown = [
            self._seen(message)
            for message in messages[self._start :]
            if message.content and message.id not in self._dropped and message.turn_id not in self._hidden_turns
        ]

    def _seen(self, message: Message) -> Message:
        if isinstance(message, AssistantMessage) or not self._shortened:
            return message
        content = tuple(self._shorten(block) for block in message.content)
        return message if content == message.content else message.model_copy(update={"content": content})

    def _shorten(self, block: UserBlock) -> UserBlock:
        if isinstance(block, ToolResultBlock) and (overlay := self._shortened.get(block.tool_use_id)):
            return block.model_copy(update={"content": overlay.text})
        return block
