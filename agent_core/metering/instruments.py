"""The instruments: everything that is measured, with its tags and, for histograms, its boundaries.

The rule here: this table is the whole of it. Names are without the prefix of whoever exports them; times are in
seconds, money in US dollars.
"""

from dataclasses import dataclass
from typing import Literal

QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SLOW = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)
COUNTS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0)


@dataclass(frozen=True, slots=True, eq=False)
class Instrument:
    """One thing that is measured. `boundaries` are the upper ends of a histogram's buckets."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    description: str
    tags: tuple[str, ...] = ()
    boundaries: tuple[float, ...] = ()


def _counter(name: str, description: str, *tags: str) -> Instrument:
    return Instrument(name, "counter", description, tags)


def _gauge(name: str, description: str, *tags: str) -> Instrument:
    return Instrument(name, "gauge", description, tags)


def _histogram(name: str, boundaries: tuple[float, ...], description: str, *tags: str) -> Instrument:
    return Instrument(name, "histogram", description, tags, boundaries)


_MODEL = ("provider", "model")

SESSIONS = _gauge("rayconteur_sessions", "Sessions in memory, by what they do or wait for.", "state")
MAILBOX = _gauge("rayconteur_mailbox_messages", "Messages that wait for their turn, or for room, in all mailboxes.")
DEEPEST = _gauge("rayconteur_mailbox_deepest", "Messages in the fullest mailbox.")

TURNS = _counter("rayconteur_turns", "Turns that ended.", *_MODEL, "outcome")
RESUMED = _counter("rayconteur_turns_resumed", "Open turns that another process took up: sessions that restarted.")
TURN_SECONDS = _histogram("rayconteur_turn_seconds", SLOW, "From the start of a turn to its end.", *_MODEL)
QUEUE_SECONDS = _histogram(
    "rayconteur_queue_seconds", QUICK, "Waits: a message for its turn, a request for its permit.", "queue"
)

FIRST_TOKEN = _histogram(
    "rayconteur_first_token_seconds", QUICK, "From asking a model to the first it says, retries included.", *_MODEL
)
REQUESTS = _counter(
    "rayconteur_provider_requests", "Attempts at model requests that are over.", *_MODEL, "status", "kind"
)
RETRIES = _counter("rayconteur_provider_retries", "Model requests that were made again.", *_MODEL, "kind")
TOKENS = _counter("rayconteur_tokens", "Tokens, as providers count them.", *_MODEL, "direction", "purpose")
COST = _counter("rayconteur_cost_dollars", "What the tokens cost, where their prices are known.", *_MODEL, "purpose")
UNPRICED = _counter("rayconteur_unpriced_requests", "Requests whose price is not known.", *_MODEL)

TOOL_CALLS = _counter("rayconteur_tool_calls", "Tool calls that are settled.", "tool", "outcome")
TOOL_SECONDS = _histogram("rayconteur_tool_seconds", QUICK, "How long tools ran.", "tool")

COMPACTIONS = _counter("rayconteur_compactions", "Compactions that are over.", "strategy", "outcome")
COMPACTION_SECONDS = _histogram(
    "rayconteur_compaction_seconds", SLOW, "From asking for a summary to its coming, or failing.", "outcome"
)
TOKENS_SAVED = _counter("rayconteur_compaction_tokens_saved", "Tokens that compactions freed, estimated.", "strategy")
COMPACTION_WAITED = _counter("rayconteur_compaction_waited_seconds", "Seconds that turns waited for summaries.")

JOURNAL_SECONDS = _histogram(
    "rayconteur_journal_seconds",
    QUICK,
    "A batch of writes, from its oldest to all durable: at the sessions, or at the journal's actor.",
    "at",
)
JOURNAL_BATCH = _histogram("rayconteur_journal_batch_operations", COUNTS, "Writes in one batch.", "at")
JOURNAL_REFUSALS = _counter("rayconteur_journal_refusals", "Writes that the journal refused or failed.", "at", "kind")

ACTOR_RESTARTS = _counter("rayconteur_actor_restarts", "Actors that Ray started again.", "role")

INSTRUMENTS: tuple[Instrument, ...] = tuple(item for item in tuple(globals().values()) if isinstance(item, Instrument))
