"""What a summary is to cover: the range, what stays, and whether it can be worth it.

The rule here: a plan is made from a snapshot and is right or wrong for that snapshot alone. What is said later neither
spoils nor improves it.
"""

from dataclasses import dataclass

from agent_core.compaction.cutting import choose_cut
from agent_core.compaction.lead import SUMMARY_HEADING
from agent_core.compaction.settings import LLMCompaction
from agent_core.conversation import Conversation
from agent_core.messages import Message
from agent_core.tokens import estimate_message, estimate_text
from agent_core.view import digest_of, is_request
from agent_core.window import Window

_MOST_KEPT = 0.3
_MOST_SUMMARY = 0.1
_MOST_SUMMARY_TOKENS = 16_000
_PRODUCTIVE = 0.8


@dataclass(frozen=True, slots=True)
class Range:
    """The oldest part of what stands. `messages` are as they happened; token counts are of what is shown of them.

    `repeated` is the message with the user's last words, if the cut falls behind it.
    """

    messages: tuple[Message, ...]
    through: str
    digest: str
    repeated: Message | None
    covered_tokens: int
    kept_tokens: int
    repeated_tokens: int
    turns: int
    turns_kept: int


def plan_range(conversation: Conversation, keep_turns: int, budget: int) -> Range | None:
    """The range to summarise so that the newest `keep_turns` turns stay, or about `budget` tokens; None if none."""
    view, provider = conversation.view, conversation.config.provider
    cut = choose_cut(view.shown, view.front, keep_turns, budget, provider)
    if cut is None:
        return None
    through = view.shown[cut - 1].id
    messages = view.range_to(through, conversation.messages)
    if not messages:
        return None
    kept = view.shown[cut:]
    repeated = None if any(map(is_request, kept)) else next(filter(is_request, reversed(view.shown[:cut])), None)
    # With nothing kept, the last exchange is over: its question needs no repeating.
    repeated = repeated if kept else None
    covered_turns = {message.turn_id for message in messages}
    return Range(
        messages=tuple(messages),
        through=through,
        digest=digest_of(messages),
        repeated=repeated,
        covered_tokens=sum(estimate_message(message, provider) for message in view.shown[:cut]),
        kept_tokens=sum(estimate_message(message, provider) for message in kept),
        repeated_tokens=estimate_message(repeated, provider) if repeated else 0,
        turns=len(covered_turns),
        turns_kept=len({message.turn_id for message in kept} - covered_turns),
    )


def keep_budget(settings: LLMCompaction, window: Window) -> int:
    """How many tokens of the newest messages may stay."""
    return min(settings.keep_tokens, int(_MOST_KEPT * window.usable))


def summary_limit(settings: LLMCompaction, window: Window) -> int:
    """How long a summary may be, in tokens."""
    return settings.max_summary_tokens or max(min(_MOST_SUMMARY_TOKENS, int(_MOST_SUMMARY * window.limit)), 32)


def summary_tokens(text: str, provider: str) -> int:
    """What a summary takes in the view, by estimate."""
    return estimate_text(f"{SUMMARY_HEADING}\n\n{text}", provider) + 4


def most_after(settings: LLMCompaction, window: Window) -> int:
    """How many tokens the context may take after a compaction that is worth it."""
    return int(_PRODUCTIVE * settings.trigger * window.usable)
