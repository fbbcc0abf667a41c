"""`ThresholdCompactor`: old tool results are shown by their compact summary, or redacted. No model is asked.

The rule here: calls and results stay paired, whatever is shortened; the newest turns are left alone, and so is what the
model has not answered yet.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent_core.compaction.settings import ThresholdCompaction
from agent_core.content import ToolResultBlock
from agent_core.messages import AssistantMessage, Message, TurnId
from agent_core.overlays import ShortenedResult
from agent_core.tokens import IMAGE_TOKENS, estimate_text
from agent_core.view import View

REDACTED = "[Old tool result left out to save space]"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to lay over the history, and how many tokens that is expected to save."""

    overlays: tuple[ShortenedResult, ...]
    saved: int
    turns: int

    @property
    def summarized(self) -> int:
        return sum(overlay.how == "summarized" for overlay in self.overlays)

    @property
    def redacted(self) -> int:
        return sum(overlay.how == "redacted" for overlay in self.overlays)


@dataclass(frozen=True, slots=True)
class ThresholdCompactor:
    """Shortens old tool results once the context has grown past a share of the usable window."""

    config: ThresholdCompaction
    provider: str

    def due(self, used: int, usable: int) -> bool:
        """Whether `used` tokens of `usable` are past the mark."""
        return used > self.config.threshold * usable

    def plan(self, view: View, keep_recent_turns: int | None = None) -> Plan:
        """Overlays for every result older than the newest turns that is not shortened yet and would shrink."""
        keep = self.config.keep_recent_turns if keep_recent_turns is None else keep_recent_turns
        overlays: list[ShortenedResult] = []
        turns: set[TurnId] = set()
        saved = 0
        for message in _older(view.shown, keep):
            if view.is_pinned(message.id):
                continue
            for block in message.content:
                if not isinstance(block, ToolResultBlock) or view.is_shortened(block.tool_use_id):
                    continue
                overlay = self._shorten(block)
                gain = size_of(block, self.provider) - estimate_text(overlay.text, self.provider)
                if gain > 0:
                    overlays.append(overlay)
                    turns.add(message.turn_id)
                    saved += gain
        return Plan(tuple(overlays), saved, len(turns))

    def _shorten(self, block: ToolResultBlock) -> ShortenedResult:
        if self.config.tool_compaction == "summarize" and block.compact_summary:
            return ShortenedResult(tool_use_id=block.tool_use_id, text=block.compact_summary, how="summarized")
        return ShortenedResult(tool_use_id=block.tool_use_id, text=REDACTED, how="redacted")


def _older(shown: Sequence[Message], keep_turns: int) -> Iterator[Message]:
    """Messages before the newest `keep_turns` turns and before the newest answer."""
    turns = list(dict.fromkeys(message.turn_id for message in shown))
    kept = set(turns[len(turns) - keep_turns :]) if keep_turns else set[TurnId]()
    answers = [index for index, message in enumerate(shown) if isinstance(message, AssistantMessage)]
    return (message for message in shown[: answers[-1] if answers else 0] if message.turn_id not in kept)


def size_of(block: ToolResultBlock, provider: str) -> int:
    """Tokens of a result, by estimate."""
    if isinstance(block.content, str):
        return estimate_text(block.content, provider)
    return sum(estimate_text(part.text, provider) if part.kind == "text" else IMAGE_TOKENS for part in block.content)
