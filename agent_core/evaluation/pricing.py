"""What a session cost: its model's answers, and the summaries of its conversation.

The rule here: a price that nobody knows makes the whole unknown, unless nothing was bought at it.
"""

from collections.abc import Callable

from agent_core.compaction.settings import LLMCompaction
from agent_core.config import SessionConfig
from agent_core.messages import Usage
from agent_core.models import cost


def pricing(config: SessionConfig) -> Callable[[Usage, Usage], float | None]:
    """Gives US dollars for what the model and the summariser of such a session took; None where no price is known."""
    compaction = config.compaction
    summarises = compaction.model if isinstance(compaction, LLMCompaction) else None

    def price(usage: Usage, summariser: Usage) -> float | None:
        # A summariser that was never asked may have a price that nobody knows.
        more = cost(summarises or config.model, summariser) if summariser != Usage() else 0.0
        answers = cost(config.model, usage)
        return None if answers is None or more is None else answers + more

    return price


def cache_saving(model: str, usage: Usage) -> float | None:
    """US dollars that the provider's prompt cache has saved: what its tokens would have cost anew, less what they cost.

    Less than zero if writing it has cost more than reading it saved. None where a price is not known.
    """
    cached = Usage(cache_read_tokens=usage.cache_read_tokens, cache_write_tokens=usage.cache_write_tokens)
    paid = cost(model, cached)
    anew = cost(model, Usage(input_tokens=usage.cache_read_tokens + usage.cache_write_tokens))
    return None if paid is None or anew is None else anew - paid
