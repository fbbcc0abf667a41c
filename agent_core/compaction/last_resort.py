"""The last resort when a request is too long: no model is asked, the newest exchange is kept, the rest shrinks.

The rule here: first every tool result but the newest batch is redacted; only if that is not enough are the oldest turns
dropped, each whole, so that calls and results stay paired. The turn under way is never dropped.
"""

from agent_core.compaction.threshold import REDACTED
from agent_core.content import ToolResultBlock
from agent_core.messages import Message, TurnId
from agent_core.overlays import Dropped, Overlay, ShortenedResult
from agent_core.tokens import estimate_message, estimate_text
from agent_core.view import View


def plan_last_resort(view: View, provider: str, target: int) -> tuple[tuple[Overlay, ...], int]:
    """Overlays that bring the view under `target` tokens if that can be done, and the tokens that they save.

    Nothing is returned when nothing is left to take away.
    """
    overlays: list[Overlay] = []
    sizes = {message.id: estimate_message(message, provider) for message in view.shown}
    for message in view.shown[: _newest_results(view)]:
        for block in message.content:
            if isinstance(block, ToolResultBlock) and not view.is_shortened(block.tool_use_id):
                gain = _size(block, provider) - estimate_text(REDACTED, provider)
                if gain > 0:
                    sizes[message.id] -= gain
                    overlays.append(ShortenedResult(tool_use_id=block.tool_use_id, text=REDACTED, how="redacted"))
    before = view.tokens(provider)
    dropped = _oldest_turns(view, sizes, sum(sizes.values()) - target)
    if dropped:
        overlays.append(Dropped(message_ids=tuple(message.id for message in dropped)))
    after = sum(sizes.values()) - sum(sizes[message.id] for message in dropped)
    return tuple(overlays), before - after


def _newest_results(view: View) -> int:
    """The index of the newest message that holds tool results; the length of the view if there is none."""
    for index in range(len(view.shown) - 1, -1, -1):
        if any(isinstance(block, ToolResultBlock) for block in view.shown[index].content):
            return index
    return len(view.shown)


def _oldest_turns(view: View, sizes: dict[str, int], excess: int) -> list[Message]:
    dropped: list[Message] = []
    current: TurnId | None = view.shown[-1].turn_id if view.shown else None
    turns = [turn for turn in dict.fromkeys(message.turn_id for message in view.shown) if turn != current]
    for turn in turns:
        if excess <= 0:
            break
        leaving = [message for message in view.shown if message.turn_id == turn]
        dropped.extend(leaving)
        excess -= sum(sizes[message.id] for message in leaving)
    return dropped


def _size(block: ToolResultBlock, provider: str) -> int:
    text = (
        block.content
        if isinstance(block.content, str)
        else "".join(part.text for part in block.content if part.kind == "text")
    )
    return estimate_text(text, provider)
