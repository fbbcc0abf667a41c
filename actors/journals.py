"""Which journal a runtime has, and how its processes reach it: through the journal's actor, or PostgreSQL directly.

The rule here: whoever asks gets a journal of its own process, which imports nothing heavy before it is used.
"""

from actors.journal import JournalHandle
from actors.settings import JOURNAL_NAME, RuntimeSettings
from agent_core.journals.postgres import PostgresJournal
from agent_core.journals.postgres_options import PostgresOptions

RuntimeJournal = JournalHandle | PostgresJournal


def journal_of(settings: RuntimeSettings) -> RuntimeJournal:
    """The journal as this process reaches it. One for each process and event loop."""
    if settings.journal is None:
        return JournalHandle(JOURNAL_NAME, settings.namespace)
    return PostgresJournal(settings.journal, PostgresOptions(durability=settings.durability))
