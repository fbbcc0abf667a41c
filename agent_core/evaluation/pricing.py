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
