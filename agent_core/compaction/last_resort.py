"""The last resort when a request is too long: no model is asked, the newest exchange is kept, the rest shrinks.

The rule here: a rung of the ladder is taken only if those before it were not enough. Tool results but the newest batch
are redacted; the oldest turns are dropped whole; in the turn under way the oldest calls go with their results; in the
end the newest results are cut to their head and tail. The turn's own question stays, and so does what is pinned.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from agent_core.compaction.lead import PIN_HEADING
from agent_core.compaction.threshold import REDACTED, size_of
from agent_core.content import ThinkingBlock, ToolResultBlock, ToolUseBlock, text_of
from agent_core.messages import AssistantMessage, Message
from agent_core.overlays import Dropped, Overlay, ShortenedResult
from agent_core.tokens import MESSAGE_TOKENS, estimate_message, estimate_text
from agent_core.view import View

_LEAST_CHARACTERS = 400


@dataclass(slots=True)
class _Ladder:
    """What is taken away so far. `sizes` are what messages still take, in tokens, by id."""

    view: View
    provider: str
    sizes: dict[str, int]
    overlays: list[Overlay] = field(default_factory=list[Overlay])
    dropped: list[str] = field(default_factory=list[str])

    @property
    def total(self) -> int:
        return sum(self.sizes.values())

    @property
    def rest(self) -> Sequence[Message]:
        """The messages that stand in their own place."""
        return self.view.shown[self.view.front :]

    def shorten(self, message: Message, block: ToolResultBlock, text: str) -> None:
        gain = size_of(block, self.provider) - estimate_text(text, self.provider)
        if gain > 0:
            self.sizes[message.id] -= gain
            self.overlays.append(ShortenedResult(tool_use_id=block.tool_use_id, text=text, how="redacted"))

    def drop(self, messages: Sequence[Message]) -> None:
        # A pinned one goes on to be shown, in another place, which takes a little more.
        pinned = [message.id for message in messages if self.view.is_pinned(message.id)]
        moved = len(pinned) * (estimate_text(PIN_HEADING, self.provider) + MESSAGE_TOKENS)
        if sum(self.sizes[message.id] for message in messages if message.id not in pinned) <= moved:
            return
        for message in messages:
            if message.id in pinned:
                self.sizes[message.id] += moved // len(pinned)
            else:
                self.sizes.pop(message.id)
            self.dropped.append(message.id)


def plan_last_resort(view: View, provider: str, target: int) -> tuple[tuple[Overlay, ...], int]:
    """Overlays that bring the view to `target` tokens if that can be done, and the tokens that they save.

    Nothing is returned when nothing is left to take away.
    """
    sizes = {message.id: estimate_message(message, provider) for message in view.shown}
    ladder = _Ladder(view, provider, sizes)
    before = ladder.total
    newest = _newest_results(ladder.rest)
    for message in ladder.rest[:newest]:
        for block in _results(view, message):
            ladder.shorten(message, block, REDACTED)
    for turn in _older_turns(ladder.rest):
        if ladder.total <= target:
            break
        ladder.drop(turn)
    for step in _older_steps(ladder.rest):
        if ladder.total <= target:
            break
        ladder.drop(step)
    if ladder.total > target:
        _cut_newest(ladder, ladder.rest[newest:], target)
    if ladder.dropped:
        ladder.overlays.append(Dropped(message_ids=tuple(ladder.dropped)))
    return tuple(ladder.overlays), before - ladder.total


def _newest_results(rest: Sequence[Message]) -> int:
    """The index of the newest message that holds tool results; how many there are if none does."""
    for index in range(len(rest) - 1, -1, -1):
        if any(isinstance(block, ToolResultBlock) for block in rest[index].content):
            return index
    return len(rest)


def _results(view: View, message: Message) -> Iterator[ToolResultBlock]:
    """The results in a message that may be shortened."""
    if not view.is_pinned(message.id):
        for block in message.content:
            if isinstance(block, ToolResultBlock) and not view.is_shortened(block.tool_use_id):
                yield block


def _older_turns(rest: Sequence[Message]) -> Iterator[list[Message]]:
    """The turns but the newest, the oldest first, each whole."""
    turns = list(dict.fromkeys(message.turn_id for message in rest))
    for turn in turns[:-1]:
        yield [message for message in rest if message.turn_id == turn]


def _older_steps(rest: Sequence[Message]) -> Iterator[list[Message]]:
    """The calls of the newest turn with their results, but the newest; none if thinking belongs to them."""
    turn = [message for message in rest if message.turn_id == rest[-1].turn_id] if rest else []
    if any(isinstance(block, ThinkingBlock) for message in turn for block in message.content):
        return
    steps = [
        [message, answer]
        for message, answer in pairwise(turn)
        if isinstance(message, AssistantMessage) and any(isinstance(block, ToolUseBlock) for block in message.content)
    ]
    yield from steps[:-1]


def _cut_newest(ladder: _Ladder, newest: Sequence[Message], target: int) -> None:
    """Cut the newest results to what room is left, each by its share; those that went with an older turn are gone."""
    left = [message for message in newest if message.id in ladder.sizes]
    found = [(message, block) for message in left for block in _results(ladder.view, message)]
    taken = sum(size_of(block, ladder.provider) for _, block in found)
    room = max(target - (ladder.total - taken), 0)
    for message, block in found:
        text = text_of(block.content)
        keep = max(int(len(text) * room / max(taken, 1)), _LEAST_CHARACTERS)
        if keep < len(text):
            half = keep // 2
            left_out = len(text) - 2 * half
            cut = f"{text[:half]}\n[... {left_out} characters left out to save space ...]\n{text[-half:]}"
            ladder.shorten(message, block, cut)
