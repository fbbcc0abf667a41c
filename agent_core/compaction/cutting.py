"""Where a conversation may be cut: what is left of a cut is summarised, what is right of it stays as it is.

The rule here: a cut parts no call from its result and no thinking from the tool loop that it belongs to. A turn is kept
whole where that can be had: a user's message stays with its answer, and every wire takes two messages of the user's
that follow each other.
"""

from collections.abc import Sequence
from itertools import accumulate

from agent_core.content import ThinkingBlock, ToolUseBlock
from agent_core.messages import AssistantMessage, Message
from agent_core.tokens import estimate_message


def safe_cuts(shown: Sequence[Message], first: int = 0) -> list[int]:
    """The indexes of messages before which `shown` may be cut, ascending; `first` messages are not looked at.

    `len(shown)` is among them if nothing is open at the end.
    """
    thinking = {message.turn_id for message in shown[first:] if _thinks(message)}
    cuts: list[int] = []
    for index in range(first + 1, len(shown) + 1):
        left, right = shown[index - 1], shown[index] if index < len(shown) else None
        if _calls(left):
            continue
        if right is None and _goes_on(left):
            continue
        if right is not None and right.turn_id == left.turn_id:
            goes_on = isinstance(left, AssistantMessage) or not isinstance(right, AssistantMessage)
            if goes_on or right.turn_id in thinking:
                continue
        cuts.append(index)
    return cuts


def choose_cut(shown: Sequence[Message], first: int, keep_turns: int, budget: int, provider: str) -> int | None:
    """The index to cut at: the newest `keep_turns` turns stay, or fewer where they take more than `budget` tokens.

    A single turn that is longer is cut inside, before an answer. None if there is nothing to cut off.
    """
    cuts = safe_cuts(shown, first)
    if not cuts:
        return None
    # kept[i]: the tokens of shown[i:].
    sizes = [estimate_message(message, provider) for message in shown]
    kept = list(accumulate(reversed(sizes), initial=0))[::-1]
    between = [cut for cut in cuts if cut == len(shown) or shown[cut].turn_id != shown[cut - 1].turn_id]
    turns = list(dict.fromkeys(message.turn_id for message in shown[first:]))
    recent = set(turns[max(len(turns) - keep_turns, 0) :])
    # Only what is older than the turns to keep may go, unless those are too long.
    start = next((i for i in range(first, len(shown)) if shown[i].turn_id in recent), len(shown))
    if kept[start] <= budget:
        return max((cut for cut in between if cut <= start), default=None)
    fitting = [cut for cut in between if cut < len(shown) and kept[cut] <= budget]
    if fitting:
        return fitting[0]
    # Not even the newest turn fits: as much of it as does, or its last step.
    inside = [cut for cut in cuts if cut < len(shown) and shown[cut].turn_id == turns[-1]]
    fits = [cut for cut in inside if kept[cut] <= budget]
    return fits[0] if fits else max([*inside, *between], default=None)


def _calls(message: Message) -> bool:
    return isinstance(message, AssistantMessage) and any(isinstance(block, ToolUseBlock) for block in message.content)


def _goes_on(newest: Message) -> bool:
    """Whether the newest message is one that nobody has answered yet, or an answer that has only paused."""
    return not isinstance(newest, AssistantMessage) or newest.finish_reason == "pause_turn"


def _thinks(message: Message) -> bool:
    return isinstance(message, AssistantMessage) and any(isinstance(block, ThinkingBlock) for block in message.content)
