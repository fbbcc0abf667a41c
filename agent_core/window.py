"""The window: how much of the model's context a conversation takes, and how much it may.

The rule here: the provider's own count of the last request is the anchor, and only what came after is estimated. Limits
are learned from overflow errors, downwards alone.
"""

from collections.abc import Callable
from json import dumps

from agent_core.config import SessionConfig
from agent_core.conversation import Conversation
from agent_core.errors import ConfigError
from agent_core.tokens import estimate_text

_LEAST_SCALE, _MOST_SCALE = 0.5, 2.0


class Window:
    """The window of one conversation, in tokens."""

    def __init__(self, conversation: Conversation, limit_of: Callable[[SessionConfig], int]) -> None:
        self._conversation, self._limit_of = conversation, limit_of

    @property
    def limit(self) -> int:
        """The whole window: configured or known, or less if an overflow taught so. Raises ConfigError if unknown."""
        config = self._conversation.config
        limit = self._limit_of(config)
        return min(limit, self._conversation.learned_limits.get(config.model, limit))

    @property
    def known_limit(self) -> int:
        """The whole window, 0 if nothing is known of it."""
        try:
            return self.limit
        except ConfigError:
            return 0

    @property
    def usable(self) -> int:
        """What the conversation may take: the window less what is reserved for the answer."""
        limit = self.limit
        return max(limit - self._conversation.config.max_tokens, limit // 2)

    @property
    def used(self) -> int:
        """What the conversation takes now."""
        return self._conversation.context_used

    def past(self, mark: float) -> bool:
        """Whether the conversation takes more than this share of what it may."""
        return self.used > mark * self.usable

    def with_shown(self, tokens: int) -> int:
        """What the conversation would take if `tokens` by estimate were shown instead of what is."""
        overhead = self._overhead()
        shown = self._conversation.view.tokens(self._conversation.config.provider)
        scale = self.used / max(overhead + shown, 1)
        return int((overhead + tokens) * min(max(scale, _LEAST_SCALE), _MOST_SCALE))

    def room_for(self, target: int) -> int:
        """How many tokens by estimate may be shown if the conversation is to take at most `target`."""
        overhead = self._overhead()
        shown = self._conversation.view.tokens(self._conversation.config.provider)
        scale = self.used / max(overhead + shown, 1)
        return max(int(target / min(max(scale, _LEAST_SCALE), _MOST_SCALE)) - overhead, 0)

    def learned_from(self, named: int | None) -> int | None:
        """The limit that an overflow teaches: the one that the error named, or what the request took at most."""
        limit = self.limit
        learned = named or max(min(self.used, limit), limit // 2)
        return learned if learned < limit else None

    def _overhead(self) -> int:
        """Tokens of prompt and tools, by estimate."""
        config = self._conversation.config
        tools = [(tool.name, tool.description, tool.input_schema) for tool in self._conversation.tools.values()]
        return estimate_text((config.system_prompt or "") + (dumps(tools) if tools else ""), config.provider)
