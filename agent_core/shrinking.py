"""Making a conversation small at once, without a model: on the way to a request, or when one was refused.

The rule here: only overlays are recorded. Whatever a summariser is doing meanwhile is not disturbed, for its range is
known by the ids of messages, which no overlay changes.
"""

from agent_core.compaction.last_resort import plan_last_resort
from agent_core.compaction.settings import LLMCompaction, ThresholdCompaction
from agent_core.compaction.threshold import ThresholdCompactor
from agent_core.entries import Compacted
from agent_core.messages import TurnId
from agent_core.recorder import Recorder
from agent_core.status import CompactResult
from agent_core.window import Window

_TARGET = 0.8


class Shrinking:
    """Mechanical compaction of one conversation."""

    def __init__(self, recorder: Recorder, window: Window) -> None:
        self._recorder, self._window = recorder, window
        self._conversation = recorder.conversation
        self._shrunk_for: tuple[TurnId, int] | None = None

    @property
    def strategy(self) -> ThresholdCompaction | None:
        """What was chosen, if mechanical compaction was."""
        chosen = self._conversation.config.compaction
        return chosen.mechanical if isinstance(chosen, LLMCompaction) else chosen

    def if_due(self) -> None:
        """Shorten old tool results if the context has grown past the mark."""
        strategy = self.strategy
        if strategy is not None and self._window.past(strategy.threshold):
            self.now(strategy)

    def now(self, strategy: ThresholdCompaction) -> CompactResult:
        """Shorten old tool results, and tell what came of it."""
        conversation = self._conversation
        before, messages = conversation.context_used, len(conversation.view.shown)
        plan = ThresholdCompactor(strategy, conversation.config.provider).plan(conversation.view)
        turns = len({message.turn_id for message in conversation.view.shown})
        if plan.overlays:
            after = max(before - plan.saved, 0)
            self._record(
                Compacted(strategy="threshold", overlays=plan.overlays, tokens_before=before, tokens_after=after)
            )
        return CompactResult(
            compacted=bool(plan.overlays),
            strategy="threshold",
            reason="" if plan.overlays else "nothing to compact: no old tool result is left to shorten",
            messages_before=messages,
            messages_after=len(conversation.view.shown),
            turns_compacted=plan.turns,
            turns_kept=turns - plan.turns,
            results_summarized=plan.summarized,
            results_redacted=plan.redacted,
            tokens_before=before,
            tokens_after=conversation.context_used,
        )

    def to(self, target: int, waited: float = 0.0) -> bool:
        """Bring the context to `target` tokens by the last resort: whether anything was left to take away."""
        return self._last_resort(self._window.room_for(target), waited=waited)

    def after_overflow(self, named_limit: int | None) -> bool:
        """The provider refused the request as too long: whether it is worth asking once more. Once a step."""
        conversation, turn = self._conversation, self._conversation.open
        assert turn is not None, "a request was refused while no turn was open"
        step = (turn.turn_id, turn.steps)
        if self._shrunk_for == step:
            return False
        self._shrunk_for = step
        learned = self._window.learned_from(named_limit)
        limit = learned or self._window.limit
        usable = max(limit - conversation.config.max_tokens, limit // 2)
        # An estimate that says it fits is wrong, for the provider says it does not.
        room = min(self._window.room_for(usable), conversation.view.tokens(conversation.config.provider))
        return self._last_resort(int(room * _TARGET), learned=learned)

    def _last_resort(self, room: int, *, waited: float = 0.0, learned: int | None = None) -> bool:
        conversation = self._conversation
        overlays, saved = plan_last_resort(conversation.view, conversation.config.provider, room)
        if not overlays:
            return False
        shown = conversation.view.tokens(conversation.config.provider)
        before = max(conversation.context_used, shown)
        after = min(self._window.with_shown(shown - saved), before)
        self._record(
            Compacted(
                strategy="last_resort",
                overlays=overlays,
                tokens_before=before,
                tokens_after=after,
                waited=waited,
                learned_limit=learned,
            )
        )
        return True

    def _record(self, entry: Compacted) -> None:
        turn = self._conversation.open
        self._recorder.record(entry.model_copy(update={"turn_id": turn.turn_id}) if turn else entry)
